"""The samples: made again they are the same, replayed they are as they were, and a planted bug is named."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
import zstandard

from hftcap import pipeline
from hftcap.binance.messages import DepthDiff, Trade
from hftcap.kernel import Kernel, reference
from hftcap.kernel.columns import TYPE_CODE
from hftcap.kernel.reference import ReferenceKernel

ROOT = Path(__file__).parents[1]
SAMPLES = ["gaps", "spot", "usdm"]
LOST = 3


@pytest.fixture(scope="module")
def again(tmp_path_factory) -> Path:
    """Return a folder with all samples made anew."""
    folder = tmp_path_factory.mktemp("samples")
    command = [sys.executable, str(ROOT / "samples/make.py"), str(folder)]
    subprocess.run(command, check=True, capture_output=True, cwd=ROOT)
    return folder


@pytest.mark.parametrize("name", SAMPLES)
def test_a_sample_is_made_again_byte_for_byte(name, again, hftcap):
    """Records and golden file whatever packs them; the segment's bytes where zstd is of the version that packed it."""
    kept, made = ROOT / "samples" / name, again / name
    assert hftcap("diff", kept, made, "--json").json["same"] is True
    assert (made / "golden.jsonl").read_bytes() == (kept / "golden.jsonl").read_bytes()
    metadata = json.loads((kept / "metadata.json").read_text())
    if metadata["zstd"] == ".".join(map(str, zstandard.ZSTD_VERSION)):
        assert {path.name: path.read_bytes() for path in made.iterdir()} == {
            path.name: path.read_bytes() for path in kept.iterdir() if not path.name.endswith(".books")
        }


def test_a_golden_file_outlives_a_sample_that_cannot_be_made(tmp_path):
    """Where making fails, what the sample was held against is still there."""
    golden = tmp_path / "samples/spot/golden.jsonl"
    golden.parent.mkdir(parents=True)
    golden.write_text("kept")
    (tmp_path / "hftcap").mkdir()
    (tmp_path / "hftcap/__init__.py").touch()
    (tmp_path / "hftcap/__main__.py").write_text("raise SystemExit(1)")  # stands first on the path of `python -m`
    command = [sys.executable, str(ROOT / "samples/make.py"), "samples"]
    assert subprocess.run(command, capture_output=True, cwd=tmp_path).returncode == 1
    assert golden.read_text() == "kept"


def test_the_samples_are_small():
    """Under two megabytes together, golden files included."""
    assert sum(path.stat().st_size for path in (ROOT / "samples").rglob("*") if path.is_file()) < 2_000_000


@pytest.mark.parametrize(
    ("kernel", "jobs"), [(ReferenceKernel, 1), (ReferenceKernel, 2), (Kernel, 1), (Kernel, 2), (Kernel, 5)]
)
@pytest.mark.parametrize("name", SAMPLES)
def test_a_sample_is_replayed_as_it_was(name, kernel, jobs, hftcap, monkeypatch):
    """Golden file, and the figures in metadata.json, whatever kernel runs and on how many threads."""
    monkeypatch.setattr(pipeline, "Kernel", kernel)
    folder = ROOT / "samples" / name
    ran = hftcap("replay", folder, "--golden", folder / "golden.jsonl", "--json", "--jobs", jobs)
    assert ran.code == 0, ran.err
    metadata = json.loads((folder / "metadata.json").read_text())
    for figure in ("records", "by_type", "losses", "gaps", "books"):
        assert ran.json[figure] == metadata[figure]


def without_a_level(message):
    if isinstance(message, DepthDiff) and len(message.bids) > 1:
        return msgspec.structs.replace(message, bids=message.bids[:-1])
    return None


def with_the_other_side(message):
    if isinstance(message, Trade):
        return msgspec.structs.replace(message, side="B" if message.side == "A" else "A")
    return None


def with_an_id_off_by_one(message):
    if isinstance(message, DepthDiff):
        return msgspec.structs.replace(message, final_update_id=message.final_update_id + 1)
    return None


