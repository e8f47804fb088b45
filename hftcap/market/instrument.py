"""What is traded in a synthetic market: symbols with their tick and lot, and how whole numbers of them are written."""

import hashlib
from dataclasses import dataclass

from hftcap.binance.endpoints import Market
from hftcap.fixed import DECIMALS, SCALE, format_e8

TEXTS_KEPT = 8_192


@dataclass(frozen=True, slots=True)
class Instrument:
    """A symbol: its tick and lot scaled by 1e8, and the price its market begins at, in ticks.

    `price_decimals` and `size_decimals` are how many the venue writes: eight on spot, those of tick and lot on futures.
    """

    symbol: str
    tick_e8: int
    lot_e8: int
    start_ticks: int
    price_decimals: int
    size_decimals: int


# Tick, lot and price as decimal exponents and whole numbers: (tick 10^-a, lot 10^-b, price in ticks). Tick and lot
# are the venue's of 2025; prices are of that order.
_SPOT = {
    "BTCUSDT": (2, 5, 6_160_000),
    "ETHUSDT": (2, 4, 264_000),
    "BNBUSDT": (2, 3, 58_000),
    "SOLUSDT": (2, 3, 15_400),
    "XRPUSDT": (4, 1, 21_500),
    "DOGEUSDT": (5, 0, 16_200),
}
_FUTURES = {
    "BTCUSDT": (1, 3, 616_000),
    "ETHUSDT": (2, 3, 264_000),
    "BNBUSDT": (2, 2, 58_000),
    "SOLUSDT": (2, 2, 15_400),
    "XRPUSDT": (4, 1, 21_500),
    "DOGEUSDT": (5, 0, 16_200),
}


def instrument_of(symbol: str, market: Market) -> Instrument:
    """Return the instrument of any symbol; one that is not known here gets tick, lot and price from its name."""
    table = _SPOT if market is Market.SPOT else _FUTURES
    known = table.get(symbol)
    if known is None:
        first, second, *more = hashlib.blake2b(symbol.encode(), digest_size=4).digest()
        known = 1 + first % 5, second % 5, 15_000 + int.from_bytes(more, "big")
    tick, lot, start = known
    spot = market is Market.SPOT
    return Instrument(
        symbol=symbol,
        tick_e8=10 ** (DECIMALS - tick),
        lot_e8=10 ** (DECIMALS - lot),
        start_ticks=start,
        price_decimals=DECIMALS if spot else tick,
        size_decimals=DECIMALS if spot else lot,
    )


def fixed_text(value_e8: int, decimals: int) -> str:
    """Write a scaled value with so many decimals, those beyond them cut off: as the venue pads its numbers."""
    whole, fraction = divmod(value_e8, SCALE)
    return f"{whole}.{fraction // 10 ** (DECIMALS - decimals):0{decimals}d}" if decimals else str(whole)


class Texts(dict[int, str]):
    """Decimal texts of whole numbers of a unit: `texts[3]` of a tick of 0.01 is `0.03000000` with eight decimals.

    With None for `decimals`, trailing zeros are left out: `0.03`.

    Numbers repeat, so most are looked up. Bounded: at 8,192 (1 MB) it forgets everything and starts again.
    """

    def __init__(self, unit_e8: int, decimals: int | None) -> None:
        super().__init__()
        self._unit_e8 = unit_e8
        self._decimals = decimals

    def __missing__(self, number: int) -> str:
        if len(self) >= TEXTS_KEPT:
            self.clear()
        value = number * self._unit_e8
        text = self[number] = format_e8(value) if self._decimals is None else fixed_text(value, self._decimals)
        return text
