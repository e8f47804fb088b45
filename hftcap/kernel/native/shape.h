/* The shape of a stream's messages: everything that was the same in the one it was learned from, and where values are.
 *
 *     {"stream":"btcusdt@bookTicker","data":{"u":50093239212,"s":"BTCUSDT","b":"61837.63000000","B":"3.78826000",...}}
 *     literal ------------------------------------whole literal -------------decimal       literal decimal
 *
 * A message that matches a shape has its keys, its order, its constant values, and numbers where that had numbers, so
 * it means what that one meant, whatever the rules are by which it was understood. A message that differs in any other
 * byte matches nothing and is for the reference. Shapes are made by hftcap.kernel.shapes.
 *
 * Reading never passes a newline: no literal has one, and no value does. So it ends at or before the newline that a
 * block has behind every
 * payload, and touches at most LITERAL_MAX + 16 bytes behind that.
 */
#ifndef HFTCAP_SHAPE_H
#define HFTCAP_SHAPE_H

#include <stdlib.h>
#include <string.h>

#include "number.h"
#include "sync.h"

#define LITERAL_MAX 128
#define STEPS_MAX 32
#define BUCKETS 8192
#define SHAPES_PER_BUCKET 8
#define SHAPES_MAX 16384
#define LEVELS_MAX 65536 /* in one message; a longer one is for the reference */

enum { STEP_LITERAL, STEP_WHOLE, STEP_DECIMAL, STEP_BOOL, STEP_LEVELS };
enum { TYPE_QUOTE = 1, TYPE_TRADE, TYPE_AGGREGATE, TYPE_DIFF };
enum {
    FIELD_EVENT,
    FIELD_TRADE,
    FIELD_FIRST,
    FIELD_FINAL,
    FIELD_PREV,
    FIELD_PRICE,
    FIELD_SIZE,
    FIELD_ASK_PRICE,
    FIELD_ASK_SIZE,
    FIELD_MAKER,
    FIELD_BIDS,
    FIELD_ASKS,
    FIELD_UNUSED,
    FIELDS
};

/* A literal, and the value behind it; STEP_LITERAL has none. Shapes of many streams are in use at once, so a step is
 * kept small: its literal is among those behind the steps, filled up to a multiple of 16 bytes that is not shorter
 * than it and one more, and behind it the mask of the last 16: 0 for each byte that is none of the literal's. */
typedef struct {
    uint32_t literal; /* where it begins */
    uint8_t length, kind, field;
    uint8_t place; /* of a decimal, among the words that are converted together */
    uint8_t last;  /* where the last 16 bytes begin */
    union {
        DecimalForm decimal[2]; /* of a decimal, or of a level's price and size */
        WholeForm whole;
    } form;
} Step;

typedef struct Shape {
    struct Shape *next; /* of the same bucket */
    int type, type_code, market_print, taken, may_be_depth, steps;
    int64_t symbol, stream, kind; /* indices of names */
    Symbol *book;
    Quotes *quotes;
    Prints *prints;
    Shown *shown;
    Step step[];
} Shape;

/* What was read. Decimals are read into words first and converted together: `quoted` has price and size, then those of
 * the ask. The levels of an update are bids and asks in the order they came. */
typedef struct {
    int64_t value[FIELDS];
    Level quoted[3]; /* the last is for decimals that are of no use */
    Level *levels;   /* room for LEVELS_MAX */
    uint64_t *words; /* of the levels */
    uint64_t quoted_words[12];
    int64_t count, bids_at, n_bids, asks_at, n_asks, removals;
} Reading;

typedef struct {
    Shape *bucket[BUCKETS];
    int64_t count;
} Shapes;

static inline uint64_t mixed(uint64_t word, uint64_t by) {
    word *= by;
    return word ^ (word >> 29);
}

/* The bucket of a payload: by the first characters of its stream's name, or of a bare event. */
static inline uint64_t bucket_of(const uint8_t *at) {
    uint64_t head = load8(at);
    if (memcmp(at, "{\"stream", 8) == 0)
        head = mixed(load8(at + 11), 0x9E3779B97F4A7C15u) ^ mixed(load8(at + 19), 0xC2B2AE3D27D4EB4Fu) ^
               mixed(load8(at + 27), 0x165667B19E3779F9u);
    else
        head = at[2] == 'e' ? mixed(head, 0x9E3779B97F4A7C15u) : at[2];
    return (head ^ (head >> 32)) % BUCKETS;
}

static inline const uint8_t *shape_literals(const Shape *shape) { return (const uint8_t *)(shape->step + shape->steps); }

#ifdef __SSE2__
static inline __m128i block_differs(const uint8_t *one, const uint8_t *other) {
    return _mm_xor_si128(_mm_loadu_si128((const __m128i *)one), _mm_loadu_si128((const __m128i *)other));
}

