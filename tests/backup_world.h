/* For the tests of kv_backup: one store in memory, the directory of its backup, and what both should hold. */
#ifndef KV_TESTS_BACKUP_WORLD_H
#define KV_TESTS_BACKUP_WORLD_H

#include "engine_world.h"

#define BACKUP_PATH "/backup"

extern struct world world; /* the store's */

/* A fixture: the store is open and empty. */
void setup(void);
void teardown(void);

/* Two runs, one of them merged, with a tombstone; and something in the log. */
void fill(void);
static const char filled[] = "a=2 b=1 d=1";

/* Something new since, and what was there merged away. */
void change(void);
static const char changed[] = "a=2 b=1 d=1 e=1 f=1";

enum kv_status try_backup(uint64_t *copied_bytes);
uint64_t backup(void); /* how many bytes were copied */

/* From now on nothing can be linked. */
void refuse_links(void);

/* The store in a directory, as a world of its own for this process; world_end it. */
void open_copy(struct world *copy, const char *path, bool readonly);

/* For checks that must find nothing; the context says what of. */
enum kv_status fail_on_problem(void *context, const struct kv_problem *problem);

/* Fail unless the backup is sound and holds this, read-only and writable. */
void expect_backup(const char *expected);

/* What names a directory has, and a digest of each file, but for LOCK, for free(). */
char *contents(const char *path);

/* cp -r */
void copy_directory(const char *from, const char *to);

#endif
