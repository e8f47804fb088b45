"""A writer in a process of its own, to be killed: run as a program it writes, imported it starts one and judges.

    python writer_process.py FOLDER CAPTURE_ID FLUSH_MS BLOCK_BYTES [COUNT]

It adds numbered records until it is killed, or COUNT of them, and calls `tick` every 20 ms. At each tick it prints the
number of the last record handed over and the monotonic time, in ns. Where the writer refuses it prints the sentence on
stderr and exits 1.
"""

import os
import random
import resource
import select
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path

from hftcap.capture.format import TimeBase
from hftcap.capture.reader import Recording, open_recordings
from hftcap.capture.segment_writer import WallOffset
from hftcap.capture.writer import CaptureHead, CaptureWriter, Fsync
from hftcap.errors import CaptureError
from hftcap.verify import verify

FIRST, SECOND = "00112233445566ff", "ffeeddccbbaa9988"
TORN = "the bytes end inside a part"
TICK_NS = 20_000_000
BURST = 20


def payload_of(number: int) -> bytes:
    return b'{"stream":"btcusdt@trade","data":{"e":"trade","t":%d,"p":"%08x"}}' % (number, number * 2654435761 % 2**32)


def head_of(capture_id: str) -> CaptureHead:
    return CaptureHead(capture_id, "spot", TimeBase.MONOTONIC, False, time.time_ns(), "0.1.0")


@dataclass(frozen=True)
class Tick:
    """The writer called `tick` at `mono_ns`, after it had handed over record `number`."""

    number: int
    mono_ns: int


