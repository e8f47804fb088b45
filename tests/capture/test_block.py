import struct
import threading
import tracemalloc
import zlib

import numpy as np
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from hftcap.capture.block import (
    Block,
    decode_block,
    encode_block,
    note_flaw,
    note_line,
    received_at,
)
from hftcap.capture.columns import BlockColumns, unpack_columns
from hftcap.capture.format import BLOCK_HEADER_BYTES, FRAME, NONE_NS, PAYLOAD_MAX, BlockHeader, Flaw, Kind, TimeBase

INT64 = st.integers(-(2**63), 2**63 - 1)
RECORDS = st.lists(
    st.tuples(
        st.binary(max_size=40) | st.sampled_from([b"", b"\n", b"\n\n", b"\x89HCBLOCK"]),
        INT64,
        st.just(NONE_NS) | INT64,
        st.sampled_from(Kind),
        st.integers(0, 2**16 - 1),
        st.integers(0, 255),
    ),
    max_size=20,
)
NOTES = st.lists(
    st.dictionaries(st.text(max_size=5), INT64 | st.text(st.characters(), max_size=8) | st.none(), max_size=3).map(
        lambda note: {key: note[key] for key in note if key not in {"record", "count"}} | {"note": "connect"}
    ),
    max_size=4,
)


def columns_of(records) -> BlockColumns:
    return BlockColumns(
        length=np.array([len(record[0]) for record in records], dtype=np.uint32),
        time_ns=np.array([record[1] for record in records], dtype=np.int64),
        rx_lag_ns=np.array([record[2] for record in records], dtype=np.int64),
        kind=np.array([record[3] for record in records], dtype=np.uint8),
        conn=np.array([record[4] for record in records], dtype=np.uint16),
        flags=np.array([record[5] for record in records], dtype=np.uint8),
    )


def encode(records, notes=(), *, payloads=None, notes_raw=None, compressor=None, **others) -> tuple[BlockHeader, bytes]:
    """Encode a block; return its header and its body."""
    values = {
        "time_base": TimeBase.MONOTONIC,
        "sequence": 5,
        "capture_id": bytes(8),
        "wall_offset_ns": 1000,
        "wall_error_ns": 40,
        "compressor": compressor or zstandard.ZstdCompressor(level=1, write_checksum=True, write_content_size=True),
    }
    raw = b"".join(record[0] + b"\n" for record in records) if payloads is None else payloads
    lines = b"".join(map(note_line, notes)) if notes_raw is None else notes_raw
    header, stored = encode_block(columns_of(records), raw, lines, **values | others)
    assert len(stored) == header.block_bytes
    return header, stored[FRAME.size + BLOCK_HEADER_BYTES :]


def opened(header: BlockHeader, body: bytes) -> Block:
    block = decode_block(header, body, TimeBase.MONOTONIC)
    assert isinstance(block, Block), block
    return block


def one(payload: bytes = b"{}", time_ns: int = 1, rx_lag_ns: int = NONE_NS, kind: int = 1):
    return (payload, time_ns, rx_lag_ns, kind, 0, 0)


@given(RECORDS, NOTES, INT64)
def test_a_block_survives_encoding(records, notes, wall_offset_ns):
    """Any payload bytes, times, lags, kinds, connections, flags and notes come back as they went in."""
    block = opened(*encode(records, notes, wall_offset_ns=wall_offset_ns))
    columns = block.columns
    back = (columns.time_ns, columns.rx_lag_ns, columns.kind, columns.conn, columns.flags)
    assert list(zip(block.payload_list(), *(column.tolist() for column in back), strict=True)) == records
    assert [block.payload(index) for index in range(len(records))] == [record[0] for record in records]
    assert block.notes == notes
    assert block.records == len(records)


@given(RECORDS, INT64)
def test_the_header_spans_the_times_of_its_block(records, wall_offset_ns):
    """Least and greatest times are those of the columns, and NONE where there is no record."""
    header, body = encode(records, wall_offset_ns=wall_offset_ns)
    times = [record[1] for record in records] or [NONE_NS]
    assert (header.min_mono_ns, header.max_mono_ns) == (min(times), max(times))
    received = opened(header, body).recv_ns.tolist() or [NONE_NS]
    assert (header.min_recv_ns, header.max_recv_ns) == (min(received), max(received))


