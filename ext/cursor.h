/* Reading: one cursor over a kv table. */
#ifndef KV_EXT_CURSOR_H
#define KV_EXT_CURSOR_H

#include "vtab.h"

struct kv_cursor;

/* xOpen, xClose, xFilter, xNext, xEof, xColumn, xRowid. */
int kv_cursor_open(sqlite3_vtab *vtab, sqlite3_vtab_cursor **out);
int kv_cursor_close(sqlite3_vtab_cursor *base);
int kv_cursor_filter(sqlite3_vtab_cursor *base, int plan, const char *words, int argc,
                     sqlite3_value **argv);
int kv_cursor_next(sqlite3_vtab_cursor *base);
int kv_cursor_eof(sqlite3_vtab_cursor *base);
int kv_cursor_column(sqlite3_vtab_cursor *base, sqlite3_context *context, int column);
int kv_cursor_rowid(sqlite3_vtab_cursor *base, sqlite3_int64 *out);

/* Free a closed cursor that its table has kept; NULL is fine. */
void kv_cursor_free(struct kv_cursor *cursor);

#endif
