"""Read NDJSON as `hftcap cat` prints it: an object a line, a record each.

    {"recv_ns":1723161253937085768,"kind":"ws_text","conn":0,"payload":"…"}
    {"recv_ns":1723161254206652067,"kind":"rest","payload":"{…}","symbol":"BTCUSDT","url":"https://…"}
    {"recv_ns":1723161254300000000,"kind":"ws_binary","payload_base64":"AAEC"}

`recv_ns` and one payload are required; `kind` is `ws_text` and `conn` 0 where they are missing. Other keys are
ignored.
"""

import base64
import binascii
from collections.abc import Iterator
from pathlib import Path

import msgspec

from hftcap.capture.format import Kind
from hftcap.interop.source import Item, OnRead, SourceFile, SourceRecord, read_items, rest_note

EXPECTED = "a JSON object a line, with recv_ns and payload, as hftcap cat prints them"
_RECV_NS_MAX = 2**63 - 1
_CONN_MAX = 2**16 - 1
_KINDS = {kind.name.lower(): kind for kind in Kind}


class _Line(msgspec.Struct):
    recv_ns: msgspec.Raw  # the number's own text: a float in between would move the time
    kind: str = "ws_text"
    conn: int = 0
    payload: str | None = None
    payload_base64: str | None = None
    symbol: str | None = None
    url: str | None = None


_decode = msgspec.json.Decoder(_Line).decode


def read_file(path: Path, on_read: OnRead | None = None) -> Iterator[Item]:
    """Yield the records of one file in line order, and loss notes; memory stays bounded.

    Raises:
        ImportFailed: no line could be read.
        Unreadable: the operating system refused.
    """
    return read_items(SourceFile(path, on_read), parse_line, expected=EXPECTED)


def parse_line(line: bytes) -> SourceRecord | str:
    """Return the record in a line, or what is wrong with it."""
    try:
        fields = _decode(line)
        payload = payload_bytes(fields.payload, fields.payload_base64)
    except (msgspec.DecodeError, UnicodeError, RecursionError, binascii.Error) as error:
        return str(error)
    stamp = bytes(fields.recv_ns)
    if not stamp.isdigit() or len(stamp) > 19 or int(stamp) > _RECV_NS_MAX:
        return "recv_ns is not a whole number of nanoseconds"
    kind = _KINDS.get(fields.kind)
    if kind is None:
        return f"kind is not one of {', '.join(_KINDS)}"
    if not 0 <= fields.conn <= _CONN_MAX:
        return f"conn is not a number from 0 to {_CONN_MAX}"
    if payload is None:
        return "neither payload nor payload_base64, or both"
    note = rest_note(fields.symbol, fields.url, int(stamp)) if kind is Kind.REST else None
    return SourceRecord(payload, int(stamp), kind, fields.conn, note)


def payload_bytes(text: str | None, encoded: str | None) -> bytes | None:
    """Return the payload a JSON line gives as text or as base64; None unless it gives exactly one.

    Raises:
        UnicodeError: the text has no UTF-8 form.
        binascii.Error: not base64.
    """
    if (text is None) == (encoded is None):
        return None
    if text is not None:
        return text.encode()
    return base64.b64decode(encoded or "", validate=True)
