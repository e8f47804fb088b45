import random
import struct
import tracemalloc
import zlib
from itertools import pairwise

import numpy as np
import pytest
import zstandard
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec.structs import replace

from hftcap.capture.block import Block, decode_block, encode_block, note_line
from hftcap.capture.columns import BlockColumns
from hftcap.capture.decode import Damage, Decoder, Part, StoredBlock
from hftcap.capture.footer import Footer, IndexEntry
from hftcap.capture.format import (
    BLOCK_HEADER_BYTES,
    BLOCK_MAGIC,
    FOOTER_HEAD,
    FOOTER_MAGIC,
    FRAME,
    NONE_NS,
    PREAMBLE_MAGIC,
    SKIPPABLE_MAGIC,
    TimeBase,
    unpack_block_header,
)
from hftcap.capture.preamble import Newer, Preamble

CAPTURE_ID = "00112233445566ff"
FIRST = [b'{"u":400900217,"s":"BTCUSDT","b":"25.35190000"}', b"", b"\n", b"\xff\x89H" * 3]
SECOND = [b'{"u":%d,"s":"BTCUSDT","b":"61602.01000000","B":"0.00010000"}' % n for n in range(100, 112)]
THIRD = [b"last"]
PREAMBLE = Preamble(CAPTURE_ID, 0, None, "spot", TimeBase.MONOTONIC, False, 1, "0")


def block(sequence: int, payloads: list[bytes], notes: bytes = b"") -> bytes:
    columns = BlockColumns(
        length=np.array([len(payload) for payload in payloads], dtype=np.uint32),
        time_ns=np.arange(len(payloads), dtype=np.int64) * 1000 + sequence,
        rx_lag_ns=np.full(len(payloads), NONE_NS),
        kind=np.ones(len(payloads), dtype=np.uint8),
        conn=np.zeros(len(payloads), dtype=np.uint16),
        flags=np.zeros(len(payloads), dtype=np.uint8),
    )
    _, stored = encode_block(
        columns,
        b"".join(payload + b"\n" for payload in payloads),
        notes,
        time_base=TimeBase.MONOTONIC,
        sequence=sequence,
        capture_id=bytes.fromhex(CAPTURE_ID),
        wall_offset_ns=7,
        wall_error_ns=1,
        compressor=zstandard.ZstdCompressor(level=1, write_checksum=True, write_content_size=True),
    )
    return stored


BLOCKS = [block(0, FIRST, note_line({"note": "connect"})), block(1, SECOND), block(2, THIRD)]
HEAD = PREAMBLE.pack()
PLACES = [len(HEAD) + sum(map(len, BLOCKS[:n])) for n in range(4)]
TOTALS = {"records": 17, "payload_bytes": 0, "by_kind": {}, "losses": 0, "first_recv_ns": 1, "last_recv_ns": 2}
FOOTER = Footer(tuple(IndexEntry(at, n, 0, 0, 0, 0, 0, 0) for n, at in enumerate(PLACES[:3])), TOTALS)
CAPTURE = HEAD + b"".join(BLOCKS) + FOOTER.pack(PLACES[3])
ENDS = [len(HEAD), *PLACES[1:], len(CAPTURE)]


def decode(data: bytes, cuts: list[int] | None = None, offset: int = 0) -> list[Part]:
    """Decode bytes fed in the pieces that `cuts` make."""
    decoder = Decoder(offset)
    parts: list[Part] = []
    for begin, end in pairwise([0, *sorted(cuts or []), len(data)]):
        parts += decoder.feed(data[begin:end])
    return parts + decoder.finish()


WHOLE = decode(CAPTURE)


