/*
 * What is no store's file stands where one should, in real directories: FIFOs, symbolic links,
 * directories, sockets, files that may not be read. Nobody waits for them, follows or empties them:
 * who needs what should be there fails and names it; who does not goes on.
 */
#include <grp.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "kv.h"
#include "runner.h"

enum { NOBODY = 65534 };

static char directory[] = "/tmp/kv-test-XXXXXX";
static struct kv_open_options options;

static void run(const char *command)
{
    if (system(command) != 0)
        ck_abort_msg("%s", command);
}

/* ---- The store: a merged run, a sealed log, an active log */

static void fill(const char *path)
{
    struct kv_store *store;

    ck_kv(kv_store_open(path, &options, &store));
    ck_kv(kv_put(store, kv_slice_text("a"), kv_slice_text("merged")));
    ck_kv(kv_compact(store, NULL, NULL));
    ck_kv(kv_put(store, kv_slice_text("b"), kv_slice_text("active")));
    ck_kv(kv_store_close(store));
}

static enum kv_status read_row(struct kv_store *store, const char *key, const char *row)
{
    struct kv_snapshot *snapshot;
    struct kv_entry entry;
    enum kv_status st = kv_snapshot_new(store, &snapshot);

    if (st == KV_OK)
        st = kv_snapshot_acquire(snapshot);
    if (st == KV_OK)
        st = kv_snapshot_get(snapshot, NULL, kv_slice_text(key), &entry);
    if (st == KV_OK)
        ck_assert(kv_slice_equal(entry.row, kv_slice_text(row)));
    ck_assert_int_ne(st, KV_DONE);
    kv_snapshot_free(snapshot);
    return st;
}

static enum kv_status try_read(bool readonly)
{
    struct kv_store *store;
    enum kv_status st, closed;

    options.readonly = readonly;
    st = kv_store_open("db", &options, &store);
    options.readonly = false;
    if (st != KV_OK)
        return st;
    st = read_row(store, "a", "merged");
    if (st == KV_OK)
        st = read_row(store, "b", "active");
    closed = kv_store_close(store);
    return st == KV_OK ? closed : st;
}

static void set_up(void)
{
    options = kv_open_options_default();
    options.settings.auto_compact = false;
    ck_assert_ptr_nonnull(mkdtemp(directory));
    ck_assert_int_eq(chdir(directory), 0);
    fill("db");
    run("echo secret > elsewhere && cp elsewhere kept && cp -r db whole && cp -r db whole2");
}

static void tear_down(void)
{
    char command[64];

    ck_assert_int_eq(chdir("/"), 0);
    snprintf(command, sizeof(command), "rm -rf %s", directory);
    run(command);
}

/* ---- Strangers */

static void put_fifo(const char *path)
{
    ck_assert_int_eq(mkfifo(path, 0666), 0);
}

/* To a file with other things in it; to what should stand here, elsewhere; to nothing. */
static void put_link(const char *path)
{
    ck_assert_int_eq(symlink("../elsewhere", path), 0);
}

static void put_link_to_whole(const char *path)
{
    char target[PATH_MAX];

    snprintf(target, sizeof(target), "../whole%s", strrchr(path, '/'));
    ck_assert_int_eq(symlink(target, path), 0);
}

static void put_dangling_link(const char *path)
{
    ck_assert_int_eq(symlink("../nowhere", path), 0);
}

static void put_directory(const char *path)
{
    ck_assert_int_eq(mkdir(path, 0777), 0);
}

static void put_socket(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    close(fd);
}

static const struct {
    const char *name;
    void (*put)(const char *path);
} strangers[] = {{"FIFO", put_fifo},
                 {"link", put_link},
                 {"link to the file", put_link_to_whole},
                 {"dangling link", put_dangling_link},
                 {"directory", put_directory},
                 {"socket", put_socket}};
enum { STRANGERS = sizeof(strangers) / sizeof(strangers[0]) };

/* Where they stand, and who needs what should be there. */
enum part { LOCK, NEEDED, INDEX, LEFTOVER };
static const struct {
    const char *name;
    enum part part;
} places[] = {{"LOCK", LOCK},
              {"MANIFEST", NEEDED},
              {"segment_000000000002.db", NEEDED},
              {"segment_000000000003.db", NEEDED},
              {"segment_000000000003.idx", INDEX},
              {"segment_000000000099.db", LEFTOVER},
              {"segment_000000000099.idx", LEFTOVER},
              {"MANIFEST.manifest.tmp", LEFTOVER}};
enum { PLACES = sizeof(places) / sizeof(places[0]) };

static bool is_directory(const char *path)
{
    struct stat status;

    return lstat(path, &status) == 0 && S_ISDIR(status.st_mode);
}

/* The store as it was, but for the stranger. */
static const char *place(unsigned which, unsigned stranger)
{
    static char path[PATH_MAX];

    run("rm -rf db && cp -r whole db");
    snprintf(path, sizeof(path), "db/%s", places[which].name);
    unlink(path);
    strangers[stranger].put(path);
    return path;
}

static void expect_status(enum kv_status st, enum kv_status expected, const char *path)
{
    if (st != expected)
        ck_abort_msg("%s: %s: %s", path, kv_status_name(st), kv_message());
    if (st != KV_OK && !strstr(kv_message(), path))
        ck_abort_msg("'%s' does not name %s", kv_message(), path);
}