def test_receive_time_is_offset_plus_time_minus_lag():
    """A lag that was not recorded counts as none; imported stamps stand as they are."""
    columns = columns_of([one(time_ns=500, rx_lag_ns=30), one(time_ns=400), one(time_ns=2**63 - 1, rx_lag_ns=-1)])
    assert received_at(columns, TimeBase.MONOTONIC, 1000).tolist() == [1470, 1400, 1000 - 2**63]
    assert received_at(columns, TimeBase.WALL, 0).tolist() == [500, 400, 2**63 - 1]


def test_columns_are_byte_shuffled():
    """All first bytes of a column come first: the example of docs/format.md."""
    records = [(b"", 0, 0, 1, conn, 0) for conn in (1, 2, 258)]
    raw = columns_of(records).pack()
    assert len(raw) == 3 * 24
    assert raw[3 * 21 : 3 * 23] == bytes.fromhex("01 02 02 00 00 01")
    assert unpack_columns(raw, 3).conn.tolist() == [1, 2, 258]


def test_times_are_stored_as_differences_that_wrap():
    """From one end of the clock to the other and back is exact."""
    times = [2**63 - 1, -(2**63), 0, 2**63 - 1]
    assert unpack_columns(columns_of([one(time_ns=t) for t in times]).pack(), 4).time_ns.tolist() == times


def test_a_block_may_hold_notes_only_or_nothing():
    """A block without records has no columns and no payload frame."""
    header, body = encode([], [{"note": "loss", "count": 3}])
    assert (header.columns_stored, header.payloads_stored, header.payload_check) == (0, 0, 0)
    block = opened(header, body)
    assert block.notes == [{"note": "loss", "count": 3}]
    assert block.payload_list() == [] and block.recv_ns.tolist() == []
    assert opened(*encode([])).notes == []


