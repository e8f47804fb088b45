/* What is known of one symbol between two messages, as far as plain traffic over one line needs it.
 *
 * The rules are those of hftcap.binance.depth_sync and hftcap.kernel.symbol_book. Here is the usual step of each: an
 * update that follows, a quote or a print that is newer. Everything else (gaps, snapshots, stale updates, a second
 * line) is left to those modules, which see this state through the objects of state.pxi.
 */
#ifndef HFTCAP_SYNC_H
#define HFTCAP_SYNC_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "book.h"

#define NONE64 INT64_MIN /* no value, in columns as well */
#define EVENTS_KEPT 4096
#define LEVELS_KEPT 24576
#define WIDEST_KEPT 2048 /* levels of an update that lie in the ring; a wider one has memory of its own */
#define LEVELS_ROOM (LEVELS_KEPT + WIDEST_KEPT)
#define LINES_KEPT 4

enum { STATE_PARTIAL = 1, STATE_BUFFERING, STATE_SYNCED, STATE_GAP };

/* An update kept for joining. One that Python put there is `object`, an owned reference, and the rest is unused. */
typedef struct {
    void *object;
    Level *levels; /* bids, then asks */
    Level *owned;  /* NULL where they lie in the ring */
    int64_t n_bids, n_asks;
    int64_t event_ns, trade_ns, first_id, final_id, prev_id;
    int64_t stream, capture, sequence, place, recv_ns;
    int reversed;
} Kept;

/* The levels of all lie one behind the other in `level`, round and round, those of an update in one piece. They never
 * run into each other: what is kept is at most LEVELS_KEPT, and what is left over at the end less than WIDEST_KEPT. */
typedef struct {
    Kept *kept;
    int64_t first, count, room, levels; /* room is 0 or a power of two; levels of all */
    Level *level;                       /* room for LEVELS_ROOM, or NULL */
    int64_t level_next;
    void **orphan;                      /* owned references of updates that are no longer kept */
    int64_t orphans, orphans_room;
} KeptRing;

/* The newest id of each line: a book-keeping of writes alone, taken over by Python when it is asked for. */
typedef struct {
    int count;
    int64_t line[LINES_KEPT], id[LINES_KEPT];
} Newest;

typedef struct {
    int64_t newest_id;
    Newest lines;
} Quotes;

typedef struct {
    int begun;
    int64_t last;
    Newest lines;
} Prints;

/* A symbol's book as columns show it. */
typedef struct {
    int64_t state, bid, bid_size, ask, ask_size;
} Shown;

typedef struct {
    Book *book;
    Check *check;
    KeptRing kept;
    int state, pending_snapshot, missed, many_lines, has_feed_id, has_first_id, has_book_id, futures;
    int64_t feed_id, snapshot_id, first_id, book_id, line, feed_ns;
    int64_t updates, levels, removals, crossed;
} Symbol;

static inline int newest_set(Newest *newest, int64_t line, int64_t id) {
    int at = 0;
    while (at < newest->count && newest->line[at] != line) at++;
    if (at == LINES_KEPT) return -1;
    if (at == newest->count) newest->count++;
    newest->line[at] = line;
    newest->id[at] = id;
    return 0;
}

static inline Kept *kept_at(const KeptRing *ring, int64_t at) {
    return &ring->kept[(ring->first + at) & (ring->room - 1)];
}

/* Make room for one more and return its place, NULL where memory ends. */
static Kept *kept_next(KeptRing *ring) {
    if (ring->count == ring->room) {
        int64_t room = ring->room ? 2 * ring->room : 16;
        Kept *grown = malloc((size_t)room * sizeof(Kept));
        if (!grown) return NULL;
        for (int64_t i = 0; i < ring->count; i++) grown[i] = *kept_at(ring, i);
        free(ring->kept);
        ring->kept = grown;
        ring->first = 0;
        ring->room = room;
    }
    return kept_at(ring, ring->count);
}

