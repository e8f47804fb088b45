"""A capture as a running market: playback, books, hub and REST's view of it, put together. No sockets here."""

import asyncio
from collections.abc import Iterator

from hftcap.binance.endpoints import Market
from hftcap.binance.streams import parse_stream
from hftcap.capture.reader import Chunk, Finding, open_recordings
from hftcap.clock import Clock
from hftcap.errors import MarketsDiffer, NothingSelected
from hftcap.pipeline import Run
from hftcap.serve.books import LiveBooks
from hftcap.serve.catalog import SCAN_RECORDS, Catalog, open_books, read_catalog
from hftcap.serve.control import is_name
from hftcap.serve.faults import FaultPlan
from hftcap.serve.hub import Hub
from hftcap.serve.limits import Limits
from hftcap.serve.options import AtEnd, Options
from hftcap.serve.playback import Playback
from hftcap.serve.sending import Sender, Suffers
from hftcap.serve.venue import Venue
from hftcap.serve.weights import Weights


class ServedMarket:
    """The market. Times handed in are of `clock`; nothing here sleeps.

    Raises:
        CaptureError: the capture cannot be read.
        MarketsDiffer: it is of another market than the one asked for.
    """

    def __init__(self, options: Options, clock: Clock) -> None:
        self.options = options
        self.catalog: Catalog = read_catalog(self._open_run(), options.start_ns)
        if options.market is not None and options.market is not self.catalog.market:
            raise MarketsDiffer(tuple(sorted((options.market, self.catalog.market))))
        if not self.catalog.streams:
            raise NothingSelected("hftcap serve: no event of any stream stands in the capture")
        open_books(self.catalog, self._open_run(), options.start_ns)
        self.limits = Limits.of(self.market).changed(options.limits)
        self.weights = Weights(self.limits.weight_per_minute, self.limits.attempts_per_5_min)
        self.faults = FaultPlan(options.faults)
        self.hub = Hub(self.market)
        self.books = LiveBooks(self._open_run, options.start_ns)
        loop = options.at_end is AtEnd.LOOP
        self.playback = Playback(self._open_pass, options.pace, self.catalog.first_ns, loop=loop)
        self.seeking = asyncio.Lock()
        self._clock = clock
        self._rebased_ns = 0
        self._pass: Run | None = None
        self.venue = Venue(self.catalog, self.books, self.hub, self.timeline_ns, self.shift_ns)
        self.sender: Sender

    @property
    def market(self) -> Market:
        """Which one it is."""
        return self.catalog.market

    def attach(self, victims: Suffers) -> None:
        """Say who carries out the faults of connections; before that nothing can be sent."""
        self.sender = Sender(
            self.hub,
            self.faults,
            victims,
            first_ns=self.catalog.first_ns,
            listed=list(self.catalog.streams),
            shift_ns=self.shift_ns if self.options.rebase else None,
            derive=self.options.derive,
        )

    def _open_run(self) -> Run:
        return Run(open_recordings(self.options.captures), books_only=True)

    def _open_pass(self) -> Iterator[Chunk]:
        self._pass = self._open_run()
        return self._pass.chunks(start_ns=self.options.start_ns)

    @property
    def findings(self) -> list[Finding]:
        """What the pass so far found wrong with the files."""
        return [] if self._pass is None else self._pass.findings

    def has(self, name: str) -> bool:
        """Say whether a stream is in the capture, as far as its beginning tells."""
        if name in self.catalog.streams:
            return True
        if self.options.derive and name.endswith("@aggTrade"):
            return name.removesuffix("aggTrade") + "trade" in self.catalog.streams
        # Behind what was scanned there may be more streams of symbols that are known.
        parsed = parse_stream(name, self.market) if is_name(name) else None
        is_long = sum(self.catalog.streams.values()) >= SCAN_RECORDS
        return is_long and parsed is not None and parsed.payload_symbol in self.catalog.symbols

    def timeline_ns(self) -> int:
        """Return where on the timeline the market stands."""
        return self.playback.timeline_ns(self._clock.mono_ns())

    @property
    def since_ns(self) -> int:
        """How much market time has passed."""
        return self.timeline_ns() - self.catalog.first_ns

    def shift_ns(self, at_ns: int) -> int:
        """Return by how much times are moved at a place of the timeline.

        Rebased, a record's new times are when it is due plus what its old times were behind its corrected receipt.
        """
        return self._rebased_ns + self.faults.clock_ns(at_ns - self.catalog.first_ns)

    def begin(self, now_ns: int, wall_ns: int) -> None:
        """Let the market begin now."""
        self._rebase(wall_ns)
        self.playback.begin(now_ns)

    def _rebase(self, wall_ns: int) -> None:
        if self.options.rebase:
            self._rebased_ns = wall_ns - self.catalog.first_ns - self.catalog.ahead_ns

    @property
    def ended(self) -> bool:
        """Whether all was sent, and nothing comes any more."""
        return self.playback.ended and self.sender.next_ns() is None

    def next_ns(self) -> int | None:
        """When something is due next."""
        due = [each for each in (self.playback.next_ns(), self.sender.next_ns()) if each is not None]
        return min(due, default=None)

    def send_due(self, now_ns: int, wall_ns: int) -> bool:
        """Put what is due by now into outlets, one piece of it; return whether there was any."""
        sender = self.sender
        sender.release(now_ns)
        if self.faults.clock_ns(0) or self.faults.clock_ns(10**15):
            sender.shift_ns = self.shift_ns
        playback = self.playback
        if playback.at_pass_end:
            self._rebase(wall_ns)
            playback.next_pass()
            self.books.restart()
            sender.restart()
        piece = playback.due(now_ns)
        if piece is None:
            return False
        sender.send(piece, now_ns)
        self.books.take(piece)
        if playback.ended or playback.at_pass_end:
            sender.finish()
        return True

    def coming(self) -> list[bytes]:
        """Return the payloads next in the stream, as far as they are at hand."""
        return self.playback.coming()

    def position(self) -> dict[str, object]:
        """Return where the market stands, for the status."""
        return {
            "begun": self.playback.begun,
            "ended": self.playback.ended,
            "sent": self.playback.sent,
            "passes": self.playback.passes,
            "timeline_ns": self.timeline_ns(),
        }
