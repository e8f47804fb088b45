"""The WebSocket API: one request, one answer, over a connection that has no streams. Pure.

    {"id":1,"method":"depth","params":{"symbol":"BTCUSDT","limit":"100"}}
    {"id":1,"status":200,"result":{…},"rateLimits":[…]}

Source: protocol notes, sections 2.1 and 7.2 (spot docs, web-socket-api.md).
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from hftcap.serve.params import RestRefused

METHODS: Mapping[str, str] = {
    "ping": "ping",
    "time": "time",
    "exchangeInfo": "exchangeInfo",
    "depth": "depth",
    "trades.recent": "trades",
    "trades.historical": "historicalTrades",
    "trades.aggregate": "aggTrades",
    "ticker.book": "ticker/bookTicker",
    "ticker.price": "ticker/price",
}


@dataclass(frozen=True, slots=True)
class ApiRequest:
    """A request in order: which REST endpoint has the same answer, and its parameters as text."""

    id: object
    endpoint: str
    params: tuple[tuple[str, str], ...]


def read_api_request(text: str) -> ApiRequest:
    """Read one message; numbers may come as text, and text is what the endpoints read.

    Raises:
        RestRefused: it is none. Its `note` is the id as JSON, where there was one.
    """
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError):
        fields = None
    if type(fields) is not dict:
        raise RestRefused(400, -1000, "Malformed request: expected a JSON object.")
    number = fields.get("id")
    if not (number is None or type(number) in (int, str)):
        raise RestRefused(400, -1100, "Illegal characters found in parameter 'id'; legal range is an integer or text.")
    method, params = fields.get("method"), fields.get("params") or {}
    if type(method) is not str or method not in METHODS:
        raise RestRefused(400, -1020, "This operation is not supported.", json.dumps(number))
    if type(params) is not dict:
        raise RestRefused(400, -1102, "Parameter 'params' was malformed.", json.dumps(number))
    given = tuple((name, _as_text(value)) for name, value in params.items())
    return ApiRequest(number, METHODS[method], given)


def _as_text(value: Any) -> str:  # Any: decoded JSON
    return value if type(value) is str else json.dumps(value, separators=(",", ":"))


def api_answer(number: object, limits: list[dict[str, Any]], used: int, found: bytes) -> bytes:  # Any: JSON
    """Write an answer around a REST body."""
    head = msgspec.json.encode({"id": number, "status": 200})
    return head[:-1] + b',"result":' + found + b',"rateLimits":' + _counted(limits, used) + b"}"


def api_refusal(number: object, limits: list[dict[str, Any]], used: int, refused: RestRefused) -> bytes:  # Any: JSON
    """Write an error."""
    error = {"code": refused.code, "msg": refused.text}
    head = msgspec.json.encode({"id": number, "status": refused.status, "error": error})
    return head[:-1] + b',"rateLimits":' + _counted(limits, used) + b"}"


def _counted(limits: list[dict[str, Any]], used: int) -> bytes:  # Any: JSON
    return msgspec.json.encode(
        [limit | {"count": used} for limit in limits if limit["rateLimitType"] == "REQUEST_WEIGHT"]
    )
