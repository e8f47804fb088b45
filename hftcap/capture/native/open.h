/* A stored block opened in one go: checked, decompressed, its columns undone, held against its payloads.
 *
 * It is either all as it should be, or the block is for hftcap.capture.block, which says what is wrong with it.
 */
#ifndef HFTCAP_OPEN_H
#define HFTCAP_OPEN_H

#include <stdlib.h>

#include "unpack.h"
#include "zstd.h"

#define FRAME_MAGIC 0xFD2FB528u
#define COLUMN_BYTES 24
#define CRC_POLYNOMIAL 0xEDB88320u

/* What the header says of a block. */
typedef struct {
    int64_t records, columns_stored, notes_stored, payloads_stored, payloads_raw;
    uint32_t crc_columns_notes, payload_check;
} Stored;

typedef struct {
    Zstd zstd;
    void *context;
    uint8_t *planes;
    int64_t planes_room;
    uint32_t crc[8][256];
} Opener;

static uint32_t load4(const uint8_t *at) {
    return at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

static void crc_tables(uint32_t crc[8][256]) {
    for (uint32_t byte = 0; byte < 256; byte++) {
        uint32_t value = byte;
        for (int bit = 0; bit < 8; bit++) value = value >> 1 ^ (value & 1 ? CRC_POLYNOMIAL : 0);
        crc[0][byte] = value;
    }
    for (int table = 1; table < 8; table++)
        for (int byte = 0; byte < 256; byte++)
            crc[table][byte] = crc[table - 1][byte] >> 8 ^ crc[0][crc[table - 1][byte] & 0xFF];
}

/* The crc32 of zlib, eight bytes at a time. */
static uint32_t crc32_of(const uint32_t crc[8][256], const uint8_t *at, int64_t bytes) {
    uint32_t value = 0xFFFFFFFFu;
    for (; bytes >= 8; bytes -= 8, at += 8) {
        uint32_t low = value ^ load4(at), high = load4(at + 4);
        value = crc[7][low & 0xFF] ^ crc[6][low >> 8 & 0xFF] ^ crc[5][low >> 16 & 0xFF] ^ crc[4][low >> 24] ^
                crc[3][high & 0xFF] ^ crc[2][high >> 8 & 0xFF] ^ crc[1][high >> 16 & 0xFF] ^ crc[0][high >> 24];
    }
    for (; bytes; bytes--, at++) value = value >> 8 ^ crc[0][(value ^ *at) & 0xFF];
    return ~value;
}

/* Returns 0, or -1 where libzstd cannot be had or memory ends. */
static int opener_init(Opener *opener) {
    memset(opener, 0, sizeof *opener);
    if (zstd_load(&opener->zstd)) return -1;
    crc_tables(opener->crc);
    opener->context = opener->zstd.create();
    return opener->context ? 0 : -1;
}

static void opener_free(Opener *opener) {
    if (opener->context) opener->zstd.release(opener->context);
    free(opener->planes);
}

/* Decompress one frame of which all is known beforehand; returns 0 where it is another or is damaged. */
static int open_frame(Opener *opener, const uint8_t *stored, int64_t bytes, uint8_t *to, int64_t raw) {
    const Zstd *zstd = &opener->zstd;
    /* Byte 4 describes the frame: with a checksum, and neither a dictionary nor a bit that has no meaning. */
    if (bytes < 9 || load4(stored) != FRAME_MAGIC || (stored[4] & 0x1F) != 0x04) return 0;
    if (zstd->content_size(stored, (size_t)bytes) != (unsigned long long)raw) return 0;
    if (zstd->frame_size(stored, (size_t)bytes) != (size_t)bytes) return 0;
    return zstd->decompress(opener->context, to, (size_t)raw, stored, (size_t)bytes) == (size_t)raw;
}

/* Open a block that has records; `body` is what stands behind its header. `payloads` has room for `payloads_raw` bytes.
 * Returns whether all is as it should be. */
static int open_block(Opener *opener, const Stored *block, const uint8_t *body, uint8_t *payloads, int64_t payload_most,
                      uint32_t kinds, Unpacked *to) {
    int64_t columns_raw = block->records * COLUMN_BYTES, notes_end = block->columns_stored + block->notes_stored;
    if (crc32_of(opener->crc, body, notes_end) != block->crc_columns_notes) return 0;
    if (columns_raw > opener->planes_room) {
        free(opener->planes);
        opener->planes = malloc((size_t)columns_raw);
        opener->planes_room = opener->planes ? columns_raw : 0;
        if (!opener->planes) return 0;
    }
    if (!open_frame(opener, body, block->columns_stored, opener->planes, columns_raw)) return 0;
    const uint8_t *frame = body + notes_end;
    if (block->payloads_stored < 4 || load4(frame + block->payloads_stored - 4) != block->payload_check) return 0;
    if (!open_frame(opener, frame, block->payloads_stored, payloads, block->payloads_raw)) return 0;
    return unpack(opener->planes, block->records, payloads, block->payloads_raw, payload_most, kinds, to);
}

#endif
