"""Rewrite sealed segments at a higher zstd level and in larger blocks, proven equal before the old file goes.

The new file is written beside the old one as `.NAME.compacting`, a name that no reader takes for a segment, put on the
disk, read back and compared record by record, and only then renamed over the old one. Killed at any moment, this
leaves the old file or the new one, each whole; what is left of a temporary file is removed by the next run.

A new block takes in the blocks that follow it in the segment while they share wall offset and its error. It keeps
the sequence of its first and says how many it spans, so numbers in other segments and in indexes elsewhere stay right.
"""

import fcntl
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np
import zstandard

from hftcap.capture.block import Block, Note, note_line
from hftcap.capture.columns import BlockColumns
from hftcap.capture.folder import PART_SUFFIX, find_segments, fsync_folder
from hftcap.capture.format import NOTES_RAW_MAX, RECORDS_MAX, BlockHeader
from hftcap.capture.segment import Segment
from hftcap.capture.segment_writer import SegmentWriter, WallOffset
from hftcap.errors import CaptureError, NewerFormat, Unreadable, WriteFailed

LEVEL = 9
"""12 % smaller than level 1 on this feed, at seven times the time: for files that are done."""
BLOCK_BYTES = 1 << 20

_NOTES_MERGED_MAX = NOTES_RAW_MAX // 4
"""Notes are written anew with larger indices, escaped where another writer did not: they must have room to grow."""
_SAMPLES = 8


@dataclass(frozen=True, slots=True)
class Skipped:
    """A segment that was left as it is, and why; `damaged`: it is not sound; `refused`: it could not be opened."""

    path: Path
    why: str
    damaged: bool = False
    refused: CaptureError | None = None


@dataclass(slots=True)
class Compaction:
    """How many segments were rewritten, their size before and after, and those left as they are."""

    files: int = 0
    bytes_before: int = 0
    bytes_after: int = 0
    skipped: list[Skipped] = field(default_factory=list)

    @property
    def ratio(self) -> float | None:
        """Size after over size before, None where no segment was rewritten."""
        return self.bytes_after / self.bytes_before if self.files else None


def compact(
    paths: Sequence[Path],
    *,
    level: int = LEVEL,
    block_bytes: int = BLOCK_BYTES,
    progress: Callable[[int], None] | None = None,
) -> Compaction:
    """Rewrite every sealed and sound segment that `paths` name, one after the other; a second run does nothing.

    A recording may be going on in the same folder: the segment being written is left alone. `progress` is called with
    the size of each segment when it is done with.

    Raises:
        NoSegments, Unreadable: a path names nothing that can be read.
        NotACapture, NewerFormat: not one of the files can be opened; beside others such a file is left as it is.
        WriteFailed: the operating system refused; the segment is as it was, those before it are done.
    """
    result = Compaction()
    for path in find_segments(paths):
        size = path.stat().st_size if path.exists() else 0
        outcome = _compact_file(path.resolve(), level, block_bytes)
        if isinstance(outcome, Skipped):
            result.skipped.append(outcome)
        else:
            result.files += 1
            result.bytes_before += size
            result.bytes_after += outcome
        if progress is not None:
            progress(size)
    refused = [skipped.refused for skipped in result.skipped if skipped.refused is not None]
    if refused and len(refused) == result.files + len(result.skipped):
        raise refused[0]
    return result


def _compact_file(path: Path, level: int, block_bytes: int) -> int | Skipped:
    """Rewrite one segment; return its new size."""
    if path.name.endswith(PART_SUFFIX):
        return Skipped(path, "not sealed: it is being written, or its writer stopped")
    temporary = path.with_name(f".{path.name}.compacting")
    try:
        with _held(path, temporary) as held:
            if not held:
                return Skipped(path, "another process compacts it")
            return _compact_held(Segment(path), temporary, level, block_bytes)
    except WriteFailed:
        raise
    except CaptureError as error:
        said = str(error).removeprefix(f"{path}: ")
        return Skipped(path, said, damaged=not isinstance(error, NewerFormat), refused=error)


@contextmanager
def _held(path: Path, temporary: Path) -> Iterator[bool]:
    """Hold a segment against other compactions, by an advisory lock that is gone with its process; yield if we do."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError as error:
        raise Unreadable(path, error.strerror or str(error)) from error
    try:
        locked = _lock(descriptor)
        if locked is None:
            yield True  # a file system without locks: O_EXCL on the temporary name tells two compactions apart
            return
        held = locked and os.fstat(descriptor).st_ino == path.stat().st_ino  # else it has just been replaced
        if held:
            temporary.unlink(missing_ok=True)  # who wrote it would hold the lock
        yield held
    finally:
        os.close(descriptor)


def _lock(descriptor: int) -> bool | None:
    """Lock a file; False where another process has it, None where nobody can."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def _compact_held(segment: Segment, temporary: Path, level: int, block_bytes: int) -> int | Skipped:
    path = segment.path
    plan = merge_plan([block.header for _, block in segment.blocks()], block_bytes)
    if segment.findings:
        return Skipped(path, f"not sound: {segment.findings[0].what}", damaged=True)
    if max(plan, default=1) == 1 and not _gains(segment, level):
        return Skipped(path, "compact already")
    # Until it is made here, what stands under the temporary name may be another process's.
    writer = SegmentWriter(temporary, segment.preamble, sequence=segment.first_sequence, level=level)
    replaced = False
    try:
        _rewrite(segment, writer, plan)
        rewritten = Segment(temporary)
        differs = difference(segment, rewritten)
        if differs is not None:
            return Skipped(path, f"what was read back is not what was written: {differs}", damaged=True)
        if rewritten.size >= segment.size:
            return Skipped(path, "would not become smaller")
        temporary.replace(path)
        replaced = True
        fsync_folder(path.parent)
    except OSError as error:
        raise WriteFailed(path, error.strerror or str(error)) from error
    finally:
        if not replaced:
            temporary.unlink(missing_ok=True)
    return rewritten.size


