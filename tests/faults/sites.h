/*
 * A seam at every call of io.h: included before each file of core/ when it is built for the
 * faults program (see the Makefile), this makes a call say first where in the source it stands.
 *
 * The places are collected in a section of the program, so that it knows all of them,
 * also those that it never comes to.
 */
#ifndef KV_FAULTS_SITES_H
#define KV_FAULTS_SITES_H

#include "io.h"
#include "memfs.h"

struct site {
    const char *file;
    unsigned line;
    enum kv_memfs_call call;
    const char *arguments; /* their text */
    unsigned index;        /* among all: see sites_list */
};

/* Where this thread makes its next call. */
extern _Thread_local const struct site *site_here;

#define SITE(kind, text)                                                                           \
    ((void)__extension__({                                                                         \
        static struct site site_ = {__FILE__, __LINE__, kind, text, 0};                            \
        static struct site *listed_ __attribute__((section("kv_sites"), used)) = &site_;           \
        site_here = listed_;                                                                       \
    }))

/* A macro does not expand itself: behind the comma is the function. */
#define kv_io_dir_open(...) (SITE(KV_MEMFS_DIR_OPEN, #__VA_ARGS__), kv_io_dir_open(__VA_ARGS__))
#define kv_io_dir_create(...)                                                                      \
    (SITE(KV_MEMFS_DIR_CREATE, #__VA_ARGS__), kv_io_dir_create(__VA_ARGS__))
#define kv_io_dir_remove(...)                                                                      \
    (SITE(KV_MEMFS_DIR_REMOVE, #__VA_ARGS__), kv_io_dir_remove(__VA_ARGS__))
#define kv_io_dir_identity(...)                                                                    \
    (SITE(KV_MEMFS_DIR_IDENTITY, #__VA_ARGS__), kv_io_dir_identity(__VA_ARGS__))
#define kv_io_dir_list(...) (SITE(KV_MEMFS_DIR_LIST, #__VA_ARGS__), kv_io_dir_list(__VA_ARGS__))
#define kv_io_dir_sync(...) (SITE(KV_MEMFS_DIR_SYNC, #__VA_ARGS__), kv_io_dir_sync(__VA_ARGS__))
#define kv_io_dir_writable(...)                                                                    \
    (SITE(KV_MEMFS_DIR_WRITABLE, #__VA_ARGS__), kv_io_dir_writable(__VA_ARGS__))
#define kv_io_dir_free_bytes(...)                                                                  \
    (SITE(KV_MEMFS_DIR_FREE_BYTES, #__VA_ARGS__), kv_io_dir_free_bytes(__VA_ARGS__))
#define kv_io_rename(...) (SITE(KV_MEMFS_RENAME, #__VA_ARGS__), kv_io_rename(__VA_ARGS__))
#define kv_io_link(...) (SITE(KV_MEMFS_LINK, #__VA_ARGS__), kv_io_link(__VA_ARGS__))
#define kv_io_unlink(...) (SITE(KV_MEMFS_UNLINK, #__VA_ARGS__), kv_io_unlink(__VA_ARGS__))
#define kv_io_name_identity(...)                                                                   \
    (SITE(KV_MEMFS_NAME_IDENTITY, #__VA_ARGS__), kv_io_name_identity(__VA_ARGS__))
#define kv_io_file_open(...) (SITE(KV_MEMFS_FILE_OPEN, #__VA_ARGS__), kv_io_file_open(__VA_ARGS__))
#define kv_io_file_temporary(...)                                                                  \
    (SITE(KV_MEMFS_FILE_TEMPORARY, #__VA_ARGS__), kv_io_file_temporary(__VA_ARGS__))
#define kv_io_file_identity(...)                                                                   \
    (SITE(KV_MEMFS_FILE_IDENTITY, #__VA_ARGS__), kv_io_file_identity(__VA_ARGS__))
#define kv_io_file_size(...) (SITE(KV_MEMFS_FILE_SIZE, #__VA_ARGS__), kv_io_file_size(__VA_ARGS__))
#define kv_io_read(...) (SITE(KV_MEMFS_READ, #__VA_ARGS__), kv_io_read(__VA_ARGS__))
#define kv_io_write(...) (SITE(KV_MEMFS_WRITE, #__VA_ARGS__), kv_io_write(__VA_ARGS__))
#define kv_io_truncate(...) (SITE(KV_MEMFS_TRUNCATE, #__VA_ARGS__), kv_io_truncate(__VA_ARGS__))
#define kv_io_allocate(...) (SITE(KV_MEMFS_ALLOCATE, #__VA_ARGS__), kv_io_allocate(__VA_ARGS__))
#define kv_io_write_back(...)                                                                      \
    (SITE(KV_MEMFS_WRITE_BACK, #__VA_ARGS__), kv_io_write_back(__VA_ARGS__))
#define kv_io_sync(...) (SITE(KV_MEMFS_SYNC, #__VA_ARGS__), kv_io_sync(__VA_ARGS__))
#define kv_io_datasync(...) (SITE(KV_MEMFS_DATASYNC, #__VA_ARGS__), kv_io_datasync(__VA_ARGS__))
#define kv_io_lock(...) (SITE(KV_MEMFS_LOCK, #__VA_ARGS__), kv_io_lock(__VA_ARGS__))
#define kv_io_lock_test(...) (SITE(KV_MEMFS_LOCK_TEST, #__VA_ARGS__), kv_io_lock_test(__VA_ARGS__))
#define kv_io_map(...) (SITE(KV_MEMFS_MAP, #__VA_ARGS__), kv_io_map(__VA_ARGS__))
#define kv_io_random(...) (SITE(KV_MEMFS_RANDOM_BYTES, #__VA_ARGS__), kv_io_random(__VA_ARGS__))

#endif
