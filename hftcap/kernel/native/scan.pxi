# The scanner of scan.h as Python sees it: shapes are given to it, then batches.

cdef extern from "scan.h" nogil:
    enum: LITERAL_MAX, SHAPES_MAX
    ctypedef struct Numbers:
        int64_t* at
        int64_t count
    ctypedef struct Changes:
        bint wanted
        int64_t capture
        Numbers updates, counts, rows, touches
    ctypedef struct Shape:
        int type, type_code, market_print, taken, may_be_depth
        int64_t symbol, stream, kind
        Symbol* book
        Quotes* quotes
        Prints* prints
        Shown* shown
    ctypedef struct Shapes:
        int64_t count
    ctypedef struct Batch:
        const uint8_t* payloads
        int64_t payloads_bytes
        const int64_t* start
        const int64_t* recv_ns
        const uint32_t* length
        const uint8_t* record_kind
        const uint8_t* line_taken
        const uint16_t* conn
        uint8_t* left_out
        int64_t first, records, line_base, capture, sequence
    ctypedef struct Out:
        pass
    ctypedef struct Scan:
        Shapes shapes
        Changes changes
        Batch batch
        Out out
        bint books_only, failed
        int kind_text, verdict_follows, oddity_reversed
        int64_t plain, updating_ns, updates_timed
        bint timed
    int scan_init(Scan*)
    void scan_free(Scan*)
    int64_t scan_run(Scan*, int64_t)
    void scan_out(Scan*, int64_t*, int32_t*, uint32_t*, uint8_t*, int64_t, int64_t)
    void scan_empty_row(Scan*, int64_t)
    int scan_knows(Scan*, const uint8_t*, int64_t)
    void shapes_clear(Shapes*)
    void shapes_add(Shapes*, Shape*, const uint8_t*)
    int64_t literal_room(int)
    Shape* shape_new(int, int64_t)
    void step_set(Shape*, int, const uint8_t*, int, int64_t, int, int)


cdef void* memory_of(array, bint writable, Py_ssize_t bytes_needed) except? NULL:
    """Return where an array keeps its numbers; it must be contiguous, and be kept alive by the caller."""
    cdef Py_buffer view
    PyObject_GetBuffer(array, &view, PyBUF_WRITABLE if writable else PyBUF_SIMPLE)
    cdef void* at = view.buf
    cdef Py_ssize_t length = view.len
    PyBuffer_Release(&view)
    if length < bytes_needed:
        raise ValueError(f"found {length} bytes, expected {bytes_needed}")
    return at


cdef bytes taken_bytes(Numbers* numbers):
    cdef bytes found = (<char*>numbers.at)[: numbers.count * sizeof(int64_t)]
    numbers.count = 0
    return found


