"""Read files of hftbacktest's collector: a line is a local receive time, a space, and the payload as received.

    1723161253937085768 {"stream":"btcusdt@depth@100ms","data":{…}}       websocket
    1723161254206652067 {"lastUpdateId":50093239218,"bids":[…],"asks":[…]}      REST depth snapshot

The collector writes a gzip file per symbol and UTC day; times have been nanoseconds, and microseconds before that.
It opens the day's file without truncating it, so after a restart an older, longer file sticks out behind the new.

Source: nkaz001/hftbacktest a4960e3, collector/src/file.rs.
"""

from collections.abc import Iterator
from pathlib import Path

from hftcap.capture.format import Kind
from hftcap.interop.source import Item, OnRead, SourceFile, SourceRecord, epoch_ns, read_items, rest_note

EXPECTED = "lines of a receive time (19, 16 or 13 digits), a space and a message, as hftbacktest writes them"
_SNAPSHOT = b'{"lastUpdateId"'


def read_file(path: Path, symbol: str | None = None, on_read: OnRead | None = None) -> Iterator[Item]:
    """Yield the records of one file in line order, and loss notes; memory stays bounded.

    `symbol` is the only symbol of the file, where it has only one: a snapshot line does not name its own, so its
    note has this one and says where it comes from.

    Raises:
        ImportFailed: no line could be read.
        Unreadable: the operating system refused.
    """
    source = SourceFile(path, on_read)
    return read_items(source, lambda line: parse_line(line, symbol), expected=EXPECTED)


def parse_line(line: bytes, symbol: str | None = None) -> SourceRecord | str:
    """Return the record in a line, or what is wrong with it. All after the first space is payload."""
    stamp, space, payload = line.partition(b" ")
    recv_ns = epoch_ns(stamp)
    if recv_ns is None:
        return "no receive time of 19, 16 or 13 digits"
    if not space:
        return "nothing after the receive time"
    if not payload.startswith(_SNAPSHOT):
        return SourceRecord(payload, recv_ns)
    note = rest_note(symbol, None, recv_ns)
    if symbol is not None:
        note["symbol_from"] = "only symbol of the file"
    return SourceRecord(payload, recv_ns, Kind.REST, note=note)
