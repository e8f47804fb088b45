# The state of sync.h and check.h as Python sees it. Each class stands where the reference has one of its own, or under
# one that hftcap.kernel.cells derives from it.

cdef extern from "sync.h" nogil:
    int64_t NONE64
    ctypedef struct Timed:
        int64_t id
        Touch touch
    ctypedef struct TimedRing:
        int64_t count
    ctypedef struct Check:
        int64_t checked
        int64_t equal
        int64_t newest_id
        bint has_latest
        Touch latest
        TimedRing quotes
        TimedRing touches
    ctypedef struct Kept:
        void* object
        Level* levels
        int64_t n_bids, n_asks
        int64_t event_ns, trade_ns, first_id, final_id, prev_id
        int64_t stream, capture, sequence, place, recv_ns
        int reversed
    ctypedef struct KeptRing:
        Kept* kept
        int64_t count, levels
        Level* level
        void** orphan
        int64_t orphans
    ctypedef struct Newest:
        int count
        int64_t* line
        int64_t* id
    ctypedef struct Quotes:
        int64_t newest_id
        Newest lines
    ctypedef struct Prints:
        bint begun
        int64_t last
        Newest lines
    ctypedef struct Shown:
        int64_t state, bid, bid_size, ask, ask_size
    ctypedef struct Symbol:
        Book* book
        Check* check
        KeptRing kept
        int state
        bint pending_snapshot, missed, many_lines, has_feed_id, has_first_id, has_book_id, futures
        int64_t feed_id, snapshot_id, first_id, book_id, line, feed_ns
        int64_t updates, levels, removals, crossed
    void check_init(Check*)
    void check_free(Check*)
    int check_quoted(Check*, int64_t, const Touch*)
    int check_advanced(Check*, int64_t, const Touch*)
    void check_finish(Check*)
    Timed* timed_at(const TimedRing*, int64_t)
    int timed_add(TimedRing*, int64_t, const Touch*)
    Kept* kept_at(const KeptRing*, int64_t)
    Kept* kept_next(KeptRing*)
    void kept_drop(KeptRing*)


cdef list timed_list(const TimedRing* ring):
    return [(timed_at(ring, i).id, touch_tuple(&timed_at(ring, i).touch)) for i in range(ring.count)]


cdef class RingCheck:
    """What `hftcap.book.check.TouchCheck` is, method for method."""

    cdef Check check

    def __cinit__(self):
        check_init(&self.check)

    def __dealloc__(self):
        check_free(&self.check)

    @property
    def checked(self):
        return self.check.checked

    @checked.setter
    def checked(self, int64_t value):
        self.check.checked = value

    @property
    def equal(self):
        return self.check.equal

    @equal.setter
    def equal(self, int64_t value):
        self.check.equal = value

    def quoted(self, int64_t update_id, touch):
        cdef Touch kept
        set_touch(&kept, touch)
        if check_quoted(&self.check, update_id, &kept):
            raise MemoryError

    def advanced(self, int64_t update_id, touch):
        cdef Touch kept
        set_touch(&kept, touch)
        if check_advanced(&self.check, update_id, &kept):
            raise MemoryError

    def finish(self):
        check_finish(&self.check)

    def dump(self):
        latest = touch_tuple(&self.check.latest) if self.check.has_latest else None
        return latest, self.check.newest_id, timed_list(&self.check.quotes), timed_list(&self.check.touches)

    @classmethod
    def load(cls, latest, newest_id, quotes, touches):
        cdef RingCheck loaded = cls()
        cdef Touch kept
        loaded.check.newest_id = newest_id
        if latest is not None:
            loaded.check.has_latest = True
            set_touch(&loaded.check.latest, latest)
        for update_id, touch in quotes:
            set_touch(&kept, touch)
            if timed_add(&loaded.check.quotes, update_id, &kept):
                raise MemoryError
        for update_id, touch in touches:
            set_touch(&kept, touch)
            if timed_add(&loaded.check.touches, update_id, &kept):
                raise MemoryError
        return loaded


