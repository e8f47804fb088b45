"""`--golden` and `--write-golden` of a replay: its lines written, or held against those of a file."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hftcap.cli.console import say

if TYPE_CHECKING:
    from hftcap.capture.block import Block
    from hftcap.golden.file import GoldenCheck, GoldenWriter
    from hftcap.kernel import Result
    from hftcap.kernel.gathered import Gathered
    from hftcap.pipeline import Run
    from hftcap.stats.collect import Stats


class Golden:
    """What a replay does with golden files. `result` is the part of the summary that tells of it."""

    def __init__(self, run: "Run", writer: "GoldenWriter | None", check: "GoldenCheck | None") -> None:
        from hftcap.golden.file import VERSION, Digester, Head

        captures = [recording.preamble.capture_id for recording in run.recordings]
        self._digester = Digester(run.kernel)
        self._writer = writer
        self._check = check
        self._decoded: str | None = None
        self._ended = False
        head = Head(VERSION, str(run.market), captures)
        if writer is not None:
            writer.take(head)
        if check is not None:
            check.head(head)

    def take(self, rows: "Gathered") -> None:
        """Take records of the replay."""
        for piece in rows.pieces:
            line = self._digester.block(piece.chunk, piece.result)
            if line is not None and self._writer is not None:
                self._writer.take(line)
            if line is not None and self._check is not None:
                before = self._check.first
                differing = self._check.block(line)
                if before is None and len(differing):
                    self._decoded = _decoded(piece.chunk.block, int(differing[0]))

    def finish(self, held: "Result", stats: "Stats") -> None:
        """Say that the replay came to its end; without this no file is written and nothing is said to be as it was."""
        self._ended = True
        line = self._digester.end(held, stats.records, dict(stats.by_type), stats.gaps)
        if self._writer is not None:
            self._writer.take(line)
            self._writer.finish()
        if self._check is not None:
            self._check.end(line)

    @property
    def result(self) -> dict[str, Any]:  # Any: JSON
        """Whether the replay is as it was, how many messages are not, and the first difference in words."""
        if self._check is None:
            return {}
        first = self._check.first
        return {
            "golden": {
                "ok": first is None and self._ended,
                "differing": self._check.differing,
                "first": None
                if first is None
                else {
                    "said": first.said,
                    "capture": first.capture,
                    "sequence": first.sequence,
                    "record": first.record,
                    "decoded": self._decoded,
                },
            }
        }


@contextmanager
def golden_files(run: "Run", write: Path | None, check: Path | None) -> Iterator[Golden | None]:
    """Yield what takes a replay's batches, None where neither file is given; a file half written is removed.

    Raises:
        GoldenUnusable: the file to check against is missing, or is none.
        WriteFailed: the one to write cannot be made.
    """
    if write is None and check is None:
        yield None
        return
    from hftcap.golden.file import GoldenCheck, GoldenWriter

    expected = None if check is None else GoldenCheck(check)
    writer = None if write is None else GoldenWriter(write)
    try:
        yield Golden(run, writer, expected)
    finally:
        if writer is not None:
            writer.discard()


def say_difference(result: dict[str, Any]) -> None:  # Any: JSON
    """Print what is not as it was."""
    first = result["first"]
    if first is None:
        say("hftcap: interrupted before all messages were held against the golden file")
        return
    say(f"hftcap: {first['said']}; {result['differing']:,} messages differ in all")
    if first["decoded"] is not None:
        say(f"hftcap: now it is {first['decoded']}")


def _decoded(block: "Block", record: int) -> str:
    """Return what we make of a record now, in words."""
    from hftcap.binance.parser import parse
    from hftcap.capture.format import Kind

    payload = block.payload(record)
    kind = Kind(int(block.columns.kind[record]))
    if kind is Kind.WS_BINARY:
        return f"a binary frame of {len(payload)} bytes"
    return repr(parse(payload, rest=kind is Kind.REST, symbol=block.requests().get(record, {}).get("symbol")))
