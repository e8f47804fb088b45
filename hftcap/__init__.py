"""Record, replay and measure the raw Binance market data feed.

open_capture    a capture as an iterable of records: bytes and times
parse           a payload as a typed message
Book            an order book kept by the venue's rules
replay          typed events, each with the book as it stands then, at any speed
read_columns    captures as one Arrow table
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hftcap.api.book import Book
    from hftcap.api.events import Event, replay
    from hftcap.api.records import Capture, DamagedCapture, Record, open_capture
    from hftcap.api.table import read_columns
    from hftcap.binance.parser import parse
    from hftcap.errors import HftcapError

__version__ = "0.1.0"
__all__ = [
    "Book",
    "Capture",
    "DamagedCapture",
    "Event",
    "HftcapError",
    "Record",
    "open_capture",
    "parse",
    "read_columns",
    "replay",
]

_HOMES = {
    "Book": "hftcap.api.book",
    "Capture": "hftcap.api.records",
    "DamagedCapture": "hftcap.api.records",
    "Event": "hftcap.api.events",
    "HftcapError": "hftcap.errors",
    "Record": "hftcap.api.records",
    "open_capture": "hftcap.api.records",
    "parse": "hftcap.binance.parser",
    "read_columns": "hftcap.api.table",
    "replay": "hftcap.api.events",
}


def __getattr__(name: str) -> Any:  # Any: whatever is asked for
    """Fetch a public name from its module when it is first asked for: `import hftcap` alone loads nothing heavy."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = globals()[name] = getattr(import_module(_HOMES[name]), name)
    return found


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
