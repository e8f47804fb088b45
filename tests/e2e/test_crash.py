"""A writer that is killed, a disk that is full, a folder that goes away: nothing torn, nothing silent."""

import errno
import os
import random
import resource
import shutil
import subprocess
import sys
import threading
from functools import partial

import pytest
from writer_process import FIRST, SECOND, WriterProcess, head_of, kill_a_writer, numbers_in, payload_of, write

from hftcap.capture.format import NONE_NS
from hftcap.capture.reader import open_recording, open_recordings
from hftcap.capture.writer import CaptureWriter, Fsync
from hftcap.errors import FolderBusy, WriteFailed
from hftcap.verify import verify

SEED = int(os.environ.get("HFTCAP_SEED", "1"))
PWRITE = os.pwrite


@pytest.mark.parametrize("kill", range(5))
def test_a_killed_writer_loses_only_what_is_younger_than_a_flush(kill, tmp_path):
    """SIGKILL at any moment: all older records are there, in order, and the next writer starts at once."""
    assert kill_a_writer(tmp_path, random.Random(f"{SEED} {kill}")).records


def test_a_capture_can_be_verified_while_it_is_written(tmp_path):
    """What is on its way is no damage; as soon as the writer is gone, an unsealed segment is a finding."""
    process = WriterProcess(tmp_path, FIRST, block_bytes=2000)
    for ticks in range(5, 25, 4):
        process.await_ticks(ticks)
        verdict = verify([tmp_path])
        assert verdict.ok, verdict.findings
        assert verdict.records
    process.kill(random.Random(SEED))
    assert [found.what for found in verify([tmp_path]).findings][-1] == "not sealed: its writer stopped"


def test_an_earlier_unsealed_segment_is_found_while_another_is_written(tmp_path):
    """Only one writer at a time may be in a folder, so that only the youngest segment can be its."""
    process = WriterProcess(tmp_path, FIRST)
    process.await_ticks(8)
    process.kill(random.Random(SEED))
    (left,) = tmp_path.iterdir()
    with CaptureWriter(tmp_path, head_of(SECOND), beside=True) as writer:
        writer.add(payload_of(0), 1)
        writer.tick(0)
        writer.tick(2_000_000_000)
        verdict = verify([tmp_path])
    assert {found.path for found in verdict.findings} == {left}


def test_a_folder_has_one_writer_and_is_free_when_that_is_killed(tmp_path):
    """A second process is refused in one sentence, this one too; kill -9 leaves no lock behind."""
    process = WriterProcess(tmp_path, FIRST)
    process.await_ticks(1)
    code, said = WriterProcess(tmp_path, SECOND, count=10).end()
    assert (code, said.count("\n")) == (1, 1)
    assert "another process is writing a capture here" in said
    with pytest.raises(FolderBusy):
        CaptureWriter(tmp_path, head_of(SECOND), beside=True)
    process.await_ticks(8)  # and it was not disturbed
    process.kill(random.Random(SEED))
    assert WriterProcess(tmp_path, SECOND, count=10).end() == (0, "")
    assert len(open_recordings([tmp_path])) == 2


def test_a_disk_that_fills_up_leaves_whole_blocks(tmp_path):
    """The operating system cuts a write short, then refuses: the torn block is cut off again, and the user is told."""
    most = 100_000
    code, said = WriterProcess(tmp_path, FIRST, block_bytes=20_000, count=200_000, file_bytes_most=most).end()
    assert (code, said.count("\n")) == (1, 1)
    assert "cannot be written: File too large" in said
    (path,) = tmp_path.iterdir()
    assert most - 20_000 < path.stat().st_size < most
    verdict = verify([tmp_path])
    assert [found.what for found in verdict.findings] == ["not sealed: its writer stopped"]
    numbers = numbers_in(open_recording([tmp_path]))
    assert numbers == list(range(verdict.records))
    assert verdict.lost_records == 0


def test_an_import_onto_a_full_disk_fails_in_a_sentence_and_leaves_nothing(tmp_path):
    """Half a capture would pass for one: it is removed, and its sources are still there."""
    source = tmp_path / "lines.jsonl"
    lines = [b'{"recv_ns":%d,"payload":%s}' % (number, _quoted(os.urandom(300).hex())) for number in range(3000)]
    source.write_bytes(b"\n".join(lines) + b"\n")
    command = [sys.executable, "-m", "hftcap", "import", "--from", "jsonl", source, "--market", "spot", "-o"]
    most = partial(resource.setrlimit, resource.RLIMIT_FSIZE, (200_000, 200_000))
    ran = subprocess.run([*command, tmp_path / "out"], capture_output=True, text=True, preexec_fn=most, timeout=60)
    assert (ran.returncode, ran.stderr.count("\n")) == (1, 1), ran.stderr
    assert "File too large" in ran.stderr
    assert not (tmp_path / "out").exists()
    assert subprocess.run([*command, tmp_path / "out"], capture_output=True, timeout=60).returncode == 0


