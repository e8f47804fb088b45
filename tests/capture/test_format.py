import json
import struct
import zlib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from hftcap.capture.footer import Footer, IndexEntry, unpack_footer
from hftcap.capture.format import (
    BLOCK_HEADER_BYTES,
    FOOTER_MAGIC,
    FORMAT_VERSION,
    FRAME,
    JSON_MAX,
    NONE_NS,
    NOTES_RAW_MAX,
    PREAMBLE_MAGIC,
    RECORDS_MAX,
    TAIL_MAGIC,
    BlockHeader,
    Flaw,
    TimeBase,
    stored_most,
    unpack_block_header,
)
from hftcap.capture.preamble import Newer, Preamble, unpack_preamble
from hftcap.errors import OverLimit

PREAMBLE = Preamble(
    capture_id="0123456789abcdef",
    segment=3,
    previous_sequence=41,
    market="usdm",
    time_base=TimeBase.MONOTONIC,
    expects_snapshots=True,
    created_ns=1_723_161_600_000_000_000,
    hftcap="0.1.0",
    urls=["wss://fstream.binance.com/stream"],
    streams=["btcusdt@depth@0ms"],
    symbols=["BTCUSDT"],
    host="tokyo-1",
    boot_id="b1",
    source={"tool": "other \udc80", "nested": [1, None]},
    timeline_offset_ns=-5,
)
HEADER = BlockHeader(
    records=2,
    sequence=7,
    capture_id=bytes(8),
    wall_offset_ns=-1,
    min_mono_ns=1,
    max_mono_ns=2,
    min_recv_ns=NONE_NS,
    max_recv_ns=2**63 - 1,
    wall_error_ns=2**32 - 1,
    columns_stored=40,
    columns_raw=48,
    notes_stored=30,
    notes_raw=20,
    payloads_stored=50,
    payloads_raw=60,
    crc_columns_notes=1,
    payload_check=2,
    span=3,
)
TOTALS = {"records": 2, "payload_bytes": 58, "by_kind": {"rest": 2}, "losses": 0, "first_recv_ns": 1, "last_recv_ns": 2}
ENTRIES = (IndexEntry(100, 7, 1, 2, NONE_NS, 4, 2, 60, 2**32 - 1), IndexEntry(900, 8, 1, 2, 3, 4, 0, 0))
FOOTER = Footer(ENTRIES, TOTALS, PREAMBLE)
DEEP = b"[" * 200_000


def content(frame: bytes) -> bytes:
    """Return what a skippable frame holds, its promised length checked."""
    assert FRAME.unpack_from(frame)[1] == len(frame) - FRAME.size
    return frame[FRAME.size :]


def preamble_of(text: bytes, version: int = FORMAT_VERSION, flags: int = 0) -> bytes:
    """Return a preamble's content around any JSON, its checksum right."""
    head = PREAMBLE_MAGIC + struct.pack("<HHI", version, flags, len(text)) + text
    return head + struct.pack("<I", zlib.crc32(head))


def footer_of(totals: object) -> bytes:
    """Return the content of a footer without blocks around any JSON, written for byte 0."""
    text = json.dumps(totals).encode()
    head = FOOTER_MAGIC + struct.pack("<HHII", FORMAT_VERSION, 0, 0, len(text)) + text
    return head + struct.pack("<QI4s", 0, zlib.crc32(head), TAIL_MAGIC)


def preamble_with(**changes: object) -> bytes:
    values = json.loads(content(PREAMBLE.pack())[16:-4])
    return preamble_of(json.dumps(values | changes).encode())


def test_a_preamble_survives_packing():
    """Every field comes back, lone surrogates from another tool's header included."""
    assert unpack_preamble(content(PREAMBLE.pack())) == PREAMBLE


def test_unknown_keys_and_flags_of_a_preamble_are_ignored():
    """A later release may add keys and flags without a new version."""
    values = json.loads(content(PREAMBLE.pack())[16:-4]) | {"colour": "blue"}
    assert unpack_preamble(preamble_of(json.dumps(values).encode(), flags=0xFFFF)) == PREAMBLE


def test_optional_keys_of_a_preamble_may_be_absent():
    """What the format calls optional may be left out."""
    values = json.loads(content(PREAMBLE.pack())[16:-4])
    for key in ("urls", "streams", "symbols", "host", "boot_id", "source", "timeline_offset_ns"):
        del values[key]
    found = unpack_preamble(preamble_of(json.dumps(values).encode()))
    assert isinstance(found, Preamble)
    assert found.urls == [] and found.timeline_offset_ns is None