def meaning(parts: list[Part]) -> list[object]:
    """Return what a reader gets: preamble, footer, and each whole block's content; None where a block is flawed."""
    said: list[object] = []
    for part in parts:
        if isinstance(part, StoredBlock):
            opened = decode_block(part.header, part.body, TimeBase.MONOTONIC)
            good = isinstance(opened, Block)
            columns = (opened.columns.time_ns.tolist(), opened.columns.rx_lag_ns.tolist()) if good else ()
            said.append((part.header, opened.payload_list(), opened.notes, columns) if good else None)
        elif not isinstance(part, Damage):
            said.append(part)
    return said


def damages(parts: list[Part]) -> list[Damage]:
    return [part for part in parts if isinstance(part, Damage)]


def test_a_sealed_segment_is_its_parts():
    """Preamble, blocks in order with their places, footer, and nothing else."""
    assert [type(part) for part in WHOLE] == [Preamble, StoredBlock, StoredBlock, StoredBlock, Footer]
    assert (WHOLE[0], WHOLE[4]) == (PREAMBLE, FOOTER)
    assert [part.offset for part in WHOLE[1:4]] == PLACES[:3]
    assert [said[1] for said in meaning(WHOLE)[1:4]] == [FIRST, SECOND, THIRD]


def test_one_byte_at_a_time_is_the_same():
    """How the bytes arrive does not matter, not even one by one."""
    assert decode(CAPTURE, list(range(len(CAPTURE)))) == WHOLE


@given(st.lists(st.integers(0, len(CAPTURE)), max_size=8))
def test_any_pieces_are_the_same(cuts):
    """How the bytes are cut does not matter."""
    assert decode(CAPTURE, cuts) == WHOLE


@given(st.lists(st.integers(0, len(CAPTURE)), max_size=8), st.integers(0, len(CAPTURE) - 1), st.integers(1, 255))
@example(cuts=[311], at=295, flip=1)
def test_any_pieces_of_a_damaged_segment_are_the_same(cuts, at, flip):
    """How the bytes are cut does not matter to the search for the next part either."""
    damaged = CAPTURE[:at] + bytes([CAPTURE[at] ^ flip]) + CAPTURE[at + 1 :]
    assert decode(damaged, cuts) == decode(damaged)


def test_decoding_may_begin_at_a_block():
    """An offset taken from the index gives the rest of the segment, with the same places."""
    assert decode(CAPTURE[PLACES[1] :], offset=PLACES[1]) == WHOLE[2:]


def test_parts_are_returned_as_soon_as_they_are_whole():
    """A reader that follows a file waits for no byte beyond a part, and knows what is open."""
    decoder = Decoder()
    for begin, end, part in zip([0, *ENDS], ENDS, WHOLE, strict=False):
        assert decoder.feed(CAPTURE[begin : end - 1]) == []
        assert decoder.offset == begin
        assert decoder.feed(CAPTURE[end - 1 : end]) == [part]
    assert decoder.flaw is None
    assert decoder.finish() == []


def test_a_segment_cut_at_any_byte_gives_every_whole_part():
    """What stands before the cut is read, what is torn is one damage at the tail, nothing is raised."""
    for end in range(len(CAPTURE)):
        parts = decode(CAPTURE[:end])
        whole = sum(part_end <= end for part_end in ENDS)
        assert parts[:whole] == WHOLE[:whole], end
        begin = ([0, *ENDS])[whole]
        if begin == end:
            assert parts[whole:] == [], end
        else:
            (torn,) = parts[whole:]
            assert isinstance(torn, Damage) and torn.tail, end
            assert (torn.offset, torn.length) == (begin, end - begin), end


def test_a_flipped_bit_costs_one_part_or_nothing():
    """Each flipped bit ends in a damage, a flawed block, or the same content; all other parts are as they were.

    Harmless, because zstd has several ways to say the same and leaves padding, is only what lies inside the
    compressed blocks of a payload frame: behind its magic and descriptor, before its checksum.
    """
    expected = meaning(WHOLE)
    harmless = set()
    for at in range(len(CAPTURE)):
        for bit in range(8):
            damaged = bytearray(CAPTURE)
            damaged[at] ^= 1 << bit
            parts = decode(bytes(damaged))
            said = meaning(parts)
            if said == expected and not damages(parts):
                harmless.add(at)
                continue
            assert damages(parts) or None in said, (at, bit)
            hit = sum(end <= at for end in ENDS)
            rest = [part for part in said if part is not None]
            assert rest == expected[:hit] + expected[hit + 1 :], (at, bit)
    inside = set()
    for part in WHOLE[1:4]:
        frame = part.offset + FRAME.size + part.header.frame_bytes
        inside |= set(range(frame + 5, frame + part.header.payloads_stored - 4))
    assert harmless <= inside