def _quoted(text: str) -> bytes:
    return b'"{\\"e\\":\\"trade\\",\\"n\\":\\"%s\\"}"' % text.encode()


def test_no_space_in_the_middle_of_a_block_is_no_hole(tmp_path, monkeypatch):
    """A write that is cut short and then refused leaves the file as it was; what was refused is still to be written."""
    with CaptureWriter(tmp_path, head_of(FIRST), fsync=Fsync.NEVER, block_bytes=5000) as writer:
        for number in range(200):
            writer.add(payload_of(number), number)
        before = (next(tmp_path.iterdir()).stat().st_size, writer.records)
        room = [100]

        def pwrite(descriptor, view, offset):
            if not room[0]:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            written = PWRITE(descriptor, view[: room[0]], offset)
            room[0] -= written
            return written

        number = 200
        with monkeypatch.context() as patch:
            patch.setattr(os, "pwrite", pwrite)
            with pytest.raises(WriteFailed, match="No space left on device"):
                while True:
                    number += 1
                    writer.add(payload_of(number - 1), number)
        assert next(tmp_path.iterdir()).stat().st_size == before[0]
    assert verify([tmp_path]).ok
    assert numbers_in(open_recording([tmp_path])) == list(range(number))


def test_a_write_that_blocks_tears_nothing(tmp_path, monkeypatch):
    """Half a block is on the disk, and the other half waits: readers see whole blocks, and the order holds after it."""
    entered, resume = threading.Event(), threading.Event()
    calls = []

    def pwrite(descriptor, view, offset):
        calls.append(offset)
        if len(calls) == 4:
            return PWRITE(descriptor, view[: len(view) // 2], offset)
        if len(calls) == 5:
            entered.set()
            assert resume.wait(30)
        return PWRITE(descriptor, view, offset)

    monkeypatch.setattr(os, "pwrite", pwrite)

    def run() -> None:
        with CaptureWriter(tmp_path, head_of(FIRST), fsync=Fsync.NEVER, block_bytes=5000) as writer:
            for number in range(1000):
                writer.add(payload_of(number), number)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        assert entered.wait(30)
        verdict = verify([tmp_path])
        assert (verdict.ok, verdict.blocks, verdict.lost_records) == (True, 2, 0), verdict.findings
        assert numbers_in(open_recording([tmp_path])) == list(range(verdict.records))
    finally:
        resume.set()
        thread.join(30)
    assert verify([tmp_path]).ok
    assert numbers_in(open_recording([tmp_path])) == list(range(1000))


def test_a_folder_that_cannot_be_written_is_a_sentence(tmp_path, monkeypatch, hftcap):
    """A read-only file system refuses the first segment, a file in the way the folder: each exits 1 with one line."""
    source = tmp_path / "lines.jsonl"
    source.write_bytes(b'{"recv_ns":1,"payload":"{}"}\n')
    words = ("import", "--from", "jsonl", source, "--market", "spot", "-o")
    ran = hftcap(*words, source / "below")
    assert (ran.code, ran.err.count("\n")) == (1, 1)
    assert "Not a directory" in ran.err
    opens = os.open

    def refuse(path, flags, *mode, **more):
        if flags & os.O_CREAT and str(path).endswith(".part"):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        return opens(path, flags, *mode, **more)

    monkeypatch.setattr(os, "open", refuse)
    ran = hftcap(*words, tmp_path / "out")
    assert (ran.code, ran.err.count("\n")) == (1, 1)
    assert "Read-only file system" in ran.err
    with pytest.raises(WriteFailed, match="Read-only file system"):
        write(tmp_path / "direct")


def test_a_folder_that_goes_away_fails_the_seal(tmp_path):
    """The writer cannot say where its segment is; what stands elsewhere is untouched."""
    write(tmp_path / "other")
    folder = tmp_path / "capture"
    with pytest.raises(WriteFailed) as caught, CaptureWriter(folder, head_of(FIRST)) as writer:
        writer.add(payload_of(0), NONE_NS + 1)
        shutil.rmtree(folder)
    sentence = str(caught.value)
    assert sentence.endswith("cannot be written: No such file or directory")
    assert "\n" not in sentence
    assert not folder.exists()
    assert verify([tmp_path / "other"]).ok


def test_the_writer_that_is_killed_would_seal_what_it_wrote(tmp_path):
    """Left alone, the process of these tests writes a sound capture."""
    assert WriterProcess(tmp_path, FIRST, count=5000).end() == (0, "")
    assert verify([tmp_path]).ok
    assert numbers_in(open_recording([tmp_path])) == list(range(5000))
