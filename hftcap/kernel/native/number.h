/* Numbers in text, eight digits at a time.
 *
 * Where a number ends depends on its text, and to find out costs more than to convert it. But a field nearly always
 * looks as it did in the message before: so its form, how many digits before and behind the point, is kept, tested
 * first in one go, and learned again when it was wrong. What is read is the same either way.
 *
 * Every read may go up to 24 bytes beyond the text it is about; READ_BEYOND of scan.h covers it.
 */
#ifndef HFTCAP_NUMBER_H
#define HFTCAP_NUMBER_H

#include <stdint.h>
#include <string.h>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "side.h"

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "digits are read in little-endian words; the reference kernel runs everywhere"
#endif

#define ZEROS 0x3030303030303030u
#define HIGH 0x8080808080808080u
#define ABOVE_NINE 0x7676767676767676u /* added to a byte of 0 to 9 it leaves the high bit clear, to any other not */
#define WHOLE_MAX 10                   /* digits before the point; with eight behind it the value fits an int64 */
#define E8 100000000
#define LIKELY(x) __builtin_expect(!!(x), 1)

typedef struct {
    uint64_t flip, add, test; /* the whole part: its digits must come out 0 to 9, and the point behind them 0 */
    uint64_t fraction_test, fraction_keep;
    uint8_t whole, length, shift, missed; /* length 0: not known */
} DecimalForm;

typedef struct {
    uint64_t low_test, high_test;
    int64_t scale;
    uint8_t digits, low_shift, high_shift;
} WholeForm;

static const int64_t POWERS[17] = {1,
                                   10,
                                   100,
                                   1000,
                                   10000,
                                   100000,
                                   1000000,
                                   10000000,
                                   100000000,
                                   1000000000,
                                   10000000000,
                                   100000000000,
                                   1000000000000,
                                   10000000000000,
                                   100000000000000,
                                   1000000000000000,
                                   10000000000000000};

static inline uint64_t load8(const uint8_t *at) {
    uint64_t word;
    memcpy(&word, at, 8);
    return word;
}

/* Turn eight digits, each 0 to 9, the first in the lowest byte, into a number. */
static inline uint64_t eight_digits(uint64_t digits) {
    digits = digits * 10 + (digits >> 8);
    return (((digits & 0x000000FF000000FFu) * 0x000F424000000064u) +
            (((digits >> 16) & 0x000000FF000000FFu) * 0x0000271000000001u)) >>
           32;
}

/* The high bits of the bytes that are no digits; exact in the lowest such byte and in all below it. */
static inline uint64_t not_digits(uint64_t flipped) { return ((flipped + ABOVE_NINE) | flipped) & HIGH; }

static inline uint64_t low_bytes(int count) { return count >= 8 ? ~(uint64_t)0 : ((uint64_t)1 << (8 * count)) - 1; }

/* Make a form that no text has. */
static void forget_decimal(DecimalForm *form) {
    memset(form, 0, sizeof *form);
    form->add = form->test = 0x80; /* of any byte, it or its sum with this has the high bit */
}

static void learn_decimal(DecimalForm *form, int whole, int fraction) {
    forget_decimal(form);
    if (whole < 1 || whole > 7) return;
    int pointed = fraction > 0;
    form->whole = (uint8_t)whole;
    form->length = (uint8_t)(whole + (pointed ? 1 + fraction : 0));
    form->shift = (uint8_t)(64 - 8 * whole);
    form->flip = ZEROS;
    form->add = ABOVE_NINE;
    if (pointed) {
        form->flip ^= (uint64_t)('0' ^ '.') << (8 * whole);
        form->add += (uint64_t)(0x7F - 0x76) << (8 * whole); /* 0 alone passes */
    }
    form->test = HIGH & low_bytes(whole + pointed);
    form->fraction_keep = low_bytes(fraction);
    form->fraction_test = HIGH & form->fraction_keep;
}

/* Read decimal text of any form up to its closing quote, digit by digit: returns behind the quote, NULL where it is not
 * plain. */
static const uint8_t *decimal_any(const uint8_t *at, int64_t *value) {
    int64_t number = 0;
    int whole = 0, fraction = 0;
    while ((unsigned)(at[whole] - '0') < 10 && whole <= WHOLE_MAX) number = number * 10 + (at[whole++] - '0');
    if (!whole || whole > WHOLE_MAX) return NULL;
    const uint8_t *end = at + whole;
    if (*end == '.') {
        end++;
        while ((unsigned)(end[fraction] - '0') < 10) {
            if (fraction == 8) return NULL;
            number = number * 10 + (end[fraction++] - '0');
        }
        if (!fraction) return NULL;
        end += fraction;
    }
    if (*end != '"') return NULL;
    *value = number * POWERS[8 - fraction];
    return end + 1;
}

/* Read decimal text of another form than before into two words of digits. Returns behind the closing quote; NULL where
 * it is not plain, or has more digits before the point than seven. Each second such form becomes the expected one: sizes
 * change theirs all the time. */
