/* Permissions of a store's files, in real directories. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kv.h"
#include "names.h"
#include "runner.h"

static unsigned mode_of(const char *path, const char *name)
{
    char full[128];
    struct stat status;

    snprintf(full, sizeof(full), "%s/%s", path, name);
    ck_assert_int_eq(stat(full, &status), 0);
    return status.st_mode & 0777;
}

static enum kv_status name_newest(void *context, const struct kv_segment_report *report)
{
    if (report->number > *(uint64_t *)context)
        *(uint64_t *)context = report->number;
    return KV_OK;
}

/* Who may read the files may also search the directory; nobody else may anything. */
START_TEST(test_modes_are_those_asked_for)
{
    static const unsigned modes[][2] = {{0, 0700}, {0600, 0700}, {0640, 0750}, {0644, 0755}};
    struct kv_open_options options = kv_open_options_default();
    char directory[] = "/tmp/kv-test-XXXXXX", path[64];
    mode_t mask = umask(0);

    ck_assert_ptr_nonnull(mkdtemp(directory));
    snprintf(path, sizeof(path), "%s/db", directory);
    for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
        unsigned mode = modes[i][0] ? modes[i][0] : 0600;
        struct kv_store *store;

        options.file_mode = modes[i][0];
        ck_kv(kv_store_open(path, &options, &store));
        ck_kv(kv_put(store, kv_slice_text("a"), kv_slice_text("1")));
        ck_kv(kv_compact(store, NULL, NULL));
        ck_kv(kv_store_close(store));
        ck_assert_uint_eq(mode_of(path, "."), modes[i][1]);
        ck_assert_uint_eq(mode_of(path, KV_NAME_MANIFEST), mode);
        ck_assert_uint_eq(mode_of(path, KV_NAME_LOCK), mode);
        ck_assert_uint_eq(mode_of(path, "segment_000000000003.db"), mode);
        ck_assert_uint_eq(mode_of(path, "segment_000000000003.idx"), mode);
        ck_kv(kv_destroy(path, NULL));
    }
    umask(mask);
    ck_assert_int_eq(rmdir(directory), 0);
}
END_TEST

/* Open, write and compact; the permission bits of the newest segment. */
static unsigned mode_of_new_files(const char *path, const struct kv_open_options *options)
{
    struct kv_store *store;
    char name[KV_NAME_BYTES];
    uint64_t number = 0;

    ck_kv(kv_store_open(path, options, &store));
    ck_kv(kv_put(store, kv_slice_text("a"), kv_slice_text("1")));
    ck_kv(kv_compact(store, NULL, NULL));
    ck_kv(kv_store_segments(store, NULL, name_newest, &number));
    ck_kv(kv_store_close(store));
    kv_name_segment(name, number);
    return mode_of(path, name);
}

/* Goal: new files are for whom another file is, and a store's for whom it was; a link says nothing. */
START_TEST(test_modes_are_those_of_another_file)
{
    struct kv_open_options options = kv_open_options_default();
    char directory[] = "/tmp/kv-test-XXXXXX";
    mode_t mask = umask(077);

    ck_assert_ptr_nonnull(mkdtemp(directory));
    ck_assert_int_eq(chdir(directory), 0);
    ck_assert_int_eq(symlink("db", "link"), 0);
    options.mode_like = "link";
    ck_assert_uint_eq(mode_of_new_files("db", &options), 0600);
    options.mode_like = "no such file";
    ck_assert_uint_eq(mode_of_new_files("db", &options), 0600);
    ck_assert_int_eq(close(open("like", O_CREAT | O_WRONLY, 0600)), 0);
    ck_assert_int_eq(chmod("like", 0464), 0);
    options.mode_like = "like";
    ck_assert_uint_eq(mode_of_new_files("db", &options), 0664);
    ck_assert_uint_eq(mode_of("db", "."), 0700); /* it was there */
    options.mode_like = NULL;
    ck_assert_uint_eq(mode_of_new_files("db", &options), 0600);
    ck_assert_int_eq(chmod("db/LOCK", 0640), 0);
    ck_assert_uint_eq(mode_of_new_files("db", &options), 0640);
    ck_kv(kv_destroy("db", NULL));
    options.mode_like = "./like";
    ck_assert_uint_eq(mode_of_new_files("db", &options), 0664);
    ck_assert_uint_eq(mode_of("db", "."), 0775);
    ck_kv(kv_destroy("db", NULL));
    umask(mask);
    ck_assert_int_eq(unlink("link") | unlink("like") | chdir("/") | rmdir(directory), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("modes");
    TCase *all = tcase_create("modes");

    tcase_add_test(all, test_modes_are_those_asked_for);
    tcase_add_test(all, test_modes_are_those_of_another_file);
    suite_add_tcase(suite, all);
    return kv_run_suite(suite);
}
