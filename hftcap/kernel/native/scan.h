/* A block's records, one after the other, into columns and books, until one comes that is not plain.
 *
 * scan_run stops at that record and says its number; Python gives it to the reference and calls again behind it.
 * Nothing of Python is touched here, so the interpreter is free meanwhile.
 */
#ifndef HFTCAP_SCAN_H
#define HFTCAP_SCAN_H

#include <time.h>

#include "changes.h"
#include "shape.h"

#define READ_BEYOND 192 /* readable bytes behind a payload; LITERAL_MAX and a number's words need fewer */
#define SHORTEST 24     /* a payload that is shorter is not looked at */

#define MS_MAX ((int64_t)9223372036854)
#define US_MIN ((int64_t)100000000000000)
#define US_MAX ((int64_t)9223372036854775)

/* The columns of a batch, one pointer each, in the order of the tables compiled.py makes. */
typedef struct {
    int64_t *event_ns, *trade_ns, *first_id, *final_id, *prev_id, *price, *size, *ask_price, *ask_size;
    int64_t *bid_px, *bid_sz, *ask_px, *ask_sz, *book_id;
    int32_t *symbol, *stream, *kind;
    uint32_t *levels, *removals;
    uint8_t *type, *side, *verdict, *state, *market_print, *arrival, *oddity;
} Out;

typedef struct {
    const uint8_t *payloads;
    int64_t payloads_bytes;
    const int64_t *start, *recv_ns;
    const uint32_t *length;
    const uint8_t *record_kind, *line_taken; /* line_taken may be NULL: all are */
    const uint16_t *conn;
    uint8_t *left_out; /* set for each record that is not selected */
    int64_t first, records, line_base, capture, sequence;
} Batch;

typedef struct {
    Shapes shapes;
    Reading reading;
    Changes changes;
    Batch batch;
    Out out;
    uint8_t *tail; /* a copy of a payload that has too little behind it */
    int64_t tail_bytes;
    int books_only, failed; /* failed: memory ended */
    int kind_text, verdict_follows, oddity_reversed; /* codes */
    int64_t plain; /* records taken here */
    int timed;     /* whether what updating takes is summed up */
    int64_t updating_ns, updates_timed;
} Scan;

enum { DONE, NOT_PLAIN, NO_MEMORY };

static inline int venue_ns(int64_t value, int64_t *ns) {
    if (LIKELY(value <= MS_MAX)) {
        *ns = value * 1000000;
        return 1;
    }
    if (value < US_MIN || value > US_MAX) return 0;
    *ns = value * 1000;
    return 1;
}

/* Each row is written by what its record is; what most have in common is there before (see scan_out). */
static inline void write_row(Out *out, int64_t row, const Shape *shape) {
    const Shown *shown = shape->shown;
    out->bid_px[row] = shown->bid;
    out->bid_sz[row] = shown->bid_size;
    out->ask_px[row] = shown->ask;
    out->ask_sz[row] = shown->ask_size;
    out->symbol[row] = (int32_t)shape->symbol;
    out->stream[row] = (int32_t)shape->stream;
    out->type[row] = (uint8_t)shape->type_code;
    out->state[row] = (uint8_t)shown->state;
}

static inline void write_times_ids(Out *out, int64_t row, int64_t event_ns, int64_t trade_ns, int64_t first,
                                   int64_t final, int64_t prev) {
    out->event_ns[row] = event_ns;
    out->trade_ns[row] = trade_ns;
    out->first_id[row] = first;
    out->final_id[row] = final;
    out->prev_id[row] = prev;
}

static inline void write_quote(Out *out, int64_t row, const Touch *touch) {
    out->price[row] = touch->bid;
    out->size[row] = touch->bid_size;
    out->ask_price[row] = touch->ask;
    out->ask_size[row] = touch->ask_size;
}

