/*
 * Scanning a sealed segment in file order.
 *
 * A log is records, closed by COMMITs whose digests form a chain from the
 * header's previous_digest to the digest in the manifest. A merge output (and a
 * pending segment) is records only, under one digest.
 */
#include "segment_scan.h"

#include "hash.h"
#include "names.h"

static enum kv_status wrong(const struct kv_segment_scan *scan, enum kv_status st, const char *what)
{
    char name[KV_NAME_BYTES];

    kv_name_segment(name, scan->number);
    return kv_fail(st, "%s/%s: %s at offset %llu", scan->path, name, what,
                   (unsigned long long)scan->offset_bytes);
}

void kv_segment_scan_init(struct kv_segment_scan *scan, const struct kv_place *place,
                          const struct kv_segment_info *info, const struct kv_header *header,
                          struct kv_slice data)
{
    *scan = (struct kv_segment_scan){
        .path = place->path,
        .data = data,
        .record_place = {.salt = header->salt, .base_seq = header->base_seq},
        .role = header->role,
        .number = info->number,
        .end_digest = info->digest,
        .digest = header->role == KV_ROLE_LOG ? header->log.previous_digest : 0,
        .offset_bytes = KV_HEADER_BYTES,
    };
    kv_ahead_init(&scan->ahead, place->io, data, false);
}

static struct kv_slice rest_of(const struct kv_segment_scan *scan)
{
    return kv_slice_of(scan->data.data + scan->offset_bytes,
                       scan->data.size - (size_t)scan->offset_bytes);
}

static enum kv_status finish(const struct kv_segment_scan *scan)
{
    if (scan->role == KV_ROLE_LOG && scan->open_count > 0)
        return wrong(scan, KV_CORRUPT, "a transaction without its end");
    if (scan->digest != scan->end_digest)
        return wrong(scan, KV_CORRUPT, "the digest is not the manifest's");
    return KV_DONE;
}

static enum kv_status read_commit(struct kv_segment_scan *scan)
{
    struct kv_commit commit;
    enum kv_status st =
        kv_commit_decode(rest_of(scan), scan->record_place.salt, scan->offset_bytes, &commit);

    if (st != KV_OK)
        return wrong(scan, st, st == KV_NEWER ? "a commit of a newer version" : "a damaged commit");
    if (commit.digest != kv_commit_digest(&commit, scan->digest))
        return wrong(scan, KV_CORRUPT, "a transaction that does not continue the one before");
    scan->digest = commit.digest;
    scan->open_count = 0;
    scan->offset_bytes += KV_COMMIT_BYTES;
    return KV_OK;
}

/* END may only be the last thing: the next transaction would have overwritten it. */
static enum kv_status read_end(struct kv_segment_scan *scan)
{
    struct kv_end end;
    enum kv_status st =
        kv_end_decode(rest_of(scan), scan->record_place.salt, scan->offset_bytes, &end);

    if (st != KV_OK)
        return wrong(scan, st, st == KV_NEWER ? "an end of a newer version" : "a damaged end");
    if (end.digest != scan->digest || rest_of(scan).size != KV_END_BYTES)
        return wrong(scan, KV_CORRUPT, "an end in the middle");
    scan->offset_bytes += KV_END_BYTES;
    return KV_OK;
}

static enum kv_status read_record(struct kv_segment_scan *scan, struct kv_record *out)
{
    enum kv_status st =
        kv_record_decode(rest_of(scan), &scan->record_place, scan->offset_bytes, out);

    if (st != KV_OK)
        return wrong(scan, st, st == KV_NEWER ? "a record of a newer version" : "a damaged record");
    if (scan->role == KV_ROLE_MERGE && kv_slice_compare(out->key, scan->last_key) <= 0)
        return wrong(scan, KV_CORRUPT, "a key that is not greater than the one before");
    scan->last_key = out->key;
    scan->digest = kv_digest_add(scan->digest, out->checksum);
    scan->open_count++;
    scan->offset_bytes += out->size_bytes;
    return KV_OK;
}

enum kv_status kv_segment_scan_next(struct kv_segment_scan *scan, struct kv_record *out,
                                    uint32_t *offset_bytes)
{
    while (scan->offset_bytes < scan->data.size) {
        kv_ahead_reach(&scan->ahead, scan->offset_bytes);

        unsigned kind = kv_record_kind(rest_of(scan));
        enum kv_status st;

        if (scan->role == KV_ROLE_LOG && kind == KV_COMMIT) {
            st = read_commit(scan);
        } else if (scan->role == KV_ROLE_LOG && kind == KV_END) {
            st = read_end(scan);
        } else {
            *offset_bytes = (uint32_t)scan->offset_bytes;
            return read_record(scan, out);
        }
        if (st != KV_OK)
            return st;
    }
    return finish(scan);
}
