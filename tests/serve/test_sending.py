"""What becomes of records: topics, shapes, redundant lines, aggregates, bare events."""

import json
from pathlib import Path

import pytest

from hftcap.binance.endpoints import Market, Route
from hftcap.capture.reader import open_recording
from hftcap.serve.faults import FaultPlan
from hftcap.serve.hub import Hub, Shape
from hftcap.serve.sending import Sender, shutdown_frame
from tests.serve.made import START_NS, diff, enveloped, quote, snapshot, trade, write_capture
from tests.serve.test_serve_wire import read_frames


class Listener:
    """An outlet that keeps what it is owed."""

    def __init__(self, shape: Shape, route: Route | None = None) -> None:
        self.out: list[bytes] = []
        self.shape = shape
        self.route = route

    @property
    def events(self) -> list[bytes]:
        return [payload for _, _, payload in read_frames(b"".join(self.out))]


def play(capture: Path, *names: str, combined: bool = False, derive: bool = False, market: Market = Market.SPOT):
    """Send a whole capture; return what somebody who subscribed to names gets."""
    hub = Hub(market)
    sender = Sender(hub, FaultPlan(), None, first_ns=START_NS, listed=[], derive=derive)
    listener = Listener(Shape(combined))
    hub.subscribe(listener, names)
    for chunk in open_recording([capture]).chunks():
        sender.send(chunk, 0)
    sender.finish()
    return listener.events


def ids(events: list[bytes], key: str) -> list[int]:
    return [json.loads(event)[key] for event in events]


def test_two_lines_are_one_feed(tmp_path):
    """Prints and quotes count when they first come; what one line lost the other brings."""
    records, lines = [], []
    for number in range(1, 30):
        for line in (0, 1):
            if line == 0 and number in (7, 8):
                continue
            records += [(number, trade(number)), (number, quote(number))]
            lines += [line, line]
    path = write_capture(tmp_path / "two", records, lines=lines)
    assert ids(play(path, "btcusdt@trade"), "t") == list(range(1, 30))
    assert ids(play(path, "btcusdt@bookTicker"), "u") == list(range(1, 30))


def futures_diff(first: int, final: int, before: int) -> bytes:
    event = {"e": "depthUpdate", "E": 1, "T": 1, "s": "BTCUSDT", "U": first, "u": final, "pu": before, "b": [], "a": []}
    return enveloped("btcusdt@depth@0ms", event)


def test_of_two_lines_of_futures_diffs_one_is_followed(tmp_path):
    """Their borders differ, and a client holds each diff against the one before it; silence hands over."""
    records, lines = [], []
    for number in range(0, 50, 10):  # line 0: 1-10, 11-20 …; line 1: 6-15, 16-25 …
        records += [(number, futures_diff(number + 1, number + 10, number))]
        records += [(number + 1, futures_diff(number + 6, number + 15, number + 5))]
        lines += [0, 1]
    for number in range(50, 80, 10):  # three seconds later line 0 is silent
        records += [(3_000 + number, futures_diff(number + 6, number + 15, number + 5))]
        lines += [1]
    path = write_capture(tmp_path / "futures", records, market=Market.USDM, lines=lines)
    events = [json.loads(event) for event in play(path, "btcusdt@depth@0ms", market=Market.USDM)]
    finals = [event["u"] for event in events]
    assert finals == [10, 20, 30, 40, 50, 55, 65, 75, 85]
    assert [event["pu"] for event in events[1:5]] == finals[:4]


def test_streams_over_several_connections_are_not_redundant(tmp_path):
    """A connection for each stream: everything is sent, even what is the same twice."""
    records = [(1, trade(1)), (1, quote(1)), (2, trade(1)), (2, quote(1))]
    path = write_capture(tmp_path / "apart", records, lines=[0, 1, 0, 1])
    assert len(play(path, "btcusdt@trade", "btcusdt@bookTicker")) == 4


