# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""What the compiled kernel does in C, as Python objects; `hftcap.kernel.compiled` says what they are for.

The work is in native/*.h: `side`, `book`, `check` (levels), `sync` (one symbol), `number`, `shape`, `scan` (payloads),
`changes` (rows for reports).
"""

from collections.abc import Mapping

from cpython.buffer cimport PyBUF_SIMPLE, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.ref cimport Py_DECREF, Py_INCREF
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset

from hftcap.binance.messages import DepthDiff, OddityKind
from hftcap.book.levels import NO_ASK, levels_digest, packed, unpacked
from hftcap.fixed import CACHE_LIMIT, DecimalCache

include "native/levels.pxi"
include "native/state.pxi"
include "native/scan.pxi"
include "native/decimals.pxi"
