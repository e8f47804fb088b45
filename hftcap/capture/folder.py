"""The capture folder: how segments are named, found and published, and who may write there.

A segment is `<name>.hcap.zst.part` while it is written and loses `.part` when it is sealed. Names sort by time and
carry capture id and segment number for people; a reader believes only the preamble.
"""

import errno
import fcntl
import os
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from hftcap.capture.preamble import Preamble
from hftcap.errors import AlreadyExists, FolderBusy, NoSegments, Unreadable, WriteFailed

SUFFIX = ".hcap.zst"
PART_SUFFIX = ".hcap.zst.part"


def is_segment(path: Path) -> bool:
    """Say whether a file name is that of a segment, sealed or being written."""
    return path.name.endswith((SUFFIX, PART_SUFFIX))


def find_segments(paths: Iterable[Path]) -> list[Path]:
    """Return the segment files that `paths` name, each a file or a folder (not searched below).

    Raises:
        NoSegments: a folder holds none.
        Unreadable: a path does not exist or cannot be listed.
    """
    found: list[Path] = []
    for path in paths:
        try:
            if path.is_dir():
                segments = sorted(entry for entry in path.iterdir() if is_segment(entry) and entry.is_file())
                if not segments:
                    raise NoSegments(path)
                found += segments
            elif path.exists():
                found.append(path)
            else:
                raise Unreadable(path, "no such file or folder")
        except OSError as error:
            raise Unreadable(path, error.strerror or str(error)) from error
    return list(dict.fromkeys(found))


def segment_name(preamble: Preamble, first_ns: int) -> str:
    """Name a segment by the UTC second it begins in, its capture id and its number."""
    begin = datetime.fromtimestamp(first_ns // 1_000_000_000, UTC).strftime("%Y%m%dT%H%M%SZ")
    return f"{begin}-{preamble.capture_id[:8]}-{preamble.segment:06d}{SUFFIX}"


class FolderLock:
    """The right to write into a capture folder: an advisory lock on the folder itself, gone with its process.

    Raises:
        FolderBusy: another process holds it.
        WriteFailed: the folder cannot be opened.
    """

    def __init__(self, folder: Path) -> None:
        try:
            self._fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        except OSError as error:
            raise WriteFailed(folder, error.strerror or str(error)) from error
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._fd)
            if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
                raise FolderBusy(folder) from error
            # A file system without locks: two writers are then told apart by O_EXCL on each segment alone.
            self._fd = -1

    def release(self) -> None:
        """Give the right back; a second call does nothing."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def is_being_written(folder: Path) -> bool:
    """Say whether a writer holds a capture folder at this moment."""
    try:
        FolderLock(folder).release()
    except FolderBusy:
        return True
    except WriteFailed:
        return False
    return False


def claim_folder(folder: Path, *, beside: bool = False) -> FolderLock:
    """Make a capture folder where there is none, and return the right to write into it.

    Raises:
        AlreadyExists: the folder holds a capture, and `beside` is not set.
        FolderBusy: another process writes there.
        WriteFailed: the operating system refused.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WriteFailed(folder, error.strerror or str(error)) from error
    lock = FolderLock(folder)
    try:
        if not beside and any(is_segment(entry) for entry in folder.iterdir()):
            raise AlreadyExists(folder)
    except OSError as error:
        lock.release()
        raise WriteFailed(folder, error.strerror or str(error)) from error
    except AlreadyExists:
        lock.release()
        raise
    return lock


def publish(part: Path, *, fsync: bool = True) -> Path:
    """Give a sealed segment the name of one, which is returned; with `fsync` the name is on the disk by then.

    Raises:
        AlreadyExists: a segment of that name is there.
        WriteFailed: the operating system refused.
    """
    sealed = part.with_name(part.name.removesuffix(".part"))
    if sealed.exists():
        raise AlreadyExists(sealed)
    try:
        part.rename(sealed)
        if fsync:
            fsync_folder(part.parent)
    except OSError as error:
        raise WriteFailed(sealed, error.strerror or str(error)) from error
    return sealed


def fsync_folder(folder: Path) -> None:
    """Put on the disk which files a folder holds.

    Raises:
        OSError: the operating system refused.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