/* What a row is before anything is known of its record. */
static inline void write_empty(Out *out, int64_t row) {
    static const Shown no_book = {0, NONE64, NONE64, NONE64, NONE64};
    static const Touch no_quote = {NONE64, NONE64, NONE64, NONE64};
    Shape shape = {.symbol = -1, .stream = -1, .shown = (Shown *)&no_book};
    write_row(out, row, &shape);
    write_times_ids(out, row, NONE64, NONE64, NONE64, NONE64, NONE64);
    write_quote(out, row, &no_quote);
    out->book_id[row] = NONE64;
}

static inline int take_quote(Scan *scan, const Shape *shape, int64_t row, int64_t line) {
    const int64_t *value = scan->reading.value;
    int64_t event_ns = NONE64, trade_ns = NONE64, id = value[FIELD_FINAL];
    if (value[FIELD_EVENT] != NONE64 && !venue_ns(value[FIELD_EVENT], &event_ns)) return NOT_PLAIN;
    if (value[FIELD_TRADE] != NONE64 && !venue_ns(value[FIELD_TRADE], &trade_ns)) return NOT_PLAIN;
    if (id <= shape->quotes->newest_id || newest_set(&shape->quotes->lines, line, id)) return NOT_PLAIN;
    shape->quotes->newest_id = id;
    const Level *quoted = scan->reading.quoted;
    Touch touch = {quoted[0].price, quoted[0].size, quoted[1].price, quoted[1].size};
    if (check_quoted(shape->book->check, id, &touch)) return NO_MEMORY;
    Out *out = &scan->out;
    write_row(out, row, shape);
    write_times_ids(out, row, event_ns, trade_ns, NONE64, id, NONE64);
    write_quote(out, row, &touch);
    out->book_id[row] = NONE64;
    return DONE;
}

static inline int take_print(Scan *scan, const Shape *shape, int64_t row, int64_t line) {
    const int64_t *value = scan->reading.value;
    Prints *prints = shape->prints;
    int64_t event_ns, trade_ns, id = value[FIELD_FINAL], first = NONE64, last = NONE64;
    if (!venue_ns(value[FIELD_EVENT], &event_ns) || !venue_ns(value[FIELD_TRADE], &trade_ns)) return NOT_PLAIN;
    if (!prints->begun || id != prints->last + 1 || newest_set(&prints->lines, line, id)) return NOT_PLAIN;
    prints->last = id;
    if (shape->type == TYPE_AGGREGATE) {
        first = value[FIELD_FIRST];
        last = value[FIELD_PREV];
    }
    Out *out = &scan->out;
    write_row(out, row, shape);
    write_times_ids(out, row, event_ns, trade_ns, first, id, last);
    Touch print = {scan->reading.quoted[0].price, scan->reading.quoted[0].size, NONE64, NONE64};
    write_quote(out, row, &print);
    out->book_id[row] = NONE64;
    out->side[row] = value[FIELD_MAKER] ? 2 : 1;
    out->market_print[row] = (uint8_t)shape->market_print;
    out->kind[row] = (int32_t)shape->kind;
    if (first > last) out->oddity[row] = (uint8_t)scan->oddity_reversed;
    return DONE;
}

static inline int change_book(Scan *scan, Symbol *symbol, const Kept *update, const Level *bids, const Level *asks,
                              const Shape *shape) {
    Touch touch;
    const int64_t names[2] = {shape->symbol, shape->stream};
    if (scan->changes.wanted) {
        if (changes_apply(&scan->changes, symbol->book, update, bids, asks, names, symbol->state == STATE_SYNCED))
            return NO_MEMORY;
    } else if (book_apply(symbol->book, bids, update->n_bids, asks, update->n_asks)) {
        return NO_MEMORY;
    }
    symbol->book_id = update->final_id;
    symbol->has_book_id = 1;
    book_touch(symbol->book, &touch);
    symbol->crossed += touch_crossed(&touch);
    if (symbol->state == STATE_SYNCED && check_advanced(symbol->check, update->final_id, &touch)) return NO_MEMORY;
    shown_set(shape->shown, symbol->state, &touch);
    if (scan->changes.wanted && changes_touch(&scan->changes, update, names, shape->shown)) return NO_MEMORY;
    return DONE;
}

