"""`hftcap diff`: two captures held against each other."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hftcap.cli.console import progress, say, show, show_json
from hftcap.cli.options import AsJson, span_text

if TYPE_CHECKING:
    from hftcap.diff import Difference, Place

_EPILOG = """[bold]Examples[/bold]

  hftcap diff primary backup                  what one recorder has and the other has not, and which was first

  hftcap diff before after --json | jq .same

  hftcap diff primary backup --list 20        with the first twenty records that are on one side alone"""


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("diff", epilog=_EPILOG)(diff)


def diff(
    a: Annotated[Path, typer.Argument(metavar="A", help="Capture folder or segment file.")],
    b: Annotated[Path, typer.Argument(metavar="B", help="The one to hold against it.")],
    listed: Annotated[int, typer.Option("--list", min=0, help="List so many records that are on one side alone.")] = 3,
    as_json: AsJson = False,
) -> None:
    """Compare two captures record by record: missing, extra, reordered, the first that differs, and the race.

    Records are the same when kind and payload are, byte for byte; receive times may differ, and the race is what they
    differ by, as the two hosts' clocks have it. Exit code 3 where records or their order differ, or a capture is
    cut or damaged.
    """
    from hftcap.capture.reader import open_recordings
    from hftcap.diff import diff as compare

    sides = open_recordings([a]), open_recordings([b])
    recordings = [recording for side in sides for recording in side]
    with progress("comparing", sum(recording.file_bytes for recording in recordings)) as advance:
        found = compare(*sides, advance, listed=listed)
    result = _to_json(found)
    if as_json:
        show_json(result)
    else:
        _show(result)
    findings = [finding for recording in recordings for finding in recording.findings]
    for finding in findings:
        say(f"hftcap: {finding.path.name} at byte {finding.offset}: {finding.what}")
    if findings or not found.same:
        raise typer.Exit(3)


def _to_json(found: "Difference") -> dict[str, Any]:  # Any: JSON
    from hftcap.diff import race

    return {
        "same": found.same,
        "records": {"a": found.records[0], "b": found.records[1]},
        "common": found.common,
        "missing": found.missing,
        "extra": found.extra,
        "reordered": found.reordered,
        "first": None if found.same else dict(zip("ab", map(_address, found.first), strict=True)),
        "missing_at": [_address(place) for place in found.missing_at],
        "extra_at": [_address(place) for place in found.extra_at],
        "race": asdict(race(found.a_minus_b_ns)),
    }


def _address(place: "Place | None") -> str | None:
    return None if place is None else f"{place.path}:{place.block}:{place.record}"


def _show(result: dict[str, Any]) -> None:  # Any: JSON
    a, b = result["records"]["a"], result["records"]["b"]
    same = "the same records in the same order" if result["same"] else "not the same"
    show(f"{same}: {a:,} in a, {b:,} in b, {result['common']:,} in both")
    if not result["same"]:
        show(f"missing in b {result['missing']:,}, extra in b {result['extra']:,}, reordered {result['reordered']:,}")
        first = result["first"]
        show(f"first difference: a {first['a'] or 'has ended'}, b {first['b'] or 'has ended'}")
    for name in ("missing", "extra"):
        for address in result[f"{name}_at"]:
            show(f"  {name} {address}")
    race = result["race"]
    if race["a_minus_b_ns"] is not None:
        figures = ", ".join(f"{name} {span_text(value)}" for name, value in race["a_minus_b_ns"].items())
        show(f"first in a {race['a_first']:,}, in b {race['b_first']:,}, at once {race['ties']:,}")
        show(f"a minus b: {figures}")
