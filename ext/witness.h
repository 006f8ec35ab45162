/*
 * The witness: a table without rows that sees a transaction to its end on
 * behalf of tables that no longer can.
 *
 * SQLite tells a virtual table nothing more once it has been dropped, neither
 * whether the transaction commits nor that a savepoint took the DROP back. But
 * rows written before must be committed or not, and the store must stay
 * open in case the table returns. And a table that was created within a savepoint is
 * not told when that is rolled back. So CREATE and DROP inside a transaction
 * make this eponymous table join it; what it is told, it passes on
 * to every link of the connection.
 */
#ifndef KV_EXT_WITNESS_H
#define KV_EXT_WITNESS_H

#include "connection.h"

int kv_witness_register(struct kv_connection *connection);

/* Join the running transaction, once. SQLITE_OK, or why not; the connection has the message. */
int kv_witness_join(struct kv_connection *connection);

#endif
