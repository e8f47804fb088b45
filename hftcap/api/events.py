"""A replay as an iterable of typed events, each with the book of its symbol as it stands then."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from hftcap.api.book import Book
from hftcap.api.records import Paths, Record, as_paths, names_of, records_of, warn_of
from hftcap.binance.lines import Arrival
from hftcap.binance.messages import Message, Oddity, OddityKind
from hftcap.binance.parser import Parser
from hftcap.capture.format import Kind
from hftcap.capture.reader import Chunk, open_recordings
from hftcap.clock import Clock, SystemClock
from hftcap.kernel import Selection
from hftcap.pacing import Pace, Pacer, speed_of
from hftcap.pipeline import Run

_BINARY = Oddity(oddity=OddityKind.UNKNOWN, detail="a binary frame")


class Event(NamedTuple):
    """A record, the message in it, and the book.

    `book` is the book of the message's symbol, None where it has none, as it stands after this message; with the next
    event it goes on, so take from it what is to be kept. `arrival` is not FIRST where a redundant line brought the
    event before. Payloads that cannot be read come as a `message` of type Oddity.
    """

    message: Message
    record: Record
    book: Book | None
    arrival: Arrival

    @property
    def recv_ns(self) -> int:
        """The wall clock at receipt, epoch nanoseconds."""
        return self.record.recv_ns

    @property
    def timeline_ns(self) -> int:
        """The place on the timeline, which never goes backwards."""
        return self.record.timeline_ns


def replay(
    paths: Paths,
    *,
    speed: float | str = "max",
    max_gap_ns: int | None = None,
    start_ns: int | None = None,
    until_ns: int | None = None,
    symbols: str | Iterable[str] = (),
    streams: str | Iterable[str] = (),
    connections: Iterable[int] = (),
    clock: Clock | None = None,
) -> Iterator[Event]:
    """Yield the events of captures, merged by timeline, each when it is due.

    `speed` is timeline time per real time, or `max` for no waiting; `max_gap_ns` shortens longer silences. `start_ns`
    and `until_ns` are instants of the timeline, both included; the books are right from the first event on. A consumer
    that is slow makes events late and loses none. What is found damaged is warned of at the end (`DamagedCapture`).
    `clock` stands in for the system's, as in tests.

    Raises:
        CaptureError: a path cannot be used.
        BadPace: the speed is not positive.
        MarketsDiffer: the captures are of more than one market.
    """
    selection = Selection(names_of(symbols), names_of(streams), connections)
    run = Run(open_recordings(as_paths(paths)), selection=selection)
    pacer = Pacer(
        Pace(speed_of(speed), max_gap_ns), clock or SystemClock(), counts=selection.forecast_of if selection else None
    )
    return _events(run, selection, pacer, until_ns, start_ns)


def _events(
    run: Run, selection: Selection, pacer: Pacer, until_ns: int | None, start_ns: int | None
) -> Iterator[Event]:
    events = _Events(run, selection)
    for piece in pacer.pieces(run.chunks(until_ns, start_ns=start_ns)):
        yield from events.of(piece)
    run.finish()  # books that waited for another line show what is missing
    warn_of(run.recordings)


class _Events:
    """What turns records into events, going on from where a run's kernel stands."""

    def __init__(self, run: Run, selection: Selection) -> None:
        self._kernel = run.kernel
        self._feed = run.kernel.feed
        self._selection = selection
        self._parse = Parser().parse
        self._views: dict[str, Book] = {}

    def of(self, chunk: Chunk) -> Iterator[Event]:
        block = chunk.block
        requests = block.requests()
        capture = block.header.capture_id.hex()
        base = self._kernel.line_base(block, chunk.first)
        for place, record in enumerate(records_of(chunk), start=chunk.first):
            message: Message = _BINARY
            if record.kind is not Kind.WS_BINARY:
                asked = requests.get(place, {}).get("symbol")
                message = self._parse(record.payload, rest=record.kind is Kind.REST, symbol=asked)
            if self._selection and not self._selection.takes(message, record.conn):
                continue
            origin = (capture, block.header.sequence, place, record.recv_ns)
            arrival = self._feed.take(message, record.payload, base + record.conn, origin)
            yield Event(message, record, self._book(message.symbol), arrival)

    def _book(self, symbol: str | None) -> Book | None:
        if symbol is None or symbol not in self._feed.books:
            return None
        view = self._views.get(symbol)
        if view is None:
            view = self._views[symbol] = Book.of(self._feed.books[symbol])
        return view
