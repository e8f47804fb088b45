"""Which kernel runs: the compiled one where it was built, the reference elsewhere and where HFTCAP_PURE=1 asks."""

from typing import TYPE_CHECKING

from hftcap.compiled import wanted
from hftcap.kernel.reference import ReferenceKernel


def chosen() -> type[ReferenceKernel]:
    """Return the kernel to be used."""
    if not wanted():
        return ReferenceKernel
    try:
        from hftcap.kernel.compiled import CompiledKernel
    except ImportError:  # it was not built: there was no compiler
        return ReferenceKernel
    return CompiledKernel


if TYPE_CHECKING:
    Kernel = ReferenceKernel
else:
    Kernel = chosen()
