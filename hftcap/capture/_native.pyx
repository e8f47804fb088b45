# cython: language_level=3
"""Opening a block in C; `hftcap.capture.block` says what it is for."""

from cpython.buffer cimport PyBUF_SIMPLE, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t


cdef extern from "open.h" nogil:
    ctypedef struct Unpacked:
        uint32_t* length
        int64_t* time_ns
        int64_t* rx_lag_ns
        int64_t* start
        uint16_t* conn
        uint8_t* kind
        uint8_t* flags
        bint rises
    ctypedef struct Stored:
        int64_t records, columns_stored, notes_stored, payloads_stored, payloads_raw
        uint32_t crc_columns_notes, payload_check
    ctypedef struct Opener:
        pass
    int opener_init(Opener*)
    void opener_free(Opener*)
    bint open_block(Opener*, const Stored*, const uint8_t*, uint8_t*, int64_t, uint32_t, Unpacked*)


cdef class BlockOpener:
    """What opens blocks, one at a time.

    Raises:
        OSError: there is no libzstd on this system.
    """

    cdef Opener opener

    def __cinit__(self):
        if opener_init(&self.opener):
            raise OSError("no libzstd")

    def __dealloc__(self):
        opener_free(&self.opener)

    def open(self, header, body, payloads, columns, int64_t payload_most, uint32_t kinds):
        """Open a block with records into memory for its payloads and, 32 bytes a record, for its columns.

        The columns are times, lags, starts (int64), lengths (uint32), connections (uint16), kinds, flags (uint8). Returns
        None where anything is other than it should be, and otherwise whether no time is before the one in front of it.
        """
        cdef Stored block
        cdef Unpacked to
        cdef Py_buffer stored, raw, out
        cdef bint fine = False
        block.records = header.records
        block.columns_stored = header.columns_stored
        block.notes_stored = header.notes_stored
        block.payloads_stored = header.payloads_stored
        block.payloads_raw = header.payloads_raw
        block.crc_columns_notes = header.crc_columns_notes
        block.payload_check = header.payload_check
        PyObject_GetBuffer(body, &stored, PyBUF_SIMPLE)
        try:
            PyObject_GetBuffer(payloads, &raw, PyBUF_WRITABLE)
            try:
                PyObject_GetBuffer(columns, &out, PyBUF_WRITABLE)
                try:
                    if (
                        stored.len != block.columns_stored + block.notes_stored + block.payloads_stored
                        or raw.len < block.payloads_raw
                        or out.len < 32 * block.records
                    ):
                        return None
                    to.time_ns = <int64_t*>out.buf
                    to.rx_lag_ns = to.time_ns + block.records
                    to.start = to.time_ns + 2 * block.records
                    to.length = <uint32_t*>(to.time_ns + 3 * block.records)
                    to.conn = <uint16_t*>(to.length + block.records)
                    to.kind = <uint8_t*>(to.conn + block.records)
                    to.flags = to.kind + block.records
                    with nogil:
                        fine = open_block(
                            &self.opener,
                            &block,
                            <const uint8_t*>stored.buf,
                            <uint8_t*>raw.buf,
                            payload_most,
                            kinds,
                            &to,
                        )
                finally:
                    PyBuffer_Release(&out)
            finally:
                PyBuffer_Release(&raw)
        finally:
            PyBuffer_Release(&stored)
        return bool(to.rises) if fine else None
