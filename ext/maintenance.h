/* Compacting, syncing and backing up a table's store on demand, by function or by command. */
#ifndef KV_EXT_MAINTENANCE_H
#define KV_EXT_MAINTENANCE_H

#include "vtab.h"

/*
 * All return an SQLite code, with the message in table->base.zErrMsg. None
 * works while the connection has uncommitted changes to the store: they are in
 * nobody's segments yet, and hold the writer's place.
 */

/*
 * Merge all of the table's store: `*bytes` is how much smaller it is. With a budget (NULL: none)
 * merge about that much of it: `*bytes` is what is still to be rewritten.
 */
int kv_maintenance_compact(struct kv_table *table, const struct kv_compact_budget *budget,
                           uint64_t *bytes);

/* Make every committed transaction durable. `*seq`: the last one. */
int kv_maintenance_sync(struct kv_table *table, uint64_t *seq);

/*
 * Make or renew the backup in `directory`, where relative paths start as those of tables do.
 * `*copied_bytes`: of files that could not be linked.
 */
int kv_maintenance_backup(struct kv_table *table, const char *directory, uint64_t *copied_bytes);

/* Run the command that was inserted into the hidden column. */
int kv_maintenance_command(struct kv_table *table, sqlite3_value *command);

#endif
