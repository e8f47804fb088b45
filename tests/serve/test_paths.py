"""What request lines ask for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hftcap.binance.endpoints import Market, Route
from hftcap.serve.paths import NoPath, RestPath, StreamPath, TimeUnit, WsApiPath, target_of

SPOT, USDM = Market.SPOT, Market.USDM


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/ws", StreamPath(False)),
        ("/ws/", StreamPath(False)),
        ("/ws/0", StreamPath(False, ("0",))),
        ("/ws/btcusdt@trade", StreamPath(False, ("btcusdt@trade",))),
        ("/ws/btcusdt%40trade", StreamPath(False, ("btcusdt@trade",))),
        ("/ws/a@trade/b@trade", StreamPath(False, ("a@trade", "b@trade"))),
        ("/stream", StreamPath(True)),
        ("/stream?streams=", StreamPath(True)),
        ("/stream?streams=a@trade/b@depth@100ms/a@trade", StreamPath(True, ("a@trade", "b@depth@100ms"))),
        ("/stream?streams=a%40trade%2Fb%40trade", StreamPath(True, ("a@trade", "b@trade"))),
        ("/stream?streams=a@kline_1d@+08:00", StreamPath(True, ("a@kline_1d@+08:00",))),
        ("/stream?streams=a@kline_1d@%2B08:00", StreamPath(True, ("a@kline_1d@+08:00",))),
        ("/stream?streams=%E8%BF%99@trade", StreamPath(True, ("这@trade",))),
        ("/stream?streams=a@trade&timeUnit=MICROSECOND", StreamPath(True, ("a@trade",), unit=TimeUnit.MICROSECOND)),
        ("/stream?timeUnit=microsecond", StreamPath(True, unit=TimeUnit.MICROSECOND)),
        ("/ws/a@trade?timeUnit=MILLISECOND", StreamPath(False, ("a@trade",), unit=TimeUnit.MILLISECOND)),
        ("/ws-api/v3", WsApiPath()),
        ("/api/v3/ping", RestPath("ping")),
        ("/api/v1/depth?limit=5&symbol=X", RestPath("depth", (("limit", "5"), ("symbol", "X")))),
        ("/api/v3/exchangeInfo?symbols=%5B%22A%22%5D", RestPath("exchangeInfo", (("symbols", '["A"]'),))),
    ],
)
def test_spot_paths(path, expected):
    """Every form of section 1.3, and REST under v3 and its older alias."""
    assert target_of(path, SPOT) == expected


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/ws?btcusdt@trade", 400),
        ("/extra/ws/btcusdt@trade", 404),
        ("/public/ws", 404),
        ("/fapi/v1/ping", 404),
        ("/stream?timeUnit=SECOND", 400),
        ("/", 404),
        ("*", 404),
        ("/ws/" + "x" * 8100, 414),
    ],
)
def test_what_is_refused(path, status):
    """A query in place of a path, parts before /ws, other markets' paths, bad units, URLs beyond 8,004 characters."""
    found = target_of(path, SPOT)
    assert isinstance(found, NoPath)
    assert found.status == status


@pytest.mark.parametrize("route", Route)
def test_futures_routes(route):
    """Both forms stand below each route; REST does not."""
    assert target_of(f"{route}/ws/a@trade", USDM) == StreamPath(False, ("a@trade",), route)
    assert target_of(f"{route}/stream?streams=a@trade", USDM) == StreamPath(True, ("a@trade",), route)
    assert target_of("/ws/a@trade", USDM) == StreamPath(False, ("a@trade",))
    assert target_of("/fapi/v1/depth?symbol=A", USDM) == RestPath("depth", (("symbol", "A"),))
    assert isinstance(target_of("/ws-api/v3", USDM), NoPath)


@given(st.text(max_size=300), st.sampled_from(Market))
def test_any_text_is_some_path(text, market):
    """Never an exception."""
    target_of("/" + text, market)
    target_of("/stream?" + text, market)