@pytest.mark.parametrize(
    "changes",
    [
        {"capture_id": "0123456789ABCDEF"},
        {"capture_id": "0123456789abcde"},
        {"capture_id": "0123456789abcdef\n"},
        {"capture_id": 1},
        {"segment": -1},
        {"segment": True},
        {"segment": 1.5},
        {"previous_sequence": "1"},
        {"market": None},
        {"time_base": "sundial"},
        {"time_base": ["wall"]},
        {"expects_snapshots": 1},
        {"created_ns": "now"},
        {"hftcap": None},
        {"urls": "wss://"},
        {"symbols": [1]},
        {"source": []},
        {"timeline_offset_ns": "0"},
    ],
    ids=str,
)
def test_a_preamble_with_a_wrong_type_is_refused(changes):
    """A key whose value is not of its type is a flaw, never an exception further on."""
    assert isinstance(unpack_preamble(preamble_with(**changes)), Flaw)


@pytest.mark.parametrize("text", [b"", b"{}", b"null", b"[]", b"5", b'"x"', b"\xff", b"{", DEEP, b"9" * 5000])
def test_a_preamble_that_is_not_a_preamble_object_is_refused(text):
    """Any JSON or none, in an intact envelope, is a preamble or a flaw."""
    assert isinstance(unpack_preamble(preamble_of(text)), Flaw)


def test_a_newer_version_is_told_from_damage():
    """An intact preamble of a later version is named as such, whatever its JSON; version 0 never was."""
    assert unpack_preamble(preamble_of(b"\x00 not even JSON", version=2)) == Newer(2)
    assert isinstance(unpack_preamble(preamble_of(b"{}", version=0)), Flaw)
    damaged = bytearray(preamble_of(b"{}", version=2))
    damaged[-1] ^= 1
    assert isinstance(unpack_preamble(bytes(damaged)), Flaw)


def test_a_preamble_too_large_is_not_written():
    """The writer refuses what the reader would."""
    with pytest.raises(OverLimit):
        replace(PREAMBLE, source={"text": "x" * JSON_MAX}).pack()


def test_a_block_header_survives_packing():
    """Every field comes back, the extremes of its type included."""
    packed = HEADER.pack()
    assert len(packed) == BLOCK_HEADER_BYTES
    assert unpack_block_header(packed) == HEADER


@pytest.mark.parametrize(
    "changes",
    [
        {"records": RECORDS_MAX + 1, "columns_raw": 24 * (RECORDS_MAX + 1)},
        {"records": 3},
        {"columns_raw": 49},
        {"columns_stored": 0},
        {"columns_stored": stored_most(48) + 1},
        {"columns_stored": 2**32 - 1},
        {"notes_raw": NOTES_RAW_MAX + 1},
        {"notes_raw": 0},
        {"notes_stored": 2**32 - 1},
        {"payloads_raw": 2**32 - 1},
        {"payloads_raw": (64 << 20) + 1, "payloads_stored": 100},
        {"payloads_raw": 0, "payloads_stored": 0},
        {"payloads_stored": 0},
        {"payloads_stored": 2**32 - 1},
        {"records": 0, "columns_raw": 0, "columns_stored": 0},
        {"span": 0},
    ],
    ids=str,
)
def test_a_header_that_contradicts_itself_or_a_limit_is_refused(changes):
    """A header with a right checksum and impossible lengths or span is a flaw before anything is allocated."""
    assert isinstance(unpack_block_header(structs.replace(HEADER, **changes).pack()), Flaw)


@pytest.mark.parametrize(("offset", "value"), [(8, 2), (8, 0), (0, 0x88)])
def test_a_header_of_another_version_or_magic_is_refused(offset, value):
    """Blocks have the version of their preamble."""
    packed = bytearray(HEADER.pack())
    packed[offset] = value
    packed[124:] = struct.pack("<I", zlib.crc32(packed[:124]))
    assert isinstance(unpack_block_header(bytes(packed)), Flaw)


def test_flags_and_reserved_bytes_of_a_header_are_ignored():
    """What version 1 leaves open may be used without being refused."""
    packed = bytearray(HEADER.pack())
    packed[10] = packed[112] = packed[123] = 0xFF
    packed[124:] = struct.pack("<I", zlib.crc32(packed[:124]))
    assert unpack_block_header(bytes(packed)) == HEADER


def test_a_block_takes_as_many_numbers_as_it_spans():
    """The next block's sequence follows from header and index alike; a block as recorded takes one number."""
    assert HEADER.next_sequence == IndexEntry.of(0, HEADER).next_sequence == 10
    assert BlockHeader(*structs.astuple(HEADER)[:-1]).next_sequence == 8


