"""NDJSON as `hftcap cat` prints it becomes the records it was printed from."""

import base64
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hftcap.capture.format import Kind
from hftcap.errors import ImportFailed
from hftcap.interop.jsonl import parse_line, read_file
from hftcap.interop.source import SourceNote, SourceRecord

T0 = 1_723_161_253_937_085_768


def test_a_line_is_a_record_with_its_kind_and_connection():
    """All of `hftcap cat`'s keys are understood or passed over."""
    text = {"recv_ns": T0, "mono_ns": None, "kind": "ws_text", "conn": 3, "flags": 1, "payload": '{"é":1}\r'}
    assert parse_line(json.dumps(text).encode()) == SourceRecord('{"é":1}\r'.encode(), T0, Kind.WS_TEXT, 3)


def test_what_is_missing_is_what_most_records_are():
    """Without kind and connection a record is websocket text on connection 0."""
    assert parse_line(b'{"recv_ns":%d,"payload":"x"}' % T0) == SourceRecord(b"x", T0)


def test_a_rest_record_carries_its_symbol_and_url():
    """What `hftcap cat` prints of a request becomes the record's note again."""
    record = parse_line(b'{"recv_ns":%d,"kind":"rest","payload":"{}","symbol":"BTCUSDT","url":"https://a/b"}' % T0)
    assert isinstance(record, SourceRecord)
    assert record.kind is Kind.REST
    assert record.note == {
        "note": "rest",
        "symbol": "BTCUSDT",
        "url": "https://a/b",
        "status": None,
        "sent_ns": None,
        "received_ns": T0,
    }


@given(
    st.binary(),
    st.sampled_from(sorted(Kind)),
    st.integers(0, 2**63 - 1),
    st.integers(0, 65_535),
)
def test_any_payload_survives_as_base64(payload, kind, recv_ns, conn):
    """Bytes that are no text come back as they were, whatever their kind."""
    text = {
        "recv_ns": recv_ns,
        "kind": kind.name.lower(),
        "conn": conn,
        "payload_base64": base64.b64encode(payload).decode(),
    }
    record = parse_line(json.dumps(text).encode())
    assert isinstance(record, SourceRecord)
    assert (record.payload, record.kind, record.recv_ns, record.conn) == (payload, kind, recv_ns, conn)


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b'{"payload":"x"}', "recv_ns"),
        (b'{"recv_ns":1.5,"payload":"x"}', "whole number"),
        (b'{"recv_ns":1723161253937085768.0,"payload":"x"}', "whole number"),
        (b'{"recv_ns":1.7e18,"payload":"x"}', "whole number"),
        (b'{"recv_ns":-1,"payload":"x"}', "whole number"),
        (b'{"recv_ns":9223372036854775808,"payload":"x"}', "whole number"),
        (b'{"recv_ns":"1","payload":"x"}', "whole number"),
        (b'{"recv_ns":1}', "neither"),
        (b'{"recv_ns":1,"payload":"x","payload_base64":"eA=="}', "both"),
        (b'{"recv_ns":1,"payload":{"a":1}}', "payload"),
        (b'{"recv_ns":1,"payload_base64":"e?A="}', ""),
        (b'{"recv_ns":1,"payload":"\\ud800"}', ""),
        (b'{"recv_ns":1,"payload":"x","kind":"ws"}', "ws_text"),
        (b'{"recv_ns":1,"payload":"x","conn":65536}', "65535"),
        (b'{"recv_ns":1,"payload":"x","conn":-1}', "65535"),
        (b'{"recv_ns":1,"payload":"x"', ""),
        (b"[1]", ""),
        (b"[" * 20_000, ""),
        (b"\xff", ""),
    ],
)
def test_a_line_that_is_no_record_says_why(line, why):
    """Times are never taken through a float, and nothing is made up for what is missing."""
    found = parse_line(line)
    assert isinstance(found, str)
    assert why in found


def test_bad_lines_are_losses_and_the_rest_goes_on(tmp_path: Path):
    """A file with a torn line gives every other record."""
    path = tmp_path / "feed.jsonl"
    path.write_bytes(b'{"recv_ns":1,"payload":"a"}\n{"recv_ns":2,"pay\n{"recv_ns":3,"payload":"c"}')
    first, loss, last = read_file(path)
    assert isinstance(loss, SourceNote)
    assert loss.note["line"] == 2
    assert isinstance(first, SourceRecord)
    assert isinstance(last, SourceRecord)
    assert (first.payload, last.payload) == (b"a", b"c")


def test_a_file_of_something_else_is_refused(tmp_path: Path):
    """JSON lines without times are not guessed at."""
    path = tmp_path / "feed.jsonl"
    path.write_bytes(b'{"price":1}\n' * 5)
    with pytest.raises(ImportFailed, match=r"line 1: found .*expected a JSON object a line, with recv_ns and payload"):
        list(read_file(path))
