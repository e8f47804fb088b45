/* What changed the books, level by level: the rows of hftcap.kernel.changes, gathered while updates are applied. */
#ifndef HFTCAP_CHANGES_H
#define HFTCAP_CHANGES_H

#include "sync.h"

#define UPDATE_FIELDS 11
#define ROW_FIELDS 5
#define TOUCH_FIELDS 14

enum { CHANGED_BID = 1, CHANGED_ASK = 2 };
enum { FLAG_LAST = 128, FLAG_MAYBE_BAD = 4 };

typedef struct {
    int64_t *at;
    int64_t count, room;
} Numbers;

typedef struct {
    int wanted;
    int64_t capture; /* its index in the log, for the updates of this batch */
    Numbers updates, counts, rows, touches;
} Changes;

/* Make room for more numbers and return their place, NULL where memory ends. */
static int64_t *numbers_more(Numbers *numbers, int64_t count) {
    if (numbers->count + count > numbers->room) {
        int64_t room = 2 * (numbers->room + count) + 1024;
        int64_t *grown = realloc(numbers->at, (size_t)room * sizeof(int64_t));
        if (!grown) return NULL;
        numbers->at = grown;
        numbers->room = room;
    }
    numbers->count += count;
    return numbers->at + numbers->count - count;
}

static void changes_free(Changes *changes) {
    free(changes->updates.at);
    free(changes->counts.at);
    free(changes->rows.at);
    free(changes->touches.at);
}

static int changes_of_side(int64_t *row, Side *side, const Level *levels, int64_t count, int is_ask, int64_t flags) {
    for (int64_t i = 0; i < count; i++, row += ROW_FIELDS) {
        int64_t held, price = levels[i].price, size = levels[i].size;
        if (side_swap(side, is_ask ? -price : price, size, &held)) return -1;
        row[0] = is_ask ? CHANGED_ASK : CHANGED_BID;
        row[1] = !size ? 'C' : held ? 'M' : 'A';
        row[2] = price;
        row[3] = size;
        row[4] = flags;
    }
    return 0;
}

/* Apply an update to a book and write down what it changes. `names` are the indices of symbol and stream. */
static int changes_apply(Changes *changes, Book *book, const Kept *update, const Level *bids, const Level *asks,
                         const int64_t *names, int trusted) {
    int64_t count = update->n_bids + update->n_asks, flags = trusted ? 0 : FLAG_MAYBE_BAD;
    if (!count) return book_settle(book);
    int64_t *row = numbers_more(&changes->rows, count * ROW_FIELDS);
    int64_t *size = numbers_more(&changes->counts, 1), *field = numbers_more(&changes->updates, UPDATE_FIELDS);
    if (!row || !size || !field) return -1;
    if (changes_of_side(row, &book->bids, bids, update->n_bids, 0, flags)) return -1;
    if (changes_of_side(row + update->n_bids * ROW_FIELDS, &book->asks, asks, update->n_asks, 1, flags)) return -1;
    row[count * ROW_FIELDS - 1] |= FLAG_LAST;
    *size = count;
    const int64_t values[UPDATE_FIELDS] = {names[0],         names[1],          changes->capture, update->sequence,
                                           update->place,    update->recv_ns,   update->event_ns, update->trade_ns,
                                           update->first_id, update->final_id, update->prev_id};
    memcpy(field, values, sizeof values);
    return book_settle(book);
}

/* Write down where a book stands after an update. `names` are the indices of symbol and stream. */
static int changes_touch(Changes *changes, const Kept *update, const int64_t *names, const Shown *shown) {
    int64_t *field = numbers_more(&changes->touches, TOUCH_FIELDS);
    if (!field) return -1;
    const int64_t values[TOUCH_FIELDS] = {
        update->place,   names[0],         names[1],         changes->capture, update->sequence, update->place,
        update->recv_ns, update->event_ns, update->final_id, shown->state,     shown->bid,       shown->bid_size,
        shown->ask,      shown->ask_size};
    memcpy(field, values, sizeof values);
    return 0;
}

#endif
