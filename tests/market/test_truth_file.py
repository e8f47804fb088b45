"""The truth is whole or not there: never overwritten, never half-made under its name."""

import json

import pytest

from hftcap.binance.endpoints import Market
from hftcap.book.levels import Levels
from hftcap.errors import AlreadyExists, WriteFailed
from hftcap.market.instrument import instrument_of
from hftcap.market.matching import BUY, SELL, OrderBook
from hftcap.market.truth import FULL_EVERY_NS, LINES_BUFFERED, SymbolTruth, Truth


def test_it_has_its_name_when_it_is_whole(tmp_path):
    """Lines in order, however many; no name before the end, nor after a failure."""
    with Truth(tmp_path) as truth:
        for number in range(LINES_BUFFERED * 2 + 3):
            truth.tell("x", number=number)
        assert not truth.path.exists()
    numbers = [json.loads(line)["number"] for line in truth.path.read_text().splitlines()]
    assert numbers == list(range(LINES_BUFFERED * 2 + 3))
    other = tmp_path / "other"
    other.mkdir()
    with pytest.raises(RuntimeError), Truth(other) as failing:
        raise RuntimeError
    assert not failing.path.exists()


def test_it_is_never_overwritten(tmp_path):
    """One that is there is refused; a folder that is not there is a failure to write."""
    (tmp_path / "truth.jsonl").write_text("mine")
    with pytest.raises(AlreadyExists):
        Truth(tmp_path)
    assert (tmp_path / "truth.jsonl").read_text() == "mine"
    with pytest.raises(WriteFailed):
        Truth(tmp_path / "nowhere")


def test_a_state_has_the_digest_of_a_book(tmp_path):
    """The same as that of the levels scaled by 1e8; told once an id, all levels now and then."""
    instrument = instrument_of("BTCUSDT", Market.SPOT)
    book = OrderBook()
    for number, (side, price, lots) in enumerate([(BUY, 99, 5), (BUY, 98, 3), (SELL, 101, 4), (BUY, 99, 2)]):
        book.submit(number, side, price, lots)
    with Truth(tmp_path) as truth:
        symbol = SymbolTruth(truth, instrument, book)
        for now, update_id in ((1, 7), (2, 7), (3, 8), (FULL_EVERY_NS + 1, 9)):
            symbol.state(now, update_id)
        symbol.update(5, 10, {99}, {101, 102})
    *states, update = map(json.loads, truth.path.read_text().splitlines())
    tick, lot = instrument.tick_e8, instrument.lot_e8
    expected = Levels([(99 * tick, 7 * lot), (98 * tick, 3 * lot)], [(101 * tick, 4 * lot)]).sha256()
    assert [state["id"] for state in states] == [7, 8, 9]
    assert {state["sha256"] for state in states} == {expected}
    assert ["bids" in state for state in states] == [True, False, True]
    assert states[0]["bids"] == [["0.99", "0.00007"], ["0.98", "0.00003"]]
    assert (update["bids"], update["asks"]) == ([["0.99", "0.00007"]], [["1.01", "0.00004"], ["1.02", "0"]])
