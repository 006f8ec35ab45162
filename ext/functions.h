/* kv_compact, kv_sync, kv_destroy, kv_version, kv_debug. */
#ifndef KV_EXT_FUNCTIONS_H
#define KV_EXT_FUNCTIONS_H

#include "connection.h"

/* Register the scalar functions; SQLite's code. */
int kv_functions_register(struct kv_connection *connection);

#endif
