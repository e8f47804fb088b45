"""Control requests get the venue's answers, word for word."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hftcap.binance.endpoints import Market
from hftcap.serve.control import Method, Refused, Request, error, is_name, read_request, result

EXPECTED = "`SUBSCRIBE`, `UNSUBSCRIBE`, `LIST_SUBSCRIPTIONS`, `SET_PROPERTY`, `GET_PROPERTY`"


def answer(text: str, market: Market = Market.SPOT) -> dict:
    """Return the error that a message gets."""
    with pytest.raises(Refused) as found:
        read_request(text, market)
    return json.loads(error(found.value))


@pytest.mark.parametrize(
    ("text", "code", "words", "number"),
    [
        ('{"method":"SET_PROPERTY","params":["speed",true],"id":9}', 0, "Unknown property", 9),
        ('{"method":"SET_PROPERTY","params":["combined",1],"id":9}', 1, "Invalid value type: expected Boolean", 9),
        ('{"method":"SET_PROPERTY","params":["combined"],"id":9}', 1, "Invalid value type: expected Boolean", 9),
        ('{"method":"SET_PROPERTY","params":[1,true],"id":9}', 2, "Invalid request: property name must be a string", 9),
        ('{"method":"GET_PROPERTY","id":9}', 2, "Invalid request: property name must be a string", 9),
        (
            '{"method":"SUBSCRIBE","params":["a@trade"]}',
            2,
            "Invalid request: request ID must be an unsigned integer",
            None,
        ),
        (
            '{"method":"SUBSCRIBE","params":["a@trade"],"id":[1]}',
            2,
            "Invalid request: request ID must be an unsigned integer",
            None,
        ),
        (
            '{"method":"JOIN","params":["a@trade"],"id":3}',
            2,
            f"Invalid request: unknown variant JOIN, expected one of {EXPECTED} at line 1 column 16",
            3,
        ),
        ('{"method":"LIST_SUBSCRIPTIONS","params":["x"],"id":3}', 2, "Invalid request: too many parameters", 3),
        ('{"method":"GET_PROPERTY","params":["combined","x"],"id":3}', 2, "Invalid request: too many parameters", 3),
        ('{"id":3}', 2, "Invalid request: missing field `method` at line 1 column 8", 3),
        ("hello", 3, "Invalid JSON: expected value at line 1 column 1", None),
        ('{"method":\n,', 3, "Invalid JSON: expected value at line 2 column 1", None),
        ("[" * 4000, 3, "Invalid JSON: recursion limit exceeded at line 1 column 128", None),
        ('{"id":NaN}', 3, "Invalid JSON: expected value at line 1 column 1", None),
        ('{"method":"SUBSCRIBE","params":["btcusdt"],"id":2}', 2, "Invalid request: invalid stream", 2),
        ('{"method":"SUBSCRIBE","params":["a b@trade"],"id":2}', 2, "Invalid request: invalid stream", 2),
        ('{"method":"SUBSCRIBE","params":[7],"id":2}', 2, "Invalid request: invalid stream", 2),
    ],
)
def test_a_bad_request_gets_the_documented_error(text, code, words, number):
    """The nested form, with the id where it could be read and without where it could not."""
    expected: dict = {"error": {"code": code, "msg": words}}
    if number is not None:
        expected["id"] = number
    assert answer(text) == expected


@pytest.mark.parametrize("number", ['"7b0e6fa4-1c3d-4f7a-9d51-0a1b2c3d4e5f"', "-1", "null", "0", "9223372036854775807"])
def test_spot_takes_ids_that_futures_refuse(number):
    """Spot: a signed 64-bit number, text of 36 characters, null. Futures: an unsigned number alone."""
    text = f'{{"method":"LIST_SUBSCRIPTIONS","id":{number}}}'
    assert read_request(text, Market.SPOT).id == json.loads(number)
    if number not in ("0", "9223372036854775807"):
        assert answer(text, Market.USDM)["error"]["code"] == 2


@pytest.mark.parametrize("number", ["9223372036854775808", '"' + "x" * 37 + '"', "true", "1.5", '"ä"'])
def test_an_id_beyond_its_type_is_refused(number):
    """And not echoed."""
    assert "id" not in answer(f'{{"method":"LIST_SUBSCRIPTIONS","id":{number}}}')


def test_keys_may_come_in_any_order_and_others_are_passed_over():
    """As JSON has it."""
    found = read_request('{"id":7,"extra":[],"params":["btcusdt@trade"],"method":"SUBSCRIBE"}', Market.SPOT)
    assert found == Request(7, Method.SUBSCRIBE, ("btcusdt@trade",))


def test_answers_have_the_shape_of_the_venue():
    """Result first, no white space, the id with its type."""
    assert result(None, 7) == b'{"result":null,"id":7}'
    assert result(["btcusdt@depth@100ms"], "a") == b'{"result":["btcusdt@depth@100ms"],"id":"a"}'


@pytest.mark.parametrize(
    "name", ["btcusdt@trade", "BTCUSDT@trade", "这是测试币456@trade", "!miniTicker@arr", "x@anything"]
)
def test_a_name_in_the_shape_of_one_is_a_name(name):
    """Whether there is such a stream is not said."""
    assert is_name(name)


@given(st.text(max_size=200) | st.recursive(st.none() | st.text(), st.lists).map(json.dumps), st.sampled_from(Market))
def test_whatever_comes_is_a_request_or_refused(text, market):
    """Nothing else is raised, and every error can be written."""
    try:
        read_request(text, market)
    except Refused as refused:
        assert json.loads(error(refused))["error"]["code"] in range(5)


def test_a_lone_surrogate_is_echoed_as_it_came():
    """JSON may spell what has no UTF-8."""
    found = answer('{"method":"\\ud800","id":1}')
    assert "\ud800" in found["error"]["msg"]
