/*
 * Checking a store against itself, piece by piece, so that one damaged piece
 * hides no other. Nothing is healed or changed on the way.
 */
#ifndef KV_VERIFY_H
#define KV_VERIFY_H

#include "kv.h"
#include "log.h"
#include "manifest.h"
#include "place.h"
#include "segment.h"

struct kv_verify {
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
enum kv_status kv_verify_manifest(struct kv_verify *check,
                                  const struct kv_manifest *manifest) KV_WARN_UNUSED;

/* Check a segment and its index. */
void kv_verify_segment(struct kv_verify *check, struct kv_segment *segment);

/*
 * Check a log that has just been opened. It must reach `end_lsn`, and nobody looks past that,
 * where others may be writing; 0: it must reach as far as it says itself.
 */
void kv_verify_log(struct kv_verify *check, struct kv_log *log, uint64_t start_lsn,
                   uint64_t end_lsn);

/* Note what kept a piece from being checked: damage is a problem found, anything else ends the check. */
void kv_verify_failure(struct kv_verify *check, uint64_t number, enum kv_status st);

/* Report one problem; the message is this thread's if `text` is NULL. */
void kv_verify_report(struct kv_verify *check, uint64_t segment, uint64_t offset, const char *text);

/* Neither `each` nor the user has ended the check. */
bool kv_verify_goes_on(struct kv_verify *check);

#endif
