"""`hftcap verify`: prove the storage of captures."""

import typer

from hftcap.cli.console import progress, say, show_json
from hftcap.cli.options import AsJson, Captures

_EPILOG = """[bold]Examples[/bold]

  hftcap verify btc

  hftcap verify btc --json | jq .findings"""


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("verify", epilog=_EPILOG)(verify)


def verify(captures: Captures, as_json: AsJson = False) -> None:
    """Read every byte and check checksums, sequence and completeness.

    Judges storage only; the feed is judged by stats. Exit code 0 sound, 3 damaged, cut, missing or foreign parts,
    1 not a capture, unreadable or of a newer format.
    """
    from hftcap.capture.folder import find_segments
    from hftcap.verify import verify as verify_paths

    total = sum(path.stat().st_size for path in find_segments(captures))
    with progress("verifying", total) as advance:
        verdict = verify_paths(captures, progress=advance)
    if as_json:
        show_json(
            {
                "ok": verdict.ok,
                "files": verdict.files,
                "blocks": verdict.blocks,
                "records": verdict.records,
                "damaged_blocks": verdict.damaged_blocks,
                "missing_blocks": verdict.missing_blocks,
                "lost_records": verdict.lost_records,
                "findings": [
                    {"file": str(found.path), "offset": found.offset, "what": found.what} for found in verdict.findings
                ],
            }
        )
    for found in verdict.findings:
        say(f"{found.path} at byte {found.offset}: {found.what}")
    lost = "an unknown number" if verdict.lost_records is None else f"{verdict.lost_records:,}"
    counts = f"{verdict.files} files, {verdict.blocks:,} blocks, {verdict.records:,} records"
    say(f"sound: {counts}" if verdict.ok else f"damaged: {counts} read, {lost} records lost")
    if not verdict.ok:
        raise typer.Exit(3)