cdef dict newest_dict(Newest* newest, dict into):
    """Move what was written down here over to a dict, which knows of all lines."""
    for i in range(newest.count):
        into[newest.line[i]] = newest.id[i]
    newest.count = 0
    return into


cdef class QuoteCell:
    """The newest bookTicker of a symbol; the ids by line are for `cells.CompiledQuotes` to keep."""

    cdef Quotes quotes

    def __cinit__(self):
        self.quotes.newest_id = -1

    @property
    def newest_id(self):
        return self.quotes.newest_id

    @newest_id.setter
    def newest_id(self, int64_t value):
        self.quotes.newest_id = value

    def by_line(self, dict into):
        """Move the newest id of each line into a dict and return it."""
        return newest_dict(&self.quotes.lines, into)


cdef class PrintCell:
    """The last of one numbering of prints; `cells.CompiledPrints` keeps the rest."""

    cdef Prints prints

    @property
    def last(self):
        return self.prints.last

    @last.setter
    def last(self, int64_t value):
        self.prints.last = value

    def begin(self, begun):
        """Say whether there was a print at all."""
        self.prints.begun = begun

    def by_line(self, dict into):
        """Move the newest id of each line into a dict and return it."""
        return newest_dict(&self.prints.lines, into)


cdef class ShownCell:
    """A symbol's book as columns show it: state and touch, `NULL` where there is none."""

    cdef Shown shown

    def __cinit__(self):
        self.show((0, NONE64, NONE64, NONE64, NONE64))

    def show(self, touch):
        self.shown.state, self.shown.bid, self.shown.bid_size, self.shown.ask, self.shown.ask_size = touch

    @property
    def row(self):
        shown = self.shown
        return shown.state, shown.bid, shown.bid_size, shown.ask, shown.ask_size


