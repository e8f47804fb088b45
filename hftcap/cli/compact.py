"""`hftcap compact`: sealed segments made smaller in their place."""

from typing import Annotated

import typer

from hftcap.cli.console import progress, say, show_json
from hftcap.cli.options import AsJson, Captures

_EPILOG = """[bold]Examples[/bold]

  hftcap compact btc

  hftcap compact btc/20240808*.hcap.zst --level 12

  hftcap compact btc --json | jq .ratio"""


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("compact", epilog=_EPILOG)(compact)


def compact(
    captures: Captures,
    level: Annotated[int, typer.Option(min=1, max=19, help="zstd level.")] = 9,
    as_json: AsJson = False,
) -> None:
    """Rewrite sealed segments in larger blocks at a higher zstd level, proven equal before the old file goes.

    A recording may be going on in the same folder. Exit code 3 where a segment is cut or damaged: it is left as it is,
    see recover.
    """
    from hftcap.capture.compact import compact as compact_paths
    from hftcap.capture.folder import find_segments

    total = sum(path.stat().st_size for path in find_segments(captures))
    with progress("compacting", total) as advance:
        result = compact_paths(captures, level=level, progress=advance)
    if as_json:
        show_json(
            {
                "files": result.files,
                "bytes_before": result.bytes_before,
                "bytes_after": result.bytes_after,
                "ratio": None if result.ratio is None else round(result.ratio, 4),
                "skipped": [
                    {"file": str(skipped.path), "why": skipped.why, "damaged": skipped.damaged}
                    for skipped in result.skipped
                ],
            }
        )
    for skipped in result.skipped:
        say(f"{skipped.path}: left as it is: {skipped.why}")
    if result.ratio is not None:
        sizes = f"{result.bytes_before:,} bytes to {result.bytes_after:,}"
        say(f"{result.files} segments compacted, {sizes} ({100 * (result.ratio - 1):+.1f} %)")
    else:
        say("no segment compacted")
    if any(skipped.damaged for skipped in result.skipped):
        raise typer.Exit(3)
