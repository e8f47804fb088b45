"""A capture of millions of records: memory of every reader, and seeking held against a full replay.

    python bench/soak_large.py --corpus FOLDER [--records 5000000] [--instants 100] [--keep FOLDER]

The capture is a real one, over and over, with times, update ids and trade ids shifted so that the feed goes on
without a gap and the book stays full. Exits 1 where a promise is broken.
"""

import argparse
import gzip
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hftcap.pipeline import Run

SOURCES = ("hftbacktest/spot/btcusdt_20240808.gz", "hftbacktest/spot/btcusdt_20240809.gz")
RSS_LIMIT_MB = 200
REPORT_RSS_LIMIT_MB = 400
SEEK_LIMIT_MS = 100
_NUMBERS = re.compile(rb'"(E|T|U|u|t)":(\d+)')


def make(corpus: Path, out: Path, records: int) -> None:
    """Write the capture, copy after copy."""
    from hftcap.capture.format import Kind, TimeBase
    from hftcap.capture.writer import CaptureHead, CaptureWriter

    lines = [line for name in SOURCES for line in gzip.decompress((corpus / name).read_bytes()).split(b"\n")[:-1]]
    stamped = [(int(stamp), payload) for stamp, _, payload in (line.partition(b" ") for line in lines)]
    diffs = [dict(_NUMBERS.findall(payload)) for _, payload in stamped if b'"depthUpdate"' in payload]
    trades = [int(dict(_NUMBERS.findall(payload))[b"t"]) for _, payload in stamped if b'"trade"' in payload]
    span_ns = stamped[-1][0] - stamped[0][0] + 100_000_000
    update_step = int(diffs[-1][b"u"]) - int(diffs[0][b"U"]) + 1
    trade_step = trades[-1] - trades[0] + 1
    head = CaptureHead("5eed" * 4, "spot", TimeBase.WALL, False, 0, "soak")
    copy = 0
    with CaptureWriter(out, head) as writer:
        while writer.records < records:
            shifts = {b"U": copy * update_step, b"u": copy * update_step, b"t": copy * trade_step}
            time_shift = copy * span_ns // 1_000_000

            def shift(match: re.Match[bytes], shifts: dict[bytes, int] = shifts, ms: int = time_shift) -> bytes:
                return b'"%b":%d' % (match[1], int(match[2]) + shifts.get(match[1], ms))

            for stamp, payload in stamped:
                snapshot = payload.startswith(b'{"lastUpdateId"')
                if snapshot and copy:
                    continue
                text = _NUMBERS.sub(shift, payload) if copy else payload
                note = {"note": "rest", "symbol": "BTCUSDT"} if snapshot else None
                kind = Kind.REST if snapshot else Kind.WS_TEXT
                writer.add(text, stamp + copy * span_ns, kind=kind, note=note)
            copy += 1
            if copy % 10 == 0:
                writer.begin_segment()


def peak_mb(command: list[str]) -> float:
    """Run a command with its output thrown away; return its peak resident memory in MB."""
    with Path(os.devnull).open("wb") as nowhere:
        process = subprocess.Popen(command, stdout=nowhere)
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{' '.join(command)} ended with {process.returncode}")
    return usage.ru_maxrss / 1024


def digest_of(run: "Run") -> str:
    """Return the digest of the book as a run left it."""
    book = run.kernel.books.get("BTCUSDT") or run.kernel.feed.new_book()
    return book.book.sha256()


def check_seek(folder: Path, instants: int) -> tuple[float, float, int]:
    """Return best and worst milliseconds of work a seek took, and how many books differed from a full replay's."""
    from hftcap.capture.reader import open_recordings
    from hftcap.pipeline import Run, span, write_sidecars

    (recording,) = open_recordings([folder])
    first, last = span([recording])
    assert first is not None and last is not None
    write_sidecars(recording, len(recording.segments) - 1)
    wanted = sorted(random.Random(1).randrange(first, last) for _ in range(instants))
    truth = []
    run = Run(recording, books_only=True)
    for chunk in recording.chunks():
        at = 0
        while len(truth) < len(wanted) and wanted[len(truth)] < int(chunk.timeline_ns[-1]):
            stop = chunk.upto(wanted[len(truth)])
            run.kernel.run(chunk.block, stop, first=at)
            at = stop
            truth.append(digest_of(run))
        run.kernel.run(chunk.block, first=at)
    spent = []
    wrong = 0
    assert len(truth) == len(wanted)
    for instant, expected in zip(wanted, truth, strict=True):
        start = time.perf_counter()
        (fresh,) = open_recordings([folder])
        seek = Run(fresh, books_only=True)
        place = seek.take_up(instant)
        for _ in seek.batches(instant, start=place):
            pass
        digest = digest_of(seek)
        spent.append((time.perf_counter() - start) * 1e3)
        wrong += digest != expected
    spent.sort()
    print(f"{len(truth)} instants compared; seek and book: p50 {spent[len(spent) // 2]:.0f} ms, max {spent[-1]:.0f} ms")
    return spent[len(spent) // 2], spent[-1], wrong


def main() -> None:
    """Make the capture, measure, judge."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpus", type=Path, default=os.environ.get("HFTCAP_CORPUS"))
    parser.add_argument("--records", type=int, default=5_000_000)
    parser.add_argument("--instants", type=int, default=100)
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--make", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.corpus is None:
        sys.exit("name the folder of real captures with --corpus or HFTCAP_CORPUS")
    if options.make is not None:
        make(options.corpus, options.make, options.records)
        return
    folder = options.keep or Path(tempfile.mkdtemp()) / "large"
    words = ["--corpus", str(options.corpus), "--records", str(options.records)]
    failed = False
    hftcap = [sys.executable, "-m", "hftcap"]
    steps = {
        "writer": [sys.executable, __file__, *words, "--make", str(folder)],
        "reader (cat --raw)": [*hftcap, "cat", "--raw", str(folder)],
        "verify": [*hftcap, "verify", str(folder)],
        "stats": [*hftcap, "stats", "--json", str(folder)],
        "replay --report": [*hftcap, "replay", str(folder), "--json", "--report", str(folder.with_name("tables"))],
    }
    for name, command in steps.items():
        start = time.perf_counter()
        peak = peak_mb(command)
        # The writer's figure includes the source it keeps in memory to copy from.
        failed |= peak > (REPORT_RSS_LIMIT_MB if "--report" in command else RSS_LIMIT_MB)
        print(f"{name}: peak {peak:.0f} MB, {time.perf_counter() - start:.0f} s")
    tables = folder.with_name("tables")
    print(f"tables: {sum(path.stat().st_size for path in tables.iterdir()) / 1e6:.0f} MB")
    shutil.rmtree(tables)
    size = sum(path.stat().st_size for path in folder.iterdir())
    print(f"capture of {options.records:,} records: {size / 1e6:.0f} MB")
    median, _, wrong = check_seek(folder, options.instants)
    sidecars = sum(path.stat().st_size for path in folder.glob("*.books"))
    print(f"sidecars {sidecars / 1e6:.1f} MB; books that differ from a full replay: {wrong}")
    if options.keep is None:
        shutil.rmtree(folder.parent)
    if failed or wrong or median > SEEK_LIMIT_MS:
        sys.exit("a promise is broken")


main()
