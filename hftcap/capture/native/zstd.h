/* The system's libzstd, looked up when it is first needed: opening a block is then one call without Python.
 *
 * Nothing needs it: where it is not there, blocks are opened by the zstandard package. Only functions are used whose
 * interface libzstd promises to keep (zstd.h, "stable API"), and ZSTD_findFrameCompressedSize, stable since 1.4.0.
 */
#ifndef HFTCAP_ZSTD_H
#define HFTCAP_ZSTD_H

#include <dlfcn.h>
#include <stddef.h>

typedef struct {
    void *(*create)(void);
    size_t (*release)(void *);
    size_t (*decompress)(void *, void *, size_t, const void *, size_t);
    unsigned (*is_error)(size_t);
    unsigned long long (*content_size)(const void *, size_t);
    size_t (*frame_size)(const void *, size_t);
} Zstd;

/* Returns 0, or -1 where there is no libzstd, or one that is too old. */
static int zstd_load(Zstd *zstd) {
    void *library = dlopen("libzstd.so.1", RTLD_NOW | RTLD_LOCAL);
    if (!library) return -1;
    *(void **)&zstd->create = dlsym(library, "ZSTD_createDCtx");
    *(void **)&zstd->release = dlsym(library, "ZSTD_freeDCtx");
    *(void **)&zstd->decompress = dlsym(library, "ZSTD_decompressDCtx");
    *(void **)&zstd->is_error = dlsym(library, "ZSTD_isError");
    *(void **)&zstd->content_size = dlsym(library, "ZSTD_getFrameContentSize");
    *(void **)&zstd->frame_size = dlsym(library, "ZSTD_findFrameCompressedSize");
    return zstd->create && zstd->release && zstd->decompress && zstd->is_error && zstd->content_size &&
                   zstd->frame_size
               ? 0
               : -1;
}

#endif