def merge_plan(headers: Sequence[BlockHeader], block_bytes: int) -> list[int]:
    """Return of how many blocks each new block is made, in order.

    A new block is full at `block_bytes` of payloads, as a writer's is. A plan of ones has nothing to merge.
    """
    plan: list[int] = []
    raw = records = notes = 0
    wall: tuple[int, int] | None = None
    for header in headers:
        same = wall == (header.wall_offset_ns, header.wall_error_ns)
        fits = records + header.records <= RECORDS_MAX and notes + header.notes_raw <= _NOTES_MERGED_MAX
        if plan and same and fits and raw < block_bytes:
            plan[-1] += 1
        else:
            plan.append(1)
            raw = records = notes = 0
            wall = (header.wall_offset_ns, header.wall_error_ns)
        raw += header.payloads_raw
        records += header.records
        notes += header.notes_raw
    return plan


def _gains(segment: Segment, level: int) -> bool:
    """Say whether any of a few blocks becomes smaller at `level`."""
    compressor = zstandard.ZstdCompressor(level=level, write_checksum=True, write_content_size=True)
    blocks = islice((block for _, block in segment.blocks() if block.records), _SAMPLES)
    return any(len(compressor.compress(block.payloads)) < block.header.payloads_stored for block in blocks)


def _rewrite(segment: Segment, writer: SegmentWriter, plan: Sequence[int]) -> None:
    """Write the new file and put it on the disk."""
    try:
        writer.path.chmod(segment.path.stat().st_mode & 0o7777)
        blocks = (block for _, block in segment.blocks())
        for count in plan:
            members = list(islice(blocks, count))
            header = members[0].header
            writer.wall = WallOffset(header.wall_offset_ns, header.wall_error_ns)
            writer.add_block(*_merged(members), span=members[-1].header.next_sequence - header.sequence)
    except BaseException:
        writer.abandon()
        raise
    writer.seal()


def _merged(blocks: Sequence[Block]) -> tuple[BlockColumns, bytes, list[Note]]:
    """Return columns, payloads and notes of blocks as those of one."""
    notes: list[Note] = []
    before = 0
    for block in blocks:
        notes += [note | {"record": note["record"] + before} if "record" in note else note for note in block.notes]
        before += block.records
    columns = BlockColumns(
        *(
            np.concatenate([getattr(block.columns, name) for block in blocks])
            for name in BlockColumns.__dataclass_fields__
        )
    )
    return columns, b"".join(block.payloads for block in blocks), notes


def difference(old: Segment, new: Segment) -> str | None:
    """Read two segments to their ends; say in what the second is not the first in other blocks, None where it is."""
    if new.preamble != old.preamble:
        return "the preamble"
    blocks = (block for _, block in new.blocks())
    whole: Block | None = None
    records = notes = 0  # how much of `whole` was compared
    for _, block in old.blocks():
        if whole is None or block.header.sequence >= whole.header.next_sequence:
            if whole is not None and (records, notes) != (whole.records, len(whole.notes)):
                return f"the end of block {whole.header.sequence}"
            whole = next(blocks, None)
            records = notes = 0
            if whole is None or whole.header.sequence != block.header.sequence:
                return f"block {block.header.sequence}"
        if not _holds(whole, records, notes, block):
            return f"block {block.header.sequence}"
        records += block.records
        notes += len(block.notes)
    if whole is not None and (records, notes) != (whole.records, len(whole.notes)):
        return f"the end of block {whole.header.sequence}"
    if next(blocks, None) is not None or new.next_sequence != old.next_sequence:
        return "the number of blocks"
    return next((finding.what for finding in (*old.findings, *new.findings)), None)


def _holds(whole: Block, records: int, notes: int, part: Block) -> bool:
    """Say whether a block stands in a larger one, behind so many records and notes."""
    if records + part.records > whole.records:
        return False
    rows = slice(records, records + part.records)
    same = [
        np.array_equal(getattr(whole.columns, name)[rows], getattr(part.columns, name))
        for name in BlockColumns.__dataclass_fields__
    ]
    lines = [
        note_line(note | {"record": note["record"] - records} if "record" in note else note)
        for note in whole.notes[notes : notes + len(part.notes)]
    ]
    begin = int(whole.start[records]) if part.records else 0
    return (
        all(same)
        and np.array_equal(whole.recv_ns[rows], part.recv_ns)
        and np.array_equal(whole.start[rows] - begin, part.start)
        and bytes(whole.payloads[begin : begin + len(part.payloads)]) == bytes(part.payloads)
        and lines == [note_line(note) for note in part.notes]
        and whole.header.wall_offset_ns == part.header.wall_offset_ns
        and whole.header.wall_error_ns == part.header.wall_error_ns
    )
