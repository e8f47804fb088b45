/* One side of a book: sizes by price, and which price is best.
 *
 * A level is kept under its key, the price of a bid and minus the price of an ask, so the best level of either side is
 * the one with the greatest key. Where a key is kept depends on where it lies:
 *
 *        far, a hash table       |  window: one slot per tick     |  near, sorted, best last
 *    keys below `base`           |  base + slot * tick            |  above the window, or off the grid
 *   -----------------------------+--------------------------------+----------------------------------> key
 *                              base             touch at 3/4
 *
 * Nearly all updates are within a few thousand ticks of the touch: there, setting a level is a store. The window moves
 * when the touch leaves its middle. Where a level is kept never changes what the book is: the best level is the
 * better of window and near, and only when both are empty is the far table looked through, by moving the window there.
 */
#ifndef HFTCAP_SIDE_H
#define HFTCAP_SIDE_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define SIDE_SLOTS ((int64_t)1 << 15)
#define SIDE_WORDS (SIDE_SLOTS / 64)
#define SIDE_PATIENCE 64      /* misses before a side without a window looks for its grid */
#define SIDE_COOL 512         /* updates between two moves, besides one for each level: moving stays a small share */
#define SIDE_SAMPLE 2000      /* levels next to the touch from which the grid is guessed */
#define SIDE_SHIFT_MAX 40     /* keeps an index off the grid, or below base, above any slot */

typedef struct {
    int64_t price, size;
} Level;

typedef struct {
    int64_t key, size; /* in the far table a size of 0 marks a free place */
} Entry;

typedef struct {
    int64_t base, tick;
    uint64_t inverse; /* of the odd part of the tick, modulo 2**64 */
    uint64_t slots;   /* 0 while there is no window: then base is the lowest number, and every key is near */
    int shift;        /* power of two in the tick */
    int64_t best;     /* no slot above it is set; exact after side_settle; -1 none */
    int64_t low_mark, high_mark;
    int64_t *sizes;
    uint64_t *bits;
    Entry *near_by;
    int64_t near_count, near_room;
    Entry *far_off;
    int64_t far_count, far_room; /* a power of two */
    int64_t applied, cool, missed, patience;
    int64_t total, total_missed, moves;
} Side;

static inline uint64_t side_rotate(uint64_t value, int by) { return (value >> (by & 63)) | (value << (-by & 63)); }

/* The slot of a key; at or beyond `slots` for every key that has none. Dividing by the tick is exact for keys on the
 * grid, so it is a multiplication by the inverse of its odd part and a rotation; all others come out huge. */
static inline uint64_t side_slot(const Side *side, int64_t key) {
    return side_rotate(((uint64_t)key - (uint64_t)side->base) * side->inverse, side->shift);
}

static inline int64_t side_key(const Side *side, int64_t slot) {
    return (int64_t)((uint64_t)side->base + (uint64_t)slot * (uint64_t)side->tick);
}

static void side_init(Side *side) {
    memset(side, 0, sizeof *side);
    side->base = INT64_MIN;
    side->tick = 1;
    side->inverse = 1;
    side->best = -1;
    side->patience = SIDE_PATIENCE;
}

