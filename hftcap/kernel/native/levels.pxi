# The book as Python sees it: what hftcap.book.levels.Levels does, on the C book of book.h.

cdef extern from "book.h" nogil:
    int64_t NO_ASK_C "NO_ASK"
    ctypedef struct Level:
        int64_t price
        int64_t size
    ctypedef struct Entry:
        int64_t key
        int64_t size
    ctypedef struct Side:
        int64_t tick
        int64_t total
        int64_t total_missed
        int64_t moves
    ctypedef struct Touch:
        int64_t bid
        int64_t bid_size
        int64_t ask
        int64_t ask_size
    ctypedef struct Book:
        Side bids
        Side asks
    void book_init(Book*)
    void book_free(Book*)
    void book_touch(const Book*, Touch*)
    int book_apply(Book*, const Level*, int64_t, const Level*, int64_t)
    int64_t side_count(const Side*)
    void side_entries(const Side*, Entry*)
    int side_expect(Side*, const Level*, int64_t, int64_t)
    int64_t side_size(const Side*, int64_t)


cdef class LevelArray:
    """Levels on their way into C, and their number."""

    cdef Level* at
    cdef int64_t count

    def __cinit__(self, levels):
        cdef int64_t room = len(levels), price, size
        self.at = <Level*>malloc((room or 1) * sizeof(Level))
        if self.at == NULL:
            raise MemoryError
        for price, size in levels:
            self.at[self.count].price = price
            self.at[self.count].size = size
            self.count += 1

    def __dealloc__(self):
        free(self.at)


cdef object touch_tuple(const Touch* touch):
    return touch.bid, touch.bid_size, NO_ASK if touch.ask == NO_ASK_C else touch.ask, touch.ask_size


cdef void set_touch(Touch* touch, object values) except *:
    bid, bid_size, ask, ask_size = values
    touch.bid = bid
    touch.bid_size = bid_size
    touch.ask = NO_ASK_C if ask == NO_ASK else ask
    touch.ask_size = ask_size


cdef list sorted_levels(const Side* side, int64_t sign):
    cdef int64_t count = side_count(side), i
    cdef Entry* entries = <Entry*>malloc((count or 1) * sizeof(Entry))
    if entries == NULL:
        raise MemoryError
    side_entries(side, entries)
    found = [(entries[i].key * sign, entries[i].size) for i in range(count)]
    free(entries)
    found.sort(reverse=sign > 0)
    return found


cdef class WindowLevels:
    """Both sides of one symbol's book; `hftcap.book.levels.Levels` says what each method promises."""

    cdef Book book

    def __cinit__(self, *args, **kwargs):
        book_init(&self.book)

    def __init__(self, bids=(), asks=()):
        cdef LevelArray b = LevelArray(list(bids)), a = LevelArray(list(asks))
        if side_expect(&self.book.bids, b.at, b.count, 1) or side_expect(&self.book.asks, a.at, a.count, -1):
            raise MemoryError
        self._apply(b, a)

    def __dealloc__(self):
        book_free(&self.book)

    cdef int _apply(self, LevelArray bids, LevelArray asks) except -1:
        if book_apply(&self.book, bids.at, bids.count, asks.at, asks.count):
            raise MemoryError
        return 0

    def apply(self, bids, asks):
        self._apply(LevelArray(list(bids)), LevelArray(list(asks)))

    def touch(self):
        cdef Touch touch
        book_touch(&self.book, &touch)
        return touch_tuple(&touch)

    def sides(self):
        return SideView(self, True), SideView(self, False)

    def dump(self):
        bids, asks = self.bids(), self.asks()
        parts = [p for p, _ in bids], [s for _, s in bids], [p for p, _ in asks], [s for _, s in asks]
        return tuple([packed(part) for part in parts])

    @classmethod
    def load(cls, parts):
        bid_prices, bid_sizes, ask_prices, ask_sizes = [unpacked(part) for part in parts]
        return cls(zip(bid_prices, bid_sizes, strict=True), zip(ask_prices, ask_sizes, strict=True))

    @property
    def crossed(self):
        bid, _, ask, _ = self.touch()
        return bid >= ask

    def bids(self, count=None):
        return sorted_levels(&self.book.bids, 1)[:count]

    def asks(self, count=None):
        return sorted_levels(&self.book.asks, -1)[:count]

    def size(self, price, is_bid):
        """Return the size held at a price of one side, 0 for none."""
        return side_size(&self.book.bids, price) if is_bid else side_size(&self.book.asks, -price)

    def beyond(self, lowest_bid, highest_ask):
        return sum([price < lowest_bid for price, _ in self.bids()]) + sum([price > highest_ask for price, _ in self.asks()])

    @property
    def n_bids(self):
        return side_count(&self.book.bids)

    @property
    def n_asks(self):
        return side_count(&self.book.asks)

    def sha256(self):
        return levels_digest(self.bids(), self.asks())

    @property
    def window(self):
        """How the window fares, of each side: tick, levels applied, how many missed it, how often it moved."""
        b, a = self.book.bids, self.book.asks
        return (b.tick, b.total, b.total_missed, b.moves), (a.tick, a.total, a.total_missed, a.moves)


class SideView(Mapping):
    """One side of a book as it stands, size by price: asking for one price does not copy the side."""

    __slots__ = ("_is_bid", "_levels")

    def __init__(self, levels, is_bid):
        self._levels = levels
        self._is_bid = is_bid

    def __getitem__(self, price):
        size = self._levels.size(price, self._is_bid)
        if not size:
            raise KeyError(price)
        return size

    def get(self, price, default=None):
        return self._levels.size(price, self._is_bid) or default

    def __iter__(self):
        return iter([price for price, _ in (self._levels.bids() if self._is_bid else self._levels.asks())])

    def __len__(self):
        return self._levels.n_bids if self._is_bid else self._levels.n_asks
