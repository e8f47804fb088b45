"""The hot path: a block goes in, columns come out, books are updated on the way."""

from hftcap.kernel.columns import Columns
from hftcap.kernel.reference import ReferenceKernel
from hftcap.kernel.symbol_book import SymbolBook

Kernel = ReferenceKernel

__all__ = ["Columns", "Kernel", "SymbolBook"]
