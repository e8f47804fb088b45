"""REST parameters as the venue checks them, refused in its words.

Source: protocol notes, sections 7.1, 7.2 and 7.4 (spot docs, errors.md); for the text of -1100 and -1104 what clients
log.
"""

import json
import re
from collections.abc import Iterable

_SYMBOL = re.compile(r"[^\Wa-z]{1,50}|[\w\-._]{1,50}")
_WHOLE = re.compile(r"[0-9]{1,20}", re.ASCII)
_STATUSES = ("TRADING", "END_OF_DAY", "HALT", "BREAK", "CANCEL_ONLY")
SYMBOL_RANGE = r"^[\w\-._&&[^a-z]]{1,50}$"


class RestRefused(Exception):
    """A request that gets an error. `note` is ours: why a capture cannot answer what the venue could."""

    def __init__(self, status: int, code: int, text: str, note: str = "") -> None:
        super().__init__(status, code, text, note)
        self.status, self.code, self.text, self.note = status, code, text, note


def not_captured(what: str) -> RestRefused:
    """Return the refusal of what the venue has and the capture does not."""
    return RestRefused(400, -1020, "This operation is not supported.", what)


class Params:
    """The parameters of one request.

    Raises:
        RestRefused: one comes twice, or there are more, or others, than the endpoint reads.
    """

    def __init__(self, given: Iterable[tuple[str, str]], allowed: tuple[str, ...]) -> None:
        self._values: dict[str, str] = {}
        pairs = list(given)
        for name, value in pairs:
            if name in self._values:
                raise RestRefused(400, -1101, f"Duplicate values for parameter '{name}' detected.")
            self._values[name] = value
        if len(pairs) > len(allowed):
            text = f"Too many parameters; expected '{len(allowed)}' and received '{len(pairs)}'."
            raise RestRefused(400, -1101, text)
        read = sum(name in allowed for name in self._values)
        if read < len(pairs):
            text = f"Not all sent parameters were read; read '{read}' parameter(s) but was sent '{len(pairs)}'."
            raise RestRefused(400, -1104, text)

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def symbol(self, *, mandatory: bool = True) -> str | None:
        """Return the symbol as written; whether it exists is for the caller to say."""
        value = self._values.get("symbol", "")
        if not value:
            if mandatory or "symbol" in self._values:
                raise _missing("symbol")
            return None
        return _checked_symbol("symbol", value)

    def symbols(self) -> list[str] | None:
        """Return the list under `symbols`, None where there is none."""
        text = self._values.get("symbols")
        if text is None:
            return None
        try:
            names = json.loads(text)
        except (ValueError, RecursionError):
            names = None
        if type(names) is not list or not names or not all(type(name) is str for name in names):
            raise _illegal("symbols", r"^\[(\"[\w\-._&&[^a-z]]{1,50}\"(,\"[\w\-._&&[^a-z]]{1,50}\"){0,}){0,1}\]$")
        for name in names:
            _checked_symbol("symbols", name)
        if len(set(names)) < len(names):
            raise RestRefused(400, -1151, "Symbol is present multiple times in the list.")
        return names

    def whole(self, name: str) -> int | None:
        """Return a whole number, None where there is none."""
        text = self._values.get(name)
        if text is None:
            return None
        if not _WHOLE.fullmatch(text):
            raise _illegal(name, "^[0-9]{1,20}$")
        return int(text)

    def limit(self, default: int, most: int) -> int:
        """Return a limit as spot takes it: any from 1, a larger one is cut."""
        limit = self.whole("limit")
        if limit == 0:
            raise RestRefused(400, -1130, "Data sent for parameter 'limit' is not valid.")
        return default if limit is None else min(limit, most)

    def one_of(self, name: str, allowed: tuple[int, ...], default: int) -> int:
        """Return a limit as futures take it: one of a few, any other is refused."""
        limit = self.whole(name)
        if limit is not None and limit not in allowed:
            raise RestRefused(400, -1130, f"Data sent for parameter '{name}' is not valid.")
        return default if limit is None else limit

    def status(self) -> str | None:
        """Return the symbol status asked for, None where any will do."""
        value = self._values.get("symbolStatus")
        if value is not None and value not in _STATUSES:
            raise RestRefused(400, -1122, "Invalid symbolStatus.")
        return value

    def refuse_both(self, one: str, other: str) -> None:
        """Refuse two parameters that exclude each other."""
        if one in self._values and other in self._values:
            raise RestRefused(400, -1128, "Combination of optional parameters invalid.")


def _checked_symbol(name: str, value: str) -> str:
    if not _SYMBOL.fullmatch(value) or any("a" <= char <= "z" for char in value):
        raise _illegal(name, SYMBOL_RANGE)
    return value


def _missing(name: str) -> RestRefused:
    return RestRefused(400, -1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.")


def _illegal(name: str, legal: str) -> RestRefused:
    return RestRefused(400, -1100, f"Illegal characters found in parameter '{name}'; legal range is '{legal}'.")