class WriterProcess:
    """Start a writer; `ticks` has what it has told so far.

    `file_bytes_most` is the size at which the operating system cuts its writes short, as a full disk does.
    """

    def __init__(
        self,
        folder: Path,
        capture_id: str,
        *,
        flush_ms: int = 100,
        block_bytes: int = 256 << 10,
        count: int | None = None,
        file_bytes_most: int | None = None,
    ) -> None:
        words = [folder, capture_id, flush_ms, block_bytes, *([] if count is None else [count])]
        limit = None
        if file_bytes_most is not None:
            limit = partial(resource.setrlimit, resource.RLIMIT_FSIZE, (file_bytes_most, file_bytes_most))
        self.flush_ns = flush_ms * 1_000_000
        self.ticks: list[Tick] = []
        self.killed_ns = 0
        self._process = subprocess.Popen(
            [sys.executable, __file__, *map(str, words)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            preexec_fn=limit,
        )

    def await_ticks(self, count: int) -> None:
        """Wait until so many ticks were told, in all."""
        assert self._process.stdout is not None
        while len(self.ticks) < count:
            line = self._process.stdout.readline()
            assert line, f"the writer ended: {self._process.communicate()[1].decode()}"
            self._take(line)

    def kill(self, rng: random.Random) -> None:
        """Kill it with SIGKILL somewhere between two ticks; all it told is then in `ticks`."""
        assert self._process.stdout is not None
        # Returns early where a tick is told: that moment is as good as any.
        select.select([self._process.stdout], [], [], rng.random() * TICK_NS / 1e9)
        self.killed_ns = time.monotonic_ns()
        self._process.send_signal(signal.SIGKILL)
        code, said = self.end()
        assert code == -signal.SIGKILL, said

    def end(self) -> tuple[int, str]:
        """Wait until it ends by itself; return exit code and what it said."""
        assert self._process.stdout is not None and self._process.stderr is not None
        # Not by `communicate`, which reads past what `readline` has in its buffer.
        for line in self._process.stdout.read().splitlines(keepends=True):
            self._take(line)
        said = self._process.stderr.read().decode()
        for stream in (self._process.stdout, self._process.stderr):
            stream.close()
        return self._process.wait(), said

    def _take(self, line: bytes) -> None:
        if line.endswith(b"\n"):
            self.ticks.append(Tick(*map(int, line.split())))

    @property
    def step_ns(self) -> int:
        """The longest time between two ticks, or between the last and the end."""
        times = [tick.mono_ns for tick in self.ticks] + [self.killed_ns]
        return max(after - before for before, after in pairwise(times))

    @property
    def due(self) -> int:
        """The last record that must be there: handed over more than `flush_ns` and one step before the end."""
        cutoff = self.killed_ns - self.flush_ns - self.step_ns
        return max((tick.number for tick in self.ticks if tick.mono_ns < cutoff), default=-1)


def numbers_in(recording: Recording) -> list[int]:
    """Return the numbers of the records in a recording; each payload must be the one that was written."""
    numbers: list[int] = []
    for chunk in recording.chunks():
        for payload in chunk.block.payload_list():
            number = int(payload.split(b'"t":')[1].split(b",")[0])
            assert payload == payload_of(number)
            numbers.append(number)
    return numbers


def write(folder: Path, capture_id: str = SECOND, count: int = 10) -> None:
    """Write a small capture beside what is there, in this process."""
    with CaptureWriter(folder, head_of(capture_id), fsync=Fsync.NEVER, beside=True) as writer:
        for number in range(count):
            writer.add(payload_of(number), number)


@dataclass(frozen=True)
class Aftermath:
    """What a killed writer left: how many records, and whether its last block is torn.

    `lost_ns` is how long before the kill the oldest record that is not there was handed over, at most: back to the
    first tick that told of more than there is, and one step more. `step_ns` is the longest between two ticks.
    """

    records: int
    torn: bool
    lost_ns: int
    step_ns: int


def kill_a_writer(folder: Path, rng: random.Random) -> Aftermath:
    """Start a writer, kill it at a random moment, go on with another; hold what is there against the promise."""
    process = WriterProcess(folder, FIRST)
    process.await_ticks(rng.randrange(8, 25))
    process.kill(rng)
    write(folder)
    recordings = {recording.preamble.capture_id: recording for recording in open_recordings([folder])}
    assert set(recordings) == {FIRST, SECOND}
    numbers = numbers_in(recordings[FIRST])
    assert numbers == list(range(len(numbers))), "records are missing, doubled or out of order"
    assert 0 <= process.due < len(numbers), f"record {process.due} is lost, there are {len(numbers)}"
    assert numbers_in(recordings[SECOND]) == list(range(10))
    verdict = verify([folder])
    *torn, unsealed = (found for found in verdict.findings)
    assert (unsealed.path.suffix, unsealed.what) == (".part", "not sealed: its writer stopped")
    # The kernel may cut a write short for SIGKILL: then the last block is torn, and that is a finding too.
    assert len(torn) <= 1 and all(TORN in found.what for found in torn), verdict.findings
    assert (verdict.records, verdict.damaged_blocks, verdict.missing_blocks) == (len(numbers) + 10, 0, 0)
    assert torn or verdict.lost_records == 0
    gone = [tick.mono_ns for tick in process.ticks if tick.number >= len(numbers)]
    lost_ns = process.killed_ns - min(gone, default=process.killed_ns)
    return Aftermath(len(numbers), bool(torn), lost_ns + process.step_ns, process.step_ns)


def main() -> None:
    folder, capture_id, flush_ms, block_bytes, *count = sys.argv[1:]
    most = int(count[0]) if count else None
    number = 0
    try:
        with CaptureWriter(
            Path(folder),
            head_of(capture_id),
            fsync=Fsync.SEAL,
            flush_ns=int(flush_ms) * 1_000_000,
            block_bytes=int(block_bytes),
            beside=True,
        ) as writer:
            writer.wall = WallOffset(time.time_ns() - time.monotonic_ns(), 1000)
            tick_ns = time.monotonic_ns() + TICK_NS
            while most is None or number < most:
                for _ in range(BURST):
                    writer.add(payload_of(number), time.monotonic_ns())
                    number += 1
                now_ns = time.monotonic_ns()
                if now_ns >= tick_ns:
                    writer.tick(now_ns)
                    tick_ns = now_ns + TICK_NS
                    os.write(sys.stdout.fileno(), b"%d %d\n" % (number - 1, now_ns))
                elif most is None:
                    time.sleep(0.0005)
    except CaptureError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
