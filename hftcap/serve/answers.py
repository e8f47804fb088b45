"""What REST and the WebSocket API share: an endpoint's answer at this instant, and the words for too much weight."""

import asyncio

from aiohttp import web

from hftcap.serve.faults import Fault
from hftcap.serve.market import ServedMarket
from hftcap.serve.paths import TimeUnit
from hftcap.serve.rest import Ask, Found, answer

JSON_TYPE = "application/json;charset=UTF-8"
TOO_MUCH = (
    "Too much request weight used; current limit is {0} request weight per 1 MINUTE. "
    "Please use WebSocket Streams for live updates to avoid polling the API."
)
BANNED = "Way too much request weight used; IP banned until {0}. Please use WebSocket Streams for live updates."


async def found_at(
    market: ServedMarket,
    endpoint: str,
    given: tuple[tuple[str, str], ...],
    unit: TimeUnit | None,
    faults: tuple[Fault, ...],
) -> Found:
    """Return an endpoint's answer.

    Where too much was sent since anyone asked, the books are sought first; meanwhile the feed goes on.

    Raises:
        RestRefused: the answer is an error.
    """
    books = market.books
    async with market.seeking:
        if books.lost:
            books.found(await asyncio.to_thread(books.seek()))
    ask = Ask(market.venue, given, market.limits.weight_per_minute, unit, faults, market.coming)
    return answer(endpoint, ask)


def json_response(status: int, body: bytes, headers: dict[str, str] | None = None) -> web.Response:
    """Return a response with a JSON body."""
    return web.Response(status=status, body=body, headers={"Content-Type": JSON_TYPE} | (headers or {}))
