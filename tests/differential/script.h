/*
 * An episode as a text: SQL that people can read, and that differential
 * --replay=FILE runs again.
 *
 *   -- differential: in a file, WAL            or: in memory; one connection
 *   -- pragmas: PRAGMA page_size=512; …
 *   -- run, schema: setup                      kind, attributes, class (op.h)
 *   CREATE VIRTUAL TABLE k USING kv(…);
 *   -- ordinary                                what the ordinary world runs instead
 *   CREATE TABLE k(…) WITHOUT ROWID;
 *   -- run, second: insert                     on the second connection
 *   INSERT INTO k_again VALUES(…);             `k` in the ordinary world
 *   -- open, slot 1: cursor
 *   SELECT * FROM k ORDER BY key;
 *   -- step, slot 1, count 5: cursor
 *   -- crash: crash
 *   --- a remark
 *
 * Values that are bound stand between two comments of SQL.
 */
#ifndef KV_DIFFERENTIAL_SCRIPT_H
#define KV_DIFFERENTIAL_SCRIPT_H

#include <stdio.h>

#include "episode.h"

void script_print(FILE *file, const struct episode *episode);

/* False: not a script, and stderr says where; `episode` is to be released all the same. */
bool script_read(FILE *file, struct episode *episode);

#endif
