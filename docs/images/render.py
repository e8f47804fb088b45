"""Draw what a command prints as an SVG: `python docs/images/render.py out.svg hftcap stats demo-out/capture`."""

import os
import re
import subprocess
import sys
from io import StringIO
from pathlib import Path

from rich.console import Console
from rich.text import Text

WIDTH = 110


def main() -> None:
    """Run the command and write the picture."""
    target, *command = sys.argv[1:]
    environment = os.environ | {"COLUMNS": str(WIDTH), "FORCE_COLOR": "1", "TERM": "xterm-256color"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)  # noqa: S603
    console = Console(record=True, width=WIDTH, file=StringIO(), force_terminal=True)
    console.print(Text(f"$ {' '.join(command)}", style="bold"))
    console.print(Text.from_ansi(done.stdout))
    picture = console.export_svg(title="hftcap")
    # The page that shows it has a monospaced font; the picture fetches none.
    Path(target).write_text(re.sub(r"\s*@font-face \{.*?\}", "", picture, flags=re.DOTALL))


main()
