/*
 * The file system of a fuzz target, in memory. Programs of this directory are linked
 * so that the engine's default, the real system, is this one, for the extension too.
 */
#ifndef KV_FUZZ_DISK_H
#define KV_FUZZ_DISK_H

#include "image.h"
#include "manifest.h"
#include "place.h"

#define DISK_PATH "/db"

/* Start with the files of an image in DISK_PATH; NULL: with nothing. */
void disk_start(const struct image *image);
void disk_end(void); /* every handle has been closed */

struct kv_memfs *disk_fs(void);
struct kv_io *disk_io(void);

/* The place that an image's manifest describes. False: there is none. Then release it. */
bool disk_place(struct image *image, struct kv_manifest *manifest, struct kv_place *out);
void disk_place_release(struct kv_manifest *manifest, struct kv_place *place);

/* Unpack an input, and try each segment that its manifest names. */
void disk_each_segment(const uint8_t *data, size_t size,
                       void (*each)(const struct kv_place *place,
                                    const struct kv_segment_info *info));

#endif
