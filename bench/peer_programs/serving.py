"""How a peer answers: a round for each line on stdin, and a line of JSON with its time and what it ended with.

Runs in the peer's own environment, so it imports nothing of this package. Time is the CPU time of the whole process:
threads a peer starts are part of what it costs.
"""

import gc
import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

SNAPSHOT = b'{"lastUpdateId"'
"""How the first line of the payloads begins, if there is a snapshot."""


class Watch:
    """Adds up the time of the parts that count."""

    def __init__(self) -> None:
        self.ns = 0

    @contextmanager
    def running(self) -> Iterator[None]:
        begin = time.process_time_ns()
        yield
        self.ns += time.process_time_ns() - begin


def payloads_in(file: str) -> tuple[bytes | None, list[bytes]]:
    """Return the snapshot, if there is one, and all other payloads."""
    lines = Path(file).read_bytes().split(b"\n")[:-1]
    return (lines[0], lines[1:]) if lines[0].startswith(SNAPSHOT) else (None, lines)


def serve(one_round: Callable[[Watch], dict[str, Any]]) -> None:  # Any: JSON
    for _ in sys.stdin:
        watch = Watch()
        gc.collect()
        gc.disable()
        outcome = one_round(watch)
        gc.enable()
        print(json.dumps(outcome | {"ns": watch.ns}), flush=True)