cdef class SymbolCell:
    """What `sync.h` keeps of a symbol. `book`, `check` and `kept` are objects of their own."""

    cdef Symbol symbol
    cdef readonly WindowLevels levels_held
    cdef readonly RingCheck check_held
    cdef object names
    cdef str name

    def __cinit__(self, names, str name, *, bint futures):
        self.names = names
        self.name = name
        self.symbol.futures = futures
        self.symbol.line = -1
        self.hold_book(WindowLevels())
        self.hold_check(RingCheck())

    def __dealloc__(self):
        self.forget_kept()
        self.drop_orphans()
        free(self.symbol.kept.kept)
        free(self.symbol.kept.level)
        free(self.symbol.kept.orphan)

    cpdef hold_book(self, WindowLevels levels):
        self.levels_held = levels
        self.symbol.book = &levels.book

    cpdef hold_check(self, RingCheck check):
        self.check_held = check
        self.symbol.check = &check.check

    cdef object drop_kept(self):
        cdef Kept* oldest = kept_at(&self.symbol.kept, 0)
        cdef void* owned = oldest.object
        kept_drop(&self.symbol.kept)
        if owned != NULL:
            Py_DECREF(<object>owned)

    cdef object drop_orphans(self):
        cdef KeptRing* ring = &self.symbol.kept
        while ring.orphans:
            ring.orphans -= 1
            Py_DECREF(<object>ring.orphan[ring.orphans])

    cdef object kept_pair(self, int64_t at):
        cdef Kept* kept = kept_at(&self.symbol.kept, at)
        if kept.object != NULL:
            return <object>kept.object
        diff = DepthDiff(
            stream=None if kept.stream < 0 else self.names.streams[kept.stream],
            symbol=self.name,
            event_ns=kept.event_ns,
            oddity=OddityKind.IDS_REVERSED if kept.reversed else None,
            first_update_id=kept.first_id,
            final_update_id=kept.final_id,
            bids=[(kept.levels[i].price, kept.levels[i].size) for i in range(kept.n_bids)],
            asks=[(kept.levels[i].price, kept.levels[i].size) for i in range(kept.n_bids, kept.n_bids + kept.n_asks)],
            prev_final_update_id=None if kept.prev_id == NONE64 else kept.prev_id,
            trade_ns=None if kept.trade_ns == NONE64 else kept.trade_ns,
        )
        return diff, (self.names.captures[kept.capture], kept.sequence, kept.place, kept.recv_ns)

    def keep(self, pair):
        """Keep an update with its origin for joining."""
        self.drop_orphans()
        cdef Kept* kept = kept_next(&self.symbol.kept)
        if kept == NULL:
            raise MemoryError
        memset(kept, 0, sizeof(Kept))
        kept.n_bids, kept.n_asks = len(pair[0].bids), len(pair[0].asks)
        kept.object = <void*>pair
        Py_INCREF(pair)
        self.symbol.kept.count += 1
        self.symbol.kept.levels += kept.n_bids + kept.n_asks

    def forget_kept(self):
        """Forget all updates kept."""
        while self.symbol.kept.count:
            self.drop_kept()

    def let_go(self):
        """Forget the oldest update kept, and return it."""
        if not self.symbol.kept.count:
            raise IndexError
        pair = self.kept_pair(0)
        self.drop_kept()
        return pair

    def kept(self):
        """Return the updates kept, the oldest first, each with its origin."""
        return [self.kept_pair(i) for i in range(self.symbol.kept.count)]

    @property
    def n_kept(self):
        return self.symbol.kept.count

    @property
    def state(self):
        return self.symbol.state

    @state.setter
    def state(self, int value):
        self.symbol.state = value

    @property
    def feed_id(self):
        return self.symbol.feed_id if self.symbol.has_feed_id else None

    @feed_id.setter
    def feed_id(self, value):
        self.symbol.has_feed_id = value is not None
        self.symbol.feed_id = value or 0

    @property
    def snapshot_id(self):
        return self.symbol.snapshot_id if self.symbol.pending_snapshot else None

    @snapshot_id.setter
    def snapshot_id(self, value):
        self.symbol.pending_snapshot = value is not None
        self.symbol.snapshot_id = value or 0

    @property
    def first_update_id(self):
        return self.symbol.first_id if self.symbol.has_first_id else None

    @first_update_id.setter
    def first_update_id(self, value):
        self.symbol.has_first_id = value is not None
        self.symbol.first_id = value or 0

    @property
    def book_update_id(self):
        return self.symbol.book_id if self.symbol.has_book_id else None

    @book_update_id.setter
    def book_update_id(self, value):
        self.symbol.has_book_id = value is not None
        self.symbol.book_id = value or 0

    @property
    def missed(self):
        return bool(self.symbol.missed)

    @missed.setter
    def missed(self, bint value):
        self.symbol.missed = value

    @property
    def many_lines(self):
        return bool(self.symbol.many_lines)

    @many_lines.setter
    def many_lines(self, bint value):
        self.symbol.many_lines = value

    @property
    def line(self):
        return self.symbol.line

    @line.setter
    def line(self, int64_t value):
        self.symbol.line = value

    @property
    def feed_ns(self):
        return self.symbol.feed_ns

    @feed_ns.setter
    def feed_ns(self, int64_t value):
        self.symbol.feed_ns = value

    @property
    def updates(self):
        return self.symbol.updates

    @updates.setter
    def updates(self, int64_t value):
        self.symbol.updates = value

    @property
    def levels(self):
        return self.symbol.levels

    @levels.setter
    def levels(self, int64_t value):
        self.symbol.levels = value

    @property
    def removals(self):
        return self.symbol.removals

    @removals.setter
    def removals(self, int64_t value):
        self.symbol.removals = value

    @property
    def crossed(self):
        return self.symbol.crossed

    @crossed.setter
    def crossed(self, int64_t value):
        self.symbol.crossed = value

    @property
    def levels_kept(self):
        return self.symbol.kept.levels
