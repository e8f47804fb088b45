"""A capture file through either kernel, against orjson and a dict book with cached best prices."""

from functools import partial

import pytest

from bench.contenders import Outcome, Prints, orjson_dict, split_snapshot
from bench.feeds import NAMES, Feed, feed_of
from bench.rounds import best_of, timed
from hftcap.kernel.choice import chosen
from hftcap.kernel.reference import ReferenceKernel

ROUNDS = 3


@pytest.fixture(scope="module", params=NAMES)
def feed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Feed:
    return feed_of(request.param, tmp_path_factory.mktemp("feed") / "capture")


def replay(feed: Feed, kernel: type[ReferenceKernel]) -> Outcome:
    prints, run = Prints(), feed.new(kernel)
    for chunk in feed.recording.chunks():
        prints.add(run.run(chunk.block).columns)
    return prints.outcome(run)


@pytest.mark.parametrize("kernel", {ReferenceKernel, chosen()}, ids=lambda kernel: kernel.name)
def test_replay_against_orjson_and_dict(feed: Feed, kernel: type[ReferenceKernel], benchmark) -> None:
    """The ratio of the two best CPU times is what to quote; ours opens the file's blocks, too."""
    snapshot, payloads = split_snapshot(feed.payloads)
    _, expected = orjson_dict(snapshot, payloads)
    outcome = benchmark.pedantic(replay, args=(feed, kernel), rounds=1, warmup_rounds=1)
    assert outcome.agrees(expected), (outcome, expected)
    best = best_of(
        {
            "ours": timed(partial(replay, feed, kernel)),
            "orjson": timed(partial(orjson_dict, snapshot, payloads)),
        },
        ROUNDS,
    )
    ratio = best["ours"] / best["orjson"]
    benchmark.extra_info["CPU time against orjson and dict"] = round(ratio, 3)
    ours, theirs = (best[name] / len(payloads) for name in ("ours", "orjson"))
    print(f"\n{feed.name}: {kernel.name} {ours:,.0f} ns a message, orjson and dict {theirs:,.0f}: {ratio:.2f}x")