@given(st.binary(max_size=400), st.integers(0, 40))
def test_any_bytes_end_in_parts_or_damage(data, offset):
    """Nothing but damage is found in noise, all of it accounted for, and nothing is raised."""
    parts = decode(data, offset=offset)
    assert all(isinstance(part, Damage) for part in parts)
    assert sum(part.length for part in damages(parts)) == len(data)


@given(
    st.lists(
        st.sampled_from([HEAD, *BLOCKS, FOOTER.pack(0)])
        | st.sampled_from([BLOCK_MAGIC, FOOTER_MAGIC, PREAMBLE_MAGIC, FRAME.pack(SKIPPABLE_MAGIC, 200)])
        | st.builds(lambda n: CAPTURE[n : n + 100], st.integers(0, len(CAPTURE)))
        | st.binary(max_size=20),
        max_size=8,
    )
)
def test_any_mixture_of_pieces_ends_in_parts_and_damage(pieces):
    """Every byte belongs to exactly one part or damage, in file order, whatever was thrown together."""
    data = b"".join(pieces)
    at = 0
    for part in decode(data):
        match part:
            case Damage(offset, length):
                assert offset == at
                at += length
            case StoredBlock(offset, header):
                assert offset == at
                at += header.block_bytes
            case Preamble():
                at += len(HEAD)
            case Footer():
                at += len(FOOTER.pack(0))
            case Newer():
                raise AssertionError("there is no newer preamble in the mixture")
    assert at == len(data)


def test_many_random_changes_never_raise():
    """Runs of overwritten, removed and added bytes lose no part that they did not touch."""
    expected = meaning(WHOLE)
    for seed in range(1500):
        rng = random.Random(seed)
        at, length = rng.randrange(len(CAPTURE)), rng.randrange(1, 60)
        noise = rng.randbytes(rng.choice((0, length, length + 7)))
        damaged = CAPTURE[:at] + noise + CAPTURE[at + length :]
        said = meaning(decode(damaged))
        for end, begin, part in zip(ENDS, [0, *ENDS], expected, strict=False):
            moved = isinstance(part, Footer) and len(damaged) != len(CAPTURE)
            if (end <= at or begin >= at + length) and not moved:
                assert part in said, seed


@pytest.mark.parametrize(
    ("begin", "end"), [(40, 60), (PLACES[1] - PLACES[0] - 30, PLACES[1] - PLACES[0] - 10), (8 + 130, 8 + 140)]
)
def test_bytes_that_vanish_inside_a_block_cost_only_that_block(begin, end):
    """The next block is found although it begins earlier than the lengths of the damaged one say."""
    place = PLACES[0]
    parts = decode(CAPTURE[: place + begin] + CAPTURE[place + end :])
    assert meaning(parts)[1:] == meaning(WHOLE)[2:4]
    assert damages(parts)[0].offset == place


def test_bytes_that_vanish_inside_a_block_of_notes_cost_only_that_block():
    """A block without payloads has no mark at its end, and still does not swallow the next one."""
    notes = block(5, [], note_line({"note": "connect", "url": "wss://stream.binance.com:9443/stream"}))
    said = meaning(decode(notes[:150] + notes[160:] + BLOCKS[1]))
    assert said == meaning(WHOLE)[2:3]


