/* The columns of a block, from byte planes to one array each, and whether they fit its payloads.
 *
 * What hftcap.capture.columns does in numpy, whose share of opening a block was half of what decompressing it takes.
 */
#ifndef HFTCAP_UNPACK_H
#define HFTCAP_UNPACK_H

#include <stdint.h>
#include <string.h>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

typedef struct {
    uint32_t *length;
    int64_t *time_ns, *rx_lag_ns, *start;
    uint16_t *conn;
    uint8_t *kind, *flags;
    int rises; /* whether no time is before the one in front of it */
} Unpacked;

static inline uint64_t from_planes(const uint8_t *plane, int64_t records, int width, int64_t at) {
    uint64_t value = 0;
    for (int byte = 0; byte < width; byte++) value |= (uint64_t)plane[byte * records + at] << (8 * byte);
    return value;
}

/* Undo the shuffle of a column of 8 bytes. */
static void unshuffle8(const uint8_t *plane, int64_t n, uint64_t *out) {
    int64_t at = 0;
#ifdef __SSE2__
    for (; at + 16 <= n; at += 16) {
        __m128i p[8], q[8];
        for (int i = 0; i < 8; i++) p[i] = _mm_loadu_si128((const __m128i *)(plane + i * n + at));
        for (int i = 0; i < 4; i++) { /* pairs of bytes: records 0 to 7 in q[i], 8 to 15 in q[i + 4] */
            q[i] = _mm_unpacklo_epi8(p[2 * i], p[2 * i + 1]);
            q[i + 4] = _mm_unpackhi_epi8(p[2 * i], p[2 * i + 1]);
        }
        for (int half = 0; half < 2; half++) {
            const __m128i *h = q + 4 * half;
            __m128i low01 = _mm_unpacklo_epi16(h[0], h[1]), low23 = _mm_unpacklo_epi16(h[2], h[3]);
            __m128i high01 = _mm_unpackhi_epi16(h[0], h[1]), high23 = _mm_unpackhi_epi16(h[2], h[3]);
            __m128i *to = (__m128i *)(out + at + 8 * half);
            _mm_storeu_si128(to, _mm_unpacklo_epi32(low01, low23));
            _mm_storeu_si128(to + 1, _mm_unpackhi_epi32(low01, low23));
            _mm_storeu_si128(to + 2, _mm_unpacklo_epi32(high01, high23));
            _mm_storeu_si128(to + 3, _mm_unpackhi_epi32(high01, high23));
        }
    }
#endif
    for (; at < n; at++) out[at] = from_planes(plane, n, 8, at);
}

/* Fill the arrays of `to` from the planes of `n` records; `kinds` has a bit set for each kind there is.
 *
 * Returns whether the records fit the payloads: none too long, a newline behind each, all together their length, and
 * no kind unknown.
 */
static int unpack(const uint8_t *planes, int64_t n, const uint8_t *payloads, int64_t payloads_bytes,
                  int64_t payload_most, uint32_t kinds, Unpacked *to) {
    const uint8_t *times = planes + 4 * n, *lags = times + 8 * n, *kind = lags + 8 * n, *conns = kind + n;
    int64_t at = 0, latest = INT64_MIN;
    int fits = 1;
    for (int64_t i = 0; i < n; i++) {
        uint32_t length = (uint32_t)from_planes(planes, n, 4, i);
        to->length[i] = length;
        to->start[i] = at;
        at += (int64_t)length + 1;
        fits &= length <= payload_most;
        fits &= kind[i] < 32 && (kinds >> kind[i] & 1);
        to->conn[i] = (uint16_t)(conns[i] | conns[n + i] << 8);
    }
    if (!fits || at != payloads_bytes) return 0;
    for (int64_t i = 0; i < n; i++) fits &= payloads[to->start[i] + to->length[i]] == '\n';
    memcpy(to->kind, kind, (size_t)n);
    memcpy(to->flags, conns + 2 * n, (size_t)n);
    unshuffle8(times, n, (uint64_t *)to->time_ns);
    unshuffle8(lags, n, (uint64_t *)to->rx_lag_ns);
    uint64_t time = 0; /* wraps, as the differences did */
    to->rises = 1;
    for (int64_t i = 0; i < n; i++) {
        to->time_ns[i] = (int64_t)(time += (uint64_t)to->time_ns[i]);
        to->rises &= to->time_ns[i] >= latest;
        latest = to->time_ns[i];
    }
    return fits;
}

#endif
