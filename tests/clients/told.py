"""What a client's script tells the one that runs it: one line of JSON on stdout. Uses the standard library alone."""

import json
import sys


class Followed:
    """What a client has seen: trades by id, its own book at the end, and how often it said that it is out of sync."""

    def __init__(self, last_trade: int, final_update: int) -> None:
        self.last_trade = last_trade
        self.final_update = final_update
        self.first = self.last = self.update = 0
        self.missing = 0
        self.out_of_sync = 0
        self.errors: list[str] = []

    def trade(self, first: int, last: int | None = None) -> None:
        """Take a trade, or an aggregate of trades, by id."""
        if self.last and first != self.last + 1:
            self.missing += first - self.last - 1
        self.first = self.first or first
        self.last = last or first

    @property
    def done(self) -> bool:
        """Whether the capture's last trade and update were seen."""
        return self.last >= self.last_trade and self.update >= self.final_update

    def tell(self, bid: object, ask: object) -> None:
        """Print it."""
        found = {
            "first_trade": self.first,
            "last_trade": self.last,
            "missing": self.missing,
            "update": self.update,
            "bid": float(str(bid)),
            "ask": float(str(ask)),
            "out_of_sync": self.out_of_sync,
            "errors": self.errors,
        }
        print(json.dumps(found), flush=True)


def followed() -> tuple[str, str, Followed]:
    """Return REST and WebSocket address and what is to be reached, from the command line."""
    rest, ws, last_trade, final_update = sys.argv[1:5]
    return rest, ws, Followed(int(last_trade), int(final_update))
