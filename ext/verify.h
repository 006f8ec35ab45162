/* Checking a table's store: the command 'check'. The function kv_check is one of tables.h. */
#ifndef KV_EXT_VERIFY_H
#define KV_EXT_VERIFY_H

#include "vtab.h"

/* SQLITE_OK, or SQLITE_CORRUPT_VTAB with the first problem as the table's message. */
int kv_verify_table(struct kv_table *table);

#endif