static int64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static inline int take_diff(Scan *scan, const Shape *shape, int64_t row, int64_t line) {
    const Reading *reading = &scan->reading;
    const int64_t *value = reading->value;
    Symbol *symbol = shape->book;
    Kept update = {.n_bids = reading->n_bids,
                   .n_asks = reading->n_asks,
                   .trade_ns = NONE64,
                   .first_id = value[FIELD_FIRST],
                   .final_id = value[FIELD_FINAL],
                   .prev_id = value[FIELD_PREV],
                   .stream = shape->stream,
                   .capture = scan->batch.capture,
                   .sequence = scan->batch.sequence,
                   .place = scan->batch.first + row,
                   .recv_ns = scan->batch.recv_ns[row],
                   .reversed = value[FIELD_FIRST] > value[FIELD_FINAL]};
    const Level *bids = reading->levels + reading->bids_at, *asks = reading->levels + reading->asks_at;
    if (!venue_ns(value[FIELD_EVENT], &update.event_ns)) return NOT_PLAIN;
    if (value[FIELD_TRADE] != NONE64 && !venue_ns(value[FIELD_TRADE], &update.trade_ns)) return NOT_PLAIN;
    if (!symbol_follows(symbol, line, update.first_id, update.final_id, update.prev_id)) return NOT_PLAIN;
    int64_t levels = update.n_bids + update.n_asks, begin = scan->timed ? now_ns() : 0;
    if (symbol->state != STATE_SYNCED && symbol_keep(symbol, &update, bids, asks)) return NO_MEMORY;
    symbol->updates++;
    symbol->levels += levels;
    symbol->removals += reading->removals;
    if (!symbol->has_first_id) {
        symbol->has_first_id = 1;
        symbol->first_id = update.first_id;
    }
    symbol->feed_id = update.final_id;
    symbol->feed_ns = update.recv_ns;
    int applied = symbol->state != STATE_BUFFERING;
    if (applied) {
        int said = change_book(scan, symbol, &update, bids, asks, shape);
        if (said != DONE) return said;
    }
    if (scan->timed) {
        scan->updating_ns += now_ns() - begin;
        scan->updates_timed++;
    }
    Out *out = &scan->out;
    write_row(out, row, shape);
    write_times_ids(out, row, update.event_ns, update.trade_ns, update.first_id, update.final_id, update.prev_id);
    static const Touch no_quote = {NONE64, NONE64, NONE64, NONE64};
    write_quote(out, row, &no_quote);
    out->levels[row] = (uint32_t)levels;
    out->removals[row] = (uint32_t)reading->removals;
    out->verdict[row] = (uint8_t)scan->verdict_follows;
    out->book_id[row] = applied ? update.final_id : NONE64;
    if (update.reversed) out->oddity[row] = (uint8_t)scan->oddity_reversed;
    return DONE;
}

/* Return a copy of a payload with READ_BEYOND readable bytes behind it, valid until the next; NULL where memory ends. */
static const uint8_t *copied(Scan *scan, const uint8_t *payload, int64_t length) {
    if (length + READ_BEYOND > scan->tail_bytes) {
        uint8_t *grown = realloc(scan->tail, (size_t)(length + READ_BEYOND));
        if (!grown) return NULL;
        scan->tail = grown;
        scan->tail_bytes = length + READ_BEYOND;
    }
    memcpy(scan->tail, payload, (size_t)length);
    memset(scan->tail + length, '\n', READ_BEYOND);
    return scan->tail;
}

/* Say whether a payload has a shape that is known; -1 where memory ends. */
static int scan_knows(Scan *scan, const uint8_t *payload, int64_t length) {
    if (length < SHORTEST) return 0;
    const uint8_t *at = copied(scan, payload, length);
    return at ? shapes_find(&scan->shapes, at, at + length, &scan->reading) != NULL : -1;
}