/* Slots come as pages that are made when they are touched: most symbols have levels in a few of them. */
static int64_t *slots_new(void) {
    void *pages = mmap(NULL, SIDE_SLOTS * sizeof(int64_t), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return pages == MAP_FAILED ? NULL : pages;
}

static void side_free(Side *side) {
    if (side->sizes) munmap(side->sizes, SIDE_SLOTS * sizeof(int64_t));
    free(side->bits);
    free(side->near_by);
    free(side->far_off);
    memset(side, 0, sizeof *side);
}

/* near: a sorted array */

static int64_t near_find(const Side *side, int64_t key) {
    const Entry *from = side->near_by;
    int64_t count = side->near_count;
    while (count > 1) {
        int64_t half = count >> 1;
        from += half * (from[half - 1].key < key);
        count -= half;
    }
    return from - side->near_by + (count == 1 && from->key < key);
}

static int near_swap(Side *side, int64_t key, int64_t size, int64_t *held) {
    int64_t at = near_find(side, key);
    if (at < side->near_count && side->near_by[at].key == key) {
        *held = side->near_by[at].size;
        if (size) {
            side->near_by[at].size = size;
        } else {
            side->near_count--;
            memmove(side->near_by + at, side->near_by + at + 1, (size_t)(side->near_count - at) * sizeof(Entry));
        }
        return 0;
    }
    *held = 0;
    if (!size) return 0;
    if (side->near_count == side->near_room) {
        int64_t room = side->near_room ? 2 * side->near_room : 64;
        Entry *grown = realloc(side->near_by, (size_t)room * sizeof(Entry));
        if (!grown) return -1;
        side->near_by = grown;
        side->near_room = room;
    }
    memmove(side->near_by + at + 1, side->near_by + at, (size_t)(side->near_count - at) * sizeof(Entry));
    side->near_by[at].key = key;
    side->near_by[at].size = size;
    side->near_count++;
    return 0;
}

/* far: open addressing, at most half full, no tombstones */

static inline int64_t far_home(int64_t key, int64_t room) {
    uint64_t mixed = (uint64_t)key * 0x9E3779B97F4A7C15u;
    return (int64_t)((mixed ^ (mixed >> 32)) & (uint64_t)(room - 1));
}

static int64_t far_find(const Side *side, int64_t key) {
    int64_t at = far_home(key, side->far_room);
    while (side->far_off[at].size && side->far_off[at].key != key) at = (at + 1) & (side->far_room - 1);
    return at;
}

static int far_grow(Side *side) {
    int64_t room = side->far_room ? 2 * side->far_room : 64;
    Entry *old = side->far_off, *grown = calloc((size_t)room, sizeof(Entry));
    if (!grown) return -1;
    int64_t old_room = side->far_room;
    side->far_off = grown;
    side->far_room = room;
    for (int64_t i = 0; i < old_room; i++)
        if (old[i].size) grown[far_find(side, old[i].key)] = old[i];
    free(old);
    return 0;
}

static void far_remove(Side *side, int64_t at) {
    int64_t mask = side->far_room - 1, hole = at;
    for (int64_t next = (at + 1) & mask; side->far_off[next].size; next = (next + 1) & mask) {
        int64_t home = far_home(side->far_off[next].key, side->far_room);
        if (((next - home) & mask) >= ((next - hole) & mask)) { /* it may stand in the hole, so it does */
            side->far_off[hole] = side->far_off[next];
            hole = next;
        }
    }
    side->far_off[hole].size = 0;
    side->far_count--;
}

static int far_swap(Side *side, int64_t key, int64_t size, int64_t *held) {
    *held = 0;
    if (2 * side->far_count >= side->far_room) {
        if (!size && !side->far_count) return 0;
        if (size && far_grow(side)) return -1;
    }
    int64_t at = far_find(side, key);
    *held = side->far_off[at].size;
    if (size) {
        side->far_count += !*held;
        side->far_off[at].key = key;
        side->far_off[at].size = size;
    } else if (*held) {
        far_remove(side, at);
    }
    return 0;
}

/* window */

static inline int64_t window_swap(Side *side, uint64_t slot, int64_t size) {
    int64_t held = side->sizes[slot];
    uint64_t bit = (uint64_t)1 << (slot & 63);
    side->sizes[slot] = size;
    if (size) {
        side->bits[slot >> 6] |= bit;
        if ((int64_t)slot > side->best) side->best = (int64_t)slot;
    } else {
        side->bits[slot >> 6] &= ~bit;
    }
    return held;
}

static int side_elsewhere(Side *side, int64_t key, int64_t size, int64_t *held) {
    side->missed++;
    side->total_missed++;
    return key >= side->base ? near_swap(side, key, size, held) : far_swap(side, key, size, held);
}

/* Set one level, 0 removes it; *held is what it was. Returns -1 where memory ends. */
static inline int side_swap(Side *side, int64_t key, int64_t size, int64_t *held) {
    side->applied++;
    side->total++;
    uint64_t slot = side_slot(side, key);
    if (slot < side->slots) {
        *held = window_swap(side, slot, size);
        return 0;
    }
    return side_elsewhere(side, key, size, held);
}

/* Set many levels; `sign` is 1 for bids and -1 for asks. Returns -1 where memory ends. */
static int side_apply(Side *side, const Level *levels, int64_t count, int64_t sign) {
    const uint64_t inverse = side->inverse, slots = side->slots, base = (uint64_t)side->base;
    const int shift = side->shift;
    int64_t *sizes = side->sizes, best = side->best, held;
    uint64_t *bits = side->bits;
    for (int64_t i = 0; i < count; i++) {
        int64_t key = levels[i].price * sign, size = levels[i].size;
        uint64_t slot = side_rotate(((uint64_t)key - base) * inverse, shift);
        if (__builtin_expect(slot < slots, 1)) {
            uint64_t at = slot & 63;
            sizes[slot] = size;
            bits[slot >> 6] = (bits[slot >> 6] & ~((uint64_t)1 << at)) | ((uint64_t)(size != 0) << at);
            int64_t reached = size ? (int64_t)slot : -1;
            best = reached > best ? reached : best;
        } else if (side_elsewhere(side, key, size, &held)) {
            side->best = best;
            return -1;
        }
    }
    side->best = best;
    side->applied += count;
    side->total += count;
    return 0;
}

static int64_t side_size(const Side *side, int64_t key) {
    uint64_t slot = side_slot(side, key);
    if (slot < side->slots) return side->sizes[slot];
    if (key >= side->base) {
        int64_t at = near_find(side, key);
        return at < side->near_count && side->near_by[at].key == key ? side->near_by[at].size : 0;
    }
    return side->far_count ? side->far_off[far_find(side, key)].size : 0;
}

/* Number of levels in window and near array. */
static int64_t close_count(const Side *side) {
    int64_t count = side->near_count;
    for (int64_t word = 0; side->slots && word < SIDE_WORDS; word++) count += __builtin_popcountll(side->bits[word]);
    return count;
}

static int64_t side_count(const Side *side) { return close_count(side) + side->far_count; }

/* Write the levels of window and near array, in no order; return the place behind the last. */
static Entry *close_entries(const Side *side, Entry *to) {
    if (side->near_count) memcpy(to, side->near_by, (size_t)side->near_count * sizeof(Entry));
    to += side->near_count;
    for (int64_t word = SIDE_WORDS - 1; side->slots && word >= 0; word--)
        for (uint64_t left = side->bits[word]; left; left &= left - 1) {
            int64_t slot = word * 64 + __builtin_ctzll(left);
            to->key = side_key(side, slot);
            to++->size = side->sizes[slot];
        }
    return to;
}

/* Write all levels, in no order, those of window and near array first; there must be room for side_count. */
static void side_entries(const Side *side, Entry *to) {
    to = close_entries(side, to);
    for (int64_t at = 0; at < side->far_room; at++)
        if (side->far_off[at].size) *to++ = side->far_off[at];
}

static int entry_order(const void *one, const void *other) {
    int64_t a = ((const Entry *)one)->key, b = ((const Entry *)other)->key;
    return (a > b) - (a < b);
}

static uint64_t greatest_divisor(uint64_t a, uint64_t b) {
    while (b) {
        uint64_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

/* Guess the tick from some levels: the greatest divisor of those that are multiples of the greatest power of ten which
 * divides three quarters of them. A plain greatest divisor would be spoilt by a single price off the grid. */
static int64_t guess_tick(const Entry *entries, int64_t count) {
    int64_t zeros[20] = {0}, power = 1, enough = 0;
    uint64_t tick = 0;
    int kept = 18;
    for (int64_t i = 0; i < count; i++) {
        int64_t rest = entries[i].key;
        int found = 0;
        while (found < 18 && rest && rest % 10 == 0) {
            rest /= 10;
            found++;
        }
        zeros[found]++;
    }
    for (; kept > 0; kept--) {
        enough += zeros[kept];
        if (4 * enough >= 3 * count) break;
    }
    while (kept--) power *= 10;
    for (int64_t i = 0; i < count; i++)
        if (entries[i].key % power == 0) {
            int64_t key = entries[i].key;
            tick = greatest_divisor(key < 0 ? 0 - (uint64_t)key : (uint64_t)key, tick);
        }
    if (!tick) tick = 1;
    while (__builtin_ctzll(tick) > SIDE_SHIFT_MAX) tick >>= 1;
    return tick < (uint64_t)1 << 46 ? (int64_t)tick : 1;
}

/* Lay the window around a touch, empty; without memory for it, or beyond the numbers' range, there is none. */
static void side_lay(Side *side, int64_t touch, int64_t tick) {
    if (!side->sizes) side->sizes = slots_new();
    if (!side->bits) side->bits = calloc(SIDE_WORDS, sizeof(uint64_t));
    __int128 base = (__int128)touch - (__int128)(SIDE_SLOTS * 3 / 4) * tick;
    __int128 end = base + (__int128)SIDE_SLOTS * tick;
    int fits = side->sizes && side->bits && base > INT64_MIN && end < INT64_MAX;
    side->tick = tick;
    side->shift = __builtin_ctzll((uint64_t)tick);
    uint64_t odd = (uint64_t)tick >> side->shift, inverse = odd;
    for (int i = 0; i < 6; i++) inverse *= 2 - odd * inverse;
    side->inverse = inverse;
    side->slots = fits ? (uint64_t)SIDE_SLOTS : 0;
    side->base = fits ? (int64_t)base : INT64_MIN;
    side->low_mark = fits ? (int64_t)(base + (__int128)(SIDE_SLOTS / 2) * tick) : INT64_MIN;
    side->high_mark = fits ? (int64_t)(base + (__int128)(SIDE_SLOTS * 15 / 16) * tick) : INT64_MAX;
    side->best = -1;
}

static void close_clear(Side *side) {
    for (int64_t word = 0; side->slots && word < SIDE_WORDS; word++) {
        for (uint64_t left = side->bits[word]; left; left &= left - 1) side->sizes[word * 64 + __builtin_ctzll(left)] = 0;
        side->bits[word] = 0;
    }
    side->best = -1;
    side->near_count = 0;
}

static void far_clear(Side *side) {
    if (side->far_count) memset(side->far_off, 0, (size_t)side->far_room * sizeof(Entry));
    side->far_count = 0;
}

static int side_fill(Side *side, const Entry *entries, int64_t count) {
    for (int64_t i = 0; i < count; i++) {
        int64_t key = entries[i].key, held;
        uint64_t slot = side_slot(side, key);
        if (slot < side->slots) {
            window_swap(side, slot, entries[i].size);
        } else if (key < side->base) {
            if (far_swap(side, key, entries[i].size, &held)) return -1;
        } else {
            if (side->near_count == side->near_room) {
                int64_t room = side->near_room ? 2 * side->near_room : 64;
                Entry *grown = realloc(side->near_by, (size_t)room * sizeof(Entry));
                if (!grown) return -1;
                side->near_by = grown;
                side->near_room = room;
            }
            side->near_by[side->near_count++] = entries[i];
        }
    }
    if (side->near_count > 1) qsort(side->near_by, (size_t)side->near_count, sizeof(Entry), entry_order);
    return 0;
}

/* Lay the window anew around the best level there is. Returns -1 where memory ends, and then the side is not whole.
 *
 * Where the base rises, all that is far stays far and is not touched: following a market costs what the window holds,
 * however deep the book. */
static int side_move(Side *side) {
    int64_t close = close_count(side), count = close + side->far_count, base = side->base, tick = side->tick;
    int64_t asked = side->missed > side->patience ? side->patience : 0;
    side->applied = side->missed = 0;
    side->cool = SIDE_COOL + count;
    if (!count) return 0;
    Entry *entries = malloc((size_t)count * sizeof(Entry));
    if (!entries) return -1;
    int64_t taken = close >= SIDE_PATIENCE ? close : count, top = INT64_MIN;
    side_entries(side, entries);
    for (int64_t i = 0; i < taken; i++) top = entries[i].key > top ? entries[i].key : top;
    close_clear(side);
    side_lay(side, top, guess_tick(entries, taken < SIDE_SAMPLE ? taken : SIDE_SAMPLE));
    if (side->slots && side->base >= base)
        count = close;
    else
        far_clear(side);
    side->cool = SIDE_COOL + count;
    int failed = side_fill(side, entries, count);
    free(entries);
    side->moves++;
    /* Misses that a move does not help are met with ever more patience. */
    int helped = base != side->base || tick != side->tick;
    side->patience = asked && !helped && asked < (int64_t)1 << 40 ? 2 * asked : SIDE_COOL + count;
    return failed;
}

/* Make the best level exact. Returns -1 where memory ends. */
static inline int side_settle(Side *side) {
    int64_t best = side->best;
    if (best >= 0) {
        int64_t word = best >> 6;
        uint64_t left = side->bits[word] & (~(uint64_t)0 >> (63 - (best & 63)));
        while (!left && word > 0) left = side->bits[--word];
        side->best = left ? word * 64 + 63 - __builtin_clzll(left) : -1;
    }
    if (__builtin_expect(side->best < 0 && !side->near_count && side->far_count, 0)) return side_move(side);
    return 0;
}

/* Give the best level of a settled side; returns 0 where it is empty. */
static inline int side_top(const Side *side, int64_t *key, int64_t *size) {
    int found = 0;
    if (side->best >= 0) {
        *key = side_key(side, side->best);
        *size = side->sizes[side->best];
        found = 1;
    }
    if (side->near_count && (!found || side->near_by[side->near_count - 1].key > *key)) {
        *key = side->near_by[side->near_count - 1].key;
        *size = side->near_by[side->near_count - 1].size;
        found = 1;
    }
    return found;
}

/* Move the window where the touch has left its middle, or too much misses it. Call it after an update, settled. */
static inline int side_upkeep(Side *side) {
    int64_t key, size;
    if (__builtin_expect(side->missed > side->patience, 0)) return side_move(side) || side_settle(side) ? -1 : 0;
    if (side->applied > side->cool && side_top(side, &key, &size) && (key < side->low_mark || key > side->high_mark))
        return side_move(side) || side_settle(side) ? -1 : 0;
    return 0;
}

/* Lay the window of an empty side for levels that are about to come. */
static int side_expect(Side *side, const Level *levels, int64_t count, int64_t sign) {
    if (count < SIDE_PATIENCE || side->near_count || side->far_count || side->best >= 0) return 0;
    Entry *entries = malloc((size_t)count * sizeof(Entry));
    if (!entries) return -1;
    int64_t top = INT64_MIN;
    for (int64_t i = 0; i < count; i++) {
        entries[i].key = levels[i].price * sign;
        entries[i].size = levels[i].size;
        if (entries[i].size && entries[i].key > top) top = entries[i].key;
    }
    if (top != INT64_MIN) {
        close_clear(side);
        side_lay(side, top, guess_tick(entries, count < SIDE_SAMPLE ? count : SIDE_SAMPLE));
        side->patience = side->cool = SIDE_COOL + count;
    }
    free(entries);
    return 0;
}

#endif