static inline int literal_matches(const uint8_t *literal, const Step *step, const uint8_t *at) {
    const uint8_t *last = literal + step->last;
    __m128i mask = _mm_loadu_si128((const __m128i *)(last + 16));
    __m128i differs = _mm_and_si128(block_differs(at + step->last, last), mask);
    for (; literal < last; at += 16, literal += 16) differs = _mm_or_si128(differs, block_differs(at, literal));
    return _mm_movemask_epi8(_mm_cmpeq_epi8(differs, _mm_setzero_si128())) == 0xFFFF;
}
#else
static inline int literal_matches(const uint8_t *literal, const Step *step, const uint8_t *at) {
    return memcmp(literal, at, step->length) == 0;
}
#endif

#define BETWEEN_LEVELS (']' | ',' << 8 | '[' << 16 | (uint32_t)'"' << 24)

/* Read levels one by one, of whatever form; see read_levels. */
static const uint8_t *read_levels_any(const uint8_t *at, Reading *reading) {
    Level *level = reading->levels + reading->count, *end = reading->levels + LEVELS_MAX;
    for (;; level++) {
        if (level == end) return NULL;
        at = decimal_any(at, &level->price);
        if (!at || at[0] != ',' || at[1] != '"') return NULL;
        at = decimal_any(at + 2, &level->size);
        if (!at) return NULL;
        reading->removals += !level->size;
        uint32_t between;
        memcpy(&between, at, 4);
        if (between != BETWEEN_LEVELS) break;
        at += 4;
    }
    if (at[0] != ']' || at[1] != ']') return NULL;
    reading->count = level + 1 - reading->levels;
    return at + 2;
}

/* Read one side's levels; `at` is behind the opening bracket. Returns behind the closing one, or NULL. */
static const uint8_t *read_levels(const uint8_t *at, Step *step, Reading *reading) {
    DecimalForm *price = &step->form.decimal[0], *size = &step->form.decimal[1];
    uint64_t *word = reading->words, *end = word + 4 * (LEVELS_MAX - reading->count);
    if (*at == ']') return at + 1;
    if (at[0] != '[' || at[1] != '"') return NULL;
    const uint8_t *begin = at += 2;
    for (;;) {
        if (word == end) return NULL;
        const uint8_t *behind = decimal_words(at, word, price);
        if (!behind && !(behind = decimal_words_other(at, word, price))) break;
        if (behind[0] != ',' || behind[1] != '"') return NULL;
        at = behind + 2;
        behind = decimal_words(at, word + 2, size);
        if (!behind && !(behind = decimal_words_other(at, word + 2, size))) break;
        at = behind;
        word += 4;
        uint32_t between;
        memcpy(&between, at, 4);
        if (LIKELY(between == BETWEEN_LEVELS)) {
            at += 4;
            continue;
        }
        if (at[0] != ']' || at[1] != ']') return NULL;
        int64_t count = (word - reading->words) / 4;
        Level *levels = reading->levels + reading->count;
        words_to_levels(reading->words, levels, count);
        for (int64_t i = 0; i < count; i++) reading->removals += !levels[i].size;
        reading->count += count;
        return at + 2;
    }
    return read_levels_any(begin, reading);
}

static inline const uint8_t *read_side(const uint8_t *at, Step *step, Reading *reading) {
    int64_t before = reading->count;
    at = read_levels(at, step, reading); /* where that is NULL, nothing of the reading is used */
    if (step->field == FIELD_BIDS) {
        reading->bids_at = before;
        reading->n_bids = reading->count - before;
    } else {
        reading->asks_at = before;
        reading->n_asks = reading->count - before;
    }
    return at;
}

/* Read a decimal that has another form than before; of one that the words do not hold *beyond keeps the field. */
static const uint8_t *read_decimal_any(const uint8_t *at, Step *step, Reading *reading, int *beyond) {
    const uint8_t *behind = decimal_words_other(at, reading->quoted_words + step->place, step->form.decimal);
    if (behind) return behind;
    *beyond |= 1 << step->field;
    return decimal_any(at, &reading->value[step->field]);
}

static inline void convert_quoted(Reading *reading, int beyond) {
    words_to_levels(reading->quoted_words, reading->quoted, 2);
    if (LIKELY(!beyond)) return;
    if (beyond & 1 << FIELD_PRICE) reading->quoted[0].price = reading->value[FIELD_PRICE];
    if (beyond & 1 << FIELD_SIZE) reading->quoted[0].size = reading->value[FIELD_SIZE];
    if (beyond & 1 << FIELD_ASK_PRICE) reading->quoted[1].price = reading->value[FIELD_ASK_PRICE];
    if (beyond & 1 << FIELD_ASK_SIZE) reading->quoted[1].size = reading->value[FIELD_ASK_SIZE];
}

