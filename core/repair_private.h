/* A repair at work: what repair.c (the whole) and repair_segment.c (one segment) share. */
#ifndef KV_REPAIR_PRIVATE_H
#define KV_REPAIR_PRIVATE_H

#include "quarantine.h"
#include "repair.h"
#include "survey.h"

struct kv_repair {
    struct kv_engine *engine;
    const struct kv_settings *settings; /* for interruption; may be NULL */
    enum kv_status (*each)(void *context, const struct kv_repair_step *step);
    void *context;

    struct kv_survey survey;
    struct kv_manifest draft; /* what the store will consist of */
    bool is_rebuilding;       /* its runs come from headers: totals and keys are not known yet */
    uint64_t unsealed;        /* a log in its runs that may not be durable, then; 0: none */
    bool is_changed;          /* the draft is not what is on disk */
    bool needs_log;           /* the draft's active log is to be made */
    struct kv_quarantine *quarantine; /* opened when needed */
    char (*spoiled)[KV_NAME_BYTES];   /* files that go to the quarantine */
    size_t spoiled_count, spoiled_capacity;
    struct kv_store *withheld; /* opened when needed */
    struct kv_txn *txn;        /* there */
    uint64_t txn_bytes;
};

/* Tell the user, printf-like. */
enum kv_status kv_repair_tell(struct kv_repair *repair, uint64_t segment, uint64_t offset,
                              const char *format, ...) KV_PRINTF(4, 5) KV_WARN_UNUSED;

bool kv_repair_goes_on(void *repair);

/* Note that a file is to go to the quarantine; twice does no harm. */
enum kv_status kv_repair_spoil(struct kv_repair *repair, const char *name) KV_WARN_UNUSED;

/* Keep a row in the store of withheld rows. */
enum kv_status kv_repair_withhold(void *repair, const struct kv_entry *entry) KV_WARN_UNUSED;

/*
 * Verify segment `s` of run `r` of the draft, put its description and its index right, or put
 * new segments, or none, in its place; `*count` is how many. Older runs have been repaired.
 */
enum kv_status kv_repair_segment(struct kv_repair *repair, size_t r, size_t s,
                                 size_t *count) KV_WARN_UNUSED;

/* The LSN up to which transactions count in the active log. */
enum kv_status kv_repair_log_end(struct kv_repair *repair, uint64_t *lsn) KV_WARN_UNUSED;

/* Verify the active log; if it is damaged or cannot stay, a run takes its place, and the draft needs a new one. */
enum kv_status kv_repair_log(struct kv_repair *repair) KV_WARN_UNUSED;

#endif
