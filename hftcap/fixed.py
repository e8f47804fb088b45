"""Decimal text to integers scaled by 1e8 and back, exact both ways.

A price or size in this package is an `int` that counts hundred-millionths (suffix `_e8`) and fits a signed
64-bit integer. The venue's largest level quantity is exactly that type's largest value, so a saturated
quantity stays representable; anything beyond it is `Unrepresentable`, never rounded.

Source: protocol notes on the spot streams, level quantity cap (Binance spot changelog, 2022-05-23).
"""

from hftcap.errors import NotADecimal, Unrepresentable

SCALE = 100_000_000
DECIMALS = 8
INT64_MAX = 9_223_372_036_854_775_807
CAPPED_E8 = INT64_MAX
"""A level of this size holds "this much or more": the venue's totals saturate here."""

_POWERS: tuple[int, ...] = tuple(10**power for power in range(DECIMALS + 1))
CACHE_LIMIT = 65_536
_CACHED_CHARS = 40
_WHOLE_SURE = 10


def parse_e8(text: object) -> int:
    """Turn non-negative decimal text into an integer scaled by 1e8.

    Raises:
        NotADecimal: `text` is not a `str` of ASCII digits with an optional fraction (no sign, no exponent).
        Unrepresentable: it has more than eight decimals or exceeds int64.
    """
    if type(text) is not str or not text.isascii():
        raise NotADecimal(text)
    whole, point, fraction = text.partition(".")
    if not whole.isdigit() or (point and not fraction.isdigit()):
        raise NotADecimal(text)
    missing = DECIMALS - len(fraction)
    if missing < 0:
        raise Unrepresentable(text)
    digits = whole + fraction
    if len(digits) > 19:
        # Only leading zeros may go beyond an int64's 19 digits; int() itself refuses thousands of digits.
        digits = digits.lstrip("0") or "0"
        if len(digits) > 19:
            raise Unrepresentable(text)
    value: int = int(digits) * _POWERS[missing]
    if value > INT64_MAX:
        raise Unrepresentable(text)
    return value


def format_e8(value_e8: int) -> str:
    """Write a scaled integer as decimal text without trailing zeros: 6160201000000 is `61602.01`."""
    sign = "-" if value_e8 < 0 else ""
    whole, fraction = divmod(abs(value_e8), SCALE)
    if not fraction:
        return f"{sign}{whole}"
    return f"{sign}{whole}.{fraction:08d}".rstrip("0")


class DecimalCache(dict[object, int]):
    """Remember the scaled value of decimal texts: `cache[text]` is `parse_e8(text)`.

    Prices and sizes repeat, so most conversions become a lookup. Bounded: at 65,536 texts of at most 40 characters
    it forgets everything and starts again, so memory stays below about 10 MB.

    `capped` is set when a text with the value `CAPPED_E8` is asked for, and stays set until the caller resets it.
    """

    capped = False

    def pairs(self, levels: list[object]) -> list[tuple[int, int]]:
        """Return the first two texts of each list among `levels` as scaled values; what is no list is left out."""
        e8 = self.__getitem__
        return [(e8(level[0]), e8(level[1])) for level in levels if type(level) is list]

    def __missing__(self, text: object) -> int:
        # The usual text first, in fewer steps than parse_e8 takes: ten digits and eight decimals fit an int64.
        if type(text) is str and text.isascii():
            whole, _, fraction = text.partition(".")
            digits = whole + fraction
            if 0 < len(whole) <= _WHOLE_SURE and 0 < len(fraction) <= DECIMALS and digits.isdigit():
                value = int(digits) * _POWERS[DECIMALS - len(fraction)]
                if len(self) >= CACHE_LIMIT:
                    self.clear()
                self[text] = value
                return value
        value = parse_e8(text)
        if value == CAPPED_E8:
            self.capped = True  # and never remembered, so that the next one is noticed as well
        elif len(str(text)) <= _CACHED_CHARS:
            if len(self) >= CACHE_LIMIT:
                self.clear()
            self[text] = value
        return value
