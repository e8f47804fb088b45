"""Make the samples: three captures of the synthetic market, each with what it holds and its golden file.

    python samples/make.py [FOLDER]

Same seed, same bytes; the bytes on disk are zstd's, so another version of that library may pack the same payloads
otherwise. A golden file that is there is held against the new capture and never replaced: remove it first, if a change
of what a replay makes of a message is meant.
"""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import zstandard

SAMPLES = {
    "spot": (
        "two spot symbols, a REST snapshot each",
        ["--seed", "1", "--duration", "16s", "--rate", "1000"],
    ),
    "usdm": (
        "USD-M futures in bursts, two redundant lines, and a handover to new connections half-way",
        ["--seed", "2", "--duration", "8s", "--rate", "1000", "--market", "usdm", "--lines", "2"]
        + ["--streams", "trade,aggTrade,bookTicker,depth@0ms", "--handover-at", "+4s"],
    ),
    "gaps": (
        "spot with connections lost three times, the updates between them missing, snapshots after each",
        ["--seed", "3", "--duration", "20s", "--rate", "700", "--gap-at", "+4s", "--gap-at", "+9s", "--gap-at", "+14s"],
    ),
}
HFTCAP = [sys.executable, "-m", "hftcap"]


def make(folder: Path, about: str, options: list[str]) -> None:
    """Make one sample."""
    golden = folder / "golden.jsonl"
    held = golden.exists()
    for path in folder.glob("*"):
        if path != golden:
            path.unlink()
    run("synth", *options, "-o", str(folder))
    (folder / "truth.jsonl").unlink()  # twenty times the capture; the seed gives it again
    replayed = json.loads(run("replay", str(folder), "--golden" if held else "--write-golden", str(golden), "--json"))
    figures = ("records", "by_type", "losses", "gaps", "books")
    metadata = {
        "about": about,
        "made_by": " ".join(["hftcap", "synth", *options, "-o", folder.name]),
        "zstd": ".".join(map(str, zstandard.ZSTD_VERSION)),
        **{name: replayed[name] for name in figures},
        "sha256": {path.name: digest(path) for path in sorted(folder.iterdir()) if path.name != "metadata.json"},
    }
    (folder / "metadata.json").write_text(json.dumps(metadata, indent=2) + "\n")


def run(*words: str) -> str:
    """Run a verb; return what it prints."""
    return subprocess.run([*HFTCAP, *words], check=True, stdout=subprocess.PIPE, text=True).stdout


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def main() -> None:
    root = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent
    for name, (about, options) in SAMPLES.items():
        make(root / name, about, options)
        size = sum(path.stat().st_size for path in (root / name).iterdir())
        print(f"{name}: {size:,} bytes")


main()
