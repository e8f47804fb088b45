"""Option types that several verbs share, and the pure reading of what users type into them."""

import atexit
import re
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from hftcap.errors import BadInstant, BadSpan


def temporary_folder() -> Path:
    """Return a new folder that is gone when the process ends."""
    from tempfile import TemporaryDirectory

    folder = TemporaryDirectory(prefix="hftcap-")
    atexit.register(folder.cleanup)
    return Path(folder.name)


def _without_stdin(captures: list[Path]) -> list[Path]:
    """Put a capture that comes on standard input into files, and return those in its place."""
    if STDIN not in captures:
        return captures
    from hftcap.capture.spool import spool

    if captures.count(STDIN) > 1:
        raise typer.BadParameter("'-' stands for standard input, which can be read once")
    at = captures.index(STDIN)
    return captures[:at] + spool(sys.stdin.buffer, temporary_folder(), "stdin") + captures[at + 1 :]


STDIN = Path("-")
Captures = Annotated[
    list[Path],
    typer.Argument(
        metavar="CAPTURE...",
        help="Capture folders or segment files, - for standard input; several are merged by timeline.",
        callback=_without_stdin,
    ),
]
CapturesIfAny = Annotated[
    list[Path] | None,
    typer.Argument(
        metavar="CAPTURE...",
        help="Capture folders or segment files, - for standard input; several are merged by timeline.",
        callback=lambda captures: _without_stdin(captures or []),
    ),
]
AsJson = Annotated[bool, typer.Option("--json", "-j", help="Print one JSON object on stdout.")]

_UNITS = {"s": 1_000_000_000, "ms": 1_000_000, "us": 1_000, "ns": 1}
_SPANS = _UNITS | {"m": 60_000_000_000, "h": 3_600_000_000_000, "d": 86_400_000_000_000}
_EPOCH = re.compile(r"(\d{1,19})(?:\.(\d{1,9}))?(s|ms|us|ns)", re.ASCII)
_RELATIVE = re.compile(r"([+-])(\d{1,19})(?:\.(\d{1,9}))?(s|ms|us|ns|m|h|d)", re.ASCII)
_SPAN = re.compile(r"(\d{1,19})(?:\.(\d{1,9}))?(s|ms|us|ns|m|h|d)", re.ASCII)
_RFC3339 = re.compile(r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?([Zz]|[+-]\d\d:\d\d)?", re.ASCII)


def _scaled(whole: str, fraction: str | None, unit_ns: int) -> int:
    """Return decimal text times a unit, exact to the nanosecond, never through a float."""
    digits = fraction or ""
    return int(whole + digits) * unit_ns // int("1" + "0" * len(digits))


def instant_ns(text: str, first_ns: int | None, last_ns: int | None) -> int:
    """Turn a time from the command line into timeline nanoseconds.

    Forms: RFC 3339 (UTC where no zone is given), epoch with a unit (`1723161662.5s`), `+30s` from `first_ns`, `-5m`
    before `last_ns`, a bare integer of epoch nanoseconds. Relative forms of an empty capture count from 0.

    Raises:
        BadInstant: none of these.
    """
    if re.fullmatch(r"\d{1,19}", text, re.ASCII):
        return int(text)
    if match := _EPOCH.fullmatch(text):
        return _scaled(match[1], match[2], _UNITS[match[3]])
    if match := _RELATIVE.fullmatch(text):
        span = _scaled(match[2], match[3], _SPANS[match[4]])
        return (first_ns or 0) + span if match[1] == "+" else (last_ns or 0) - span
    if match := _RFC3339.fullmatch(text):
        zone = match[4] if match[4] not in (None, "Z", "z") else "+00:00"
        try:
            whole = datetime.fromisoformat(f"{match[1]}T{match[2]}{zone}").astimezone(UTC)
        except (ValueError, OverflowError):
            raise BadInstant(text) from None
        seconds = (whole - datetime(1970, 1, 1, tzinfo=UTC)).days * 86_400 + whole.hour * 3_600
        return (seconds + whole.minute * 60 + whole.second) * 1_000_000_000 + _scaled("0", match[3], 1_000_000_000)
    raise BadInstant(text)


def span_ns(text: str) -> int:
    """Turn a length of time from the command line (`500ms`, `1.5s`, `2m`) into nanoseconds.

    Raises:
        BadSpan: none of these.
    """
    match = _SPAN.fullmatch(text)
    if match is None:
        raise BadSpan(text)
    return _scaled(match[1], match[2], _SPANS[match[3]])


def clock_text(time_ns: int | None) -> str:
    """Write epoch nanoseconds as UTC, to the nanosecond; a dash where there is none, the number beyond year 9999."""
    if time_ns is None:
        return "-"
    seconds, nanoseconds = divmod(time_ns, 1_000_000_000)
    try:
        whole = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
    except OverflowError:
        return f"{time_ns} ns"
    return whole.replace(tzinfo=None).isoformat() + f".{nanoseconds:09d}Z"


def span_text(span_ns: int | None) -> str:
    """Write a length of time in the unit that suits it."""
    if span_ns is None:
        return "-"
    size = abs(span_ns)
    for unit, scale in (("s", 1_000_000_000), ("ms", 1_000_000), ("us", 1_000)):
        if size >= scale:
            return f"{span_ns / scale:,.3f} {unit}"
    return f"{span_ns} ns"
