"""`hftcap book`: the order books of a capture at an instant, at an update, or as they go."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hftcap.cli.console import live, progress, say, show_json, show_renderables, stop_on_signal, table
from hftcap.cli.options import AsJson, Captures, clock_text, instant_ns
from hftcap.clock import SystemClock

if TYPE_CHECKING:
    from rich.console import RenderableType

    from hftcap.capture.reader import Finding, Recording
    from hftcap.kernel import Kernel, SymbolBook
    from hftcap.pipeline import Run

_EPILOG = """[bold]Examples[/bold]

  hftcap book btc --at end                                           every symbol that has depth

  hftcap book btc -s BTCUSDT --at 2024-08-09T00:01:02.5Z --levels 10

  hftcap book btc -s BTCUSDT --at +30s --json

  hftcap book btc -s BTCUSDT --at-id 50093421612                     as it stood at that update

  hftcap book live -s BTCUSDT -s ETHUSDT --follow                    while it is being recorded"""

_POLL_NS = 250_000_000
LEVELS_SHOWN = 10

_Reached = tuple[int | None, bool]


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("book", epilog=_EPILOG)(book)


def book(
    captures: Captures,
    symbol: Annotated[
        list[str] | None, typer.Option("--symbol", "-s", help="Symbol as the venue writes it; repeatable. All if none.")
    ] = None,
    at: Annotated[str, typer.Option("--at", metavar="TIME", help="end or RFC 3339, epoch, +30s, -5m.")] = "end",
    at_id: Annotated[
        int | None, typer.Option("--at-id", metavar="ID", min=0, help="The last state at or before this update id.")
    ] = None,
    levels: Annotated[int | None, typer.Option(min=1, help="Levels per side to print.")] = None,
    follow: Annotated[bool, typer.Option("--follow", help="Go on as the capture is written, until Ctrl-C.")] = False,
    as_json: AsJson = False,
) -> None:
    """Rebuild order books up to an instant of the timeline, or up to an update, and print them.

    The digest is over all levels, however many are printed. With --json an object a book, each on a line of its own
    where there are several. Exit code 3 where the capture is cut or damaged.
    """
    from hftcap.capture.reader import open_recordings
    from hftcap.pipeline import Run

    wanted = list(dict.fromkeys(name.upper() for name in symbol or ()))
    if (at != "end") + (at_id is not None) + follow > 1:
        raise typer.BadParameter("--at, --at-id and --follow each say where to stop: give one of them")
    if at_id is not None and len(wanted) != 1:
        raise typer.BadParameter("--at-id is an update of one symbol: give one --symbol with it")
    if follow:
        _follow(captures, wanted, levels, as_json=as_json)
        return
    recordings = open_recordings(captures)
    run = Run(recordings, books_only=True)
    at_ns, ended = _replay(run, recordings, at, wanted[0] if at_id is not None else None, at_id)
    findings = run.findings
    names = wanted or sorted(name for name, each in run.kernel.books.items() if each.has_depth)
    if not names:
        say("hftcap: no symbol has depth up to there")
    for name in names:
        found = run.kernel.books.get(name)
        if found is None or not found.has_depth:
            found = _not_yet(recordings, name)
        result = _result(name, found, at_ns, levels)
        if as_json:
            show_json(result)
        else:
            show_renderables(_drawn(result, levels or LEVELS_SHOWN))
        if at_id is not None and found.book_update_id != at_id:
            say(f"hftcap: {_beside(at_id, found, ended=ended)}")
    _tell(findings)


def _replay(run: "Run", recordings: "list[Recording]", at: str, symbol: str | None, at_id: int | None) -> _Reached:
    """Replay up to where the options say; return that instant, and whether the capture ends before it."""
    from hftcap.pipeline import span

    relative = at.startswith(("+", "-"))
    until = None if at == "end" else instant_ns(at, *(span(recordings) if relative else (None, None)))
    last_ns: int | None = None
    beyond = None if symbol is None or at_id is None else run.find_beyond(symbol, at_id)
    with progress("replaying", run.file_bytes) as advance:
        if beyond is not None:
            batches = run.batches_before(beyond)
        else:
            batches = run.batches(until, advance, None if until is None else run.take_up(until))
        for batch in batches:
            if batch.chunk.records:
                last_ns = int(batch.chunk.timeline_ns[batch.chunk.stop - 1])
    if until is None and beyond is None:
        run.finish()  # at the end no other line brings what an update waits for
    return last_ns if until is None else until, beyond is None


def _follow(captures: list[Path], wanted: list[str], levels: int | None, *, as_json: bool) -> None:
    """Print the books whenever they have changed, as far as the capture is written by then."""
    from hftcap.capture.follow import follow as follow_folder
    from hftcap.capture.reader import open_recordings
    from hftcap.pipeline import Run

    if len(captures) != 1 or not captures[0].is_dir():
        raise typer.BadParameter("--follow takes one capture folder")
    clock = SystemClock()
    kernel: Kernel | None = None
    shown: dict[str, int | None] = {}
    at_ns: int | None = None
    with stop_on_signal() as stopped, live() as draw:

        def show_changed() -> None:
            books: dict[str, SymbolBook] = {} if kernel is None else kernel.books
            names = wanted or sorted(name for name, each in books.items() if each.has_depth)
            stands = {name: books[name].book_update_id for name in names if name in books}
            if stands == shown:
                return
            shown.clear()
            shown.update(stands)
            results = [_result(name, books[name], at_ns, levels or LEVELS_SHOWN) for name in stands]
            if as_json:
                for result in results:
                    show_json(result)
            else:
                draw([part for result in results for part in _drawn(result, levels or LEVELS_SHOWN)])

        def wait() -> bool:
            show_changed()
            clock.sleep(_POLL_NS)
            return not stopped()

        for chunk in follow_folder(captures[0], wait):
            if kernel is None:
                kernel = Run(open_recordings(captures)).kernel
            kernel.run(chunk.block)
            if chunk.records:
                at_ns = int(chunk.timeline_ns[-1])
            if stopped():
                break
        if kernel is not None and not stopped():
            kernel.finish()
        show_changed()
    if not stopped():
        _judge(open_recordings(captures), kernel, wanted)


def _judge(recordings: "list[Recording]", kernel: "Kernel | None", wanted: list[str]) -> None:
    """Say of a capture that was followed to its end what is wrong with it, or with what was asked for."""
    for recording in recordings:
        for _ in recording.chunks():
            pass  # a follower passes over what is damaged: only a reader says what that was
    if kernel is not None:
        for name in wanted:
            _refuse_unknown(kernel, name)
    _tell([finding for recording in recordings for finding in recording.findings])


def _tell(findings: "list[Finding]") -> None:
    """Say what is wrong with the storage; exit 3 if anything is."""
    for finding in findings:
        say(f"hftcap: {finding.path.name} at byte {finding.offset}: {finding.what}")
    if findings:
        raise typer.Exit(3)


def _result(symbol: str, found: "SymbolBook", at_ns: int | None, levels: int | None) -> dict[str, Any]:  # Any: JSON
    """Return the JSON of the contract for one book."""
    from hftcap.fixed import format_e8

    sides = {"bids": found.book.bids(levels), "asks": found.book.asks(levels)}
    return {
        "symbol": symbol,
        "at_ns": at_ns,
        "state": str(found.sync.state),
        "final_update_id": found.book_update_id,
        **{name: [[format_e8(price), format_e8(size)] for price, size in side] for name, side in sides.items()},
        "n_bids": found.book.n_bids,
        "n_asks": found.book.n_asks,
        "sha256": found.book.sha256(),
    }


def _beside(at_id: int, found: "SymbolBook", *, ended: bool) -> str:
    """Say what is printed where no state ends at an update id."""
    if ended:
        return f"the capture ends at update {found.book_update_id}, before {at_id}: its last state is printed"
    if found.book_update_id is None:
        return f"the book begins behind update {at_id}: it is empty there"
    return f"no state ends at update {at_id}: the last one before it is printed"


def _not_yet(recordings: "list[Recording]", symbol: str) -> "SymbolBook":
    """Return the empty book of a symbol whose depth begins later; refuse one that never has any."""
    from hftcap.pipeline import Run

    whole = Run(recordings)
    for _ in whole.batches():
        pass
    _refuse_unknown(whole.kernel, symbol)
    return whole.kernel.feed.new_book()


def _refuse_unknown(kernel: "Kernel", symbol: str) -> None:
    """Refuse a symbol that a whole capture does not have, or has no depth of."""
    from hftcap.errors import NoDepth, UnknownSymbol

    if symbol not in kernel.symbols:
        raise UnknownSymbol(symbol, tuple(sorted(kernel.symbols)))
    with_depth = tuple(sorted(name for name, each in kernel.books.items() if each.has_depth))
    if symbol not in with_depth:
        raise NoDepth(symbol, with_depth)


def _drawn(result: dict[str, Any], levels: int) -> "list[RenderableType]":  # Any: the JSON of the contract
    bids, asks = result["bids"][:levels], result["asks"][:levels]
    blank = ["", ""]
    rows = []
    for position in range(max(len(bids), len(asks))):
        bid = bids[position] if position < len(bids) else blank
        ask = asks[position] if position < len(asks) else blank
        rows.append([bid[1], bid[0], ask[0], ask[1]])
    return [
        f"{result['symbol']} at {clock_text(result['at_ns'])}  {result['state']}, update {result['final_update_id']}",
        table("", ["bid size", "bid", "ask", "ask size"], rows, words=0),
        f"{result['n_bids']:,} bids, {result['n_asks']:,} asks, sha256 {result['sha256']}",
    ]