def test_bare_events_are_served_under_a_name_of_their_own(tmp_path):
    """By event and symbol; raw as captured, combined in an envelope."""
    records = [(at, each.partition(b'"data":')[2][:-1]) for at, each in ((1, trade(1)), (2, diff(1, 2)), (3, quote(3)))]
    path = write_capture(tmp_path / "bare", records)
    names = ("btcusdt@trade", "btcusdt@depth@100ms", "btcusdt@bookTicker")
    assert play(path, *names) == [payload for _, payload in records]
    assert play(path, *names, combined=True) == [trade(1), diff(1, 2), quote(3)]


def test_answers_and_rest_bodies_are_nobodys_event(tmp_path):
    """Nor is what is no JSON."""
    records = [(1, b'{"result":null,"id":1}'), (2, b"garbage"), (3, snapshot(1), "BTCUSDT"), (4, trade(1))]
    assert len(play(write_capture(tmp_path / "odd", records), "btcusdt@trade", "btcusdt@depth@100ms")) == 1


def test_envelopes_with_keys_in_another_order_are_served(tmp_path):
    """The event keeps its bytes, white space and all."""
    event = b'{"e":"trade", "E":1, "s":"BTCUSDT"}'
    records = [(1, b'{ "data":' + event + b', "stream":"btcusdt@trade" }')] * 2
    path = write_capture(tmp_path / "order", records)
    assert play(path, "btcusdt@trade") == [event] * 2


def test_aggregates(tmp_path):
    """One taker order, price and time; anything that is not a market print is none."""
    records = [
        (0, trade(1, m=True, a=5, b=1)),
        (0, trade(2, m=True, a=5, b=2)),
        (0, trade(3, m=True, a=6, b=3)),
        (0, trade(4, m=True, a=6, b=3, price="100.20000000")),
        (1, trade(5, X="INSURANCE_FUND")),
        (2, quote(1)),
    ]
    path = write_capture(tmp_path / "trades", records)
    found = [json.loads(event) for event in play(path, "btcusdt@aggTrade", derive=True)]
    assert [(each["a"], each["f"], each["l"], each["q"]) for each in found] == [
        (1, 1, 2, "1.00000000"),
        (2, 3, 3, "0.50000000"),
        (3, 4, 4, "0.50000000"),
    ]
    assert list(found[0]) == ["e", "E", "s", "a", "p", "q", "f", "l", "T", "m", "M"]


def test_a_hub_forgets_names_nobody_ever_sent_to():
    """However many a client makes up."""
    hub = Hub(Market.SPOT)
    listener = Listener(Shape(False))
    names = [f"s{number}@trade" for number in range(500)]
    hub.subscribe(listener, names)
    hub.subscribe(listener, names)
    assert len(hub.topics) == 500
    hub.unsubscribe(listener, names)
    assert not hub.topics


@pytest.mark.parametrize(
    ("name", "route"),
    [
        ("btcusdt@depth@0ms", Route.PUBLIC),
        ("btcusdt@trade", Route.PUBLIC),
        ("btcusdt@aggTrade", Route.MARKET),
        ("!markPrice@arr@1s", Route.MARKET),
    ],
)
def test_routes_of_usdm(name, route):
    """Only the right one carries a stream; without one it is /public. The other markets have none."""
    topic = Hub(Market.USDM).topic(name)
    assert [each for each in Route if topic.carries(each)] == [route]
    assert topic.carries(None) is (route is Route.PUBLIC)
    assert Hub(Market.COINM).topic(name).carries(Route.MARKET)


def test_shutdown_has_two_shapes():
    """Section 2.1."""
    bare, wrapped = (read_frames(shutdown_frame(Shape(combined), 5))[0][2] for combined in (False, True))
    assert bare == b'{"e":"serverShutdown","E":5}'
    assert wrapped == b'{"stream":"!serverShutdown","data":{"e":"serverShutdown","E":5}}'
