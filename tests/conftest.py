"""What every test may rely on: the real captures, hypothesis settings, and the rule against skipping in CI."""

import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

# Timing varies too much between machines for a deadline; CI must give the same verdict twice.
settings.register_profile("hftcap", deadline=None, derandomize=bool(os.environ.get("CI")))
settings.load_profile("hftcap")


@pytest.fixture(scope="session")
def corpus() -> Path:
    """Return the folder of real captures, or skip where there is none."""
    folder = os.environ.get("HFTCAP_CORPUS", "")
    if not folder or not Path(folder).is_dir():
        pytest.skip("HFTCAP_CORPUS does not name the folder of real captures")
    return Path(folder)


@dataclass(frozen=True)
class Ran:
    """What one command printed and how it ended."""

    code: int
    out: bytes
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@pytest.fixture
def hftcap(capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Ran]:
    """Return a function that runs a command line through `main`, as the installed command would."""
    from hftcap.cli import main

    def run(*words: object) -> Ran:
        monkeypatch.setattr(sys, "argv", ["hftcap", *map(str, words)])
        code = 0
        try:
            main()
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
        out, err = capfdbinary.readouterr()
        return Ran(code, out, err.decode())

    return run


def skipped_in(config: pytest.Config) -> list[tuple[str, str]]:
    """Return the name and reason of each skip; none unless HFTCAP_NO_SKIPS=1, and none in a worker of pytest-xdist."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("HFTCAP_NO_SKIPS") != "1" or reporter is None:
        return []
    return [(report.nodeid, report.longrepr[2]) for report in reporter.stats.get("skipped", [])]


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail a session that skipped something, where HFTCAP_NO_SKIPS=1 forbids it."""
    if session.exitstatus == pytest.ExitCode.OK and skipped_in(session.config):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name the skips that made the session fail."""
    if skips := skipped_in(terminalreporter.config):
        terminalreporter.section("HFTCAP_NO_SKIPS=1: nothing may be skipped", red=True)
        for name, reason in skips:
            terminalreporter.line(f"{name}: {reason}")
