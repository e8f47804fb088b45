"""The code in the documentation runs as it stands, on a small capture of the names it uses."""

import re
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from hftcap.capture.format import Kind, TimeBase
from hftcap.capture.writer import CaptureHead, CaptureWriter
from hftcap.market.walk import START_NS, SYMBOL, Walk

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "docs/library.md", ROOT / "docs/tables.md"]
# By what it stands under, since a number would change whenever one is added before it.
PYTHON = [
    pytest.param(block, id=f"{page.stem}-{number}")
    for page in PAGES
    for number, block in enumerate(re.findall(r"```python\n(.*?)```", page.read_text(), re.S))
]
SQL = re.findall(r"```sql\n(.*?)```", (ROOT / "docs/tables.md").read_text(), re.S)
MAY_BE_EMPTY = ("gaps.parquet",)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Return a folder with a capture `btc` and its report `out`."""
    folder = tmp_path_factory.mktemp("docs")
    head = CaptureHead("00112233445566aa", "spot", TimeBase.WALL, True, START_NS, "0.1.0")
    with CaptureWriter(folder / "btc", head, fsync=False) as writer:
        for frame in Walk(5).frames(20):
            note = {"note": "rest", "symbol": SYMBOL} if frame.is_snapshot else None
            writer.add(frame.payload, frame.recv_ns, kind=Kind.REST if frame.is_snapshot else Kind.WS_TEXT, note=note)
    command = [sys.executable, "-m", "hftcap", "replay", "btc", "--report", "out"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return folder


def test_there_is_something_to_run():
    """The pages have their examples, in both languages."""
    assert len(PYTHON) >= 5
    assert len(SQL) >= 5


@pytest.mark.parametrize("block", PYTHON)
def test_python_blocks_run(block, folder):
    """Each in a process of its own, printing something, with nothing on stderr."""
    ran = subprocess.run([sys.executable, "-c", block], cwd=folder, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.strip()
    assert ran.stderr == ""


@pytest.mark.parametrize("query", SQL, ids=lambda query: query.split()[1].strip(","))
def test_queries_run_in_duckdb(query, folder, monkeypatch):
    """Each has rows, except where nothing is missing from the capture."""
    monkeypatch.chdir(folder)
    rows = duckdb.sql(query).fetchall()
    assert rows or any(name in query for name in MAY_BE_EMPTY)
