"""The golden captures of every format version: the reader finds in them what their twins say, and they never change."""

import ast
import base64
import hashlib
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from hftcap import errors
from hftcap.capture.reader import Recording, open_recording

FOLDER = Path(__file__).parent / "v1"
ROW = re.compile(r"\| `(?P<name>\S+)` \| `(?P<sha256>[0-9a-f]{64})` \| (?P<shows>.+) \|")
PINNED = {row["name"]: row["sha256"] for row in ROW.finditer((FOLDER / "README.md").read_text())}
TWINS = {path.stem: json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json"))}
KINDS = {1: "ws_text", 2: "ws_binary", 3: "rest"}
NONE_NS = -(2**63)

each_readable = pytest.mark.parametrize("name", [name for name, twin in TWINS.items() if "error" not in twin])
each_refused = pytest.mark.parametrize("name", [name for name, twin in TWINS.items() if "error" in twin])


def paths_of(twin: dict) -> list[Path]:
    return [FOLDER / name for name in twin["files"]]


def records_of(recording: Recording) -> list[dict]:
    """Return every record as a twin writes it down."""
    found = []
    for chunk in recording.chunks():
        block = chunk.block
        assert (chunk.first, chunk.stop) == (0, block.records)
        columns = block.columns
        mono = columns.time_ns.tolist() if recording.preamble.time_base == "monotonic" else [None] * block.records
        for index in range(block.records):
            lag = int(columns.rx_lag_ns[index])
            values = {
                "recv_ns": int(block.recv_ns[index]),
                "mono_ns": mono[index],
                "rx_lag_ns": None if lag == NONE_NS else lag,
                "timeline_ns": int(chunk.timeline_ns[index]),
                "kind": KINDS[int(columns.kind[index])],
                "conn": int(columns.conn[index]),
                "flags": int(columns.flags[index]),
                "payload": base64.b64encode(block.payload(index)).decode(),
            }
            found.append(values)
    return found


def payloads_of(twin: dict) -> bytes:
    return b"".join(base64.b64decode(record["payload"]) + b"\n" for record in twin["records"])


def same_findings(recording: Recording, twin: dict) -> bool:
    """Say whether each finding is the one the twin names: its file, its place, the gist of its words."""
    found = [(finding.path.name, finding.offset) for finding in recording.findings]
    named = [(finding["file"], finding["offset"]) for finding in twin["findings"]]
    texts = zip(recording.findings, twin["findings"], strict=False)
    return found == named and all(word in finding.what for finding, said in texts for word in said["gist"])


@each_readable
def test_the_reader_gives_every_record_of_the_twin(name):
    """Times, kind, connection, flags and payload of each record, in order, no more and no fewer."""
    twin = TWINS[name]
    recording = open_recording(paths_of(twin))
    assert records_of(recording) == twin["records"]
    assert recording.preamble.capture_id == twin["capture_id"]
    assert recording.preamble.time_base == twin["time_base"]
    assert same_findings(recording, twin), recording.findings


@each_readable
def test_the_reader_gives_every_block_and_note_of_the_twin(name):
    """Place, numbers, span and wall offset of each block; each note as it stands."""
    twin = TWINS[name]
    blocks, notes = [], []
    recording = open_recording(paths_of(twin))
    for chunk in recording.chunks():
        header = chunk.block.header
        (entry,) = (
            entry
            for segment in recording.segments
            for entry in segment.index()
            if segment.path == chunk.path and entry.sequence == header.sequence
        )
        about = {"offset": entry.offset, "sequence": header.sequence, "span": header.span, "records": header.records}
        about |= {"wall_offset_ns": header.wall_offset_ns, "wall_error_ns": header.wall_error_ns}
        blocks.append({"file": chunk.path.name} | about)
        notes += [{"sequence": header.sequence, "says": note} for note in chunk.block.notes]
        assert (entry.span, entry.records, entry.raw_bytes) == (header.span, header.records, header.payloads_raw)
        bounds = ("min_mono_ns", "max_mono_ns", "min_recv_ns", "max_recv_ns")
        assert [getattr(entry, bound) for bound in bounds] == [getattr(header, bound) for bound in bounds]
    assert blocks == twin["blocks"]
    assert notes == twin["notes"]


@each_readable
def test_the_reader_gives_the_totals_of_the_twin(name):
    """What each segment's footer sums up, null where the segment has none."""
    twin = TWINS[name]
    recording = open_recording(paths_of(twin))
    for _ in recording.chunks():
        pass
    footers = [segment.footer for segment in recording.segments]
    assert [None if footer is None else footer.totals for footer in footers] == twin["totals"]
    repeated = [footer.preamble for footer in footers if footer is not None]
    assert repeated == [
        None if name == "footer_without_preamble" else segment.preamble
        for segment in recording.segments
        if segment.footer is not None
    ]


@each_refused
def test_the_reader_refuses_what_the_twin_says(name):
    """The error's class and the gist of its words, never another exception and never records."""
    twin = TWINS[name]
    with pytest.raises(getattr(errors, twin["error"])) as caught:
        open_recording(paths_of(twin))
    assert all(word in str(caught.value) for word in twin["gist"])


@pytest.mark.skipif(shutil.which("zstd") is None, reason="zstd is not installed")
@pytest.mark.parametrize("name", TWINS)
def test_zstd_alone_gives_every_payload(name):
    """A golden is a valid zstd file of its payloads, a newline after each; a torn one fails after its whole blocks."""
    twin = TWINS[name]
    stored = [path.read_bytes() for path in paths_of(twin)]
    tested = [subprocess.run(["zstd", "-qt"], input=content, capture_output=True).returncode for content in stored]
    assert all(tested) if twin["zstd"] == "torn" else not any(tested)
    opened = b"".join(subprocess.run(["zstd", "-dc"], input=content, capture_output=True).stdout for content in stored)
    if "error" not in twin:
        assert opened.startswith(payloads_of(twin))
        assert twin["zstd"] == "torn" or opened == payloads_of(twin)


def test_no_golden_changes():
    """Each file has the checksum that the README pins, and none is there without."""
    found = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in FOLDER.glob("*.hcap.zst*")}
    assert found == PINNED


def test_every_golden_has_a_twin_and_is_small():
    """No capture without a twin, no twin without its captures, no file of 4 kB or more."""
    assert {name for twin in TWINS.values() for name in twin["files"]} == set(PINNED)
    assert [path.name for path in FOLDER.iterdir() if path.stat().st_size >= 4000 and path.name != "README.md"] == []
    assert {path.name for path in FOLDER.iterdir()} == set(PINNED) | {f"{name}.json" for name in TWINS} | {"README.md"}


def test_the_encoder_shares_no_code_with_hftcap(tmp_path):
    """The goldens' encoder stands alone: the standard library and zstandard; and it still says what the twins say."""
    encoder = FOLDER.parent / "encoder.py"
    names = {
        name.partition(".")[0]
        for node in ast.walk(ast.parse(encoder.read_text()))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in ([node.module] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names])
    }
    assert names - set(sys.stdlib_module_names) == {"zstandard"}
    subprocess.run([sys.executable, encoder, tmp_path], check=True, capture_output=True)
    made = {path.stem: json.loads(path.read_text()) for path in tmp_path.glob("*.json")}
    # Places in a file may differ with the release of libzstd; all else is said as it was.
    assert {name: twin | {"blocks": [], "findings": []} for name, twin in made.items()} == {
        name: twin | {"blocks": [], "findings": []} for name, twin in TWINS.items()
    }
