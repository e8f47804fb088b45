/* Both sides of one symbol's book, and what an update does to it. */
#ifndef HFTCAP_BOOK_H
#define HFTCAP_BOOK_H

#include "check.h"
#include "side.h"

typedef struct {
    Side bids, asks; /* asks are kept under minus their price */
} Book;

static inline void book_init(Book *book) {
    side_init(&book->bids);
    side_init(&book->asks);
}

static inline void book_free(Book *book) {
    side_free(&book->bids);
    side_free(&book->asks);
}

/* Read the touch of a settled book. */
static inline void book_touch(const Book *book, Touch *touch) {
    int64_t key;
    touch->bid = NO_BID;
    touch->ask = NO_ASK;
    touch->bid_size = touch->ask_size = 0;
    side_top(&book->bids, &touch->bid, &touch->bid_size);
    if (side_top(&book->asks, &key, &touch->ask_size)) touch->ask = -key;
}

static inline int book_settle(Book *book) {
    if (side_settle(&book->bids) || side_settle(&book->asks)) return -1;
    return side_upkeep(&book->bids) || side_upkeep(&book->asks) ? -1 : 0;
}

/* Apply an update and leave the book settled. Returns -1 where memory ends. */
static inline int book_apply(Book *book, const Level *bids, int64_t n_bids, const Level *asks, int64_t n_asks) {
    if (side_apply(&book->bids, bids, n_bids, 1) || side_apply(&book->asks, asks, n_asks, -1)) return -1;
    return book_settle(book);
}

static inline int touch_crossed(const Touch *touch) { return touch->ask != NO_ASK && touch->bid >= touch->ask; }

#endif
