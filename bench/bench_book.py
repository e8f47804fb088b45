"""What a price level costs a book, the plain one and the compiled one, in a market that behaves and in deep ones."""

import pytest

from hftcap.book.levels import Levels
from tests.kernel.test_window_levels import market

try:
    from hftcap.kernel._native import WindowLevels

    BOOKS: list[type[Levels]] = [Levels, WindowLevels]
except ImportError:  # it was not built: there was no compiler
    BOOKS = [Levels]

UPDATES = 500
DEEP = 10_000
FAR_MOST = 0.12
FOLLOWED = ("plain", "deep, near the touch")
"""Markets that stay near the touch, so few levels may miss the window."""


def figures(book: Levels) -> tuple[int, int]:
    """Return how many levels a compiled book has applied, and how many of them missed its window."""
    sides = book.window  # type: ignore[attr-defined]  # the compiled one's
    return sum(side[1] for side in sides), sum(side[2] for side in sides)


@pytest.mark.parametrize("kind", [*FOLLOWED, "deep", "2 % off the grid", "jumps 30 %"])
@pytest.mark.parametrize("book", BOOKS, ids=lambda book: book.__name__)
def test_updates(book: type[Levels], kind: str, benchmark) -> None:
    """The touch is read after every update; at the end both kinds of book have the same levels."""
    snapshot, *updates = list(market(kind, UPDATES, seed=5, deep=DEEP))

    def apply(held: Levels) -> Levels:
        for bids, asks in updates:
            held.apply(bids, asks)
            held.touch()
        return held

    ended, plain = apply(book(*snapshot)), apply(Levels(*snapshot))
    assert ended.sha256() == plain.sha256()
    assert ended.touch() == plain.touch()
    if book is not Levels and kind in FOLLOWED:
        begun = figures(book(*snapshot))  # a deep snapshot lies beside the window, and is no update
        applied, missed = (after - before for after, before in zip(figures(ended), begun, strict=True))
        assert missed <= FAR_MOST * applied, "the window does not follow the market"
    benchmark.pedantic(apply, setup=lambda: ((book(*snapshot),), {}), rounds=20)
    benchmark.extra_info["levels a round"] = sum(len(bids) + len(asks) for bids, asks in updates)