def test_a_damaged_end_keeps_the_place_of_its_block():
    """A block whose last byte changed is still counted as that block: its header says what was lost."""
    damaged = bytearray(CAPTURE)
    damaged[PLACES[1] - 1] ^= 1
    parts = decode(bytes(damaged))
    assert [type(part) for part in parts] == [type(part) for part in WHOLE]
    assert meaning(parts)[1] is None


def test_a_footer_that_moved_is_no_footer():
    """A footer that stands elsewhere than it says betrays bytes that went missing or came in."""
    parts = decode(CAPTURE[: PLACES[1]] + CAPTURE[PLACES[2] :])
    assert [type(part) for part in parts] == [Preamble, StoredBlock, StoredBlock, Damage]
    assert f"byte {PLACES[3]}" in parts[-1].what


def test_a_newer_preamble_is_passed_on():
    """A later version is reported as what it is; its further parts are not interpreted."""
    content = bytearray(HEAD[FRAME.size :])
    content[8] = 9
    content[-4:] = struct.pack("<I", zlib.crc32(content[:-4]))
    assert decode(HEAD[: FRAME.size] + bytes(content)) == [Newer(9)]


def test_a_payload_that_is_a_copy_of_a_block_is_a_payload():
    """What a payload contains is not looked at while the block around it is whole."""
    stored = block(3, [BLOCKS[1]])
    (part,) = decode(stored)
    opened = decode_block(part.header, part.body, TimeBase.MONOTONIC)
    assert isinstance(opened, Block)
    assert opened.payload_list() == [BLOCKS[1]]


HUGE = FRAME.pack(SKIPPABLE_MAGIC, 2**32 - 1)
LYING = {
    "preamble": HUGE + PREAMBLE_MAGIC + struct.pack("<HHI", 1, 0, 2**32 - 21),
    "footer JSON": HUGE + FOOTER_HEAD.pack(FOOTER_MAGIC, 1, 0, 0, 2**32 - 37),
    "footer entries": FRAME.pack(SKIPPABLE_MAGIC, 36 + 56 * 70_000_000)
    + FOOTER_HEAD.pack(FOOTER_MAGIC, 1, 0, 70_000_000, 0),
    "block frame": HUGE + BLOCKS[0][FRAME.size :],
    "payloads": FRAME.pack(SKIPPABLE_MAGIC, 128)
    + replace(unpack_block_header(BLOCKS[0][8:136]), payloads_stored=2**32 - 1).pack(),
    "columns": HUGE + replace(unpack_block_header(BLOCKS[0][8:136]), columns_stored=2**32 - 129).pack(),
    "notes": HUGE + replace(unpack_block_header(BLOCKS[0][8:136]), notes_stored=2**32 - 300).pack(),
}


@pytest.mark.parametrize("lie", LYING.values(), ids=LYING)
def test_a_length_of_4_gib_is_neither_believed_nor_waited_for(lie):
    """A lying length allocates nothing and does not hide the block behind it, even while the file still grows."""
    tracemalloc.start()
    try:
        decoder = Decoder(offset=1 << 20)
        parts = decoder.feed(lie + BLOCKS[1])
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert [type(part) for part in parts] == [Damage, StoredBlock]
    assert peak < 1 << 20


def test_a_long_search_keeps_nothing():
    """Passing over megabytes of noise needs no memory beyond the piece just fed."""
    decoder = Decoder()
    noise = random.Random(1).randbytes(1 << 16)
    tracemalloc.start()
    try:
        for _ in range(200):
            assert decoder.feed(noise) == []
        assert tracemalloc.get_traced_memory()[1] < 1 << 18
    finally:
        tracemalloc.stop()
    assert decoder.flaw is not None
    found, *rest = decoder.feed(BLOCKS[0])
    assert found == Damage(0, 200 << 16, found.what)
    assert [type(part) for part in rest] == [StoredBlock]
    assert rest[0].header == unpack_block_header(BLOCKS[0][FRAME.size : FRAME.size + BLOCK_HEADER_BYTES])
