/*
 * Repair: from a damaged store to a sound one, with whatever can still be read.
 *
 * WHAT THE STORE CONSISTS OF. A manifest that can be read is the truth: what it
 * does not name does not count, and is left alone. Only if it cannot be read,
 * or is older than the store (a log with transactions of its own has a number that it had
 * not given out), the segments' headers are asked instead (lineup.h).
 * Files are found by their headers, so that names that were mixed up do no harm.
 *
 * EACH SEGMENT is read as a whole and verified (salvage.h). A sound one stays as it is;
 * what the manifest says of it is put right, and an index that is
 * missing or wrong is built. A damaged one is replaced by new segments at the same place
 * in the order (replace.h), from the oldest to the newest, so that what is older than
 * a damaged one has been repaired when its keys are judged.
 *
 * NOTHING DELETED RETURNS (P7). Where a record is lost, older versions of its key would show
 * again. So each key that older runs show is judged (loss.h), and if it
 * cannot be proved that the lost record was not of this key, the replacement
 * gets a tombstone for it, and the row goes to <path>/quarantine/withheld: an ordinary store with the
 * same columns, where its owner can look at it.
 * What damage does force: a row whose newest version is lost is absent, and so is, with a chance
 * of one in tens of thousands, a row that the index confuses with it. In a log
 * without an index, if several records' heads are gone, keys written in them
 * may show older versions: nothing tells which keys these were.
 *
 * ORDER (P0). Withheld rows, new segments, indexes and log are written and
 * durable; the names that damaged files get in the quarantine are durable; only then
 * the new manifest replaces the old one; only then the damaged files lose their names in
 * the store. Whatever stops this before the manifest is in place leaves the damaged store
 * as it was, and files that nobody names: repair begins again. (Without a
 * manifest, finished replacements from an earlier attempt have a higher number
 * and the same LSNs as what they replace, and count in its stead.) Behind that there is
 * nothing left to do but removing names, which opening does too: they are leftovers.
 */
#ifndef KV_REPAIR_H
#define KV_REPAIR_H

#include "engine.h"
#include "kv.h"

/* Repair the store in the engine's directory; its place but for uuid and seed, its lock and its page are set. Alone. */
enum kv_status kv_repair_store(struct kv_engine *engine, const struct kv_settings *settings,
                               enum kv_status (*each)(void *context,
                                                      const struct kv_repair_step *step),
                               void *context) KV_WARN_UNUSED;

#endif
