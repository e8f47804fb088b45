"""`hftcap book`: the order book of one symbol at an instant."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from hftcap.cli.console import progress, say, show, show_json, show_table
from hftcap.cli.options import AsJson, Captures, clock_text, instant_ns

if TYPE_CHECKING:
    from hftcap.capture.reader import Recording
    from hftcap.kernel import SymbolBook

_EPILOG = """[bold]Examples[/bold]

  hftcap book btc --symbol BTCUSDT --at end

  hftcap book btc -s BTCUSDT --at 2024-08-09T00:01:02.5Z --levels 10

  hftcap book btc -s BTCUSDT --at +30s --json"""


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("book", epilog=_EPILOG)(book)


def book(
    captures: Captures,
    symbol: Annotated[str, typer.Option("--symbol", "-s", help="Symbol, upper case as the venue writes it.")],
    at: Annotated[str, typer.Option("--at", metavar="TIME", help="end or RFC 3339, epoch, +30s, -5m.")] = "end",
    levels: Annotated[int | None, typer.Option(min=1, help="Levels per side to print.")] = None,
    as_json: AsJson = False,
) -> None:
    """Rebuild a book up to an instant of the timeline and print it.

    The digest is over all levels, however many are printed. Exit code 3 where the capture is cut or damaged.
    """
    from hftcap.capture.reader import open_recordings
    from hftcap.fixed import format_e8
    from hftcap.pipeline import Run, span

    recordings = open_recordings(captures)
    run = Run(recordings, books_only=True)
    last_ns: int | None = None
    relative = at.startswith(("+", "-"))
    until = None if at == "end" else instant_ns(at, *(span(recordings) if relative else (None, None)))
    start = None if until is None else run.take_up(until)
    with progress("replaying", run.file_bytes) as advance:
        for batch in run.batches(until, progress=advance, start=start):
            if batch.records:
                last_ns = int(batch.chunk.timeline_ns[batch.chunk.stop - 1])
    at_ns = last_ns if until is None else until
    findings = run.findings
    found = run.kernel.books.get(symbol)
    if found is None or not found.has_depth:
        found = _not_yet(recordings, symbol)
    state = found.sync.state
    sides = {"bids": found.book.bids(levels), "asks": found.book.asks(levels)}
    result: dict[str, Any] = {  # Any: the JSON of the contract
        "symbol": symbol,
        "at_ns": at_ns,
        "state": str(state),
        "final_update_id": found.book_update_id,
        **{name: [[format_e8(price), format_e8(size)] for price, size in side] for name, side in sides.items()},
        "n_bids": found.book.n_bids,
        "n_asks": found.book.n_asks,
        "sha256": found.book.sha256(),
    }
    if as_json:
        show_json(result)
    else:
        _show(result, levels or 10)
    for finding in findings:
        say(f"hftcap: {finding.path.name} at byte {finding.offset}: {finding.what}")
    if findings:
        raise typer.Exit(3)


def _not_yet(recordings: "list[Recording]", symbol: str) -> "SymbolBook":
    """Return the empty book of a symbol whose depth begins later; refuse one that never has any."""
    from hftcap.errors import NoDepth, UnknownSymbol
    from hftcap.pipeline import Run

    whole = Run(recordings)
    for _ in whole.batches():
        pass
    if symbol not in whole.kernel.symbols:
        raise UnknownSymbol(symbol, tuple(sorted(whole.kernel.symbols)))
    with_depth = tuple(sorted(name for name, each in whole.kernel.books.items() if each.has_depth))
    if symbol not in with_depth:
        raise NoDepth(symbol, with_depth)
    return Run(recordings).kernel.feed.new_book()


def _show(result: dict[str, Any], levels: int) -> None:  # Any: the JSON of the contract
    show(f"{result['symbol']} at {clock_text(result['at_ns'])}  {result['state']}, update {result['final_update_id']}")
    bids, asks = result["bids"][:levels], result["asks"][:levels]
    blank = ["", ""]
    rows = []
    for position in range(max(len(bids), len(asks))):
        bid = bids[position] if position < len(bids) else blank
        ask = asks[position] if position < len(asks) else blank
        rows.append([bid[1], bid[0], ask[0], ask[1]])
    show_table("", ["bid size", "bid", "ask", "ask size"], rows, words=0)
    show(f"{result['n_bids']:,} bids, {result['n_asks']:,} asks, sha256 {result['sha256']}")