def test_the_largest_payload_survives():
    """16 MiB are allowed, one byte more is not."""
    payload = b"ab\n" * (PAYLOAD_MAX // 3) + b"c"
    assert len(payload) == PAYLOAD_MAX
    assert opened(*encode([one(payload), one(b"")])).payload_list() == [payload, b""]
    larger = decode_block(*encode([one(payload + b"d")]), TimeBase.MONOTONIC)
    assert isinstance(larger, Flaw)


def test_the_offset_error_saturates():
    """A clock that could be read only to 10 s is written as 4.29 s or more, not refused."""
    assert encode([one()], wall_error_ns=10**10)[0].wall_error_ns == 2**32 - 1


def test_text_without_utf8_stays_in_notes():
    """A close reason with a lone surrogate is stored and comes back."""
    note = {"note": "connect", "reason": "bye \udcff\n"}
    assert note_line(note).count(b"\n") == 1
    assert opened(*encode([], [note])).notes == [note]


@pytest.mark.parametrize(
    ("records", "changes"),
    [
        ([one(b"ab")], {"payloads": b"abc"}),
        ([one(b"ab"), one(b"c")], {"payloads": b"a\nbc\n"}),
        ([one(b"ab")], {"payloads": b"ab\nmore\n"}),
        ([one(b"ab")], {"payloads": b"a\n"}),
        ([one(kind=0)], {}),
        ([one(kind=4)], {}),
        ([one()], {"notes_raw": b"not JSON\n"}),
        ([one()], {"notes_raw": b'{"note":"x"}'}),
        ([one()], {"notes_raw": b'{"note":"x"}\n\n'}),
        ([one()], {"notes_raw": b"[]\n"}),
        ([one()], {"notes_raw": b"[" * 200_000 + b"\n"}),
        ([one()], {"notes_raw": b'{"note":"x","record":1}\n'}),
        ([one()], {"compressor": zstandard.ZstdCompressor(write_checksum=False)}),
        ([one()], {"compressor": zstandard.ZstdCompressor(write_checksum=True, write_content_size=False)}),
    ],
    ids=range(14),
)
def test_contents_that_contradict_each_other_are_a_flaw(records, changes):
    """Right checksums around lengths, newlines, kinds or notes that do not hold are refused, not believed."""
    assert isinstance(decode_block(*encode(records, **changes), TimeBase.MONOTONIC), Flaw)


@pytest.mark.parametrize(
    ("note", "accepted"),
    [
        ({"note": "connect"}, True),
        ({"note": "never heard of"}, True),
        ({"note": "connect", "record": 1}, True),
        ({"note": "loss", "count": 0}, True),
        ({"note": "rest", "record": 0}, True),
        ({"note": "connect", "record": 2}, False),
        ({"note": "connect", "record": -1}, False),
        ({"note": "connect", "record": None}, False),
        ({"note": "loss"}, False),
        ({"note": "loss", "count": -1}, False),
        ({"note": "rest"}, False),
        ({"kind": "rest"}, False),
        ("connect", False),
    ],
    ids=str,
)
def test_readers_can_rely_on_what_a_note_must_have(note, accepted):
    """Of a note only its kind, a record that exists, a loss's count and a body's record are checked."""
    assert (note_flaw(note, 2) is None) is accepted


def test_a_payload_frame_from_elsewhere_is_refused():
    """A whole frame of the right length and other content does not pass for this block's."""
    header, body = encode([one(b"aa")])
    other, other_body = encode([one(b"bb")])
    assert header.payloads_stored == other.payloads_stored
    swapped = body[: header.columns_stored] + other_body[other.columns_stored :]
    assert isinstance(decode_block(header, swapped, TimeBase.MONOTONIC), Flaw)


def test_no_bit_of_a_frame_header_is_passed_over():
    """The descriptor's unused bit, which libzstd ignores, is refused like any other flipped bit of it."""
    header, body = encode([one(b"some payload")])
    at = header.columns_stored + 4
    for bit in range(8):
        flipped = bytearray(body)
        flipped[at] ^= 1 << bit
        assert isinstance(decode_block(header, bytes(flipped), TimeBase.MONOTONIC), Flaw)


def test_a_frame_that_claims_4_gib_allocates_nothing_of_the_kind():
    """A bomb of a few bytes is refused by its promise."""
    claim = b"\x28\xb5\x2f\xfd" + b"\xe4" + struct.pack("<Q", 2**32) + b"\x01\x00\x00" + bytes(4)
    header, body = encode([one(b"x" * 100)])
    start = header.columns_stored
    for lying in (
        (replace(header, payloads_stored=len(claim)), body[:start] + claim),
        (
            replace(header, columns_stored=len(claim), crc_columns_notes=zlib.crc32(claim)),
            claim + body[start:],
        ),
    ):
        tracemalloc.start()
        try:
            assert isinstance(decode_block(*lying, TimeBase.MONOTONIC), Flaw)
            assert tracemalloc.get_traced_memory()[1] < 1 << 20
        finally:
            tracemalloc.stop()


def test_blocks_may_be_decoded_in_several_threads():
    """Two threads at once read what one would."""
    payload = bytes(range(256)) * 2000
    header, body = encode([one(payload[start:]) for start in range(5)])
    expected = opened(header, body).payloads
    wrong: list[object] = []

    def decode_often() -> None:
        for _ in range(60):
            block = decode_block(header, body, TimeBase.MONOTONIC)
            if not isinstance(block, Block) or block.payloads != expected:
                wrong.append(block)

    threads = [threading.Thread(target=decode_often) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@given(st.binary(max_size=200))
def test_any_body_is_a_block_or_a_flaw(body):
    """Whatever follows a header that holds, nothing is raised."""
    header, _ = encode([one(b"abc")])
    stored = len(body) // 2
    raw = replace(header, columns_stored=stored, payloads_stored=len(body) - stored)
    assert isinstance(decode_block(raw, body, TimeBase.WALL), Flaw)
    crc = zlib.crc32(body[:stored])
    assert isinstance(decode_block(replace(raw, crc_columns_notes=crc), body, TimeBase.WALL), Flaw)
