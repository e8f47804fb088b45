"""Faults on request: what may go wrong, and when it does. Seeded, so that the same run has the same faults. Pure.

    [[fault]]
    kind = "drop"                 what; see FaultKind
    stream = "*@depth*"           on events of which stream (shell pattern), all if none; for REST `path = "depth"`
    every = 100                   each so manyth, or  at = 7  or [3, 7]  the so manyth (1 is the first), or
                                  at = "+30s"  the first at or behind that market time, or  probability = 0.01
    seed = 7                      for probability
    count = 3                     so often at most

What is counted are the events of the streams that match, for a connection's faults as well: those that get that event
suffer it. `subscribe` faults count SUBSCRIBE requests, REST faults requests of the path.
"""

import random
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from hftcap.errors import BadFaults

_SPAN = re.compile(r"\+?(\d{1,9}(?:\.\d{1,9})?)(ms|s|m|h)", re.ASCII)
_UNITS = {"ms": 1_000_000, "s": 1_000_000_000, "m": 60_000_000_000, "h": 3_600_000_000_000}


class FaultKind(StrEnum):
    """What goes wrong."""

    DROP = "drop"
    DUPLICATE = "duplicate"
    REORDER = "reorder"
    """The event comes behind the next of its stream."""
    DELAY = "delay"
    """The event comes `for` later."""
    MALFORMED = "malformed"
    """The event is cut in the middle, in a whole frame: JSON that does not end."""
    BIG = "big"
    """A message of 8 MiB comes before the event, of a kind nobody knows."""
    FRAGMENT = "fragment"
    """The event comes in `pieces` frames."""
    PING_INSIDE = "ping_inside"
    """... with a ping between each two."""

    CUT = "cut"
    """The connection ends: `how` is close (with `code` and `reason`), rst, or mid-frame."""
    HALF_OPEN = "half_open"
    """No more data, while pings are sent and answered."""
    STALL = "stall"
    """Nothing at all is written for `for`; then everything."""
    SHUTDOWN = "shutdown"
    """serverShutdown, and a close after `for`."""
    AGE = "age"
    """Connections opened from now on end when they are `for` old."""
    SILENT = "silent"
    """A SUBSCRIBE is acknowledged and brings nothing."""

    STATUS = "status"
    """The answer is `status`: 429 and 418 with `retry_after` seconds, 451, 403, 5xx."""
    SLOW = "slow"
    """The answer comes `for` later."""
    CUT_BODY = "cut_body"
    """The answer ends in the middle."""
    STALE = "stale"
    """A depth snapshot from before the market began, or the one given before."""
    AHEAD = "ahead"
    """A depth snapshot `updates` ahead of the stream."""

    CLOCK = "clock"
    """The venue's clock is `offset` ahead (negative: behind) and gains `drift_ppm`: in all times it sends."""


EVENT_FAULTS = frozenset(
    (
        *(FaultKind.DROP, FaultKind.DUPLICATE, FaultKind.REORDER, FaultKind.DELAY, FaultKind.MALFORMED),
        *(FaultKind.BIG, FaultKind.FRAGMENT, FaultKind.PING_INSIDE),
    )
)
CONNECTION_FAULTS = frozenset((FaultKind.CUT, FaultKind.HALF_OPEN, FaultKind.STALL, FaultKind.SHUTDOWN))
REST_FAULTS = frozenset((FaultKind.STATUS, FaultKind.SLOW, FaultKind.CUT_BODY, FaultKind.STALE, FaultKind.AHEAD))
_ONCE = CONNECTION_FAULTS | {FaultKind.SILENT}
_HOWS = ("close", "rst", "mid-frame")


@dataclass(frozen=True, slots=True)
class Fault:
    """One entry of a file of faults.

    `every`, `at` and `probability` say when; with none of them a connection's fault comes once, the first time, and any
    other each time. `connection` is the number of the only connection that suffers it.
    """

    kind: FaultKind
    stream: str = "*"
    path: str = "*"
    every: int | None = None
    at: tuple[int, ...] = ()
    at_ns: int | None = None
    probability: float | None = None
    seed: int = 0
    count: int | None = None
    connection: int | None = None
    for_ns: int = 1_000_000_000
    how: str = "close"
    code: int = 1001
    reason: str = ""
    status: int = 429
    retry_after: int = 60
    pieces: int = 3
    updates: int = 5
    offset_ns: int = 0
    drift_ppm: float = 0.0


class Trigger:
    """A fault as it runs: counts what matches, and says when it comes."""

    def __init__(self, fault: Fault) -> None:
        self.fault = fault
        self.seen = 0
        self.fired = 0
        self._random = random.Random(fault.seed)  # noqa: S311  repeatable on purpose
        self._most = 1 if fault.count is None and fault.kind in _ONCE and _is_bare(fault) else fault.count

    def fires(self, since_ns: int) -> bool:
        """Count something that matches, `since_ns` of market time behind the beginning; say whether the fault comes."""
        fault = self.fault
        self.seen += 1
        if self._most is not None and self.fired >= self._most:
            return False
        if fault.at_ns is not None:
            fires = since_ns >= fault.at_ns and not self.fired
        elif fault.at:
            fires = self.seen in fault.at
        elif fault.every is not None:
            fires = self.seen % fault.every == 0
        elif fault.probability is not None:
            fires = self._random.random() < fault.probability
        else:
            fires = True
        self.fired += fires
        return fires


def _is_bare(fault: Fault) -> bool:
    return fault.every is None and not fault.at and fault.probability is None