def test_every_flipped_bit_of_a_header_is_noticed():
    """No single bit of a header can change unseen."""
    packed = HEADER.pack()
    for bit in range(len(packed) * 8):
        damaged = bytearray(packed)
        damaged[bit // 8] ^= 1 << bit % 8
        assert isinstance(unpack_block_header(bytes(damaged)), Flaw)


def test_a_footer_survives_packing():
    """Index, totals and preamble come back, where the footer stands at the place it was written for."""
    packed = content(FOOTER.pack(1000))
    assert unpack_footer(packed, 1000) == FOOTER
    assert isinstance(unpack_footer(packed, 1001), Flaw)


def test_an_empty_footer_survives_packing():
    """A segment without blocks has an index without entries."""
    empty = Footer((), TOTALS | {"first_recv_ns": None, "last_recv_ns": None})
    assert unpack_footer(content(empty.pack(0)), 0) == empty


@pytest.mark.parametrize(
    "totals",
    [
        [],
        {},
        None,
        TOTALS | {"records": -1},
        TOTALS | {"records": "2"},
        TOTALS | {"by_kind": {"rest": None}},
        TOTALS | {"losses": None},
        TOTALS | {"first_recv_ns": 1.5},
    ],
    ids=str,
)
def test_a_footer_with_unusable_totals_is_refused(totals):
    """Who reads the totals by name need not check them again."""
    assert isinstance(unpack_footer(footer_of(totals), 0), Flaw)


def test_a_footer_may_lack_the_preamble():
    """The repeated preamble is optional to readers."""
    assert unpack_footer(footer_of(TOTALS), 0) == Footer((), TOTALS)
    assert unpack_footer(content(Footer((), TOTALS).pack(0)), 0) == Footer((), TOTALS)


@pytest.mark.parametrize("changes", [{"capture_id": 1}, {"time_base": "sundial"}, {"segment": -1}], ids=str)
def test_a_copy_of_the_preamble_that_nobody_can_use_is_as_good_as_none(changes):
    """It holds to the same rules as the first one, unknown keys included; broken, it costs neither index nor totals."""
    values = json.loads(content(PREAMBLE.pack())[16:-4]) | {"colour": "blue"}
    assert unpack_footer(footer_of(TOTALS | {"preamble": values}), 0) == Footer((), TOTALS, PREAMBLE)
    assert unpack_footer(footer_of(TOTALS | {"preamble": values | changes}), 0) == Footer((), TOTALS)


@pytest.mark.parametrize("copy", [None, [], 3])
def test_a_copy_of_the_preamble_that_is_no_object_is_refused(copy):
    """A key of the wrong JSON type is refused as with the totals."""
    assert isinstance(unpack_footer(footer_of(TOTALS | {"preamble": copy}), 0), Flaw)


def test_a_footer_too_large_for_the_copy_leaves_it_out():
    """Index and totals are what the segment cannot do without."""
    room = JSON_MAX - len(content(replace(PREAMBLE, streams=[""]).pack())[16:-4])
    huge = replace(PREAMBLE, streams=["x" * room])
    found = unpack_footer(content(Footer((), TOTALS, huge).pack(0)), 0)
    assert found == Footer((), TOTALS)


def test_flags_and_reserved_bytes_of_a_footer_are_ignored():
    """What version 1 leaves open may be used without being refused."""
    packed = bytearray(content(FOOTER.pack(0)))
    packed[10] = packed[20 + 60] = packed[20 + 127] = 0xFF
    packed[-8:-4] = struct.pack("<I", zlib.crc32(packed[:-16]))
    assert unpack_footer(bytes(packed), 0) == FOOTER


def test_a_footer_of_another_version_is_refused():
    """Footers have the version of their preamble."""
    packed = bytearray(content(FOOTER.pack(0)))
    packed[8] = 2
    packed[-8:-4] = struct.pack("<I", zlib.crc32(packed[:-16]))
    assert isinstance(unpack_footer(bytes(packed), 0), Flaw)


def test_every_flipped_bit_of_a_footer_is_noticed():
    """No single bit of a footer can change unseen."""
    packed = content(FOOTER.pack(0))
    for bit in range(len(packed) * 8):
        damaged = bytearray(packed)
        damaged[bit // 8] ^= 1 << bit % 8
        assert isinstance(unpack_footer(bytes(damaged), 0), Flaw)


@given(st.binary(max_size=300))
def test_any_bytes_are_a_part_or_a_flaw(data):
    """Nothing that is unpacked raises."""
    assert isinstance(unpack_preamble(data), Flaw)
    assert isinstance(unpack_footer(data, 0), Flaw)
    assert isinstance(unpack_block_header(data.ljust(BLOCK_HEADER_BYTES, b"\0")), Flaw)
