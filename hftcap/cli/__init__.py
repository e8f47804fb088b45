"""The command line: one verb per module, and the one place where errors become words and exit codes.

Exit codes: 0 done, 1 failed, 2 usage, 3 done but something was lost or a check did not hold.
Results go to stdout, talk and progress to stderr; a closed pipe is not an error.
"""

import os
import sys
from importlib import import_module
from typing import Annotated, NoReturn, cast

import typer

from hftcap import __version__
from hftcap.cli.console import say
from hftcap.errors import BadInstant, GoldenUnusable, HftcapError

FAILED, USAGE, LOST = 1, 2, 3
_INTERRUPTED = 130  # what typer makes of Ctrl-C, too, without a word

# The base of all usage errors, which typer does not export.
_UsageError = cast("type[Exception]", typer.BadParameter.__bases__[0])

app = typer.Typer(
    name="hftcap",
    help="Record, replay and measure the raw Binance market data feed.",
    no_args_is_help=True,
    add_completion=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

_VERBS = (
    *("import_", "info", "stats", "book", "verify", "cat", "replay", "recover", "compact", "diff", "synth", "serve"),
    "demo",
)


def _show_version(wanted: bool) -> None:
    if wanted:
        from hftcap.kernel import Kernel

        typer.echo(f"hftcap {__version__} (kernel: {Kernel.name})")
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
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by whoever started us: what is printed goes nowhere
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115, PTH123  for the life of the process
    try:
        code = app(standalone_mode=False) or 0
        if code == _INTERRUPTED:
            raise KeyboardInterrupt
        sys.exit(code)
    except (BadInstant, GoldenUnusable) as error:
        _end(USAGE, str(error))
    except HftcapError as error:
        _end(FAILED, str(error))
    except _UsageError as error:
        _end(USAGE, _usage_sentence(error))
    except (KeyboardInterrupt, typer.Abort):
        _end(_INTERRUPTED, "interrupted")
    except SystemExit as end:
        # A closed pipe, which typer and rich answer with exit code 1: the reader of our output has seen enough.
        if not isinstance(end.__context__, BrokenPipeError):
            raise
        _drop_output()
        sys.exit(0)
    except BrokenPipeError:
        _drop_output()
        sys.exit(0)
    except OSError as error:
        # Every file is opened where its errors get their words; what is left is the place the results go to.
        _drop_output()
        _end(FAILED, f"{error.filename or 'output'}: {error.strerror or error}")


def _usage_sentence(error: Exception) -> str | None:
    """Return what is wrong with the command line in one line; None where help has been printed in its stead."""
    message = " ".join(error.format_message().split())  # type: ignore[attr-defined]  # what makes it a usage error
    command = getattr(getattr(error, "ctx", None), "command_path", "hftcap")
    return f"{message.rstrip('.')}; see {command} --help" if message else None


def _end(code: int, sentence: str | None) -> NoReturn:
    if sentence:
        say(f"hftcap: {sentence}")
    sys.exit(code)


def _drop_output() -> None:
    """Send what is still buffered nowhere: Python would try again when it ends, and complain."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
