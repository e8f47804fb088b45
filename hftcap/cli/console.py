"""How verbs talk: results on stdout, everything else on stderr, progress only to a terminal."""

import json
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table


def say(text: str) -> None:
    """Print a line for people on stderr."""
    typer.echo(text, err=True)


def show(text: str) -> None:
    """Print a line of the result on stdout."""
    typer.echo(text)


def show_json(value: Any, to: Callable[[str], None] = show) -> None:  # Any: JSON
    """Print one JSON object on stdout, or where `to` prints, indented for a terminal and on one line for a pipe."""
    to(json.dumps(value, ensure_ascii=False, indent=2 if sys.stdout.isatty() else None))


def table(title: str, columns: list[str], rows: list[list[str]], *, words: int = 1) -> "Table":
    """Return a table; the first `words` columns are text, the rest are figures and right-aligned."""
    from rich.table import Table

    made = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for position, name in enumerate(columns):
        made.add_column(name, justify="left" if position < words else "right", style=None, header_style="dim")
    for row in rows:
        made.add_row(*row)
    return made


def show_table(
    title: str, columns: list[str], rows: list[list[str]], *, words: int = 1, to_stderr: bool = False
) -> None:
    """Print a table on stdout; see `table`."""
    show_renderables([table(title, columns, rows, words=words)], to_stderr=to_stderr)


def show_renderables(parts: "Sequence[RenderableType]", *, to_stderr: bool = False) -> None:
    """Print tables and lines of text on stdout, or on stderr."""
    from rich.console import Console

    stream = sys.stderr if to_stderr else sys.stdout
    # A pipe gets the whole width a row needs: cut columns are no use to grep.
    console = Console(file=stream, width=None if stream.isatty() else 200, highlight=False)
    for part in parts:
        console.print(part)


@contextmanager
def live() -> "Iterator[Callable[[Sequence[RenderableType]], None]]":
    """Yield what draws tables and text in place of those before; where stdout is no terminal, below those before."""
    if not sys.stdout.isatty():
        yield show_renderables
        return
    from rich.console import Console, Group
    from rich.live import Live

    with Live(console=Console(highlight=False), auto_refresh=False, vertical_overflow="crop") as view:
        yield lambda parts: view.update(Group(*parts), refresh=True)


@contextmanager
def stop_on_signal() -> Iterator[Callable[[], bool]]:
    """Yield what says whether to stop: SIGINT or SIGTERM came once. A second SIGINT interrupts as it always does."""
    asked = False

    def ask(_number: int, _frame: FrameType | None) -> None:
        nonlocal asked
        asked = True
        signal.signal(signal.SIGINT, signal.default_int_handler)

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def progress(what: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """Show a bar on stderr while the block runs; yields what is to be called with each advance, in bytes."""
    if not sys.stderr.isatty():
        yield lambda _amount: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )
    task = bar.add_task(what, total=total)

    def advance(amount: int) -> None:
        bar.start()  # with the first block, so that what is said before it has the line for itself
        bar.advance(task, amount)

    try:
        yield advance
    finally:
        bar.stop()
