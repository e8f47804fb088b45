"""A block opened in C is the block that Python opens, and what is wrong with one is said in the same words."""

import os
import subprocess
import sys
import zlib

import numpy as np
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from hftcap.capture import block as blocks
from hftcap.capture import compiled
from hftcap.capture.block import Block, decode_block
from hftcap.capture.columns import BlockColumns
from hftcap.capture.format import CRC, BlockHeader, Flaw, TimeBase
from tests.capture.test_block import NOTES, RECORDS, encode, one

pytest.importorskip("hftcap.capture._native", reason="what opens blocks in C was not built")
if compiled._HERE.opener is None:
    pytest.skip("there is no libzstd, or HFTCAP_PURE=1", allow_module_level=True)

SKIPPABLE = b"\x53\x2a\x4d\x18\x01\x00\x00\x00x"


def plainly(header: BlockHeader, body: bytes, time_base: TimeBase) -> Block | Flaw:
    return blocks._decode_plainly(header, memoryview(body), time_base)


def same(header: BlockHeader, body: bytes) -> Block | Flaw:
    """Open a block both ways, hold the results against each other and return them."""
    ours, theirs = decode_block(header, body, TimeBase.MONOTONIC), plainly(header, body, TimeBase.MONOTONIC)
    if isinstance(theirs, Flaw):
        assert ours == theirs
        return ours
    assert isinstance(ours, Block)
    for name in BlockColumns.__dataclass_fields__:
        mine, its = getattr(ours.columns, name), getattr(theirs.columns, name)
        assert mine.dtype == its.dtype
        assert np.array_equal(mine, its), name
    assert np.array_equal(ours.start, theirs.start)
    assert bytes(ours.payloads) == theirs.payloads
    assert ours.notes == theirs.notes
    return ours


@given(RECORDS, NOTES)
def test_any_block_comes_out_the_same(records, notes):
    """Columns, places, payloads and notes; and whether its times rise."""
    block = same(*encode(records, notes))
    assert isinstance(block, Block)
    times = block.columns.time_ns.tolist()
    assert not block.rises or times == sorted(times)


def test_blocks_are_opened_in_c():
    """Otherwise this file would compare Python with itself."""
    header, body = encode([one(), one()])
    assert compiled.opened(header, body) is not None


FEW = encode([one(b'{"a":1}', 5), one(b'{"a":2}', 7, kind=3), one(b"", 6)], [{"note": "rest", "record": 1}])


def test_a_block_cut_anywhere_is_said_to_be_what_it_is():
    """At every byte, in the words of the plain way."""
    header, body = FEW
    assert all(isinstance(same(header, body[:end]), Flaw) for end in range(len(body)))


def test_a_block_with_a_bit_flipped_is_said_to_be_what_it_is():
    """Every bit of its body, in the words of the plain way; where libzstd passes over one, the block is as it was."""
    header, body = FEW
    whole = 0
    for place in range(len(body)):
        for bit in range(8):
            flipped = bytearray(body)
            flipped[place] ^= 1 << bit
            whole += isinstance(same(header, bytes(flipped)), Block)
    assert whole < len(body)


@pytest.mark.parametrize("name", ["columns", "payloads"])
@pytest.mark.parametrize("tail", [b"\x00", SKIPPABLE, zstandard.ZstdCompressor().compress(b"more")])
def test_what_stands_behind_a_frame_is_not_passed_over(name, tail):
    """A byte, a skippable frame or another frame behind one, though checksums and lengths of the header agree."""
    header, body = encode([one(), one()])
    columns, payloads = body[: header.columns_stored], body[header.columns_stored :]
    if name == "columns":
        columns += tail
    else:
        payloads += tail
    changed = replace(
        header,
        columns_stored=len(columns),
        payloads_stored=len(payloads),
        crc_columns_notes=zlib.crc32(columns),
        payload_check=CRC.unpack(payloads[-4:])[0],
    )
    assert isinstance(same(changed, columns + payloads), Flaw)


@given(st.integers(1, 6), st.data())
def test_columns_that_do_not_fit_are_said_to_be_what_they_are(count, data):
    """Lengths that lead beyond the payloads, newlines elsewhere, kinds there are not: the same words."""
    records = [one(b"x" * data.draw(st.integers(0, 5)), kind=data.draw(st.integers(0, 255))) for _ in range(count)]
    header, body = encode(records)
    same(header, body)
    pieces = data.draw(st.lists(st.binary(max_size=4), min_size=count, max_size=count))
    same(*encode(records, payloads=b"".join(piece + b"\n" for piece in pieces)))


def test_memory_that_somebody_looks_into_is_left_alone():
    """Payloads of a block that is held stay as they are; those of one that nobody holds make room for the next."""
    many = [encode([one(b"%d" % n)] * 50) for n in range(40)]
    held = [decode_block(*each, TimeBase.MONOTONIC).payloads for each in many]
    assert [bytes(each[:2]).rstrip(b"\n") for each in held] == [b"%d" % n for n in range(40)]
    del held
    places = {np.frombuffer(decode_block(*each, TimeBase.MONOTONIC).payloads, np.uint8).ctypes.data for each in many}
    assert len(places) <= 2


def test_without_the_compiled_part_all_is_as_before():
    """HFTCAP_PURE=1 leaves it out."""
    check = "import hftcap.capture.compiled as c; assert c._HERE.opener is None; print('pure')"
    environment = {**os.environ, "HFTCAP_PURE": "1"}
    ran = subprocess.run([sys.executable, "-c", check], env=environment, capture_output=True, text=True, check=True)
    assert ran.stdout == "pure\n"
