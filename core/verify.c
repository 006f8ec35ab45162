/* Checking what a manifest names: see verify.h. */
#include "verify.h"

#include <inttypes.h>
#include <stdio.h>

#include "log_scan.h"
#include "names.h"
#include "segment.h"

void kv_verify_report(struct kv_verify *check, uint64_t segment, uint64_t offset, const char *text)
{
    struct kv_problem problem = {segment, offset, text ? text : kv_message()};

    if (check->st == KV_OK)
        check->st = check->each(check->context, &problem);
}

bool kv_verify_goes_on(struct kv_verify *check)
{
    const struct kv_settings *settings = check->settings;

    if (check->st == KV_OK && settings && settings->interrupted &&
        settings->interrupted(settings->interrupted_context))
        check->st = kv_fail(KV_INTERRUPTED, "%s: the check was interrupted", check->place.path);
    return check->st == KV_OK;
}

/* ---- Sealed segments */

struct segment_check {
    struct kv_verify *check;
    uint64_t number;
};

static void segment_problem(void *context, uint64_t offset, const char *text)
{
    const struct segment_check *segment_check = context;

    kv_verify_report(segment_check->check, segment_check->number, offset, text);
}

static bool segment_goes_on(void *context)
{
    return kv_verify_goes_on(((struct segment_check *)context)->check);
}

void kv_verify_failure(struct kv_verify *check, uint64_t number, enum kv_status st)
{
    if (st == KV_CORRUPT || st == KV_NOTFOUND || st == KV_NEWER || st == KV_INVALID)
        kv_verify_report(check, number, 0, NULL);
    else if (st != KV_OK && check->st == KV_OK)
        check->st = st;
}

/* An index that opening had to build anew was missing or wrong. */
static void check_index(struct kv_verify *check, uint64_t number)
{
    struct kv_identity identity;
    char name[KV_NAME_BYTES];
    enum kv_status st;

    kv_name_index(name, number);
    st = kv_io_name_identity(check->place.dir, name, &identity);
    if (st == KV_NOTFOUND)
        kv_verify_report(check, number, 0, "the index is missing; it is built anew when opened");
    else if (st != KV_OK)
        kv_verify_failure(check, number, st);
    else
        kv_verify_report(check, number, 0,
                         "the index is damaged or of other data; it is built anew "
                         "when opened");
}

void kv_verify_segment(struct kv_verify *check, struct kv_segment *segment)
{
    struct segment_check segment_check = {check, kv_segment_info(segment)->number};
    struct kv_segment_watcher watcher = {segment_problem, segment_goes_on, &segment_check};
    enum kv_status st = kv_segment_check(segment, &watcher);

    if (st != KV_INTERRUPTED) /* then check->st says why */
        kv_verify_failure(check, segment_check.number, st);
}

/* A segment that nobody has open. */
static void open_segment(struct kv_verify *check, const struct kv_segment_info *info)
{
    struct kv_segment *segment;
    enum kv_status st = kv_segment_open(&check->place, info, &segment);

    kv_verify_failure(check, info->number, st);
    if (st != KV_OK)
        return;
    if (kv_segment_index_rebuilt(segment))
        check_index(check, info->number);
    kv_verify_segment(check, segment);
    kv_segment_unref(segment);
}

/* ---- Logs */

static bool log_goes_on(void *context)
{
    return kv_verify_goes_on(context);
}

void kv_verify_log(struct kv_verify *check, struct kv_log *log, uint64_t start_lsn,
                   uint64_t end_lsn)
{
    const struct kv_log_watcher watcher = {log_goes_on, check};
    uint64_t number = log->header.number;
    struct kv_log_scan scan;
    enum kv_status st = kv_log_scan_watched(log, start_lsn, end_lsn, &watcher, &scan);

    if (st == KV_OK && kv_log_lsn(log, log->tail.end_bytes) < end_lsn)
        kv_verify_report(check, number, log->tail.end_bytes,
                         "damaged: committed transactions behind this offset cannot be read");
    if (st != KV_INTERRUPTED) /* then check->st says why */
        kv_verify_failure(check, number, st);
}

static void open_log(struct kv_verify *check, uint64_t number, uint64_t salt, uint64_t start_lsn,
                     uint64_t end_lsn)
{
    struct kv_log *log;
    enum kv_status st = kv_log_open(&check->place, number, salt, &log);

    if (st == KV_OK) {
        kv_verify_log(check, log, start_lsn, end_lsn);
        kv_log_unref(log);
    }
    kv_verify_failure(check, number, st);
}

/* The active log and, of the unindexed one, everything up to where it was sealed. */
static void open_logs(struct kv_verify *check, const struct kv_manifest *manifest)
{
    const struct kv_segment_info *sealed = &manifest->unindexed;

    open_log(check, manifest->active.number, manifest->active.salt, manifest->active.start_lsn, 0);
    if (kv_manifest_has_unindexed(manifest) && kv_verify_goes_on(check))
        open_log(check, sealed->number, sealed->salt, sealed->last_lsn, sealed->last_lsn);
}

/* ---- The directory */

struct listing {
    struct kv_verify *check;
    const struct kv_manifest *manifest;
};

static enum kv_status check_name(void *context, const char *name)
{
    const struct listing *listing = context;
    char text[KV_NAME_BYTES + 64];
    uint64_t number;
    bool named = true;

    switch (kv_name_parse(name, &number)) {
    case KV_NAME_IS_SEGMENT:
        named = number == listing->manifest->active.number ||
                kv_manifest_has_sealed(listing->manifest, number);
        break;
    case KV_NAME_IS_INDEX: named = kv_manifest_has_sealed(listing->manifest, number); break;
    case KV_NAME_IS_TEMPORARY: named = false; break;
    default: break;
    }
    if (!named) {
        snprintf(text, sizeof(text), "%s is not named by MANIFEST; opening the store removes it",
                 name);
        kv_verify_report(listing->check, number, 0, text);
    }
    return listing->check->st;
}

enum kv_status kv_verify_manifest(struct kv_verify *check, const struct kv_manifest *manifest)
{
    struct listing listing = {check, manifest};

    open_logs(check, manifest);
    for (size_t r = 0; r < manifest->run_count; r++) {
        for (size_t s = 0; s < manifest->runs[r].segment_count && kv_verify_goes_on(check); s++)
            open_segment(check, &manifest->runs[r].segments[s]);
    }
    for (size_t g = 0; g < manifest->group_count; g++) {
        for (size_t s = 0; s < manifest->groups[g].segment_count && kv_verify_goes_on(check); s++)
            open_segment(check, &manifest->groups[g].segments[s]);
    }
    if (kv_verify_goes_on(check))
        check->st = kv_io_dir_list(check->place.dir, check_name, &listing);
    return check->st;
}
