"""Which kernel runs is said, and can be said beforehand."""

import importlib.util
import os
import subprocess
import sys

import pytest

BUILT = importlib.util.find_spec("hftcap.kernel._native") is not None


def version(pure: str) -> str:
    command = [sys.executable, "-m", "hftcap", "--version"]
    environment = {**os.environ, "HFTCAP_PURE": pure}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout


def test_the_reference_can_be_asked_for():
    """HFTCAP_PURE=1 leaves the compiled kernel out, whether it was built or not."""
    assert "kernel: reference" in version("1")


def test_the_compiled_kernel_runs_where_it_was_built():
    """Without being asked for."""
    if not BUILT:
        pytest.skip("the compiled kernel was not built")
    assert "kernel: compiled" in version("0")
