"""Whatever happens to the bytes of a capture is noticed, costs the blocks it hits and no other, and is counted."""

import os
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import damaging
import pytest
import zstandard
from damaging import REGIONS, Damage, Judge, Original

from hftcap.interop.importer import SourceFormat, import_capture

SEED = int(os.environ.get("HFTCAP_SEED", "1"))
FLIPS = 60


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> Original:
    folder = tmp_path_factory.mktemp("small") / "capture"
    damaging.write_small(folder)
    return Original(folder)


@pytest.fixture(scope="module")
def foreign(tmp_path_factory) -> Original:
    folder = tmp_path_factory.mktemp("foreign") / "capture"
    damaging.write_small(folder, damaging.FOREIGN)
    return Original(folder)


@pytest.fixture(scope="module")
def unsealed(tmp_path_factory) -> Original:
    """The small capture, its last segment not sealed: `.part`, and no footer."""
    folder = tmp_path_factory.mktemp("unsealed") / "capture"
    damaging.write_small(folder)
    damaging.unseal(folder)
    return Original(folder)


@pytest.fixture(scope="module")
def large(tmp_path_factory, corpus) -> Original:
    folder = tmp_path_factory.mktemp("large") / "capture"
    source = corpus / "hftbacktest" / "spot" / "btcusdt_20240808.gz"
    import_capture(SourceFormat.HFTBACKTEST, [source], folder, market=None, created_ns=0)
    return Original(folder)


@pytest.fixture
def judge(small, tmp_path) -> Judge:
    return Judge(small, tmp_path / "copy")


def test_a_cut_at_any_byte_is_noticed_and_leaves_what_stands_before_it(small, judge):
    """The middle segment at every third length, and around each part's ends; the soak test takes every length.

    All whole blocks before the cut are read, all other segments too.
    """
    name = small.names[1]
    ends = {part.end + step for part in small.parts if part.name == name for step in (-1, 0, 1)}
    whole = len(small.files[name])
    for length in sorted({*range(0, whole, 3), *(end for end in ends if end < whole)}):
        judge.judge(damaging.cut(small, name, length))


@pytest.mark.parametrize("segment", [0, 2])
def test_a_cut_at_any_part_of_the_other_segments_is_noticed(small, judge, segment):
    """First and last segment, at and around the end of every part."""
    name = small.names[segment]
    ends = {part.end + step for part in small.parts if part.name == name for step in (-1, 0, 1)}
    for length in sorted(end for end in ends if end < len(small.files[name])):
        judge.judge(damaging.cut(small, name, length))


def test_a_cut_at_any_block_of_a_real_capture_is_noticed(large, tmp_path):
    """Everything up to the cut is read."""
    judge = Judge(large, tmp_path / "copy")
    for name, _, end, _ in large.spans():
        judge.judge(damaging.cut(large, name, end))


def test_a_missing_footer_is_noticed(small, judge):
    """All records are there; that no more had been, nobody knows."""
    for name in small.names:
        outcome = judge.judge(damaging.cut(small, name, small.footer_begin(name)))
        assert outcome.lost == 0
        assert "no footer" in outcome.verdict.findings[0].what


def rearranged(original: Original, foreign: Original | None = None) -> Iterator[Damage]:
    """Yield every way to move whole blocks and segments about."""
    spans = original.spans()
    for name, _, _, sequence in spans:
        yield damaging.dropped(original, sequence)
        yield damaging.doubled(original, sequence)
        if sequence + 1 < len(spans) and spans[sequence + 1][0] == name:
            yield damaging.swapped(original, sequence)
        if foreign is not None:
            yield damaging.spliced(original, foreign, sequence, instead=False)
            yield damaging.spliced(original, foreign, sequence, instead=True)
    for name in original.names:
        yield damaging.segment_doubled(original, name)
    for name in original.names[:-1]:  # without its last segment a recording is as good as one that ended before
        yield damaging.segment_deleted(original, name)


def test_blocks_and_segments_out_of_place_are_noticed(small, foreign, judge):
    """Dropped, doubled, swapped or foreign blocks and missing or doubled segments, each of them, wherever it is."""
    for damage in rearranged(small, foreign):
        outcome = judge.judge(damage)
        assert outcome.noticed
        assert outcome.blocks_lost == len(damage.touched)


def test_blocks_of_a_real_capture_out_of_place_are_noticed(large, tmp_path):
    """Every block of an imported capture dropped, doubled and swapped."""
    judge = Judge(large, tmp_path / "copy")
    for damage in rearranged(large):
        assert judge.judge(damage).blocks_lost == len(damage.touched)


@pytest.mark.parametrize("region", REGIONS)
def test_a_flipped_bit_costs_at_most_its_block(small, judge, region):
    """In a payload frame it may change nothing that was received; anywhere else it is noticed."""
    for damage in damaging.flips(small, region, FLIPS, SEED):
        outcome = judge.judge(damage)
        assert outcome.noticed or damage.may_be_harmless
        if region in ("preamble", "footer"):
            assert outcome.lost == 0


