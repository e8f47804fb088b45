"""Damage captures in every way the tests know, at full size, and count what came of it.

    python bench/soak_damage.py [--flips 1000] [--seed 1] [--corpus FOLDER]

A small capture of 3 segments of 5 blocks, sealed and unsealed, and a real one of two days where a corpus is named.
Each damage is noticed, or changed nothing that was received; it costs the blocks it touches and no other; verify
counts the lost records exactly where anything still tells, and says unknown where nothing does. Exits 1 where one of
these promises is broken.
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "e2e"))

import damaging
from damaging import REGIONS, Damage, Judge, Original

from hftcap.interop.importer import SourceFormat, import_capture

SOURCES = ("hftbacktest/spot/btcusdt_20240808.gz", "hftbacktest/spot/btcusdt_20240809.gz")
ROW = "{:<28} {:>7} {:>8} {:>9} {:>12} {:>13} {:>7}"


class Table:
    """Judges damages and prints a line for each sort."""

    def __init__(self, judge: Judge) -> None:
        self.judge = judge
        self.broken = 0

    def add(self, name: str, damages: Iterable[Damage | None]) -> None:
        tried = noticed = broken = 0
        worst_blocks = worst_records = 0
        for damage in damages:
            if damage is None:
                continue
            tried += 1
            try:
                outcome = self.judge.judge(damage)
            except Exception as error:  # any error at all is a broken promise here
                broken += 1
                print(f"{type(error).__name__}: {error}")
                continue
            noticed += outcome.noticed
            worst_blocks = max(worst_blocks, outcome.blocks_lost)
            worst_records = max(worst_records, outcome.lost)
        harmless = tried - noticed - broken
        print(ROW.format(name, tried, noticed, harmless, worst_blocks, worst_records, broken), flush=True)
        self.broken += broken


def soak(title: str, original: Original, foreign: Original | None, options: argparse.Namespace) -> int:
    """Print the table of one capture; return how many promises were broken."""
    size = sum(map(len, original.files.values()))
    records = sum(block.records for block in original.blocks.values())
    print(
        f"\n{title}: {len(original.files)} segments, {len(original.blocks)} blocks, {records:,} records, {size:,} bytes"
    )
    print(ROW.format("damage", "tried", "noticed", "harmless", "worst blocks", "worst records", "broken"))
    names, sealed = original.names, [name for name in original.names if name.endswith(".zst")]
    spans = [span for span in original.spans() if span[0] in sealed]
    with tempfile.TemporaryDirectory() as scratch:
        table = Table(Judge(original, Path(scratch) / "copy"))
        if size < 1 << 16:
            cuts = ((name, length) for name in names for length in range(len(original.files[name])))
            table.add("cut at every byte", (damaging.cut(original, *at) for at in cuts))
            places = ((name, at) for name in names for at in range(0, len(original.files[name]), 16))
            table.add("64 bytes zeroed", (damaging.zeroed(original, *at) for at in places))
        else:
            table.add("cut at every block", (damaging.cut(original, name, end) for name, _, end, _ in spans))
        footers = ((name, original.footer_begin(name)) for name in sealed)
        table.add("footer cut off", (damaging.cut(original, *at) for at in footers))
        if sealed == original.names:
            table.add("block dropped", (damaging.dropped(original, n) for *_, n in spans))
            table.add("block doubled", (damaging.doubled(original, n) for *_, n in spans))
            pairs = [n for (name, *_, n), (after, *_) in pairwise(spans) if name == after]
            table.add("blocks swapped", (damaging.swapped(original, n) for n in pairs))
            if foreign is not None:
                both = ((n, instead) for *_, n in spans for instead in (False, True))
                table.add("foreign block", (damaging.spliced(original, foreign, n, instead=way) for n, way in both))
            table.add("segment deleted", (damaging.segment_deleted(original, name) for name in original.names[:-1]))
            table.add("segment doubled", (damaging.segment_doubled(original, name) for name in original.names))
        for region in REGIONS:
            if any(part.region == region and part.end > part.begin for part in original.parts):
                table.add(f"bit flipped in {region}", damaging.flips(original, region, options.flips, options.seed))
        return table.broken


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--flips", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--corpus", type=Path, default=os.environ.get("HFTCAP_CORPUS"))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        damaging.write_small(folder / "small")
        damaging.write_small(folder / "foreign", damaging.FOREIGN)
        damaging.write_small(folder / "unsealed")
        small, foreign = Original(folder / "small"), Original(folder / "foreign")
        damaging.unseal(folder / "unsealed")
        broken = soak("small capture", small, foreign, options)
        broken += soak("small capture, last segment unsealed", Original(folder / "unsealed"), None, options)
        if options.corpus is not None:
            sources = [options.corpus / source for source in SOURCES]
            import_capture(SourceFormat.HFTBACKTEST, sources, folder / "real", market=None, created_ns=0)
            broken += soak("real capture", Original(folder / "real"), None, options)
    if broken:
        sys.exit(f"{broken} promises are broken")


main()
