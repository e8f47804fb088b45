"""The command line: one verb per module, and the one place where errors become words and exit codes.

Exit codes: 0 done, 1 failed, 2 usage, 3 done but something was lost or a check did not hold.
Results go to stdout, talk and progress to stderr; a closed pipe is not an error.
"""

import os
import sys
from importlib import import_module
from typing import Annotated

import typer

from hftcap import __version__
from hftcap.cli.console import say
from hftcap.errors import BadInstant, HftcapError

FAILED, USAGE, LOST = 1, 2, 3

app = typer.Typer(
    name="hftcap",
    help="Record, replay and measure the raw Binance market data feed.",
    no_args_is_help=True,
    add_completion=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

_VERBS = ("import_", "info", "stats", "book", "verify", "cat", "replay", "demo")


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"hftcap {__version__} (kernel: reference)")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", "-V", help="Print the version and exit.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    """Record, replay and measure the raw Binance market data feed."""


for _verb in _VERBS:
    import_module(f"hftcap.cli.{_verb}").register(app)


def main() -> None:
    """Run the command line; never let a traceback out for anything this package foresees."""
    try:
        app(standalone_mode=True)
    except BadInstant as error:
        say(f"hftcap: {error}")
        sys.exit(USAGE)
    except HftcapError as error:
        say(f"hftcap: {error}")
        sys.exit(FAILED)
    except BrokenPipeError:
        # The reader of our output has seen enough. Python would complain once more when it flushes stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except KeyboardInterrupt:
        say("hftcap: interrupted")
        sys.exit(130)
