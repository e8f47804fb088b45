"""The hot path: a block goes in, columns come out, books are updated on the way."""

from hftcap.kernel.choice import Kernel
from hftcap.kernel.columns import Columns
from hftcap.kernel.result import Result
from hftcap.kernel.selection import Selection
from hftcap.kernel.symbol_book import SymbolBook

__all__ = ["Columns", "Kernel", "Result", "Selection", "SymbolBook"]
