/*
 * A disk that a trace is played to, and what it may hold when the power fails.
 *
 * Of every file it knows the bytes that were synced and, in order, each change
 * since. When the power fails, each of those was made, or not, or in part:
 *
 *   a write    kept; dropped; torn, at sectors of 512 bytes or pages of 4 KiB;
 *              replaced by zeros (the size landed before the data) or garbage
 *   a store    through a mapping: the same, but only the last one of a page
 *   a size     the new or the old one
 *   a name     made, replaced or removed, or not, each by itself
 *
 * Bytes that no change covers stay as they are: a disk may spoil what it is
 * writing, but not its neighbours. A change that went into a sync that failed may be dropped for ever.
 */
#ifndef KV_POWER_DISK_H
#define KV_POWER_DISK_H

#include "chooser.h"
#include "image.h"
#include "trace.h"

struct disk;

/* `start`: what it holds; NULL: nothing. Ids of files as the trace counts them. */
struct disk *disk_new(const struct image *start);
void disk_free(struct disk *disk);

/* Play one event. It is borrowed until the disk is freed. */
void disk_play(struct disk *disk, const struct trace_event *event);

/* Changes that are not durable, and in how many ways they can be decided, at most UINT32_MAX. */
unsigned disk_changes(const struct disk *disk);
uint64_t disk_combinations(const struct disk *disk);

/* What it holds if the power fails now, as `chooser` decides. */
void disk_fail(const struct disk *disk, struct chooser *chooser, struct image *out);

#endif
