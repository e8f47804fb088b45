"""Types of the compiled module; the sources say what each thing does.

`WindowLevels` and `RingCheck` are derived from nothing. They stand where the classes do whose methods they have, and
are declared as those so that both kernels share the code around them.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from hftcap.binance.lines import Origin
from hftcap.binance.messages import DepthDiff
from hftcap.book.check import TouchCheck
from hftcap.book.levels import Level, Levels
from hftcap.fixed import DecimalCache

class Names(Protocol):
    streams: list[str]
    captures: list[str]

_WindowFigures = tuple[int, int, int, int]

class WindowLevels(Levels):
    def __init__(self, bids: Iterable[Level] = (), asks: Iterable[Level] = ()) -> None: ...
    def size(self, price: int, is_bid: bool) -> int: ...
    @property
    def window(self) -> tuple[_WindowFigures, _WindowFigures]: ...

class RingCheck(TouchCheck): ...

class QuoteCell:
    newest_id: int
    def by_line(self, into: dict[int, int]) -> dict[int, int]: ...

class PrintCell:
    last: int
    def begin(self, begun: bool) -> None: ...
    def by_line(self, into: dict[int, int]) -> dict[int, int]: ...

class ShownCell:
    def show(self, touch: tuple[int, ...]) -> None: ...
    @property
    def row(self) -> tuple[int, int, int, int, int]: ...

class SymbolCell:
    levels_held: WindowLevels
    check_held: RingCheck
    state: int
    feed_id: int | None
    snapshot_id: int | None
    first_update_id: int | None
    book_update_id: int | None
    missed: bool
    many_lines: bool
    line: int
    feed_ns: int
    updates: int
    levels: int
    removals: int
    crossed: int
    def __init__(self, names: Names, name: str, *, futures: bool) -> None: ...
    def hold_book(self, levels: WindowLevels) -> None: ...
    def hold_check(self, check: RingCheck) -> None: ...
    def keep(self, pair: tuple[DepthDiff, Origin]) -> None: ...
    def forget_kept(self) -> None: ...
    def let_go(self) -> tuple[DepthDiff, Origin]: ...
    def kept(self) -> list[tuple[DepthDiff, Origin]]: ...
    @property
    def n_kept(self) -> int: ...
    @property
    def levels_kept(self) -> int: ...

class Scanner:
    def __init__(
        self, *, kind_text: int, verdict_follows: int, oddity_reversed: int, levels: bool, books_only: bool
    ) -> None: ...
    @property
    def plain(self) -> int: ...
    timed: bool
    @property
    def updating_ns(self) -> int: ...
    @property
    def updates_timed(self) -> int: ...
    @property
    def shapes(self) -> int: ...
    def knows(self, payload: bytes) -> bool: ...
    def forget(self) -> None: ...
    def learn(
        self,
        payload: bytes,
        steps: Sequence[tuple[bytes, int, int]],
        *,
        shape_type: int,
        type_code: int,
        market_print: bool,
        taken: bool,
        may_be_depth: bool,
        symbol: int,
        stream: int,
        kind: int,
        book: SymbolCell | None,
        quotes: QuoteCell | None,
        prints: PrintCell | None,
        shown: ShownCell,
    ) -> None: ...
    def begin(
        self,
        payloads: bytes | memoryview,
        start: NDArray[np.int64],
        length: NDArray[np.uint32],
        kind: NDArray[np.uint8],
        conn: NDArray[np.uint16],
        recv_ns: NDArray[np.int64],
        line_taken: NDArray[np.uint8] | None,
        left_out: NDArray[np.uint8] | None,
        columns: tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.uint32], NDArray[np.uint8]],
        *,
        first: int,
        records: int,
        rows: int,
        begin: int,
        line_base: int,
        capture: int,
        sequence: int,
    ) -> None: ...
    def run(self, row: int, log_capture: int) -> int: ...
    def end(self) -> None: ...
    def one_row(
        self,
        wide: NDArray[np.int64],
        narrow: NDArray[np.int32],
        counts: NDArray[np.uint32],
        codes: NDArray[np.uint8],
        odd: Callable[[bytes, int, int], None],
        *,
        capture: int,
    ) -> None: ...
    def one(self, payload: bytes, conn: int, recv_ns: int) -> None: ...
    def leave_empty(self, row: int) -> None: ...
    def changes(self) -> tuple[bytes, bytes, bytes, bytes]: ...

class CompiledDecimals(DecimalCache): ...
