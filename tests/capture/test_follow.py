"""Following a folder: every block as soon as it is whole, across segments, until the writer is gone."""

from hftcap.capture.follow import follow
from hftcap.capture.format import TimeBase
from hftcap.capture.writer import CaptureHead, CaptureWriter

HEAD = CaptureHead("00000000000000a0", "spot", TimeBase.MONOTONIC, False, 0, "test")


def test_a_follower_sees_every_record_once_in_order_while_it_is_written(tmp_path):
    """The writer is driven from the follower's waits: what it wrote since comes next, renamed segments included."""
    writer = CaptureWriter(tmp_path, HEAD, fsync=False)
    written = 0

    def write_more() -> bool:
        nonlocal written
        if written == 60:
            writer.__exit__(None, None, None)
            return True
        for _ in range(6):
            writer.add(b"%d" % written, written)
            written += 1
        if written % 24 == 0:
            writer.begin_segment()
        elif written % 12 == 0:
            writer.tick(written)
            writer.tick(written + 2_000_000_000)
        return True

    seen = [int(payload) for chunk in follow(tmp_path, write_more) for payload in chunk.block.payload_list()]
    assert seen == list(range(60))


def test_a_sealed_capture_is_read_to_its_end_at_once(tmp_path):
    """Without a writer there is nothing to wait for."""
    with CaptureWriter(tmp_path, HEAD, fsync=False) as writer:
        writer.add(b"only", 1)

    def never() -> bool:
        raise AssertionError("there is no writer to wait for")

    assert [payload for chunk in follow(tmp_path, never) for payload in chunk.block.payload_list()] == [b"only"]


def test_a_follower_may_stop(tmp_path):
    """`wait` returning False ends it, with what was whole so far."""
    with CaptureWriter(tmp_path, HEAD, fsync=False) as writer:
        writer.add(b"first", 1)
        writer.begin_segment()
        writer.add(b"second", 2)
        seen = [payload for chunk in follow(tmp_path, lambda: False) for payload in chunk.block.payload_list()]
    assert seen == [b"first"]
