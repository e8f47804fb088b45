"""Control requests on a stream connection: SUBSCRIBE and its like, read and answered in the venue's words.

Answers are never wrapped in the combined envelope. An error is nested, and echoes the id where that could be read.

Source: protocol notes, sections 3.1 and 3.2 (binance-spot-api-docs a5e0bc3, web-socket-streams.md; ccxt#19833 and
unicorn-binance-websocket-api#17 for the stream errors).
"""

import json
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NoReturn

from hftcap.binance.endpoints import Market
from hftcap.fixed import INT64_MAX

UINT64_MAX = 2**64 - 1
ID_CHARS = 36
_METHOD = re.compile(r'"method"\s*:\s*"(?:[^"\\]|\\.)*"')
_ID_TEXT = re.compile(r"[0-9A-Za-z_-]{1,36}", re.ASCII)
_NOT_IN_NAMES = re.compile(r"[\s/\x00-\x1f\"\\]")
_DEEPEST = 128
NO_ID = object()


class Method(StrEnum):
    """What may be asked for."""

    SUBSCRIBE = "SUBSCRIBE"
    UNSUBSCRIBE = "UNSUBSCRIBE"
    LIST_SUBSCRIPTIONS = "LIST_SUBSCRIPTIONS"
    SET_PROPERTY = "SET_PROPERTY"
    GET_PROPERTY = "GET_PROPERTY"


_EXPECTED = ", ".join(f"`{method}`" for method in Method)


@dataclass(frozen=True, slots=True)
class Request:
    """A request that is in order. `value` is what SET_PROPERTY sets."""

    id: int | str | None
    method: Method
    names: tuple[str, ...] = ()
    value: bool = False


class Refused(Exception):
    """A request that gets an error; `id` is NO_ID where none could be read."""

    def __init__(self, code: int, text: str, id: object = NO_ID) -> None:  # noqa: A002  the venue's word
        super().__init__(code, text, id)
        self.code, self.text, self.id = code, text, id


def read_request(text: str, market: Market) -> Request:
    """Read one text message.

    Raises:
        Refused: with the venue's code and words.
    """
    fields = _read_json(text)
    if type(fields) is not dict:
        raise Refused(2, f"Invalid request: missing field `method` at line 1 column {len(text)}")
    number = _id_of(fields, market)
    method = fields.get("method")
    if type(method) is not str:
        raise Refused(2, f"Invalid request: missing field `method` at line 1 column {len(text)}", number)
    if method not in set(Method):
        found = _METHOD.search(text)
        column = len(text) if found is None else found.end()
        words = f"Invalid request: unknown variant {method}, expected one of {_EXPECTED} at line 1 column {column}"
        raise Refused(2, words, number)
    if number is NO_ID:
        raise Refused(2, "Invalid request: request ID must be an unsigned integer")
    assert number is None or isinstance(number, int | str)  # noqa: S101  said by _id_of
    return _checked(Method(method), fields.get("params"), number, len(text))


def _checked(method: Method, params: Any, number: int | str | None, size: int) -> Request:  # Any: decoded JSON
    match method:
        case Method.SUBSCRIBE | Method.UNSUBSCRIBE:
            if type(params) is not list:
                raise Refused(2, f"Invalid request: missing field `params` at line 1 column {size}", number)
            if not all(type(name) is str and is_name(name) for name in params):
                raise Refused(2, "Invalid request: invalid stream", number)
            return Request(number, method, tuple(params))
        case Method.LIST_SUBSCRIPTIONS:
            if params:
                raise Refused(2, "Invalid request: too many parameters", number)
            return Request(number, method)
        case Method.SET_PROPERTY | Method.GET_PROPERTY:
            return _property(method, params, number)


def _property(method: Method, params: Any, number: int | str | None) -> Request:  # Any: decoded JSON
    given = params if type(params) is list else []
    if not given or type(given[0]) is not str:
        raise Refused(2, "Invalid request: property name must be a string", number)
    if len(given) > (2 if method is Method.SET_PROPERTY else 1):
        raise Refused(2, "Invalid request: too many parameters", number)
    if given[0] != "combined":
        raise Refused(0, "Unknown property", number)
    if method is Method.GET_PROPERTY:
        return Request(number, method)
    if len(given) < 2 or type(given[1]) is not bool:
        raise Refused(1, "Invalid value type: expected Boolean", number)
    return Request(number, method, value=given[1])


def _read_json(text: str) -> Any:  # Any: decoded JSON
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        raise Refused(3, f"Invalid JSON: expected value at line {error.lineno} column {error.colno}") from None
    except RecursionError:
        raise Refused(3, f"Invalid JSON: recursion limit exceeded at line 1 column {_DEEPEST}") from None
    except ValueError:  # a number of thousands of digits, or NaN, which is no JSON
        raise Refused(3, "Invalid JSON: expected value at line 1 column 1") from None


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _id_of(fields: dict[str, Any], market: Market) -> object:  # Any: decoded JSON
    """Return the id as its market allows it, NO_ID where it does not."""
    number = fields.get("id", NO_ID)
    if type(number) is int:
        lowest, highest = (-INT64_MAX - 1, INT64_MAX) if market is Market.SPOT else (0, UINT64_MAX)
        return number if lowest <= number <= highest else NO_ID
    if market is Market.SPOT and (number is None or (type(number) is str and _ID_TEXT.fullmatch(number))):
        return number
    return NO_ID


def is_name(name: str) -> bool:
    """Say whether a stream name has the shape of one; whether such a stream exists, the venue does not tell."""
    if not name or _NOT_IN_NAMES.search(name):
        return False
    symbol, at, tail = name.partition("@")
    return name.startswith("!") or name == "tradingSession" or bool(symbol and at and tail)


def result(value: object, number: int | str | None) -> bytes:
    """Write an answer."""
    return _packed({"result": value, "id": number})


def error(refused: Refused) -> bytes:
    """Write an error."""
    fields: dict[str, object] = {"error": {"code": refused.code, "msg": refused.text}}
    if refused.id is not NO_ID:
        fields["id"] = refused.id
    return _packed(fields)


def _packed(fields: dict[str, object]) -> bytes:
    # Lone surrogates, which JSON may spell and UTF-8 may not, go back as they came: escaped.
    text = json.dumps(fields, ensure_ascii=False, separators=(",", ":"))
    try:
        return text.encode()
    except UnicodeEncodeError:
        return json.dumps(fields, separators=(",", ":")).encode()
