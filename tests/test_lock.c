/* LOCK: lock bytes and the shared page, on memfs; what needs processes and threads, on Linux. */
#include "lock.h"

#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "memfs.h"
#include "names.h"
#include "runner.h"

static struct kv_memfs *fs;
static struct kv_io *io;
static struct kv_dir *dir;

static void memfs_setup(void)
{
    fs = kv_memfs_new(1);
    io = kv_memfs_io(fs);
    ck_kv(kv_io_dir_open(io, "/", &dir));
}

static void memfs_teardown(void)
{
    kv_io_dir_close(dir);
    kv_memfs_free(fs);
}

static char posix_path[64];

static void posix_setup(void)
{
    io = kv_io_posix();
    strcpy(posix_path, "/tmp/kv-test-lock-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(posix_path));
    ck_kv(kv_io_dir_open(io, posix_path, &dir));
}

static void posix_teardown(void)
{
    ck_kv(kv_io_unlink(dir, KV_NAME_LOCK));
    kv_io_dir_close(dir);
    ck_kv(kv_io_dir_remove(io, posix_path));
}

static struct kv_lock *lock_open(bool readonly)
{
    struct kv_lock *lock;

    ck_kv(kv_lock_open(io, dir, 0600, readonly, &lock));
    return lock;
}

static enum kv_lock_mode held_against(struct kv_lock *lock, enum kv_lock_byte byte)
{
    enum kv_lock_mode held;

    ck_kv(kv_lock_test(lock, byte, KV_LOCK_EXCLUSIVE, &held));
    return held;
}

/* ---- The page */

START_TEST(test_lock_page_is_shared_and_kept)
{
    struct kv_lock *first = lock_open(false);
    struct kv_lock *second = lock_open(false);

    ck_assert_uint_eq(kv_memfs_size(fs, "/LOCK"), KV_PAGE_BYTES);
    ck_assert_uint_eq(atomic_load(&kv_lock_page(first)->incarnation), 0);
    atomic_store(&kv_lock_page(first)->committed_lsn, 42);
    ck_assert_uint_eq(atomic_load(&kv_lock_page(second)->committed_lsn), 42);
    ck_assert_uint_eq(atomic_load(&kv_lock_view(second)->committed_lsn), 42);
    kv_lock_close(first);
    kv_lock_close(second);
    first = lock_open(false);
    ck_assert_uint_eq(atomic_load(&kv_lock_page(first)->committed_lsn), 42);
    kv_lock_close(first);
    kv_lock_close(NULL);
}
END_TEST

START_TEST(test_lock_readonly_sees_the_page_and_changes_nothing)
{
    struct kv_lock *writer = lock_open(false);
    struct kv_lock *reader;

    atomic_store(&kv_lock_page(writer)->generation, 7);
    kv_memfs_set_readonly(fs, true);
    reader = lock_open(true);
    ck_assert_uint_eq(atomic_load(&kv_lock_view(reader)->generation), 7);
    ck_assert_uint_eq(atomic_load(&kv_lock_page(reader)->generation), 0);
    atomic_store(&kv_lock_page(reader)->generation, 9);
    ck_assert_uint_eq(atomic_load(&kv_lock_page(writer)->generation), 7);
    ck_kv(kv_lock_try(reader, KV_LOCK_ATTACHED_RO, KV_LOCK_SHARED));
    ck_assert_int_eq(held_against(writer, KV_LOCK_ATTACHED_RO), KV_LOCK_SHARED);
    ck_kv(kv_lock_check(reader));
    kv_lock_close(reader);
    kv_lock_close(writer);
}
END_TEST

START_TEST(test_lock_readonly_works_without_the_file)
{
    struct kv_lock *reader = lock_open(true);
    struct kv_lock *writer;

    ck_assert_ptr_null(kv_lock_view(reader));
    ck_assert_uint_eq(atomic_load(&kv_lock_page(reader)->incarnation), 0);
    ck_kv(kv_lock_try(reader, KV_LOCK_ATTACHED_RO, KV_LOCK_SHARED));
    ck_assert_int_eq(held_against(reader, KV_LOCK_ATTACHED), KV_LOCK_NONE);
    kv_lock_drop(reader, KV_LOCK_ATTACHED_RO);
    ck_kv(kv_lock_check(reader));
    ck_assert_uint_eq(kv_memfs_size(fs, "/LOCK"), UINT64_MAX);
    writer = lock_open(false);
    ck_kv_is(kv_lock_check(reader), KV_INVALID);
    ck_assert_ptr_nonnull(strstr(kv_message(), "created"));
    kv_lock_close(writer);
    kv_lock_close(reader);
}
END_TEST

/* Goal: a reader that meets a LOCK of size 0 does not touch the page before it is there. */
START_TEST(test_lock_readonly_waits_for_the_page_to_appear)
{
    struct kv_lock *reader, *writer;

    ck_assert(kv_memfs_write_file(fs, "/LOCK", kv_slice_of(NULL, 0)));
    reader = lock_open(true);
    ck_assert_ptr_null(kv_lock_view(reader));
    writer = lock_open(false);
    atomic_store(&kv_lock_page(writer)->incarnation, 3);
    ck_assert_ptr_nonnull(kv_lock_view(reader));
    ck_assert_uint_eq(atomic_load(&kv_lock_view(reader)->incarnation), 3);
    kv_lock_close(writer);
    kv_lock_close(reader);
}
END_TEST

START_TEST(test_lock_open_reports_readonly_and_full)
{
    struct kv_lock *lock = (struct kv_lock *)1;

    kv_memfs_set_readonly(fs, true);
    ck_kv_is(kv_lock_open(io, dir, 0600, false, &lock), KV_READONLY);
    ck_assert_ptr_null(lock);
    kv_memfs_set_readonly(fs, false);
    kv_memfs_set_space(fs, KV_PAGE_BYTES - 1);
    ck_kv_is(kv_lock_open(io, dir, 0600, false, &lock), KV_FULL);
}
END_TEST

/* ---- The bytes */

/*
 * Goal: every byte excludes, and only for itself.
 * Method: for each, one handle takes it exclusively, the other tries all.
 */
START_TEST(test_lock_bytes_are_independent)
{
    struct kv_lock *a = lock_open(false);
    struct kv_lock *b = lock_open(false);

    for (int i = KV_LOCK_OPEN; i <= KV_LOCK_SYNC; i++) {
        ck_kv(kv_lock_try(a, (enum kv_lock_byte)i, KV_LOCK_EXCLUSIVE));
        for (int j = KV_LOCK_OPEN; j <= KV_LOCK_SYNC; j++) {
            ck_kv_is(kv_lock_try(b, (enum kv_lock_byte)j, KV_LOCK_SHARED),
                     i == j ? KV_BUSY : KV_OK);
            kv_lock_drop(b, (enum kv_lock_byte)j);
        }
        kv_lock_drop(a, (enum kv_lock_byte)i);
    }
    kv_lock_close(a);
    kv_lock_close(b);
}
END_TEST

START_TEST(test_lock_busy_names_file_and_byte)
{
    struct kv_lock *a = lock_open(false);
    struct kv_lock *b = lock_open(false);

    ck_kv(kv_lock_try(a, KV_LOCK_WRITER, KV_LOCK_EXCLUSIVE));
    ck_kv_is(kv_lock_try(b, KV_LOCK_WRITER, KV_LOCK_EXCLUSIVE), KV_BUSY);
    ck_assert_ptr_nonnull(strstr(kv_message(), "/LOCK"));
    ck_assert_ptr_nonnull(strstr(kv_message(), "(WRITER)"));
    kv_lock_close(a);
    kv_lock_close(b);
}
END_TEST

START_TEST(test_lock_converts_or_keeps)
{
    struct kv_lock *a = lock_open(false);
    struct kv_lock *b = lock_open(false);

    ck_kv(kv_lock_try(a, KV_LOCK_ATTACHED, KV_LOCK_EXCLUSIVE));
    ck_assert_int_eq(held_against(b, KV_LOCK_ATTACHED), KV_LOCK_EXCLUSIVE);
    ck_kv(kv_lock_try(a, KV_LOCK_ATTACHED, KV_LOCK_SHARED));
    ck_kv(kv_lock_try(b, KV_LOCK_ATTACHED, KV_LOCK_SHARED));
    ck_kv_is(kv_lock_try(a, KV_LOCK_ATTACHED, KV_LOCK_EXCLUSIVE), KV_BUSY);
    ck_assert_int_eq(held_against(b, KV_LOCK_ATTACHED), KV_LOCK_SHARED);
    kv_lock_drop(b, KV_LOCK_ATTACHED);
    ck_kv(kv_lock_try(a, KV_LOCK_ATTACHED, KV_LOCK_EXCLUSIVE));
    kv_lock_close(a);
    ck_assert_int_eq(held_against(b, KV_LOCK_ATTACHED), KV_LOCK_NONE);
    kv_lock_close(b);
}
END_TEST

START_TEST(test_lock_wait_ends_in_time)
{
    struct kv_lock *a = lock_open(false);
    struct kv_lock *b = lock_open(false);
    uint64_t start_ms = kv_io_monotonic_ms(io);

    ck_kv(kv_lock_wait(a, KV_LOCK_WRITER, KV_LOCK_EXCLUSIVE, 1000));
    ck_kv_is(kv_lock_wait(b, KV_LOCK_WRITER, KV_LOCK_EXCLUSIVE, 0), KV_BUSY);
    ck_assert_uint_eq(kv_io_monotonic_ms(io), start_ms);
    ck_kv_is(kv_lock_wait(b, KV_LOCK_WRITER, KV_LOCK_EXCLUSIVE, 250), KV_BUSY);
    ck_assert_uint_eq(kv_io_monotonic_ms(io), start_ms + 250);
    ck_assert_ptr_nonnull(strstr(kv_message(), "(WRITER), waited 250 ms"));
    kv_lock_close(a);
    ck_kv(kv_lock_wait(b, KV_LOCK_WRITER, KV_LOCK_EXCLUSIVE, 250));
    kv_lock_close(b);
}
END_TEST

START_TEST(test_lock_wait_gives_up_on_errors)
{
    struct kv_lock *lock = lock_open(false);
    uint64_t start_ms = kv_io_monotonic_ms(io);

    kv_memfs_fail(fs, KV_MEMFS_LOCK, 1, KV_IOERR, KV_MEMFS_ONCE);
    ck_kv_is(kv_lock_wait(lock, KV_LOCK_WRITER, KV_LOCK_EXCLUSIVE, 250), KV_IOERR);
    ck_assert_uint_eq(kv_io_monotonic_ms(io), start_ms);
    kv_lock_close(lock);
}
END_TEST

START_TEST(test_lock_check_notices_a_lost_file)
{
    struct kv_lock *old = lock_open(false);
    struct kv_lock *new;

    ck_kv(kv_lock_check(old));
    ck_kv(kv_io_unlink(dir, KV_NAME_LOCK));
    ck_kv_is(kv_lock_check(old), KV_INVALID);
    ck_assert_ptr_nonnull(strstr(kv_message(), "deleted"));
    new = lock_open(false);
    ck_kv_is(kv_lock_check(old), KV_INVALID);
    ck_assert_ptr_nonnull(strstr(kv_message(), "replaced"));
    ck_kv(kv_lock_check(new));
    kv_lock_close(old);
    kv_lock_close(new);
}
END_TEST

/* Goal: every failure of the system comes out, and leaves nothing behind (ASan watches). */
START_TEST(test_lock_survives_any_failing_call)
{
    static const bool modes[] = {false, true};
    uint64_t faults = 0;

    kv_lock_close(lock_open(false));
    for (size_t i = 0; i < 2; i++) {
        for (uint64_t nth = 1;; nth++) {
            struct kv_lock *lock;
            enum kv_lock_mode held;
            enum kv_status st;

            kv_memfs_fail(fs, KV_MEMFS_ANY, nth, KV_IOERR, KV_MEMFS_ONCE);
            st = kv_lock_open(io, dir, 0600, modes[i], &lock);
            ck_assert(st == KV_OK || !lock);
            if (st == KV_OK)
                st = kv_lock_try(lock, KV_LOCK_ATTACHED_RO, KV_LOCK_SHARED);
            if (st == KV_OK)
                st = kv_lock_test(lock, KV_LOCK_WRITER, KV_LOCK_EXCLUSIVE, &held);
            if (st == KV_OK)
                st = kv_lock_check(lock);
            kv_lock_close(lock);
            kv_memfs_heal(fs);
            if (st == KV_OK)
                break;
            ck_assert_int_eq(st, KV_IOERR);
            ck_assert_uint_eq(kv_memfs_fault_count(fs), ++faults);
        }
    }
    ck_assert_uint_ge(faults, 10);
}
END_TEST

/* ---- Processes and threads */

START_TEST(test_lock_ends_with_a_killed_process)
{
    struct kv_lock *lock = lock_open(false);
    int ready[2];
    char byte = 0;
    pid_t child;

    ck_assert_int_eq(pipe(ready), 0);
    child = fork();
    if (child == 0) {
        struct kv_lock *own = lock_open(false);

        if (kv_lock_try(own, KV_LOCK_WRITER, KV_LOCK_EXCLUSIVE) != KV_OK ||
            write(ready[1], "x", 1) != 1)
            _exit(1);
        pause();
    }
    ck_assert_int_eq((int)read(ready[0], &byte, 1), 1);
    ck_kv_is(kv_lock_try(lock, KV_LOCK_WRITER, KV_LOCK_EXCLUSIVE), KV_BUSY);
    kill(child, SIGKILL);
    ck_kv(kv_lock_wait(lock, KV_LOCK_WRITER, KV_LOCK_EXCLUSIVE, 5000));
    ck_assert_int_eq(waitpid(child, NULL, 0), child);
    close(ready[0]);
    close(ready[1]);
    kv_lock_close(lock);
}
END_TEST

START_TEST(test_lock_closed_in_a_child_stays_with_the_parent)
{
    struct kv_lock *lock = lock_open(false);
    struct kv_lock *other = lock_open(false);
    pid_t child;

    ck_kv(kv_lock_try(lock, KV_LOCK_WRITER, KV_LOCK_EXCLUSIVE));
    child = fork();
    if (child == 0) {
        kv_lock_close(lock);
        _exit(0);
    }
    ck_assert_int_eq(waitpid(child, NULL, 0), child);
    ck_kv_is(kv_lock_try(other, KV_LOCK_WRITER, KV_LOCK_EXCLUSIVE), KV_BUSY);
    kv_lock_close(lock);
    ck_kv(kv_lock_try(other, KV_LOCK_WRITER, KV_LOCK_EXCLUSIVE));
    kv_lock_close(other);
}
END_TEST

static void *drop_soon(void *lock)
{
    kv_io_sleep_ms(io, 30);
    kv_lock_drop(lock, KV_LOCK_WRITER);
    return NULL;
}

START_TEST(test_lock_wait_gets_what_is_dropped)
{
    struct kv_lock *a = lock_open(false);
    struct kv_lock *b = lock_open(false);
    pthread_t thread;

    ck_kv(kv_lock_try(a, KV_LOCK_WRITER, KV_LOCK_EXCLUSIVE));
    ck_kv_is(kv_lock_wait(b, KV_LOCK_WRITER, KV_LOCK_EXCLUSIVE, 5), KV_BUSY);
    ck_assert_int_eq(pthread_create(&thread, NULL, drop_soon, a), 0);
    ck_kv(kv_lock_wait(b, KV_LOCK_WRITER, KV_LOCK_EXCLUSIVE, 5000));
    pthread_join(thread, NULL);
    kv_lock_close(a);
    kv_lock_close(b);
}
END_TEST

static Suite *lock_suite(void)
{
    Suite *suite = suite_create("lock");
    TCase *memory = tcase_create("memfs");
    TCase *posix = tcase_create("posix");

    tcase_add_checked_fixture(memory, memfs_setup, memfs_teardown);
    tcase_add_test(memory, test_lock_page_is_shared_and_kept);
    tcase_add_test(memory, test_lock_readonly_sees_the_page_and_changes_nothing);
    tcase_add_test(memory, test_lock_readonly_works_without_the_file);
    tcase_add_test(memory, test_lock_readonly_waits_for_the_page_to_appear);
    tcase_add_test(memory, test_lock_open_reports_readonly_and_full);
    tcase_add_test(memory, test_lock_bytes_are_independent);
    tcase_add_test(memory, test_lock_busy_names_file_and_byte);
    tcase_add_test(memory, test_lock_converts_or_keeps);
    tcase_add_test(memory, test_lock_wait_ends_in_time);
    tcase_add_test(memory, test_lock_wait_gives_up_on_errors);
    tcase_add_test(memory, test_lock_check_notices_a_lost_file);
    tcase_add_test(memory, test_lock_survives_any_failing_call);
    suite_add_tcase(suite, memory);
    tcase_add_checked_fixture(posix, posix_setup, posix_teardown);
    tcase_add_test(posix, test_lock_ends_with_a_killed_process);
    tcase_add_test(posix, test_lock_closed_in_a_child_stays_with_the_parent);
    tcase_add_test(posix, test_lock_wait_gets_what_is_dropped);
    suite_add_tcase(suite, posix);
    return suite;
}

int main(void)
{
    return kv_run_suite(lock_suite());
}
