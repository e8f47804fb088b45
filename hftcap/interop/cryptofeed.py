"""Read one run of cryptofeed's raw data collection, version 1 (text) or 2 (JSON lines), merged by receive time.

Version 1 writes a file per connection, `X.0`, `X.http.0.0`, `X.ws.1.0`, the last number rising at 100 MB:

    configuration: {…}                              what was subscribed
    https://… -> 1633998512.320639: {…}             REST body, sometimes with ` header: {…}` behind it
    wss://… <-> 1633998511.159679                   connect
    wss://… <- 1633998511.16: {…}                   sent
    1633998512.0633569: {…}                         received

Version 2 writes a file per exchange whose lines are objects: `header` first, then `http`, `connect`, `send` and
`recv`, with `conn`, `ts` and `data` or `b64`, not in the order of their times.

Times are epoch seconds as Python prints a float; their decimal text is taken, never its value as a float. The lines
of a connection keep their order even where its clock stepped back. A run is held in memory as a whole.

Source: bmoscon/cryptofeed fdc8ebf, cryptofeed/raw_data_collection.py (version 1); 57d5f18, cryptofeed/capture.py (2).
"""

import binascii
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import msgspec

from hftcap.binance.endpoints import RAW_PATH, Market, market_of_url
from hftcap.capture.format import Kind
from hftcap.errors import ImportFailed
from hftcap.interop.jsonl import payload_bytes
from hftcap.interop.source import (
    Item,
    OnRead,
    SourceFile,
    SourceNote,
    SourceRecord,
    read_items,
    rest_note,
    seconds_ns,
    symbol_of_stream,
)

VERSION = 2
EXPECTED = {
    1: "lines such as `1633998512.06: {…}` or `https://… -> 1633998512.06: {…}`, as cryptofeed writes them",
    2: "objects a line with t, conn, ts and data, as cryptofeed writes them",
}
_CONN_MAX = 2**16 - 1
_BAD_STAMP = "time is not plain decimal seconds"
_ROTATION = re.compile(r"\.[0-9]+(?:\.gz|\.zst)?$")
_REST_NAME = ".http."
_URL = re.compile(rb"[a-z]+://")
_V1_BEGIN = re.compile(rb"[0-9]|[a-z]+://|configuration: ")


@dataclass(frozen=True, slots=True)
class Run:
    """One run in merged order. `urls` are the websocket addresses, `markets` what all addresses tell."""

    version: int
    items: list[Item]
    urls: list[str]
    streams: list[str]
    symbols: list[str]
    markets: frozenset[Market]


class _Line(msgspec.Struct):
    t: str
    conn: str = ""
    ts: msgspec.Raw = msgspec.Raw(b"")
    url: str | None = None
    addr: str | None = None
    data: str | None = None
    b64: str | None = None
    headers: Any = None  # Any: JSON, kept as it is
    format: int | None = None
    exchange: str | None = None
    config: Any = None  # Any: JSON, kept as it is


_decode = msgspec.json.Decoder(_Line).decode


def read_run(paths: Sequence[Path], on_read: OnRead | None = None) -> Run:
    """Read the files of one run.

    Equal times keep the order of the files as given, then of their lines. Websocket connections are numbered from 0
    as they first appear; REST bodies have the number after the last of them.

    Raises:
        ImportFailed: a file with no readable line, files of both versions, a newer version, a run without records.
        Unreadable: the operating system refused.
    """
    version = _version_of_run(paths)
    timed: list[tuple[int, Item]] = []
    for path in paths:
        parse: Callable[[bytes], Item | str] = parse_v2
        if version == 1:
            parse = V1Lines(_ROTATION.sub("", path.name) or path.name).parse
        source = SourceFile(path, on_read)
        timed += _merge_times(read_items(source, parse, expected=EXPECTED[version], may_be_blank=version == 1))
    if not any(isinstance(item, SourceRecord) for _, item in timed):
        raise ImportFailed(paths[0], "whole run", "no message", EXPECTED[version])
    numbers = _number_connections(item for _, item in timed)
    if len(numbers) > _CONN_MAX:
        raise ImportFailed(paths[0], "connections", f"{len(numbers):,}", f"at most {_CONN_MAX:,}")
    timed.sort(key=lambda pair: pair[0])
    items = [_numbered(item, numbers) for _, item in timed]
    return _describe(version, items)


