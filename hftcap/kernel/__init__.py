"""The hot path: a block goes in, columns come out, books are updated on the way."""

from hftcap.kernel.columns import Columns
from hftcap.kernel.reference import ReferenceKernel
from hftcap.kernel.result import Result
from hftcap.kernel.selection import Selection
from hftcap.kernel.symbol_book import SymbolBook

Kernel = ReferenceKernel

__all__ = ["Columns", "Kernel", "Result", "Selection", "SymbolBook"]