class FaultPlan:
    """All faults of a server."""

    def __init__(self, faults: tuple[Fault, ...] = ()) -> None:
        self.triggers = [Trigger(fault) for fault in faults]
        self._of_stream: dict[str, list[Trigger]] = {}

    def add(self, fault: Fault) -> None:
        """Have another one from now on."""
        self.triggers.append(Trigger(fault))
        self._of_stream.clear()

    def clear(self) -> None:
        """Have none any more."""
        self.triggers.clear()
        self._of_stream.clear()

    def on_event(self, stream: str, since_ns: int) -> list[Fault]:
        """Return the faults that come with an event."""
        triggers = self._of_stream.get(stream)
        if triggers is None:
            wanted = EVENT_FAULTS | CONNECTION_FAULTS
            triggers = self._of_stream[stream] = [
                each for each in self.triggers if each.fault.kind in wanted and fnmatchcase(stream, each.fault.stream)
            ]
        return [each.fault for each in triggers if each.fires(since_ns)]

    def on_subscribe(self, since_ns: int, connection: int) -> bool:
        """Say whether a SUBSCRIBE is acknowledged and then forgotten."""
        return any(
            each.fault.kind is FaultKind.SILENT and each.fault.connection in (None, connection) and each.fires(since_ns)
            for each in self.triggers
        )

    def on_request(self, endpoint: str, since_ns: int) -> list[Fault]:
        """Return the faults that come with a REST request."""
        return [
            each.fault
            for each in self.triggers
            if each.fault.kind in REST_FAULTS and fnmatchcase(endpoint, each.fault.path) and each.fires(since_ns)
        ]

    def age_ns(self) -> int | None:
        """Return the age limit of a connection that opens now, None where no fault sets one."""
        return next((each.fault.for_ns for each in self.triggers if each.fault.kind is FaultKind.AGE), None)

    def clock_ns(self, since_ns: int) -> int:
        """Return how far the venue's clock is ahead, `since_ns` of market time behind the beginning."""
        return sum(
            each.fault.offset_ns + int(since_ns * each.fault.drift_ppm / 1e6)
            for each in self.triggers
            if each.fault.kind is FaultKind.CLOCK
        )


_WHOLE = ("every", "seed", "count", "connection", "code", "status", "retry_after", "pieces", "updates")
_TEXT = ("stream", "path", "how", "reason")
_NUMBER = ("probability", "drift_ppm")


def fault_of(entry: Mapping[str, Any]) -> Fault:  # Any: checked here
    """Read one entry, as TOML or JSON has it.

    Raises:
        ValueError: what is wrong with it.
    """
    values: dict[str, Any] = {}
    for name, value in entry.items():
        match name:
            case "kind":
                if value not in set(FaultKind):
                    raise ValueError(f"kind {value!r} is not known: expected one of {', '.join(FaultKind)}")
                values[name] = FaultKind(value)
            case "at":
                values |= _when(value)
            case "for" | "offset":
                values[f"{name}_ns"] = _span_of(name, value)
            case _:
                wanted = int if name in _WHOLE else str if name in _TEXT else float if name in _NUMBER else None
                if wanted is None:
                    raise ValueError(f"key {name!r} is not known")
                number = float(value) if wanted is float and type(value) is int else value
                if type(number) is not wanted:
                    raise ValueError(f"{name} is {value!r}, expected {wanted.__name__}")
                values[name] = number
    if "kind" not in values:
        raise ValueError("there is no kind")
    fault = Fault(**values)
    if (fault.every is not None and fault.every < 1) or fault.how not in _HOWS or fault.pieces < 1 or fault.updates < 1:
        raise ValueError(f"every, pieces and updates are 1 or more, and how is one of {', '.join(_HOWS)}")
    return fault


def _when(value: Any) -> dict[str, Any]:  # Any: checked here
    if type(value) is str:
        return {"at_ns": _span_of("at", value)}
    numbers = value if type(value) is list else [value]
    if not numbers or not all(type(number) is int and number > 0 for number in numbers):
        raise ValueError(f"at is {value!r}, expected a number of 1 or more, a list of such, or a time as '+30s'")
    return {"at": tuple(numbers)}


def _span_of(name: str, value: Any) -> int:  # Any: checked here
    text = value if type(value) is str else ""
    match = _SPAN.fullmatch(text.removeprefix("-"))
    if match is None:
        raise ValueError(f"{name} is {value!r}, expected a length of time as '500ms' or '30s'")
    span = round(float(match[1]) * _UNITS[match[2]])
    return -span if text.startswith("-") else span


def read_faults(path: Path) -> tuple[tuple[Fault, ...], dict[str, Any]]:  # Any: checked by Limits
    """Read a file of faults, and what its table `limits` sets anew.

    Raises:
        BadFaults: it cannot be read, or says what is not known.
    """
    try:
        document = tomllib.loads(path.read_text())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BadFaults(path, str(error)) from None
    unknown = sorted(set(document) - {"fault", "limits"})
    entries, limits = document.get("fault", []), document.get("limits", {})
    if unknown or type(entries) is not list or type(limits) is not dict:
        raise BadFaults(path, f"expected tables [[fault]] and [limits], found {', '.join(unknown) or 'other kinds'}")
    faults = []
    for number, entry in enumerate(entries, start=1):
        try:
            faults.append(fault_of(entry))
        except ValueError as error:
            raise BadFaults(path, f"fault {number}: {error}") from None
    spans = {name: value for name, value in limits.items() if name.endswith("_ns") is False and type(value) is str}
    try:
        scaled = {f"{name}_ns": _span_of(name, text) for name, text in spans.items()}
    except ValueError as error:
        raise BadFaults(path, f"limits: {error}") from None
    return tuple(faults), {name: value for name, value in limits.items() if name not in spans} | scaled
