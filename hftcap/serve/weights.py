"""Request weight by address: counted in minutes of the real clock, 429 beyond the limit, 418 for who goes on. Pure.

Source: protocol notes, section 7.1 (spot docs, rest-api.md, limits). How many 429s lead to a ban is not said there.
"""

from collections import deque
from dataclasses import dataclass

MINUTE_NS = 60_000_000_000
BAN_NS = 2 * MINUTE_NS
"""The shortest ban there is."""
BEYOND_BEFORE_BAN = 100
ADDRESSES_KEPT = 4_096
ATTEMPTS_NS = 5 * MINUTE_NS


@dataclass(frozen=True, slots=True)
class Charge:
    """What a request was charged. `status` is 200, 429 or 418; `until_ns` the wall clock at which it may go on."""

    used: int
    status: int = 200
    until_ns: int = 0

    def retry_after(self, wall_ns: int) -> int:
        """Return the seconds for the header, 1 at least."""
        return max(1, -(-(self.until_ns - wall_ns) // 1_000_000_000))


class _Account:
    __slots__ = ("attempts", "banned_ns", "beyond", "minute", "used")

    def __init__(self) -> None:
        self.minute = -1
        self.used = 0
        self.beyond = 0
        self.banned_ns = 0
        self.attempts: deque[int] = deque()


class Weights:
    """The accounts of all addresses; the one unused longest is forgotten beyond ADDRESSES_KEPT."""

    def __init__(self, per_minute: int, attempts: int | None) -> None:
        self.per_minute = per_minute
        self.attempts = attempts
        self._accounts: dict[str, _Account] = {}

    def charge(self, address: str, weight: int, wall_ns: int) -> Charge:
        """Charge a request."""
        account = self._account(address)
        minute = wall_ns // MINUTE_NS
        if minute != account.minute:
            account.minute, account.used, account.beyond = minute, 0, 0
        if wall_ns < account.banned_ns:
            return Charge(account.used, 418, account.banned_ns)
        account.used += weight
        if account.used <= self.per_minute:
            return Charge(account.used)
        account.beyond += 1
        if account.beyond > BEYOND_BEFORE_BAN:
            account.banned_ns = wall_ns + BAN_NS
            return Charge(account.used, 418, account.banned_ns)
        return Charge(account.used, 429, (minute + 1) * MINUTE_NS)

    def attempt(self, address: str, mono_ns: int) -> int:
        """Count a connection attempt; return 0 where it may go on, else the seconds until one may."""
        if self.attempts is None:
            return 0
        attempts = self._account(address).attempts
        while attempts and mono_ns - attempts[0] >= ATTEMPTS_NS:
            attempts.popleft()
        if len(attempts) >= self.attempts:
            return max(1, -(-(attempts[0] + ATTEMPTS_NS - mono_ns) // 1_000_000_000))
        attempts.append(mono_ns)
        return 0

    def _account(self, address: str) -> _Account:
        account = self._accounts.pop(address, None) or _Account()
        self._accounts[address] = account
        if len(self._accounts) > ADDRESSES_KEPT:
            self._accounts.pop(next(iter(self._accounts)))
        return account