cdef class Scanner:
    """Take batches of records; what is not plain is left to the caller, one record at a time.

    The codes are those of the columns. `plain` counts the records taken here.
    """

    cdef Scan scan
    cdef list owners
    cdef tuple batch
    cdef object row
    cdef int64_t* row_wide
    cdef int32_t* row_narrow
    cdef uint32_t* row_counts
    cdef uint8_t* row_codes
    cdef object row_odd
    cdef int64_t row_capture, row_place

    def __cinit__(self, *, int kind_text, int verdict_follows, int oddity_reversed, bint levels, bint books_only):
        if scan_init(&self.scan):
            raise MemoryError
        self.scan.kind_text = kind_text
        self.scan.verdict_follows = verdict_follows
        self.scan.oddity_reversed = oddity_reversed
        self.scan.changes.wanted = levels
        self.scan.books_only = books_only
        self.owners = []

    def __dealloc__(self):
        scan_free(&self.scan)

    @property
    def plain(self):
        return self.scan.plain

    @property
    def timed(self):
        """Whether what updating books takes is summed up."""
        return bool(self.scan.timed)

    @timed.setter
    def timed(self, bint value):
        self.scan.timed = value

    @property
    def updating_ns(self):
        return self.scan.updating_ns

    @property
    def updates_timed(self):
        return self.scan.updates_timed

    @property
    def shapes(self):
        """Number of shapes known."""
        return self.scan.shapes.count

    def knows(self, bytes payload):
        """Say whether a payload has a shape that is known."""
        cdef int found = scan_knows(&self.scan, payload, len(payload))
        if found < 0:
            raise MemoryError
        return found == 1

    def forget(self):
        """Forget all shapes, and what they wrote to."""
        shapes_clear(&self.scan.shapes)
        self.owners.clear()

    def learn(
        self,
        bytes payload,
        list steps,
        *,
        int shape_type,
        int type_code,
        bint market_print,
        bint taken,
        bint may_be_depth,
        int64_t symbol,
        int64_t stream,
        int64_t kind,
        SymbolCell book,
        QuoteCell quotes,
        PrintCell prints,
        ShownCell shown,
    ):
        """Know a shape from here on; `steps` are literal, kind and field, in the order of the payload it is of."""
        cdef const uint8_t* at
        cdef bytes literal
        if len(self.owners) >= SHAPES_MAX:  # more than there are shapes, once some were let go
            self.forget()
        cdef int64_t place = 0
        cdef Shape* shape = shape_new(len(steps), sum([literal_room(len(literal)) for literal, _, _ in steps]))
        if shape == NULL:
            raise MemoryError
        for i, (literal, step_kind, field) in enumerate(steps):
            at = literal
            step_set(shape, i, at, len(literal), place, step_kind, field)
            place += literal_room(len(literal))
        shape.type, shape.type_code, shape.market_print = shape_type, type_code, market_print
        shape.taken, shape.may_be_depth = taken, may_be_depth
        shape.symbol, shape.stream, shape.kind = symbol, stream, kind
        shape.book = NULL if book is None else &book.symbol
        shape.quotes = NULL if quotes is None else &quotes.quotes
        shape.prints = NULL if prints is None else &prints.prints
        shape.shown = &shown.shown
        self.owners.append((book, quotes, prints, shown))
        at = payload
        shapes_add(&self.scan.shapes, shape, at)

    def begin(
        self,
        payloads,
        start,
        length,
        kind,
        conn,
        recv_ns,
        line_taken,
        left_out,
        columns,
        *,
        int64_t first,
        int64_t records,
        int64_t rows,
        int64_t begin,
        int64_t line_base,
        int64_t capture,
        int64_t sequence,
    ):
        """Begin a batch: of a block's records those from `first` on.

        `start` to `conn` are of the whole block, the rest of the batch alone. `columns` are the tables of int64, int32,
        uint32 and uint8 columns, all of `rows` rows; those of this batch begin at `begin`.
        """
        cdef Batch* batch = &self.scan.batch
        if first < 0 or records < 0 or begin < 0 or begin + records > rows:
            raise ValueError
        self.batch = (payloads, start, length, kind, conn, recv_ns, line_taken, left_out, columns)
        batch.payloads_bytes = len(payloads)
        batch.payloads = <const uint8_t*>memory_of(payloads, False, batch.payloads_bytes)
        if records and (not batch.payloads_bytes or batch.payloads[batch.payloads_bytes - 1] != 10):
            raise ValueError("the last payload is not followed by a newline")
        batch.first, batch.records = first, records
        batch.line_base, batch.capture, batch.sequence = line_base, capture, sequence
        if not records:
            return
        cdef int64_t stop = first + records
        batch.start = <const int64_t*>memory_of(start, False, stop * 8) + first
        batch.length = <const uint32_t*>memory_of(length, False, stop * 4) + first
        batch.record_kind = <const uint8_t*>memory_of(kind, False, stop) + first
        batch.conn = <const uint16_t*>memory_of(conn, False, stop * 2) + first
        batch.recv_ns = <const int64_t*>memory_of(recv_ns, False, records * 8)
        batch.line_taken = NULL
        batch.left_out = NULL
        if line_taken is not None:
            batch.line_taken = <const uint8_t*>memory_of(line_taken, False, records)
        if left_out is not None:
            batch.left_out = <uint8_t*>memory_of(left_out, True, records)
        wide, narrow, counts, codes = columns
        scan_out(
            &self.scan,
            <int64_t*>memory_of(wide, True, rows * 8 * 14),
            <int32_t*>memory_of(narrow, True, rows * 4 * 3),
            <uint32_t*>memory_of(counts, True, rows * 4 * 2),
            <uint8_t*>memory_of(codes, True, rows * 7),
            rows,
            begin,
        )

    def run(self, int64_t row, int64_t log_capture):
        """Take records from `row` on; return the first that is not plain, the number of records if there is none.

        `log_capture` is the batch's capture in the log of changes.
        """
        self.scan.changes.capture = log_capture
        with nogil:
            row = scan_run(&self.scan, row)
        if self.scan.failed:
            raise MemoryError
        return row

    def end(self):
        """Let go of what the batch was given."""
        self.batch = None
        self.scan.batch.records = 0

    def one_row(self, wide, narrow, counts, codes, odd, *, int64_t capture):
        """Write what `one` takes to these tables of one row, whose memory must stay where it is.

        `odd` is called with what is not plain, and `capture` is the index of what records are of.
        """
        self.row = (wide, narrow, counts, codes)
        self.row_odd = odd
        self.row_capture = capture
        self.row_wide = <int64_t*>memory_of(wide, True, 8 * 14)
        self.row_narrow = <int32_t*>memory_of(narrow, True, 4 * 3)
        self.row_counts = <uint32_t*>memory_of(counts, True, 4 * 2)
        self.row_codes = <uint8_t*>memory_of(codes, True, 7)

    def one(self, bytes payload, uint16_t conn, int64_t recv_ns):
        """Take one text frame as it comes, received at `recv_ns`, wall clock."""
        cdef Batch* batch = &self.scan.batch
        cdef int64_t start = 0
        cdef uint32_t length = len(payload)
        cdef uint8_t kind = self.scan.kind_text
        if self.row is None:
            raise ValueError("there is no row to write to")
        batch.payloads = payload
        batch.payloads_bytes = <int64_t>length + 1  # bytes have a zero behind them
        batch.start, batch.length, batch.record_kind = &start, &length, &kind
        batch.conn, batch.recv_ns = &conn, &recv_ns
        batch.line_taken = batch.left_out = NULL
        batch.first, batch.records = self.row_place, 1
        batch.line_base, batch.capture, batch.sequence = self.row_capture << 16, self.row_capture, 0
        scan_out(&self.scan, self.row_wide, self.row_narrow, self.row_counts, self.row_codes, 1, 0)
        cdef bint plain = scan_run(&self.scan, 0) == 1
        batch.records = 0
        self.row_place += 1
        if plain:
            return
        if self.scan.failed:
            raise MemoryError
        self.row_odd(payload, conn, recv_ns)

    def leave_empty(self, int64_t row):
        """Give a row no values."""
        scan_empty_row(&self.scan, row)

    def changes(self):
        """Return what changed the books since the last call: updates, rows of each, rows, touches; packed int64."""
        cdef Changes* changes = &self.scan.changes
        return (
            taken_bytes(&changes.updates),
            taken_bytes(&changes.counts),
            taken_bytes(&changes.rows),
            taken_bytes(&changes.touches),
        )
