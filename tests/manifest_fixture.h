/* Manifests to test with, as values and as bytes. */
#ifndef KV_TESTS_MANIFEST_FIXTURE_H
#define KV_TESTS_MANIFEST_FIXTURE_H

#include "manifest.h"

void manifest_set_text(struct kv_buffer *buffer, const char *text);

/* A sealed segment; its figures follow from its number. */
struct kv_segment_info manifest_segment(uint64_t number, const char *min_key, const char *max_key);

/* A store with an active log only, number 9. */
struct kv_manifest manifest_empty(void);

/*
 * One that has everything. Log 10 has no index. Runs, newest first: log 8; log
 * 7; an open merge's input 5 with `low`, and output 6 and 4; oldest 3. Two pending groups.
 */
struct kv_manifest manifest_full(void);

struct kv_buffer manifest_encoded(const struct kv_manifest *manifest);
struct kv_buffer manifest_encoded_full(void);

#endif
