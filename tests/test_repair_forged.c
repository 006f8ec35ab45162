/*
 * kv_repair on logs that no crash or accident leaves: their checksums are right, and what they
 * claim is not. Opening refuses them, rather than miss what they claim to have held; so repair must
 * not leave them as they are.
 */
#include "engine_world.h"
#include "header.h"
#include "manifest.h"
#include "model.h"
#include "names.h"
#include "record.h"
#include "runner.h"

static struct world world;
static char name[KV_NAME_BYTES]; /* of the active log */
static struct kv_header header;  /* its */
static struct kv_log_tail tail;

static const char *const filled = "b=2 c=2";

static void setup(void)
{
    world_start(&world);
}

/* Two transactions in a run and, unless `empty`, three in the active log, closed cleanly. */
static void fill(bool empty)
{
    world_put(&world, "a", "1");
    world_put(&world, "b", empty ? "2" : "1");
    if (empty) {
        world_put(&world, "c", "2");
        world_delete(&world, "a");
    }
    engine_seal(&world);
    if (!empty) {
        world_put(&world, "b", "2");
        world_put(&world, "c", "2");
        world_delete(&world, "a");
    }
    header = engine_of(&world)->version->log->header;
    tail = engine_of(&world)->version->log->tail;
    kv_name_segment(name, header.number);
    world_close(&world);
}

static void teardown(void)
{
    world_end(&world);
}

/* Write these bytes into the active log at an offset; what stood there, and behind it, is gone. */
static void forge(uint64_t offset, const void *bytes, size_t size)
{
    struct kv_buffer file = file_save(&world, name);

    ck_assert_uint_ge(file.size, tail.end_bytes);
    file.size = tail.end_bytes;
    if (!kv_buffer_reserve(&file, offset + size - file.size))
        ck_abort_msg("out of memory");
    memset(file.data + file.size, 0, offset + size - file.size);
    memcpy(file.data + offset, bytes, size);
    file.size = offset + size;
    file_restore(&world, name, &file);
    kv_buffer_release(&file);
}

static enum kv_status count_step(void *context, const struct kv_repair_step *step)
{
    (void)step;
    ++*(unsigned *)context;
    return KV_OK;
}

/* Opening refuses the log; repair tells of it, and then all is well. */
static void expect_repaired(void)
{
    unsigned steps = 0;

    ck_kv_is(kv_store_open(WORLD_PATH, &world.options, &world.store), KV_CORRUPT);
    ck_assert_msg(strstr(kv_message(), name), "%s", kv_message());
    ck_kv(kv_repair(WORLD_PATH, world.io, NULL, count_step, &steps));
    ck_assert_uint_gt(steps, 0);
    world_open(&world);
    world_check(&world);
    world_expect_all(&world, filled);
    world_put(&world, "d", "3");
    world_reopen(&world);
    world_expect_all(&world, "b=2 c=2 d=3");
}

/* ---- Tests */

/* LSNs that END claims: in front of the log's first, past the file, past any file. */
START_TEST(test_repair_forged_end)
{
    static const uint64_t claims[] = {1000, 1 << 20, UINT64_C(1) << 40, UINT64_MAX};
    struct kv_end end = {.seq = 9};
    uint8_t bytes[KV_END_BYTES];

    fill(false);
    end.end_lsn = header.log.base_lsn + claims[_i];
    if (claims[_i] == UINT64_MAX)
        end.end_lsn = UINT64_MAX;
    kv_end_encode(bytes, header.salt, tail.end_bytes + 40, &end);
    forge(tail.end_bytes + 40, bytes, sizeof(bytes));
    expect_repaired();
}
END_TEST

/* A COMMIT says that bytes were durable which the log does not have. */
START_TEST(test_repair_forged_commit)
{
    static const uint64_t claims[] = {1 << 20, UINT64_C(1) << 40};
    struct kv_commit commit = {.seq = 9, .begin_lsn = 5, .nonce = 7};
    uint8_t bytes[KV_COMMIT_BYTES];

    fill(false);
    commit.durable_lsn = header.log.base_lsn + claims[_i];
    kv_commit_encode(bytes, header.salt, tail.end_bytes, &commit);
    forge(tail.end_bytes, bytes, sizeof(bytes));
    expect_repaired();
}
END_TEST

/* A COMMIT that continues the chain names a group of pending segments that nobody knows. */
START_TEST(test_repair_forged_group)
{
    struct kv_commit commit = {.nonce = 7, .group = 77, .group_digest = 78, .time_ms = 1000};
    uint8_t bytes[KV_COMMIT_BYTES];

    fill(true);
    commit.seq = tail.seq + 1;
    commit.begin_lsn = commit.durable_lsn = header.log.base_lsn;
    commit.digest = kv_commit_digest(&commit, tail.digest);
    kv_commit_encode(bytes, header.salt, KV_HEADER_BYTES, &commit);
    forge(KV_HEADER_BYTES, bytes, sizeof(bytes));
    expect_repaired();
}
END_TEST

/* ---- A manifest with wrong totals */

/* What a description of a segment says besides what names it: one of these is wrong. */
static void forge_total(struct kv_segment_info *info, int which)
{
    switch (which) {
    case 0: info->record_count++; break;
    case 1: info->entry_count--; break;
    case 2: info->tombstone_count++; break;
    case 3: info->entry_bytes++; break;
    case 4: info->min_seq++; break;
    case 5: info->max_seq--; break;
    case 6: ck_kv(kv_buffer_set(&info->min_key, kv_slice_text("A"))); break;
    case 7: ck_kv(kv_buffer_set(&info->max_key, kv_slice_text("z"))); break;
    }
}

static void forge_manifest(int which)
{
    struct kv_manifest manifest;
    struct kv_dir *dir;
    bool renamed;

    ck_kv(kv_io_dir_open(world.io, WORLD_PATH, &dir));
    ck_kv(kv_manifest_load(world.io, dir, WORLD_PATH, &manifest));
    forge_total(&manifest.runs[0].segments[0], which);
    manifest.generation++;
    ck_kv(kv_manifest_replace(world.io, dir, 0600, &manifest, &renamed));
    kv_manifest_release(&manifest);
    kv_io_dir_close(dir);
}

static enum kv_status note_step(void *context, const struct kv_repair_step *step)
{
    *(bool *)context |= strstr(step->action, "did not describe") != NULL;
    return KV_OK;
}

/* Goal: repair believes a sound segment, rather than what the manifest says of it. */
START_TEST(test_repair_forged_totals)
{
    bool told = false;

    world_put(&world, "b", "1");
    world_put(&world, "b", "2");
    world_put(&world, "c", "2");
    world_delete(&world, "a");
    engine_seal(&world);
    world_close(&world);
    forge_manifest(_i);
    ck_kv(kv_repair(WORLD_PATH, world.io, NULL, note_step, &told));
    ck_assert(told);
    world_open(&world);
    world_check(&world);
    world_expect_all(&world, filled);
}
END_TEST

static Suite *repair_forged_suite(void)
{
    Suite *suite = suite_create("repair_forged");
    TCase *tests = tcase_create("claims");

    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_loop_test(tests, test_repair_forged_end, 0, 4);
    tcase_add_loop_test(tests, test_repair_forged_commit, 0, 2);
    tcase_add_test(tests, test_repair_forged_group);
    tcase_add_loop_test(tests, test_repair_forged_totals, 0, 8);
    suite_add_tcase(suite, tests);
    return suite;
}

int main(void)
{
    return kv_run_suite(repair_forged_suite());
}
