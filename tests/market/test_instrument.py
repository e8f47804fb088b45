"""Every symbol has a tick, a lot and a price, and their multiples are written exactly."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hftcap.binance.endpoints import Market
from hftcap.fixed import parse_e8
from hftcap.market.instrument import TEXTS_KEPT, Texts, fixed_text, instrument_of


@given(st.text(min_size=1, max_size=8), st.sampled_from([Market.SPOT, Market.USDM]))
def test_any_name_is_an_instrument(symbol, market):
    """The same at every call; steps that eight decimals can write; a price with room below it."""
    found = instrument_of(symbol, market)
    assert found == instrument_of(symbol, market)
    assert 1_000 <= found.tick_e8 <= 10**8 and 1_000 <= found.lot_e8 <= 10**8
    assert found.start_ticks >= 15_000


@given(st.integers(0, 10**7), st.integers(0, 8), st.booleans())
def test_texts_are_exact(number, decimals, padded):
    """What is read back is the multiple; padded texts have the decimals asked for."""
    unit = 10 ** (8 - decimals)
    text = Texts(unit, decimals if padded else None)[number]
    assert parse_e8(text) == number * unit
    if padded:
        assert len(text.partition(".")[2]) == decimals


def test_texts_are_bounded():
    """More numbers than are kept: all right, and not all kept."""
    texts = Texts(1, 8)
    assert all(texts[number] == f"0.{number:08d}" for number in range(TEXTS_KEPT + 10))
    assert len(texts) <= TEXTS_KEPT


@pytest.mark.parametrize(("decimals", "text"), [(8, "12.34567899"), (3, "12.345"), (0, "12")])
def test_what_is_beyond_the_decimals_is_cut_off(decimals, text):
    """Never rounded."""
    assert fixed_text(1_234_567_899, decimals) == text