def _version_of_run(paths: Sequence[Path]) -> int:
    versions = {path: version for path in paths if (version := _version_of_file(path)) is not None}
    for path, version in versions.items():
        if version != next(iter(versions.values())):
            raise ImportFailed(path, "line 1", f"format version {version}", "all files of one run, in one version")
        if version not in EXPECTED:
            raise ImportFailed(path, "line 1", f"format version {version}", f"at most {VERSION}")
    return next(iter(versions.values()), 1)


def _version_of_file(path: Path) -> int | None:
    """Tell the version from the first line that looks like one of them; None where none of the first 1,000 does."""
    for _, line, _ in islice(SourceFile(path).lines(), 1_000):
        if line.startswith(b"{"):
            header = _parse_json(line)
            return header.format if isinstance(header, _Line) and header.format is not None else VERSION
        if _V1_BEGIN.match(line):
            return 1
    return None


def _merge_times(items: Iterator[Item]) -> Iterator[tuple[int, Item]]:
    """Yield each item of a file with the time it is merged by: within a connection, the latest so far."""
    latest: dict[str, int] = {}
    last = -1
    for item in items:
        at_ns = item.recv_ns if isinstance(item, SourceRecord) else item.at_ns
        if at_ns is not None:
            last = latest[item.connection] = max(at_ns, latest.get(item.connection, 0))
        # What has no time stands where its file was; a configuration comes before everything.
        is_config = isinstance(item, SourceNote) and item.note["note"] == "source_config"
        yield -1 if is_config else last, item


def _number_connections(items: Iterator[Item]) -> dict[str, int]:
    names = (
        item.connection
        for item in items
        if item.connection and not (isinstance(item, SourceRecord) and item.kind is Kind.REST)
    )
    return {name: number for number, name in enumerate(dict.fromkeys(names))}


def _numbered(item: Item, numbers: dict[str, int]) -> Item:
    if isinstance(item, SourceRecord):
        conn = len(numbers) if item.kind is Kind.REST else numbers[item.connection]
        return msgspec.structs.replace(item, conn=conn)
    if item.connection:
        return msgspec.structs.replace(item, note=item.note | {"conn": numbers[item.connection]})
    return item


def _describe(version: int, items: list[Item]) -> Run:
    notes = [item.note for item in items if item.note is not None]
    urls = list(dict.fromkeys(note["url"] for note in notes if note["note"] == "connect"))
    streams = list(dict.fromkeys(stream for url in urls for stream in streams_of_url(url)))
    symbols = dict.fromkeys(symbol for stream in streams if (symbol := symbol_of_stream(stream)) is not None)
    addresses = dict.fromkeys(note["url"] for note in notes if note["note"] in {"connect", "rest"})
    markets = frozenset(market for url in addresses if url and (market := market_of_url(url)) is not None)
    return Run(version, items, urls, streams, list(symbols), markets)


@dataclass(frozen=True, slots=True)
class V1Lines:
    """The lines of one version 1 file; `connection` is its name without the rotation number."""

    connection: str

    def parse(self, line: bytes) -> Item | str:
        """Return what a line holds, or what is wrong with it."""
        if line[:1].isdigit():
            return self._received(line)
        if line.startswith(b"configuration: "):
            try:
                config = msgspec.json.decode(line.removeprefix(b"configuration: "))
            except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
                return f"configuration: {error}"
            return SourceNote({"note": "source_config", "config": config})
        address, _, rest = line.partition(b" ")
        arrow, _, rest = rest.partition(b" ")
        if not _URL.match(address) or arrow not in {b"->", b"<-", b"<->"}:
            return "neither a time nor an address first"
        stamp, colon, body = rest.partition(b": ")
        at_ns = seconds_ns(stamp.strip())
        if at_ns is None:
            return _BAD_STAMP
        url = address.decode(errors="replace")
        if arrow == b"<->":
            return _connect(self.connection, url, at_ns)
        if not colon:
            return "nothing after the time"
        if arrow == b"<-":
            return _sent(self.connection, url, at_ns, body.decode(errors="replace"))
        body, headers = _split_headers(body)
        return _rest_body(self.connection, url, at_ns, body, headers)

    def _received(self, line: bytes) -> SourceRecord | str:
        stamp, colon, payload = line.partition(b": ")
        recv_ns = seconds_ns(stamp)
        if recv_ns is None:
            return _BAD_STAMP
        if not colon:
            return "nothing after the time"
        if _REST_NAME in self.connection:
            return _rest_body(self.connection, None, recv_ns, payload, None)
        return SourceRecord(payload, recv_ns, connection=self.connection)


