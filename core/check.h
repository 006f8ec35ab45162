/*
 * Checking a store against itself, piece by piece, so that one damaged piece
 * hides no other. Nothing is healed or changed on the way.
 */
#ifndef KV_CHECK_H
#define KV_CHECK_H

#include "kv.h"
#include "manifest.h"
#include "place.h"
#include "segment.h"

struct kv_check {
    struct kv_place place;              /* a copy, made read-only: nothing is healed on the way */
    const struct kv_settings *settings; /* for interruption; NULL: none */
    enum kv_status (*each)(void *context, const struct kv_problem *problem);
    void *context;
    enum kv_status st; /* a failure of `each` or an interruption: ends the check */
};

/*
 * Check what `manifest` names, and what else is in the directory: alone with
 * the store, that is unfinished work. Returns check->st.
 */
enum kv_status kv_check_manifest(struct kv_check *check,
                                 const struct kv_manifest *manifest) KV_WARN_UNUSED;

/* Check a segment and its index. */
void kv_check_segment(struct kv_check *check, struct kv_segment *segment);

/* Check a log, which must reach `end_lsn` (0: as far as it says itself). */
void kv_check_log(struct kv_check *check, uint64_t number, uint64_t salt, uint64_t start_lsn,
                  uint64_t end_lsn);

/* Report one problem; the message is this thread's if `text` is NULL. */
void kv_check_report(struct kv_check *check, uint64_t segment, uint64_t offset, const char *text);

/* Neither `each` nor the user has ended the check. */
bool kv_check_goes_on(struct kv_check *check);

#endif
