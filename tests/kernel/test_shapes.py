"""A payload is taken apart so that what is constant is a literal, and nothing that decides its meaning is not."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hftcap.binance.parser import parse
from hftcap.kernel.shapes import LITERAL_BYTES, Field, ShapeType, StepKind, layout_of

QUOTE = {"u": 50093239212, "s": "BTCUSDT", "b": "61837.63000000", "B": "3.78826000", "a": "61837.64000000", "A": "1.5"}
TRADE = {"e": "trade", "E": 1723161255343, "s": "BTCUSDT", "t": 37, "p": "1.5", "q": "2", "T": 1723161255342, "m": True}
DIFF = {"e": "depthUpdate", "E": 1723161255208, "s": "BTCUSDT", "U": 1, "u": 2, "b": [["1.5", "0"]], "a": []}


def payload(event, stream="btcusdt@bookTicker"):
    return json.dumps({"stream": stream, "data": event}, separators=(",", ":"), ensure_ascii=False).encode()


def layout(event, stream="btcusdt@bookTicker"):
    raw = payload(event, stream)
    return layout_of(raw, parse(raw))


def fields(event, stream="btcusdt@bookTicker"):
    found = layout(event, stream)
    assert found is not None
    return [step.field for step in found.steps if step.kind != StepKind.LITERAL]


def test_a_quote_has_its_id_and_four_decimals():
    """The rest, symbol included, is literal; the literals and values make up the payload."""
    found = layout(QUOTE)
    assert found is not None
    assert found.type is ShapeType.QUOTE
    assert fields(QUOTE) == [Field.FINAL, Field.PRICE, Field.SIZE, Field.ASK_PRICE, Field.ASK_SIZE]
    assert found.steps[0].literal == b'{"stream":"btcusdt@bookTicker","data":{"u":'
    assert found.steps[-1].literal == b"}}"
    assert b'"s":"BTCUSDT"' in found.steps[1].literal


def test_prints_and_updates_have_their_fields():
    """In the order in which the payload has them."""
    assert fields(TRADE, "btcusdt@trade") == [
        *(Field.EVENT, Field.FINAL, Field.PRICE, Field.SIZE, Field.TRADE, Field.MAKER),
    ]
    assert fields(DIFF, "btcusdt@depth") == [Field.EVENT, Field.FIRST, Field.FINAL, Field.BIDS, Field.ASKS]


@pytest.mark.parametrize("key", ["s", "X"])
def test_what_says_of_what_a_message_is_stays_literal(key):
    """A symbol or kind of digits is no number: another one is another shape."""
    found = layout(TRADE | {key: "1000"}, "btcusdt@trade")
    assert found is not None
    assert any(f'"{key}":"1000"'.encode() in step.literal for step in found.steps)


def test_fields_of_no_use_may_vary():
    """Numbers and decimals under unknown keys are passed over, short numbers and words are constant."""
    more = {"w": 123456, "nq": "0.022", "st": 1, "ps": "BTCUSDT", "M": True}
    found = layout(TRADE | more, "btcusdt@trade")
    assert found is not None
    assert [step.kind for step in found.steps if step.field == Field.UNUSED and step.kind] == [
        StepKind.WHOLE,
        StepKind.DECIMAL,
    ]


@pytest.mark.parametrize(
    "raw",
    [
        payload(QUOTE).replace(b'"u"', b'"u" '),
        payload(QUOTE).replace(b"BTC", b"\\u0042TC"),
        payload(QUOTE).replace(b'"A":"1.5"', b'"A":"12345678901"'),
        payload(QUOTE).replace(b'"A":"1.5"', b'"A":"1.5","A":"1.5"'),
        payload(QUOTE).replace(b'"A":"1.5"', b'"A":"1.5","x":[1]'),
        payload(QUOTE) + b" ",
        payload(QUOTE).replace(b"{", b"{\n", 1),
        json.dumps({"data": QUOTE, "stream": "btcusdt@bookTicker"}).encode(),
        b'{"u":1,"s":"B","b":"1","B":"1","a":"1","A":"1"}',
    ],
)
def test_what_is_not_plain_has_no_layout(raw):
    """Spaces, escapes, too many digits, a key twice, a list, line breaks, other envelopes, very short payloads."""
    assert layout_of(raw, parse(raw)) is None


def test_other_messages_have_none():
    """Answers, candles and what is odd are for the reference."""
    for raw in (b'{"result":null,"id":1}' + b" " * 60, payload({"e": "kline"}), b"x" * 100):
        assert layout_of(raw, parse(raw)) is None


def test_a_bare_event_has_a_layout_too():
    """A connection to one stream sends no envelope."""
    raw = json.dumps(TRADE, separators=(",", ":")).encode()
    found = layout_of(raw, parse(raw))
    assert found is not None
    assert found.steps[0].literal == b'{"e":"trade","E":'


@given(st.text(st.characters(exclude_characters='"\\', exclude_categories=("Cc", "Cs")), max_size=300))
def test_long_literals_are_cut(name):
    """A step has room for so many bytes."""
    found = layout(QUOTE | {"ps": f"x{name}"})
    assert found is not None
    assert all(len(step.literal) <= LITERAL_BYTES for step in found.steps)
