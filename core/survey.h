/* What is in a store's directory, by the headers of its files: names can be wrong, headers say whose a file is. */
#ifndef KV_SURVEY_H
#define KV_SURVEY_H

#include "manifest.h"
#include "names.h"
#include "place.h"

struct kv_survey_file {
    char name[KV_NAME_BYTES];
    enum kv_name_kind kind;
    uint64_t number; /* in its name */
    bool has_header; /* it begins with a segment's valid header */
    struct kv_header header;
    uint64_t size_bytes;
};

struct kv_survey {
    struct kv_survey_file *files;
    size_t count, capacity;
};

/* Look at every file of the store but LOCK. KV_NEWER: one was written by a newer version. */
enum kv_status kv_survey_directory(const struct kv_place *place,
                                   struct kv_survey *out) KV_WARN_UNUSED;
void kv_survey_release(struct kv_survey *survey);

/* The file that is segment `number` with this salt, whatever its name, the right one first; NULL: none. */
const struct kv_survey_file *kv_survey_find(const struct kv_survey *survey, const uint8_t *uuid,
                                            uint64_t number, uint64_t salt);

/* The uuid that most segments have; of two, that of the one with the highest number. False: there are none. */
bool kv_survey_uuid(const struct kv_survey *survey, uint8_t out[KV_UUID_BYTES]);

/*
 * Is the manifest older than the store? A log with a number that it has not given out
 * yet has transactions of its own: only a later manifest can have named it.
 */
enum kv_status kv_survey_is_outdated(const struct kv_survey *survey, const struct kv_place *place,
                                     const struct kv_manifest *manifest, bool *out) KV_WARN_UNUSED;

/*
 * Fill in the runs of `manifest`, whose uuid is set and which has none, as the
 * headers tell (lineup.h): numbers, salts, lengths, LSNs, times; totals and keys are to be read yet.
 * last_seq is the last that is known, active.base_lsn past every byte there has
 * been, and active.previous_digest that of the last transaction. `*unsealed` is the number of the log
 * whose end may not be durable, if that counts; 0: there is none.
 */
enum kv_status kv_survey_runs(const struct kv_survey *survey, const struct kv_place *place,
                              struct kv_manifest *manifest, uint64_t *unsealed) KV_WARN_UNUSED;

#endif
