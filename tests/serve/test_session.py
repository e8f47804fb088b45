"""One connection's limits, pings and deadlines, on a clock of the test's own."""

import json

import pytest

from hftcap.binance.endpoints import Market
from hftcap.serve.limits import Limits
from hftcap.serve.session import Close, Session

S = 1_000_000_000


def session(market: Market = Market.SPOT, **more) -> Session:
    return Session(market, Limits.of(market), combined=False, now_ns=0, **more)


def ask(found: Session, method: str, params: object = None, number: int = 1):
    fields = {"method": method, "id": number} | ({} if params is None else {"params": params})
    text = json.dumps(fields)
    return found.text(text, len(text))


def test_the_sixth_frame_within_a_second_closes():
    """A rolling window: five, then the sixth 997 ms behind the first is too many."""
    found = session()
    assert [found.frame(at) for at in (0, S // 10, S // 10, S // 2, S // 2)] == [None] * 5
    assert found.frame(997_000_000) == Close(1008, "Too many requests")


def test_a_frame_a_second_behind_the_first_of_five_is_taken():
    """The window is one second, no more."""
    found = session()
    for _ in range(5):
        assert found.frame(0) is None
    assert found.frame(S) is None


def test_futures_take_ten_frames_a_second():
    """As documented there."""
    found = session(Market.USDM)
    assert [found.frame(at) for at in range(10)] == [None] * 10
    assert found.frame(10) == Close(1008, "Too many requests")


def test_subscriptions_are_kept_in_order_once():
    """SUBSCRIBE is idempotent; UNSUBSCRIBE of what is not there is accepted."""
    found = session()
    assert ask(found, "SUBSCRIBE", ["a@trade", "b@trade", "a@trade"]).added == ["a@trade", "b@trade"]
    assert ask(found, "SUBSCRIBE", ["b@trade", "c@trade"]).added == ["c@trade"]
    assert ask(found, "UNSUBSCRIBE", ["x@trade", "a@trade"]).removed == ["a@trade"]
    assert ask(found, "LIST_SUBSCRIPTIONS", number=8).reply == b'{"result":["b@trade","c@trade"],"id":8}'


def test_the_1025th_stream_is_refused_and_nothing_is_added():
    """Error 4, with the id."""
    found = session(streams=tuple(f"s{at}@trade" for at in range(1023)))
    answer = ask(found, "SUBSCRIBE", ["x@trade", "y@trade"], 5)
    assert answer.reply == b'{"error":{"code":4,"msg":"Too many subscriptions"},"id":5}'
    assert len(found.streams) == 1023
    assert ask(found, "SUBSCRIBE", ["x@trade"]).added == ["x@trade"]


def test_a_message_beyond_4096_bytes_in_its_frame_gets_no_answer():
    """4,088 bytes of payload are answered, 4,089 are not."""
    text = json.dumps({"method": "LIST_SUBSCRIPTIONS", "id": 1})
    for size, answered in ((4088, True), (4089, False)):
        padded = text.ljust(size)
        assert (session().text(padded, len(padded)).reply is not None) is answered


def test_combined_is_a_property():
    """False to begin with here; changed at once, and told."""
    found = session()
    assert ask(found, "GET_PROPERTY", ["combined"], 2).reply == b'{"result":false,"id":2}'
    assert ask(found, "SET_PROPERTY", ["combined", True]).regrouped
    assert ask(found, "GET_PROPERTY", ["combined"], 2).reply == b'{"result":true,"id":2}'
    assert not ask(found, "SET_PROPERTY", ["combined", True]).regrouped


@pytest.mark.parametrize("market", Market)
def test_what_is_not_json_ends_a_futures_connection(market):
    """Spot answers and goes on."""
    answer = session(market).text("hello", 5)
    assert json.loads(answer.reply)["error"]["code"] == 3
    assert (answer.close is None) is (market is Market.SPOT)


def test_pings_come_every_20_seconds_and_change():
    """On spot; each has its own payload, the wall clock in milliseconds."""
    found = session()
    assert found.tick(19 * S, 0) is None
    first = found.tick(20 * S, 1_700_000_000_123 * 10**6)
    assert first == b"1700000000123"
    assert found.tick(21 * S, 0) is None
    assert found.tick(40 * S, 1_700_000_000_123 * 10**6) not in (None, first)


def test_a_ping_without_its_echo_for_a_minute_ends_the_connection():
    """Pongs of other payloads, and empty ones, do not count as life."""
    found = session()
    payload = found.tick(20 * S, 1)
    found.pong(b"")
    found.pong(b"x" + payload)
    assert found.tick(80 * S - 1, 2) not in (None, Close(1008, "Pong timeout"))
    assert found.tick(80 * S, 3) == Close(1008, "Pong timeout")


def test_an_echo_answers_the_pings_before_it():
    """The last echo counts for all."""
    found = session()
    found.tick(20 * S, 1_000_000)
    second = found.tick(40 * S, 2_000_000)
    found.pong(second)
    assert found.tick(59 * S, 3) is None
    assert isinstance(found.tick(60 * S, 3), bytes)
    assert found.tick(100 * S, 3) is not None


def test_a_connection_ends_at_its_age_limit():
    """Cleanly, after 24 hours."""
    found = session()
    now = 0
    while now < 86_400 * S - 20 * S:
        now += 20 * S
        found.pong(found.tick(now, now))
    assert found.next_ns <= 86_400 * S
    assert found.tick(86_400 * S, 0) == Close(1000, "")
