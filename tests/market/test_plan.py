"""A plan that cannot be made is refused in words; gaps from a seed lie apart and inside the run."""

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hftcap.binance.endpoints import Market
from hftcap.market.plan import START_NS, Link, Plan, flaw_of, spread_gaps, stream_of

SECOND = 1_000_000_000
PLAN = Plan(seed=1, duration_ns=10 * SECOND)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"market": Market.COINM}, "coinm"),
        ({"duration_ns": 0}, "duration"),
        ({"duration_ns": 10**19}, "ten years"),
        ({"link": Link(offset_ns=-(10**19))}, "ten years"),
        ({"gap_ns": 10**19}, "ten years"),
        ({"link": Link(delay_ns=10**19)}, "delay"),
        ({"link": Link(jitter_ns=61 * SECOND)}, "jitter"),
        ({"rate": 10**400}, "rate"),
        ({"link": Link(lines=64), "gaps": tuple(range(START_NS, START_NS + 1_100))}, "70464 connections"),
        ({"symbols": ()}, "symbol"),
        ({"symbols": ("BTCUSDT", "BTCUSDT")}, "twice"),
        ({"streams": ("trade", "trade")}, "twice"),
        ({"symbols": ("btcusdt",)}, "upper case"),
        ({"symbols": ("BTC@USDT",)}, "no symbol"),
        ({"symbols": tuple(f"S{number}" for number in range(342))}, "at most 1024 streams"),
        ({"streams": ("depth@0ms",)}, "btcusdt@depth@0ms"),
        ({"streams": ("kline_1M",)}, "kline_1M"),
        ({"streams": ("kline_1m@+08:00",)}, "kline_1m"),
        ({"market": Market.USDM, "streams": ("depth@1000ms",)}, "depth@1000ms"),
        ({"streams": ("ticker",)}, "ticker"),
        ({"gaps": (START_NS + 10 * SECOND,)}, "gap"),
        ({"handovers": (START_NS - 1,)}, "handover"),
        ({"gaps": (START_NS + 5 * SECOND, START_NS + 2 * SECOND, START_NS + 3 * SECOND)}, "1s after it began"),
    ],
)
def test_what_cannot_be_made_is_said(change, word):
    """One sentence that names it."""
    flaw = flaw_of(replace(PLAN, **change))
    assert flaw is not None and word in flaw


@pytest.mark.parametrize("market", [Market.SPOT, Market.USDM])
def test_a_plan_without_flaw(market):
    """The defaults, any symbol, every stream there is."""
    tails = (
        "trade",
        "aggTrade",
        "bookTicker",
        "depth",
        "depth@100ms",
        "depth5@100ms",
        "depth20",
        "kline_1d",
        "miniTicker",
    )
    assert flaw_of(replace(PLAN, market=market)) is None
    assert flaw_of(replace(PLAN, market=market, symbols=("测试USDT", "X"), streams=tails)) is None
    assert flaw_of(replace(PLAN, market=market, symbols=tuple(f"S{number}" for number in range(341)))) is None
    assert (stream_of("X", "depth@0ms", market) is None) == (market is Market.SPOT)


def test_connections_are_counted_by_what_the_streams_need():
    """Two routes on USD-M only where there are streams on both; on spot one connection a line, so twice as many fit."""
    gaps = tuple(START_NS + number * 10_000_000 for number in range(600))
    plan = replace(PLAN, link=Link(lines=64), gaps=gaps, gap_ns=1_000)
    assert flaw_of(plan) is None
    futures = replace(plan, market=Market.USDM)
    assert flaw_of(futures) is None
    flaw = flaw_of(replace(futures, streams=("trade", "kline_1m")))
    assert flaw is not None and str(601 * 64 * 2) in flaw


@given(st.integers(1, 20), st.integers(0, 5))
def test_gaps_from_a_seed_lie_apart(count, seed):
    """As many as asked for, each over before the next begins, all inside the run."""
    duration, gap = 100 * SECOND, SECOND
    gaps = spread_gaps(count, duration, gap, seed)
    assert len(gaps) == count
    assert all(after - before > gap for before, after in pairwise(gaps))
    assert gaps[0] > START_NS and gaps[-1] + gap < START_NS + duration
    assert flaw_of(replace(PLAN, duration_ns=duration, gaps=gaps, gap_ns=gap)) is None
