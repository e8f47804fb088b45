"""The import diagram of docs/architecture.md and the shape rules of CODESTYLE.md, enforced."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "hftcap"
SOURCES = sorted(PACKAGE.rglob("*.py"))

# The diagram lives in docs/architecture.md; a change to this table redraws it there.
MAY_IMPORT = {
    "errors": set(),
    "fixed": {"errors"},
    "clock": {"errors"},
    "compiled": set(),
    "timings": {"clock"},
    "capture": {"errors", "compiled"},
    "binance": {"errors", "fixed"},
    "book": {"errors", "fixed"},
    "latency": {"errors"},
    "kernel": {"errors", "fixed", "compiled", "capture", "binance", "book"},
    "report": {"errors", "fixed", "capture", "binance", "kernel", "latency"},
    "pacing": {"errors", "clock", "capture", "latency"},
    "golden": {"errors", "capture", "binance", "kernel"},
    "pipeline": {"errors", "fixed", "timings", "capture", "binance", "book", "kernel", "latency", "checkpoints"},
    "checkpoints": {"errors", "fixed", "capture", "binance", "book", "kernel"},
    "stats": {"errors", "fixed", "timings", "capture", "binance", "book", "kernel", "latency", "pipeline"},
    "api": {
        *("errors", "fixed", "clock", "capture", "binance", "book"),
        *("kernel", "report", "pacing", "pipeline"),
    },
    "replaying": {"timings", "capture", "kernel", "pacing", "pipeline", "stats"},
    "serve": {
        *("errors", "fixed", "clock", "capture", "binance", "book"),
        *("kernel", "pacing", "pipeline"),
    },
    "verify": {"errors", "capture"},
    "diff": {"capture"},
    "interop": {"errors", "fixed", "capture", "binance"},
    "market": {"errors", "fixed", "clock", "capture", "binance", "book"},
}
# The public names may come from any part but the command line; `python -m hftcap` is the command line.
PARTS = MAY_IMPORT | {"cli": set(MAY_IMPORT), "__init__": set(MAY_IMPORT), "__main__": {"cli"}}
THIRD_PARTY_HOME = {
    "aiohttp": {"serve"},
    "zstandard": {"capture", "checkpoints", "interop"},
    "numpy": {"capture", "diff", "kernel", "latency", "pacing", "golden", "pipeline", "stats", "report", "serve"},
    "pyarrow": {"kernel", "report", "interop", "api"},
    "msgspec": {"binance", "capture", "interop", "kernel", "checkpoints", "golden", "serve"},
    "rich": {"cli"},
    "typer": {"cli"},
}

MODULE_LINES = 400
INIT_LINES = 20

NOT_FOR_HELP = ("aiohttp", "numpy", "picows", "pyarrow", "zstandard")
HELP_PROBE = f"""
import sys
from hftcap.cli import main

sys.argv = ["hftcap", "--help"]
try:
    main()
except SystemExit:
    pass
sys.exit(", ".join(name for name in {NOT_FOR_HELP} if name in sys.modules) or 0)
"""

each_module = pytest.mark.parametrize("source", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))


def part_of(source: Path) -> str:
    """Return the part of the diagram that `source` belongs to: a folder or a module directly under hftcap/."""
    return source.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports_of(source: Path) -> Iterator[tuple[int, str]]:
    """Yield line and dotted name of every import in `source`, absolute form only, inside functions too."""
    for node in ast.walk(ast.parse(source.read_text())):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{source}:{node.lineno}: relative import"
            if node.module == "hftcap":
                yield from ((node.lineno, f"hftcap.{alias.name}") for alias in node.names)
            else:
                yield node.lineno, node.module


def drawn_heights() -> dict[str, int]:
    """Return how far down each part stands in the drawing of docs/architecture.md; the top line is 0."""
    drawing = (ROOT / "docs/architecture.md").read_text().split("```diagram\n")[1].split("```")[0]
    return {word: down for down, line in enumerate(drawing.splitlines()) for word in line.split() if not word.isdigit()}


def test_every_part_has_a_place_in_the_diagram():
    """A new folder or module under hftcap/ is given its imports before it is merged."""
    assert {part_of(source) for source in SOURCES} <= set(PARTS)


@each_module
def test_imports_follow_the_diagram(source):
    """A module imports only the parts, and only the third-party packages, that its own part may import."""
    part = part_of(source)
    for line, name in imports_of(source):
        where = f"{source.relative_to(ROOT)}:{line}: {part} must not import"
        top, _, rest = name.partition(".")
        if top == "hftcap":
            target = rest.partition(".")[0]
            assert target in {part, "__version__"} | PARTS.get(part, set()), f"{where} {target or 'hftcap'}"
        elif top not in sys.stdlib_module_names:
            assert part in THIRD_PARTY_HOME.get(top, ()), f"{where} {top}"


def test_the_diagram_has_no_cycle():
    """The diagram can be drawn with every arrow pointing down."""
    placed = set()
    while layer := {part for part, deps in MAY_IMPORT.items() if part not in placed and deps <= placed}:
        placed |= layer
    assert placed == set(MAY_IMPORT)


def test_the_drawing_shows_every_part_above_what_it_imports():
    """The drawing in docs/architecture.md and the table above say the same."""
    down = drawn_heights()
    assert set(down) == set(MAY_IMPORT) | {"cli"}
    for part in down:
        for target in PARTS[part]:
            assert down[part] < down[target], f"{part} is not drawn above {target}"


@each_module
def test_a_module_is_short_and_says_its_job(source):
    """A module opens with a docstring and ends before a second job has room in it."""
    text = source.read_text()
    assert ast.get_docstring(ast.parse(text)), f"{source.relative_to(ROOT)} does not open with a docstring"
    assert len(text.splitlines()) <= MODULE_LINES


@pytest.mark.parametrize("source", sorted(PACKAGE.glob("*/__init__.py")), ids=lambda path: path.parent.name)
def test_the_front_of_a_part_only_names_what_others_use(source):
    """The `__init__.py` of a sub-package holds its docstring and its public names, no code."""
    if part_of(source) != "cli":
        assert len(source.read_text().splitlines()) <= INIT_LINES


def test_help_imports_nothing_heavy():
    """`hftcap --help` answers at once, because heavy packages are imported inside the verbs that use them."""
    probe = subprocess.run([sys.executable, "-c", HELP_PROBE], capture_output=True, text=True, cwd=ROOT, timeout=60)
    assert "Usage" in probe.stdout, probe.stderr
    assert probe.returncode == 0, f"imported for --help: {probe.stderr}"