/* Forget the oldest; the caller owns the object it may have had. */
static inline void kept_drop(KeptRing *ring) {
    Kept *oldest = kept_at(ring, 0);
    ring->levels -= oldest->n_bids + oldest->n_asks;
    free(oldest->owned);
    ring->first = (ring->first + 1) & (ring->room - 1);
    ring->count--;
}

/* Return room for the levels of an update and own it through `kept` where it is not in the ring; NULL where memory
 * ends. */
static Level *kept_levels(KeptRing *ring, int64_t count, Kept *kept) {
    if (count > WIDEST_KEPT) return kept->owned = malloc((size_t)count * sizeof(Level));
    if (!ring->level && !(ring->level = malloc(LEVELS_ROOM * sizeof(Level)))) return NULL;
    if (ring->level_next + count > LEVELS_ROOM) ring->level_next = 0;
    ring->level_next += count;
    return ring->level + ring->level_next - count;
}

/* Keep an update; its levels are copied. Returns -1 where memory ends. */
static int kept_add(KeptRing *ring, const Kept *update, const Level *bids, const Level *asks) {
    Kept *next = kept_next(ring);
    if (!next) return -1;
    *next = *update;
    next->owned = NULL;
    next->levels = kept_levels(ring, update->n_bids + update->n_asks, next);
    if (!next->levels) return -1;
    memcpy(next->levels, bids, (size_t)update->n_bids * sizeof(Level));
    memcpy(next->levels + update->n_bids, asks, (size_t)update->n_asks * sizeof(Level));
    ring->levels += update->n_bids + update->n_asks;
    ring->count++;
    return 0;
}

/* Say whether an update is the usual next one of the feed, over the one line there has been. */
static inline int symbol_follows(const Symbol *symbol, int64_t line, int64_t first_id, int64_t final_id,
                                 int64_t prev_id) {
    if (symbol->many_lines || line != symbol->line || !symbol->has_feed_id || symbol->pending_snapshot) return 0;
    if (final_id <= symbol->feed_id) return 0;
    if (symbol->futures && prev_id != NONE64) return prev_id <= symbol->feed_id;
    return first_id <= symbol->feed_id + 1;
}

/* Put away the reference of an update that went, until Python is at hand to let go of it. */
static int kept_orphan(KeptRing *ring, void *object) {
    if (ring->orphans == ring->orphans_room) {
        int64_t room = 2 * ring->orphans_room + 16;
        void **grown = realloc(ring->orphan, (size_t)room * sizeof(void *));
        if (!grown) return -1;
        ring->orphan = grown;
        ring->orphans_room = room;
    }
    ring->orphan[ring->orphans++] = object;
    return 0;
}

/* Keep an update within the bounds. Returns -1 where memory ends. */
static inline int symbol_keep(Symbol *symbol, const Kept *update, const Level *bids, const Level *asks) {
    KeptRing *ring = &symbol->kept;
    int64_t levels = update->n_bids + update->n_asks;
    while (ring->count && (ring->count >= EVENTS_KEPT || ring->levels + levels > LEVELS_KEPT)) {
        if (kept_at(ring, 0)->object && kept_orphan(ring, kept_at(ring, 0)->object)) return -1;
        kept_drop(ring);
        symbol->missed = 1;
    }
    return kept_add(ring, update, bids, asks);
}

static inline void shown_set(Shown *shown, int state, const Touch *touch) {
    shown->state = state;
    int bid = state != STATE_BUFFERING && touch->bid != NO_BID, ask = state != STATE_BUFFERING && touch->ask != NO_ASK;
    shown->bid = bid ? touch->bid : NONE64;
    shown->bid_size = bid ? touch->bid_size : NONE64;
    shown->ask = ask ? touch->ask : NONE64;
    shown->ask_size = ask ? touch->ask_size : NONE64;
}

#endif
