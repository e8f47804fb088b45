"""An order book to hold in one's hand: the venue's messages in, levels out."""

from decimal import Decimal

from hftcap.binance.depth_sync import BookState, Verdict
from hftcap.binance.endpoints import Market
from hftcap.binance.messages import BookTicker, DepthDiff, Level, Message, RestDepth
from hftcap.book.levels import NO_ASK, NO_BID
from hftcap.fixed import SCALE
from hftcap.kernel import SymbolBook


class Book:
    """One symbol's order book, kept by the venue's rules for joining a REST snapshot and depth updates.

    Prices and sizes are integers scaled by 1e8; divide by `SCALE`. With `expects_snapshot` updates are kept until a
    snapshot joins (state `buffering`); without, they are applied from empty (`partial`) until one does.

    Source: protocol notes, sections 6.1 to 6.3.
    """

    SCALE = SCALE

    def __init__(self, market: Market | str = Market.SPOT, *, expects_snapshot: bool = True) -> None:
        futures = Market(market) is not Market.SPOT
        self._kept = SymbolBook(futures=futures, expects_snapshot=expects_snapshot)

    @classmethod
    def of(cls, kept: SymbolBook) -> "Book":
        """Return a view of a book that is kept elsewhere; it goes on as that one does."""
        view = cls.__new__(cls)
        view._kept = kept
        return view

    def apply(self, message: Message) -> Verdict | None:
        """Take a message; return what it was to the book, None where it is no depth update or snapshot."""
        if isinstance(message, DepthDiff):
            return self._kept.diff(message)[0]
        if isinstance(message, RestDepth):
            return self._kept.snapshot(message)[0]
        if isinstance(message, BookTicker):
            self._kept.quote(message)
        return None

    @property
    def state(self) -> BookState:
        """`partial`, `buffering`, `synced` or `gap`."""
        return self._kept.sync.state

    @property
    def update_id(self) -> int | None:
        """The update id the book stands at, None before the first."""
        return self._kept.book_update_id

    @property
    def gaps(self) -> int:
        """How often an update was missing."""
        return self._kept.sync.gaps

    def bids(self, count: int | None = None) -> list[Level]:
        """Return (price, size) of the best `count` bids, or of all, highest price first."""
        return self._kept.book.bids(count)

    def asks(self, count: int | None = None) -> list[Level]:
        """Return (price, size) of the best `count` asks, or of all, lowest price first."""
        return self._kept.book.asks(count)

    @property
    def best_bid(self) -> Level | None:
        """Price and size of the best bid, None where there is none."""
        price, size, _, _ = self._kept.book.touch()
        return None if price == NO_BID else (price, size)

    @property
    def best_ask(self) -> Level | None:
        """Price and size of the best ask, None where there is none."""
        _, _, price, size = self._kept.book.touch()
        return None if price == NO_ASK else (price, size)

    @property
    def mid(self) -> Decimal | None:
        """The middle of best bid and ask, exact; None where a side is empty."""
        bid, ask = self.best_bid, self.best_ask
        return None if bid is None or ask is None else Decimal(bid[0] + ask[0]) / (2 * SCALE)

    def sha256(self) -> str:
        """Return the digest over all levels: lines `b <price> <size>`, then `a …`, best first; see `hftcap book`."""
        return self._kept.book.sha256()

    def __len__(self) -> int:
        return self._kept.book.n_bids + self._kept.book.n_asks

    def __repr__(self) -> str:
        return f"<Book {self.state}, update {self.update_id}, {len(self)} levels>"