@pytest.mark.parametrize("bug", [without_a_level, with_the_other_side, with_an_id_off_by_one])
def test_a_planted_bug_is_named(bug, hftcap, monkeypatch):
    """One message read wrongly, out of thousands: block and record of it, exit code 3."""
    done: list[tuple[int, int]] = []

    class Buggy(reference.Parser):
        def parse(self, payload, **more):
            message = super().parse(payload, **more)
            changed = bug(message) if not done and seen[0] > 3_000 else None
            seen[0] += 1
            if changed is None:
                return message
            done.append(seen[0] - 1)
            return changed

    seen = [0]
    monkeypatch.setattr(reference, "Parser", Buggy)
    monkeypatch.setattr(pipeline, "Kernel", ReferenceKernel)
    folder = ROOT / "samples/spot"
    ran = hftcap("replay", folder, "--golden", folder / "golden.jsonl", "--json")
    assert ran.code == LOST
    first = ran.json["golden"]["first"]
    lines = [json.loads(line) for line in (folder / "golden.jsonl").read_text().splitlines()[1:-1]]
    before = sum(line["records"] for line in lines if line["sequence"] < first["sequence"])
    assert before + first["record"] == done[0]


@pytest.mark.parametrize(
    ("kind", "column"), [("trade", "side"), ("bookTicker", "final_id"), ("depthUpdate", "bid_sz_e8")]
)
def test_a_column_filled_wrongly_is_named(kind, column, hftcap, monkeypatch):
    """One value of one row, whatever kernel fills it: block and record of it, exit code 3."""
    wrong: list[tuple[int, int]] = []

    class Buggy(Kernel):
        def run_together(self, runs):
            results = super().run_together(runs)
            for (block, first, _), result in zip(runs, results, strict=True):
                rows = (result.columns.type == TYPE_CODE[kind]).nonzero()[0]
                if not wrong and block.header.sequence > 3 and len(rows):
                    getattr(result.columns, column)[rows[-1]] += 1
                    wrong.append((block.header.sequence, first + int(rows[-1])))
            return results

    monkeypatch.setattr(pipeline, "Kernel", Buggy)
    folder = ROOT / "samples/spot"
    ran = hftcap("replay", folder, "--golden", folder / "golden.jsonl", "--json")
    assert ran.code == LOST
    first = ran.json["golden"]["first"]
    assert (first["sequence"], first["record"]) == wrong[0]


def test_a_byte_of_one_payload_is_named(hftcap, tmp_path):
    """Changed where nothing else would notice: the capture is sound, the message is another."""
    payloads = hftcap("cat", ROOT / "samples/spot").out.splitlines()
    at = next(number for number, line in enumerate(payloads) if number > 5_000 and b'\\"e\\":\\"trade\\"' in line)
    record = json.loads(payloads[at])
    record["payload"] = record["payload"].replace('"q":"', '"q":"9', 1)
    payloads[at] = json.dumps(record).encode()
    (tmp_path / "changed.jsonl").write_bytes(b"\n".join(payloads) + b"\n")
    assert hftcap("import", "--from", "jsonl", tmp_path / "changed.jsonl", "-o", tmp_path / "c").code == 0
    found = hftcap("diff", ROOT / "samples/spot", tmp_path / "c", "--json").json
    assert (found["missing"], found["extra"]) == (1, 1)
    ran = hftcap("replay", tmp_path / "c", "--golden", ROOT / "samples/spot/golden.jsonl", "--json")
    assert ran.code == LOST


def test_the_action_says_which_capture_is_not_as_it_was(tmp_path):
    """All are looked at; exit 1 where one differs, 2 where there is nothing to check."""
    script = ROOT / ".github/actions/regression/regression.sh"
    command = tmp_path / "hftcap"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m hftcap "$@"\n')
    command.chmod(0o755)
    environment = {"HFTCAP": str(command), "PATH": "/usr/bin:/bin", "GITHUB_OUTPUT": str(tmp_path / "output")}

    def run(folder: Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run([script, folder], capture_output=True, text=True, env=environment, cwd=ROOT, check=False)

    for name in ("gaps", "spot"):
        shutil.copytree(ROOT / "samples" / name, tmp_path / "samples" / name)
    assert run(tmp_path / "samples").returncode == 0
    assert "checked=2" in (tmp_path / "output").read_text()
    golden = tmp_path / "samples/gaps/golden.jsonl"
    golden.write_text(golden.read_text().replace('"messages":"', '"messages":"AAAA', 1))
    ran = run(tmp_path / "samples")
    assert ran.returncode == 1
    assert "::error" in ran.stdout
    assert "samples/gaps" in ran.stderr
    assert "samples/spot" in ran.stdout
    assert run(tmp_path / "samples/gaps").returncode == 2