@pytest.mark.parametrize("region", REGIONS)
def test_a_flipped_bit_in_a_real_capture_costs_at_most_its_block(large, tmp_path, region):
    """The same in an imported capture of 39 blocks."""
    judge = Judge(large, tmp_path / "copy")
    for damage in damaging.flips(large, region, FLIPS // 4, SEED):
        judge.judge(damage)


def test_a_flipped_bit_that_zstd_does_not_see_is_noticed_in_the_columns(large, tmp_path):
    """Zstd leaves some bits of a frame without effect; the columns' own crc is of the bytes as stored."""
    judge = Judge(large, tmp_path / "copy")
    part = next(part for part in large.parts if part.region == "columns")
    stored = large.files[part.name][part.begin : part.end]
    content = zstandard.ZstdDecompressor().decompress(stored)
    unseen = [bit for bit in range(len(stored) * 8) if _decompressed(stored, bit) == content]
    assert unseen
    for bit in unseen[:FLIPS]:
        assert judge.judge(damaging.flipped(large, part, part.begin + bit // 8, bit % 8)).noticed


def _decompressed(stored: bytes, bit: int) -> bytes | None:
    """Return what a frame holds with one bit flipped, None where zstd refuses it."""
    changed = bytearray(stored)
    changed[bit // 8] ^= 1 << bit % 8
    try:
        return zstandard.ZstdDecompressor().decompress(bytes(changed))
    except zstandard.ZstdError:
        return None


@pytest.mark.parametrize("region", REGIONS[:-1])
def test_a_flipped_bit_in_an_unsealed_capture_costs_at_most_its_block(unsealed, tmp_path, region):
    """Without a footer the loss is known as far as the headers are whole."""
    judge = Judge(unsealed, tmp_path / "copy")
    for damage in damaging.flips(unsealed, region, FLIPS, SEED):
        judge.judge(damage)


def test_64_zeroed_bytes_cost_at_most_the_blocks_they_touch(small, judge):
    """At every multiple of 16 bytes of every file, as lost writes leave them."""
    for name, content in small.files.items():
        for at in range(0, len(content), 16):
            damage = damaging.zeroed(small, name, at)
            if damage is not None:
                assert judge.judge(damage).noticed


def test_damage_to_an_unsealed_segment_costs_at_most_the_blocks_it_touches(unsealed, tmp_path):
    """Cut at any byte, and zeroed anywhere: there is no index, but a whole header still says what its block held."""
    judge = Judge(unsealed, tmp_path / "copy")
    name = unsealed.names[-1]
    for at in range(0, len(unsealed.files[name]), 16):
        judge.judge(damaging.cut(unsealed, name, at))
        damage = damaging.zeroed(unsealed, name, at)
        if damage is not None:
            judge.judge(damage)


def sample(small: Original, foreign: Original) -> list[Damage]:
    """Return one damage of each sort."""
    return [
        damaging.cut(small, small.names[1], small.spans()[6][1] + 50),
        damaging.cut(small, small.names[2], small.footer_begin(small.names[2])),
        damaging.dropped(small, 7),
        damaging.swapped(small, 7),
        damaging.doubled(small, 7),
        damaging.spliced(small, foreign, 7, instead=False),
        damaging.spliced(small, foreign, 7, instead=True),
        damaging.segment_deleted(small, small.names[1]),
        damaging.segment_doubled(small, small.names[1]),
        *chain.from_iterable(damaging.flips(small, region, 1, SEED) for region in REGIONS if region != "payloads"),
        next(damage for damage in damaging.flips(small, "payloads", FLIPS, SEED) if not damage.may_be_harmless),
        damaging.zeroed(small, small.names[0], 512),
    ]


def test_the_commands_go_on_and_say_so(small, foreign, judge, hftcap):
    """verify, cat and stats exit 3; cat prints the payloads that survive, and nothing else."""
    sorts = sample(small, foreign)
    assert len(sorts) == 16
    for damage in sorts:
        outcome = judge.judge(damage)
        judge.apply(damage)
        verified = hftcap("verify", judge.folder, "--json")
        assert verified.code == 3, damage.what
        assert verified.json["lost_records"] == outcome.verdict.lost_records
        assert len(verified.json["findings"]) == len(outcome.verdict.findings)
        printed = hftcap("cat", "--raw", judge.folder)
        assert printed.code == 3, damage.what
        assert printed.out == b"".join(block.payloads for block in outcome.read.values()), damage.what
        counted = hftcap("stats", judge.folder, "--json")
        assert counted.code == 3, damage.what
        assert counted.json["records"] == sum(block.records for block in outcome.read.values()), damage.what
        judge.restore(damage)
    assert hftcap("verify", judge.folder).code == 0


def test_a_capture_of_which_nothing_is_left_is_refused(small, hftcap, tmp_path):
    """Cut inside its preamble, one segment alone is an error in one sentence, not a traceback."""
    path = tmp_path / "alone.hcap.zst"
    path.write_bytes(next(iter(small.files.values()))[:100])
    for verb in ("verify", "cat", "stats"):
        ran = hftcap(verb, path)
        assert ran.code == 1
        assert ran.err.count("\n") == 1


def test_noise_is_never_more_than_an_error(tmp_path):
    """A file of zeros, of one bit, of text: not a capture, and nothing else is raised."""
    folder = tmp_path / "capture"
    damaging.write_small(folder, segments=1)
    (name,) = Original(folder).names
    for content in (b"", bytes(5000), b"\xff" * 5000, b"S*M\x18" * 1000, Path(__file__).read_bytes()):
        (folder / name).write_bytes(content)
        with pytest.raises(damaging.CaptureError):
            damaging.verify([folder])