static inline int take_record(Scan *scan, int64_t row) {
    const Batch *batch = &scan->batch;
    int64_t length = batch->length[row];
    int64_t start = batch->start[row];
    if (batch->record_kind[row] != scan->kind_text || length < SHORTEST) return NOT_PLAIN;
    if (start < 0 || start + length >= batch->payloads_bytes) return NOT_PLAIN;
    /* A payload is read where it stands, unless it is one of the last of its block. */
    const uint8_t *at = batch->payloads + start;
    if (start + length + READ_BEYOND > batch->payloads_bytes && !(at = copied(scan, at, length))) return NO_MEMORY;
    const Shape *shape = shapes_find(&scan->shapes, at, at + length, &scan->reading);
    if (!shape) return NOT_PLAIN;
    if (__builtin_expect(scan->books_only && !shape->may_be_depth, 0)) {
        write_empty(&scan->out, row);
        return DONE;
    }
    if (__builtin_expect(!shape->taken || (batch->line_taken && !batch->line_taken[row]), 0)) {
        batch->left_out[row] = 1;
        return DONE;
    }
    int64_t line = batch->line_base + batch->conn[row];
    switch (shape->type) {
    case TYPE_QUOTE: return take_quote(scan, shape, row, line);
    case TYPE_DIFF: return take_diff(scan, shape, row, line);
    default: return take_print(scan, shape, row, line);
    }
}

/* Take records from `row` on; return the first that is not plain, or the number of records. */
static int64_t scan_run(Scan *scan, int64_t row) {
    for (; row < scan->batch.records; row++) {
        int said = take_record(scan, row);
        if (__builtin_expect(said != DONE, 0)) {
            scan->failed = said == NO_MEMORY;
            break;
        }
        scan->plain++;
    }
    return row;
}

/* Write to these tables from row `begin` on; each has `rows` numbers a column, the columns in the order of Out. */
static void scan_out(Scan *scan, int64_t *wide, int32_t *narrow, uint32_t *counts, uint8_t *codes, int64_t rows,
                     int64_t begin) {
    int64_t n = scan->batch.records;
    int64_t **wides[] = {&scan->out.event_ns, &scan->out.trade_ns, &scan->out.first_id,  &scan->out.final_id,
                         &scan->out.prev_id,  &scan->out.price,    &scan->out.size,      &scan->out.ask_price,
                         &scan->out.ask_size, &scan->out.bid_px,   &scan->out.bid_sz,    &scan->out.ask_px,
                         &scan->out.ask_sz,   &scan->out.book_id};
    uint8_t **small[] = {&scan->out.type,         &scan->out.side,    &scan->out.verdict, &scan->out.state,
                         &scan->out.market_print, &scan->out.arrival, &scan->out.oddity};
    for (int at = 0; at < 14; at++) *wides[at] = wide + at * rows + begin;
    for (int at = 0; at < 7; at++) *small[at] = codes + at * rows + begin;
    scan->out.symbol = narrow + begin;
    scan->out.stream = narrow + rows + begin;
    scan->out.kind = narrow + 2 * rows + begin;
    scan->out.levels = counts + begin;
    scan->out.removals = counts + rows + begin;
    /* Most rows have none of these; the others write over it. */
    memset(scan->out.kind, 0xFF, (size_t)n * sizeof(int32_t));
    memset(scan->out.levels, 0, (size_t)n * sizeof(uint32_t));
    memset(scan->out.removals, 0, (size_t)n * sizeof(uint32_t));
    for (int at = 0; at < 7; at++) memset(*small[at], 0, (size_t)n);
}

static void scan_empty_row(Scan *scan, int64_t row) { write_empty(&scan->out, row); }

static int scan_init(Scan *scan) {
    memset(scan, 0, sizeof *scan);
    for (int field = 0; field < FIELDS; field++) scan->reading.value[field] = NONE64;
    scan->reading.levels = malloc(LEVELS_MAX * sizeof(Level));
    scan->reading.words = malloc(LEVELS_MAX * 4 * sizeof(uint64_t));
    return scan->reading.levels && scan->reading.words ? 0 : -1;
}

static void scan_free(Scan *scan) {
    shapes_clear(&scan->shapes);
    changes_free(&scan->changes);
    free(scan->reading.levels);
    free(scan->reading.words);
    free(scan->tail);
}

#endif