/* Read a payload by a shape; returns whether it has that shape. `reading` is of use only then. */
static inline __attribute__((always_inline)) int shape_read(Shape *shape, const uint8_t *at, const uint8_t *end, Reading *reading) {
    const uint8_t *literals = shape_literals(shape), *behind;
    Step *step = shape->step, *last = step + shape->steps;
    int beyond = 0;
    reading->count = reading->removals = 0;
    /* The fields that not every shape has. */
    reading->value[FIELD_EVENT] = reading->value[FIELD_TRADE] = reading->value[FIELD_PREV] = NONE64;
    for (; step < last; step++) {
        if (!literal_matches(literals + step->literal, step, at)) return 0;
        at += step->length;
        switch (step->kind) {
        case STEP_DECIMAL:
            behind = decimal_words(at, reading->quoted_words + step->place, step->form.decimal);
            at = behind ? behind : read_decimal_any(at, step, reading, &beyond);
            break;
        case STEP_WHOLE: at = read_whole(at, &reading->value[step->field], &step->form.whole); break;
        case STEP_LEVELS: at = read_side(at, step, reading); break;
        case STEP_BOOL:
            reading->value[step->field] = *at == 't';
            if (memcmp(at, "true", 4) == 0)
                at += 4;
            else if (memcmp(at, "false", 5) == 0)
                at += 5;
            else
                return 0;
        }
        if (!at) return 0;
    }
    if (at != end) return 0;
    if (shape->type != TYPE_DIFF) convert_quoted(reading, beyond);
    return 1;
}

/* Look among the other shapes of a bucket; the one that matches is moved to the front. */
static __attribute__((noinline)) Shape *shapes_find_next(Shape **head, const uint8_t *at, const uint8_t *end,
                                                         Reading *reading) {
    Shape *shape, **link = &(*head)->next;
    for (; (shape = *link); link = &shape->next)
        if (shape_read(shape, at, end, reading)) {
            *link = shape->next;
            shape->next = *head;
            *head = shape;
            return shape;
        }
    return NULL;
}

static inline Shape *shapes_find(Shapes *shapes, const uint8_t *at, const uint8_t *end, Reading *reading) {
    Shape **link = &shapes->bucket[bucket_of(at)], *shape = *link;
    if (!shape) return NULL;
    if (LIKELY(shape_read(shape, at, end, reading))) return shape;
    return shapes_find_next(link, at, end, reading);
}

static void shapes_clear(Shapes *shapes) {
    for (int at = 0; at < BUCKETS; at++)
        for (Shape *shape = shapes->bucket[at], *next; shape; shape = next) {
            next = shape->next;
            free(shape);
        }
    memset(shapes, 0, sizeof *shapes);
}

/* Put a shape first in the bucket of the payload it was learned from; the oldest of too many is let go. */
static void shapes_add(Shapes *shapes, Shape *shape, const uint8_t *payload) {
    Shape **head = &shapes->bucket[bucket_of(payload)], **link = head;
    for (int kept = 1; *link && kept < SHAPES_PER_BUCKET; kept++) link = &(*link)->next;
    if (*link) {
        Shape *oldest = *link;
        *link = oldest->next;
        free(oldest);
        shapes->count--;
    }
    shape->next = *head;
    *head = shape;
    shapes->count++;
}

/* The bytes that a literal takes, and its mask. */
static int64_t literal_room(int length) { return (int64_t)(length / 16 + 2) * 16; }

/* Return a shape without steps set; its literals take so many bytes in all. NULL where memory ends. */
static Shape *shape_new(int steps, int64_t literals_room) {
    Shape *shape = calloc(1, sizeof(Shape) + (size_t)steps * sizeof(Step) + (size_t)literals_room);
    if (shape) shape->steps = steps;
    return shape;
}

/* Set a step, whose literal begins at byte `place` of the shape's. */
static void step_set(Shape *shape, int at, const uint8_t *literal, int length, int64_t place, int kind, int field) {
    Step *step = &shape->step[at];
    uint8_t *to = (uint8_t *)shape_literals(shape) + place;
    memcpy(to, literal, (size_t)length);
    memset(to + literal_room(length) - 16, 0xFF, (size_t)(length % 16));
    step->literal = (uint32_t)place;
    step->last = (uint8_t)(length & ~15);
    step->length = (uint8_t)length;
    step->kind = (uint8_t)kind;
    step->field = (uint8_t)field;
    if (kind == STEP_DECIMAL || kind == STEP_LEVELS) {
        forget_decimal(&step->form.decimal[0]);
        forget_decimal(&step->form.decimal[1]);
    }
    step->place = (uint8_t)(2 * (field == FIELD_UNUSED ? 4 : field - FIELD_PRICE));
}

#endif
