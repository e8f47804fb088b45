"""`hftcap info`: what a capture says of itself, without replaying it."""

from dataclasses import asdict
from typing import Annotated

import typer

from hftcap.cli.console import say, show, show_json, show_table
from hftcap.cli.options import AsJson, Captures, clock_text

_EPILOG = """[bold]Examples[/bold]

  hftcap info btc

  hftcap info btc --blocks

  hftcap info btc --json | jq .segments"""


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("info", epilog=_EPILOG)(info)


def info(
    captures: Captures,
    blocks: Annotated[bool, typer.Option("--blocks", help="List every block.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show segments, totals, compression and, with --blocks, every block.

    Exit code 3 where a segment is cut or damaged.
    """
    from hftcap.capture.folder import find_segments
    from hftcap.capture.reader import Segment

    segments = [Segment(path) for path in find_segments(captures)]
    listed = []
    findings: list[str] = []
    for segment in segments:
        rows = [
            {
                "block": position,
                "sequence": block.header.sequence,
                "records": block.records,
                "stored_bytes": block.header.block_bytes,
                "raw_bytes": block.header.payloads_raw,
                "notes": len(block.notes),
                "min_recv_ns": block.header.min_recv_ns if block.records else None,
                "max_recv_ns": block.header.max_recv_ns if block.records else None,
            }
            for position, block in segment.blocks()
        ]
        preamble = asdict(segment.preamble)
        raw = sum(row["raw_bytes"] or 0 for row in rows)
        listed.append(
            {
                "file": segment.path.name,
                "preamble": preamble,
                "sealed": segment.footer is not None,
                "file_bytes": segment.size,
                "raw_bytes": raw,
                "ratio": round(raw / segment.size, 2) if segment.size else None,
                "blocks": len(rows),
                "records": sum(row["records"] or 0 for row in rows),
                "totals": segment.footer.totals if segment.footer else None,
                **({"block_list": rows} if blocks else {}),
            }
        )
        findings += [f"{found.path.name} at byte {found.offset}: {found.what}" for found in segment.findings]
    if as_json:
        show_json({"segments": listed, "findings": findings})
    else:
        for entry in listed:
            _show(entry)
    for finding in findings:
        say(f"hftcap: {finding}")
    if findings:
        raise typer.Exit(3)


def _show(entry: dict) -> None:  # type: ignore[type-arg]  # JSON made above
    preamble = entry["preamble"]
    totals = entry["totals"] or {}
    show(f"{entry['file']}  ({'sealed' if entry['sealed'] else 'not sealed'})")
    facts = [
        ("recording", f"{preamble['capture_id']}, segment {preamble['segment']}"),
        ("market", preamble["market"]),
        ("time base", f"{preamble['time_base']} clock"),
        ("written by", f"hftcap {preamble['hftcap']} at {clock_text(preamble['created_ns'])}"),
        ("source", ", ".join(f"{key} {value}" for key, value in (preamble["source"] or {}).items()) or "recorded"),
        ("span", f"{clock_text(totals.get('first_recv_ns'))} to {clock_text(totals.get('last_recv_ns'))}"),
        ("records", f"{entry['records']:,} in {entry['blocks']:,} blocks"),
        ("bytes", f"{entry['file_bytes']:,} stored, {entry['raw_bytes']:,} raw, ratio {entry['ratio']}"),
    ]
    for name, value in facts:
        show(f"  {name:<11}{value}")
    rows = entry.get("block_list")
    if rows:
        names = ["block", "sequence", "records", "stored_bytes", "raw_bytes", "notes", "min_recv_ns", "max_recv_ns"]
        show_table("", names, [[str(row[name]) for name in names] for row in rows], words=0)
