"""The package builds from its source distribution, with a C compiler and without one."""

import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "samples/gaps"
COMPILERS = ("cc", "gcc", "clang", "c99", "x86_64-linux-gnu-gcc")
pytestmark = pytest.mark.xdist_group("building")


def run(*words: object, **options) -> str:
    ran = subprocess.run(list(map(str, words)), capture_output=True, text=True, check=False, **options)
    assert ran.returncode == 0, f"{' '.join(map(str, words))}\n{ran.stdout}{ran.stderr}"
    return ran.stdout


@pytest.fixture(scope="module")
def sdist(tmp_path_factory) -> Path:
    """Return the source distribution, built of the files that git would take."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("sdist")
    for name in ("pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    left_out = shutil.ignore_patterns("*.so", "__pycache__", "_native.c")
    shutil.copytree(ROOT / "hftcap", source / "hftcap", ignore=left_out)
    code = "import sys; from setuptools.build_meta import build_sdist; build_sdist(sys.argv[1])"
    run(sys.executable, "-c", code, out, cwd=source)
    (made,) = out.iterdir()
    return made


def environment(without: Path | None = None) -> dict[str, str]:
    """Return an environment; with a folder, one in which no program is found but that folder's, and no compiler."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("HFTCAP_", "PYTHON"))}
    plain["CFLAGS"] = "-O0"  # what is built here is to run, and need not be quick
    return plain if without is None else plain | {"PATH": str(without), "CC": "/nonexistent/cc"}


def fresh(folder: Path, python: str = sys.executable) -> Path:
    """Make an environment that has this one's dependencies and not this package; return its interpreter."""
    if python == sys.executable:
        venv.create(folder, with_pip=False)
    else:
        run(python, "-m", "venv", "--without-pip", folder)
    (site,) = folder.glob("lib/python3*/site-packages")
    if python == sys.executable:
        (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder / "bin/python"


def install(python: Path, what: Path, env: dict[str, str]) -> None:
    pip = (sys.executable, "-m", "pip", "--python", python, "install", "-q")
    run(*pip, "--no-index", "--no-deps", "--no-build-isolation", what, env=env)


def works(python: Path, kernel: str, folder: Path) -> None:
    """Say whether what is installed there runs from elsewhere, with this kernel, and replays a sample as it was."""
    plain = environment()
    said = run(python, "-m", "hftcap", "--version", cwd=folder, env=plain)
    assert f"kernel: {kernel}" in said
    run(python, "-m", "hftcap", "replay", SAMPLE, "--golden", SAMPLE / "golden.jsonl", cwd=folder, env=plain)


def test_the_source_distribution_has_what_is_compiled(sdist):
    """Everything that a compiler needs, and nothing that one made."""
    with tarfile.open(sdist) as archive:
        names = [name.partition("/")[2] for name in archive.getnames()]
    for part in ("capture", "kernel"):
        native = [path.name for path in (ROOT / "hftcap" / part / "native").iterdir()]
        assert {f"hftcap/{part}/native/{name}" for name in native} <= set(names)
        assert f"hftcap/{part}/_native.pyx" in names
    assert not [name for name in names if name.endswith((".so", ".c"))]


def test_with_a_compiler_the_kernel_is_compiled(sdist, tmp_path):
    """As a wheel for the stable interface of CPython 3.11, one for all later ones, too."""
    if not any(map(shutil.which, COMPILERS)):
        pytest.skip("there is no C compiler")
    env = environment()
    wheels = tmp_path / "wheels"
    run(
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "-q",
        "--no-index",
        "--no-deps",
        "--no-build-isolation",
        sdist,
        "-w",
        wheels,
        env=env,
    )
    (wheel,) = wheels.iterdir()
    assert "-cp311-abi3-" in wheel.name
    python = fresh(tmp_path / "env")
    install(python, wheel, env)
    works(python, "compiled", tmp_path)


def test_without_a_compiler_all_works_in_python(sdist, tmp_path):
    """Installed where no compiler is found: no error, the reference kernel, the same results."""
    python = fresh(tmp_path / "env")
    programs = tmp_path / "programs"
    programs.mkdir()
    install(python, sdist, environment(without=programs))
    works(python, "reference", tmp_path)
