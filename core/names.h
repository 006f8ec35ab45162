/*
 * The names of a store's files. They carry a kind and a number, nothing else;
 * a number is never reused.
 *
 *   MANIFEST                              what the store consists of
 *   LOCK                                  lock bytes and shared state
 *   segment_000000000007.db               a segment
 *   segment_000000000007.idx              its index
 *   MANIFEST.manifest.tmp                 unfinished, owner held MANIFEST
 *   BACKUP.attached.tmp                   a first backup is unfinished, owner held ATTACHED
 *   segment_000000000007.idx.<hex>.tmp    unfinished, owner held no lock
 *   quarantine                            a directory: what repair could not read
 */
#ifndef KV_NAMES_H
#define KV_NAMES_H

#include <stdint.h>

#define KV_NAME_MANIFEST "MANIFEST"
#define KV_NAME_MANIFEST_TEMPORARY "MANIFEST.manifest.tmp"
#define KV_NAME_BACKUP_TEMPORARY "BACKUP.attached.tmp"
#define KV_NAME_LOCK "LOCK"
#define KV_NAME_QUARANTINE "quarantine"

enum { KV_NAME_BYTES = 80 }; /* room for any of the names, with its final NUL */

enum kv_name_kind {
    KV_NAME_IS_OTHER, /* not ours: never touched */
    KV_NAME_IS_MANIFEST,
    KV_NAME_IS_LOCK,
    KV_NAME_IS_SEGMENT,
    KV_NAME_IS_INDEX,
    KV_NAME_IS_TEMPORARY,
};

/* Write the name of segment `number` (at least twelve digits) into `out`. */
void kv_name_segment(char out[KV_NAME_BYTES], uint64_t number);
void kv_name_index(char out[KV_NAME_BYTES], uint64_t number);

/* A name for an unfinished index; `random` keeps two builders apart. */
void kv_name_index_temporary(char out[KV_NAME_BYTES], uint64_t number, uint64_t random);

/*
 * What a directory entry is. `*number` is the segment's number for SEGMENT and
 * INDEX and for temporary indexes, else 0. Only names that the functions above
 * would produce, to the byte, are ours.
 */
enum kv_name_kind kv_name_parse(const char *name, uint64_t *number);

#endif
