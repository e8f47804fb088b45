"""Run the command line: `python -m hftcap`."""

from hftcap.cli import main

main()
