/* The book held against the venue's bookTicker: what hftcap.book.check does, in two rings.
 *
 * Every rule is explained there; a function here does what the method of its name does.
 */
#ifndef HFTCAP_CHECK_H
#define HFTCAP_CHECK_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "side.h"

#define CHECK_WAITING_MAX 4096
#define NO_BID ((int64_t)-1)
#define NO_ASK INT64_MIN /* stands for 2**63, which Python's NO_ASK is: no price is negative */

typedef struct {
    int64_t bid, bid_size, ask, ask_size;
} Touch;

typedef struct {
    int64_t id;
    Touch touch;
} Timed;

typedef struct {
    Timed *kept;
    int64_t first, count, room; /* room is 0 or a power of two */
} TimedRing;

typedef struct {
    int64_t checked, equal, newest_id;
    int has_latest;
    Touch latest;
    TimedRing quotes, touches;
} Check;

static inline Timed *timed_at(const TimedRing *ring, int64_t at) {
    return &ring->kept[(ring->first + at) & (ring->room - 1)];
}

static inline void timed_drop(TimedRing *ring) {
    ring->first = (ring->first + 1) & (ring->room - 1);
    ring->count--;
}

static __attribute__((noinline)) int timed_grow(TimedRing *ring) {
    int64_t room = ring->room ? 2 * ring->room : 16;
    Timed *grown = malloc((size_t)room * sizeof(Timed));
    if (!grown) return -1;
    for (int64_t i = 0; i < ring->count; i++) grown[i] = *timed_at(ring, i);
    free(ring->kept);
    ring->kept = grown;
    ring->first = 0;
    ring->room = room;
    return 0;
}

static inline int timed_add(TimedRing *ring, int64_t id, const Touch *touch) {
    if (__builtin_expect(ring->count == ring->room, 0) && timed_grow(ring)) return -1;
    ring->count++;
    Timed *last = timed_at(ring, ring->count - 1);
    last->id = id;
    last->touch = *touch;
    return 0;
}

static inline int touch_equal(const Touch *one, const Touch *other) {
    return one->bid == other->bid && one->bid_size == other->bid_size && one->ask == other->ask &&
           one->ask_size == other->ask_size;
}

static inline void check_init(Check *check) {
    memset(check, 0, sizeof *check);
    check->newest_id = -1;
}

static inline void check_free(Check *check) {
    free(check->quotes.kept);
    free(check->touches.kept);
}

static inline void check_compare(Check *check, int64_t id, const Touch *touch) {
    while (check->quotes.count && timed_at(&check->quotes, 0)->id <= id) {
        check->latest = timed_at(&check->quotes, 0)->touch;
        check->has_latest = 1;
        timed_drop(&check->quotes);
    }
    if (check->has_latest) {
        check->checked++;
        check->equal += touch_equal(&check->latest, touch);
    }
}

static inline void check_compare_first(Check *check) {
    Timed due = *timed_at(&check->touches, 0);
    timed_drop(&check->touches);
    check_compare(check, due.id, &due.touch);
}

static inline int check_quoted(Check *check, int64_t id, const Touch *touch) {
    if (id <= check->newest_id) return 0;
    while (check->touches.count && timed_at(&check->touches, 0)->id < id) check_compare_first(check);
    check->newest_id = id;
    if (check->quotes.count >= CHECK_WAITING_MAX) {
        check->quotes.count = 0;
        check->has_latest = 0;
    }
    if (timed_add(&check->quotes, id, touch)) return -1;
    while (check->touches.count && timed_at(&check->touches, 0)->id == id) check_compare_first(check);
    return 0;
}

static inline int check_advanced(Check *check, int64_t id, const Touch *touch) {
    if (id <= check->newest_id) {
        check_compare(check, id, touch);
        return 0;
    }
    if (check->touches.count >= CHECK_WAITING_MAX) timed_drop(&check->touches);
    return timed_add(&check->touches, id, touch);
}

static inline void check_finish(Check *check) {
    while (check->touches.count) check_compare_first(check);
}

#endif