static enum kv_status count_problem(void *context, const struct kv_problem *problem)
{
    (void)problem;
    ++*(unsigned *)context;
    return KV_OK;
}

static enum kv_status count_step(void *context, const struct kv_repair_step *step)
{
    (void)step;
    ++*(unsigned *)context;
    return KV_OK;
}

/* ---- Tests */

static void expect_read(unsigned which, unsigned stranger)
{
    enum part part = places[which].part;
    const char *path = place(which, stranger);
    enum kv_status refused = part == LOCK || part == NEEDED ? KV_INVALID : KV_OK;

    expect_status(try_read(true), refused, path);
    /* Nothing removes a directory, or takes its place. */
    expect_status(try_read(false), refused == KV_OK && is_directory(path) ? KV_IOERR : refused,
                  path);
}

static void expect_check(unsigned which, unsigned stranger)
{
    const char *path = place(which, stranger);
    unsigned problems = 0;
    enum kv_status st = kv_check("db", NULL, NULL, count_problem, &problems);

    expect_status(st, places[which].part == LOCK ? KV_INVALID : KV_OK, path);
    ck_assert_uint_eq(problems > 0, st == KV_OK);
}

static void expect_repair(unsigned which, unsigned stranger)
{
    enum part part = places[which].part;
    const char *path = place(which, stranger);
    unsigned steps = 0;
    enum kv_status st = kv_repair("db", NULL, NULL, count_step, &steps);

    if (part == LOCK || (part != LEFTOVER && is_directory(path))) {
        ck_assert_int_ne(st, KV_OK);
        ck_assert_ptr_nonnull(strstr(kv_message(), path));
        return;
    }
    ck_kv(st);
    ck_assert_uint_eq(steps > 0, part != LEFTOVER);
    if (strcmp(places[which].name, "MANIFEST") == 0 || part == INDEX)
        ck_kv(try_read(false)); /* nothing is lost */
}

static void expect_destroy(unsigned which, unsigned stranger)
{
    const char *path = place(which, stranger);
    bool stays = places[which].part == LOCK || is_directory(path);
    enum kv_status st = kv_destroy("db", NULL);

    ck_assert_int_eq(st != KV_OK, stays);
    ck_assert_int_eq(access(path, F_OK) == 0,
                     stays && strcmp(strangers[stranger].name, "dangling link"));
}

START_TEST(test_strangers_in_a_files_place)
{
    unsigned which = (unsigned)_i / STRANGERS, stranger = (unsigned)_i % STRANGERS;

    expect_read(which, stranger);
    expect_check(which, stranger);
    expect_repair(which, stranger);
    expect_destroy(which, stranger);
    run("cmp -s elsewhere kept && diff -r whole whole2 && ! [ -e nowhere ]");
}
END_TEST

/* Be another user for a while; false: this one may not. */
static bool become(uid_t user)
{
    if (user == 0)
        return seteuid(0) == 0 && setegid(0) == 0;
    return geteuid() == 0 && setgroups(0, NULL) == 0 && setegid(user) == 0 && seteuid(user) == 0;
}

/* Goal: who may not read a file, or write, is told so, by name, and changes nothing. */
START_TEST(test_strangers_are_other_users)
{
    ck_assert_int_eq(chmod(".", 0755), 0);
    if (!become(NOBODY))
        return;
    ck_assert_int_ne(try_read(true), KV_OK);
    ck_assert_ptr_nonnull(strstr(kv_message(), "db: cannot"));
    become(0);
    run("chmod 755 db && chmod 644 db/*");
    become(NOBODY);
    ck_kv(try_read(true));
    ck_kv_is(try_read(false), KV_READONLY);
    ck_kv_is(kv_destroy("db", NULL), KV_READONLY);
    ck_assert_int_ne(kv_repair("db", NULL, NULL, NULL, NULL), KV_OK);
    become(0);
    run("diff -r db whole");
}
END_TEST

/* Goal: one file that has another owner, as after a restoration, is named, and nothing is done without it. */
START_TEST(test_strangers_own_a_file)
{
    char command[128];

    ck_assert_int_eq(chmod(".", 0755), 0);
    for (unsigned which = 0; which < PLACES; which++) {
        const char *name = places[which].name;

        if (places[which].part == LEFTOVER)
            continue;
        become(0);
        run("rm -rf db && cp -r whole db && chown -R 65534 db");
        snprintf(command, sizeof(command), "chown 0 db/%s && chmod 600 db/%s", name, name);
        run(command);
        if (!become(NOBODY))
            return;
        ck_assert_int_ne(try_read(true), KV_OK);
        ck_assert_msg(strstr(kv_message(), name), "%s", kv_message());
        ck_assert_int_ne(try_read(false), KV_OK);
        ck_assert_msg(strstr(kv_message(), name), "%s", kv_message());
        ck_assert_ptr_nonnull(strstr(kv_message(), "Permission denied"));
        become(0);
        run("diff -r -x LOCK db whole");
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("strangers");
    TCase *all = tcase_create("strangers");

    tcase_set_timeout(all, 30); /* nobody waits for a FIFO's other end */
    tcase_add_checked_fixture(all, set_up, tear_down);
    tcase_add_loop_test(all, test_strangers_in_a_files_place, 0, PLACES * STRANGERS);
    tcase_add_test(all, test_strangers_are_other_users);
    tcase_add_test(all, test_strangers_own_a_file);
    suite_add_tcase(suite, all);
    return kv_run_suite(suite);
}
