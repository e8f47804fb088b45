"""`hftcap recover`: what is whole of a damaged capture, into a new folder."""

from pathlib import Path
from typing import Annotated

import typer

from hftcap.cli.console import progress, say, show_json
from hftcap.cli.options import AsJson, Captures

_EPILOG = """[bold]Examples[/bold]

  hftcap recover damaged -o whole

  hftcap recover btc/20240809T000000Z-01234567-000003.hcap.zst.part -o whole

  hftcap recover damaged -o whole --json | jq .lost"""


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("recover", epilog=_EPILOG)(recover)


def recover(
    captures: Captures,
    out: Annotated[Path, typer.Option("--output", "-o", metavar="FOLDER", help="Capture folder to make.")],
    as_json: AsJson = False,
) -> None:
    """Copy every whole block of a cut or damaged capture into a new one, with a note where something is lost.

    Times, notes and segments stay as they are; the source is not touched. Exit code 0 nothing lost, 3 something lost,
    1 nothing readable.
    """
    from hftcap.capture.folder import find_segments
    from hftcap.capture.recover import UNKNOWN
    from hftcap.capture.recover import recover as salvage_from

    total = sum(path.stat().st_size for path in find_segments(captures))
    with progress("recovering", total) as advance:
        salvage = salvage_from(captures, out, progress=advance)
    if as_json:
        show_json(
            {
                "kept": salvage.kept,
                "lost": salvage.lost,
                "lost_records": salvage.lost_records,
                "lost_blocks": salvage.lost_blocks,
                "findings": [
                    {"file": str(found.path), "offset": found.offset, "what": found.what} for found in salvage.findings
                ],
                "segments": [str(path) for path in salvage.segments],
            }
        )
    for found in salvage.findings:
        say(f"{found.path} at byte {found.offset}: {found.what}")
    say(f"kept {_counts(salvage.kept)} in {out} ({len(salvage.segments)} segments)")
    if salvage.complete:
        say("nothing lost")
        return
    lost = _counts({kind if kind != UNKNOWN else "of unknown kind": n for kind, n in salvage.lost.items() if n})
    more = "" if salvage.lost_records is not None else ", and possibly more"
    say(f"lost {lost or 'no record that is known of'}{more}, in {salvage.lost_blocks} blocks (hftcap cat --notes)")
    raise typer.Exit(3)


def _counts(by_kind: dict[str, int]) -> str:
    return ", ".join(f"{count:,} {kind}" for kind, count in by_kind.items())
