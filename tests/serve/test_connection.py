"""A connection's way out, with a transport that keeps what it is given."""

from hftcap.binance.endpoints import Market
from hftcap.serve.connection import TOO_SLOW, Connection
from hftcap.serve.hub import Shape
from hftcap.serve.limits import Limits
from hftcap.serve.session import Session
from hftcap.serve.wire import CLOSE, PONG, frame
from tests.serve.test_serve_wire import read_frames


class Kept:
    """A transport whose client takes nothing."""

    def __init__(self) -> None:
        self.data = b""
        self.ended = ""

    def write(self, data: bytes) -> None:
        self.data += data

    def get_write_buffer_size(self) -> int:
        return len(self.data)

    def is_closing(self) -> bool:
        return bool(self.ended)

    def close(self) -> None:
        self.ended = "closed"

    def abort(self) -> None:
        self.ended = "aborted"

    def get_extra_info(self, _name: str, default: object = None) -> object:
        return default


async def never() -> None:
    raise AssertionError("nobody waits")


def connected(queue_bytes: int = 100) -> tuple[Connection, Kept]:
    kept = Kept()
    limits = Limits.of(Market.SPOT).changed({"queue_bytes": queue_bytes})
    session = Session(Market.SPOT, limits, combined=False, now_ns=0)
    return Connection(1, kept, session, Shape(False), None, never), kept


def test_what_is_owed_is_written_in_one_piece():
    """And nothing twice."""
    connection, kept = connected()
    connection.out += [frame(b"a"), frame(b"b")]
    connection.flush()
    connection.flush()
    assert [payload for _, _, payload in read_frames(kept.data)] == [b"a", b"b"]
    assert connection.sent_bytes == len(kept.data)


def test_a_queue_that_is_full_closes_with_a_reason_and_keeps_no_more():
    """What comes behind is not kept."""
    connection, kept = connected(queue_bytes=50)
    for _ in range(20):
        connection.out.append(frame(b"x" * 20))
        connection.flush()
    frames = read_frames(kept.data)
    assert frames[-1][0] == CLOSE
    assert frames[-1][2][2:].decode() == TOO_SLOW
    assert len(kept.data) < 130
    assert connection.closing == (1008, TOO_SLOW)


def test_one_large_message_may_wait_whole():
    """However large."""
    connection, _ = connected(queue_bytes=50)
    connection.out.append(frame(b"x" * 5_000))
    connection.flush()
    assert connection.closing is None


def test_the_first_reason_counts():
    """A second close says nothing."""
    connection, kept = connected()
    connection.close(1000, "")
    connection.close(1008, "again")
    assert len(read_frames(kept.data)) == 1


def test_a_muted_connection_gets_answers_and_no_events():
    """Half open."""
    connection, kept = connected()
    connection.mute = True
    connection.out.append(frame(b"event"))
    connection.flush()
    connection.control(frame(b"p", PONG))
    assert [opcode for opcode, _, _ in read_frames(kept.data)] == [PONG]
    assert connection.mute


def test_a_held_connection_keeps_what_is_owed_up_to_its_bound():
    """Then it is closed, like any other that is too slow."""
    connection, kept = connected(queue_bytes=50)
    connection.held = True
    connection.out.append(frame(b"x" * 20))
    connection.flush()
    assert kept.data == b""
    connection.out.append(frame(b"x" * 40))
    connection.flush()
    assert connection.closing == (1008, TOO_SLOW)


def test_a_cut_says_nothing():
    """No close frame; closed or reset."""
    for reset, ended in ((False, "closed"), (True, "aborted")):
        connection, kept = connected()
        connection.cut(reset=reset)
        assert (kept.data, kept.ended) == (b"", ended)
        connection.out.append(b"x")
        connection.flush()
        assert kept.data == b""
