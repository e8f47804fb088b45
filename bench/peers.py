"""Other packages that do the same work: where they are, how they are started, and how a round of one is asked for.

    python bench/peers.py

installs them into folders of their own under build/peers, each at the version that was looked at. A peer runs in a
process of its own (`peer_programs/`), reads payloads from a file before anything is timed, and answers each line on
its stdin by a round: it measures its own CPU time, helper threads included, and says what it ended with.
"""

import json
import shutil
import subprocess
import sys
import venv
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

sys.path.insert(0, str(Path(__file__).parents[1]))

from bench.contenders import Outcome
from bench.feeds import Feed
from hftcap.binance.endpoints import Market

FOLDER = Path(__file__).parents[1] / "build" / "peers"
PROGRAMS = Path(__file__).parent / "peer_programs"


@dataclass(frozen=True, slots=True)
class Peer:
    """A package in a folder of its own.

    `level_error` is by how many levels its book may differ: hftbacktest's keeps the one level that lies beyond the
    snapshot, since a snapshot tells nothing of what is there.
    """

    name: str
    version: str
    program: str
    from_file: bool = False
    markets: tuple[Market, ...] = (Market.SPOT, Market.USDM)
    level_error: int = 0

    @property
    def is_node(self) -> bool:
        return self.program.endswith(".js")

    @property
    def folder(self) -> Path:
        return FOLDER / self.name

    def absent(self, feed: Feed) -> str | None:
        """Say why it cannot take part, None where it can."""
        if feed.market not in self.markets:
            return f"it does not read {feed.market}"
        if self.from_file and feed.source is None:
            return "it reads files of its own format only: set HFTCAP_CORPUS"
        if self.is_node and shutil.which("node") is None:
            return "there is no node"
        installed = self.folder / "node_modules" / self.name if self.is_node else self.folder / "bin" / "python"
        return None if installed.exists() else "not installed: make compare-peers"

    def command(self, feed: Feed, payloads: Path) -> list[str]:
        program = str(PROGRAMS / self.program)
        if self.is_node:
            return ["node", program, str(self.folder), str(payloads), feed.market]
        python = str(self.folder / "bin" / "python")
        return [python, program, str(feed.source if self.from_file else payloads), feed.market]

    def install(self) -> None:
        """Install it, if it is not there.

        Raises:
            CalledProcessError: pip or npm refused.
            OSError: there is no npm.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        if self.is_node:
            npm = ["npm", "install", "--silent", "--no-fund", "--no-audit", "--prefix", str(self.folder)]
            subprocess.run([*npm, f"{self.name}@{self.version}"], check=True)
            return
        python = self.folder / "bin" / "python"
        if not python.exists():
            venv.create(self.folder, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "-qq", f"{self.name}=={self.version}"], check=True)


PEERS = (
    Peer("tardis-dev", "13.35.3", "tardis.js"),
    Peer("cryptofeed", "2.4.1", "cryptofeed_book.py"),
    Peer("nautilus_trader", "1.221.0", "nautilus_book.py"),
    Peer("hftbacktest", "2.4.4", "hftbacktest_convert.py", from_file=True, markets=(Market.USDM,), level_error=1),
)


@dataclass(slots=True)
class Running:
    """A peer that has read its payloads, or is about to. Leaving the context ends its process."""

    peer: Peer
    feed: Feed
    payloads: Path
    outcome: Outcome | None = None
    _process: "subprocess.Popen[str]" = field(init=False)

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            self.peer.command(self.feed, self.payloads),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        return self

    def round(self) -> int:
        """Return what a round took, nanoseconds of CPU time; `outcome` is then what it ended with."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.peer.name} ended: run it by hand: {' '.join(self._process.args)}")  # type: ignore[arg-type]  # words
        answer = json.loads(line)
        spent = int(answer.pop("ns"))
        self.outcome = Outcome(**answer)
        return spent

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()


def main() -> int:
    """Install what can be installed; the others are named."""
    failed = 0
    for peer in PEERS:
        print(f"{peer.name} {peer.version} into {peer.folder}", flush=True)
        try:
            peer.install()
        except (subprocess.CalledProcessError, OSError) as error:
            print(f"  left out: {error}")
            failed += 1
    return 1 if failed == len(PEERS) else 0


if __name__ == "__main__":
    sys.exit(main())