def _split_headers(body: bytes) -> tuple[bytes, Any]:  # Any: JSON
    front, separator, text = body.rpartition(b" header: ")
    if separator:
        try:
            # Both parts must be JSON: what looks like a header may be text inside the body.
            msgspec.json.decode(front, type=msgspec.Raw)
            return front, msgspec.json.decode(text, type=dict[str, Any])
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            return body, None
    return body, None


def parse_v2(line: bytes) -> Item | str:
    """Return what a line of version 2 holds, or what is wrong with it."""
    fields = _parse_json(line)
    if isinstance(fields, str):
        return fields
    if fields.t == "header":
        return SourceNote({"note": "source_config", "exchange": fields.exchange, "config": fields.config})
    at_ns = seconds_ns(bytes(fields.ts))
    if at_ns is None:
        return _BAD_STAMP
    if fields.t == "connect" and fields.addr:
        return _connect(fields.conn, fields.addr, at_ns)
    try:
        payload = payload_bytes(fields.data, fields.b64)
    except (UnicodeError, binascii.Error) as error:
        return str(error)
    if payload is None:
        return "neither data nor b64, or both"
    match fields.t:
        case "http":
            return _rest_body(fields.conn, fields.url, at_ns, payload, fields.headers)
        case "recv" if _REST_NAME in fields.conn:
            return _rest_body(fields.conn, None, at_ns, payload, fields.headers)
        case "recv":
            kind = Kind.WS_BINARY if fields.data is None else Kind.WS_TEXT
            return SourceRecord(payload, at_ns, kind, connection=fields.conn or "?")
        case "send":
            return _sent(fields.conn, fields.addr, at_ns, payload.decode(errors="replace"))
    return f"line of unknown type {fields.t[:20]!r}"


def _parse_json(line: bytes) -> _Line | str:
    try:
        return _decode(line)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        return str(error)


def _connect(connection: str, url: str, at_ns: int) -> SourceNote:
    note = {"note": "connect", "url": url, "streams": streams_of_url(url), "at_ns": at_ns}
    return SourceNote(note, at_ns, connection or "?")


def _sent(connection: str, url: str | None, at_ns: int, text: str) -> SourceNote:
    return SourceNote({"note": "sent", "url": url, "at_ns": at_ns, "text": text}, at_ns, connection or "?")


def _rest_body(
    connection: str,
    url: str | None,
    recv_ns: int,
    body: bytes,
    headers: Any,  # Any: JSON
) -> SourceRecord:
    note = rest_note(symbol_of_url(url) if url else None, url, recv_ns)
    if headers:
        note["headers"] = headers
    return SourceRecord(body, recv_ns, Kind.REST, note=note, connection=connection or "?")


def symbol_of_url(url: str) -> str | None:
    """Return the `symbol` parameter of a REST URL, None where it has none."""
    try:
        return parse_qs(urlsplit(url).query).get("symbol", [None])[0]
    except ValueError:
        return None


def streams_of_url(url: str) -> list[str]:
    """Return the stream names in a websocket URL: `…/stream?streams=a/b` or `…/ws/a/b`."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return []
    names = next((value for value in parts.query.split("&") if value.startswith("streams=")), "")
    _, raw, path = parts.path.partition(f"{RAW_PATH}/")
    text = names.removeprefix("streams=") or (path if raw else "")
    return [unquote(name) for name in text.split("/") if name]
