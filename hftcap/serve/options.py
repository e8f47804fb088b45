"""What a server is told to do."""

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from hftcap.binance.endpoints import Market
from hftcap.pacing import Pace
from hftcap.serve.faults import Fault


class StartOn(StrEnum):
    """What the market begins with."""

    FIRST_SUBSCRIBE = "first-subscribe"
    CONNECT = "connect"
    NOW = "now"


class AtEnd(StrEnum):
    """What happens when the capture is over."""

    HOLD = "hold"
    CLOSE = "close"
    LOOP = "loop"


@dataclass(frozen=True, slots=True)
class Options:
    """The options of `hftcap serve`. `limits` are those set anew; `start_ns` is where a pass begins."""

    captures: list[Path]
    host: str = "127.0.0.1"
    port: int = 0
    tls: tuple[Path, Path] | None = None
    pace: Pace = field(default_factory=Pace)
    market: Market | None = None
    faults: tuple[Fault, ...] = ()
    limits: dict[str, Any] = field(default_factory=dict)  # Any: checked by Limits
    start_on: StartOn = StartOn.FIRST_SUBSCRIBE
    at_end: AtEnd = AtEnd.HOLD
    derive: bool = False
    rebase: bool = False
    start_ns: int | None = None