static __attribute__((noinline)) const uint8_t *decimal_words_other(const uint8_t *at, uint64_t *words,
                                                                    DecimalForm *form) {
    uint64_t whole = load8(at) ^ ZEROS, ends = not_digits(whole);
    if (!ends) return NULL;
    int bits = __builtin_ctzll(ends) - 7, fraction_bits = 0;
    if (!bits) return NULL;
    words[0] = whole << (64 - bits);
    words[1] = 0;
    const uint8_t *end = at + bits / 8;
    if (*end == '.') {
        uint64_t fraction = load8(++end) ^ ZEROS, behind = not_digits(fraction);
        fraction_bits = behind ? __builtin_ctzll(behind) - 7 : 64;
        if (!fraction_bits) return NULL;
        words[1] = fraction & low_bytes(fraction_bits / 8);
        end += fraction_bits / 8;
    }
    if (*end != '"') return NULL;
    form->missed ^= 1;
    if (!form->length || !form->missed) learn_decimal(form, bits / 8, fraction_bits / 8);
    return end + 1;
}

/* Read decimal text of the form it had before into two words of digits. Returns behind the closing quote, or NULL
 * where it has another form or is none. */
static inline const uint8_t *decimal_words(const uint8_t *at, uint64_t *words, const DecimalForm *form) {
    uint64_t whole = load8(at) ^ form->flip, fraction = load8(at + form->whole + 1) ^ ZEROS;
    uint64_t wrong = (((whole + form->add) | whole) & form->test) | (not_digits(fraction) & form->fraction_test);
    words[0] = whole << form->shift;
    words[1] = fraction & form->fraction_keep;
    return LIKELY(!wrong && at[form->length] == '"') ? at + form->length + 1 : NULL;
}

/* Turn pairs of decimals, four words each, into prices and sizes scaled by 1e8. */
static inline void words_to_levels(const uint64_t *words, Level *levels, int64_t count) {
#ifdef __SSE2__
    /* Sixteen digits at once: by pairs to 0..99, to 0..9999 and to eight digits. */
    const __m128i low = _mm_set1_epi16(0xFF), ten = _mm_set1_epi16(10), hundred = _mm_set1_epi32(100 | 1 << 16),
                  myriad = _mm_set1_epi32(10000 | 1 << 16), scale = _mm_set1_epi64x(E8);
    for (int64_t i = 0; i < count; i++, words += 4) {
        __m128i price = _mm_loadu_si128((const __m128i *)words), size = _mm_loadu_si128((const __m128i *)(words + 2));
        price = _mm_add_epi16(_mm_mullo_epi16(_mm_and_si128(price, low), ten), _mm_srli_epi16(price, 8));
        size = _mm_add_epi16(_mm_mullo_epi16(_mm_and_si128(size, low), ten), _mm_srli_epi16(size, 8));
        price = _mm_madd_epi16(price, hundred);
        size = _mm_madd_epi16(size, hundred);
        __m128i both = _mm_madd_epi16(_mm_packs_epi32(price, size), myriad);
        __m128i scaled = _mm_add_epi64(_mm_mul_epu32(both, scale), _mm_srli_epi64(both, 32));
        _mm_storeu_si128((__m128i *)(levels + i), scaled);
    }
#else
    for (int64_t i = 0; i < count; i++, words += 4) {
        levels[i].price = (int64_t)(eight_digits(words[0]) * E8 + eight_digits(words[1]));
        levels[i].size = (int64_t)(eight_digits(words[2]) * E8 + eight_digits(words[3]));
    }
#endif
}

static void learn_whole(WholeForm *form, int digits) {
    memset(form, 0, sizeof *form);
    if (digits > 16) return;
    int low = digits < 8 ? digits : 8, high = digits - low;
    form->digits = (uint8_t)digits;
    form->low_test = HIGH & low_bytes(low);
    form->low_shift = (uint8_t)(64 - 8 * low);
    form->high_test = HIGH & low_bytes(high);
    form->high_shift = (uint8_t)(high ? 64 - 8 * high : 0);
    form->scale = POWERS[high];
}

/* Read an unsigned whole number of up to 18 digits as JSON spells it. */
static const uint8_t *whole_any(const uint8_t *at, int64_t *value, WholeForm *form) {
    int64_t number = 0;
    int digits = 0;
    while ((unsigned)(at[digits] - '0') < 10) {
        if (digits == 18) return NULL;
        number = number * 10 + (at[digits++] - '0');
    }
    if (!digits || (digits > 1 && *at == '0')) return NULL;
    *value = number;
    learn_whole(form, digits);
    return at + digits;
}

/* Read an unsigned whole number of up to 18 digits; returns behind it, NULL where there is none as JSON spells it. */
static inline const uint8_t *read_whole(const uint8_t *at, int64_t *value, WholeForm *form) {
    if (LIKELY(form->digits)) {
        uint64_t low = load8(at) ^ ZEROS, high = load8(at + 8) ^ ZEROS;
        uint64_t wrong = (not_digits(low) & form->low_test) | (not_digits(high) & form->high_test);
        int ends = (unsigned)(at[form->digits] - '0') >= 10;
        if (LIKELY(!wrong && ends && ((low & 0xFF) || form->digits == 1))) {
            uint64_t front = eight_digits(low << form->low_shift);
            if (form->high_test)
                front = front * (uint64_t)form->scale + eight_digits(high << form->high_shift);
            *value = (int64_t)front;
            return at + form->digits;
        }
    }
    return whole_any(at, value, form);
}

#endif
