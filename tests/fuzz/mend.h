/*
 * Makes the checksums and digests of changed files right again, so that what
 * stands behind them is met by whoever believes in checksums.
 */
#ifndef KV_FUZZ_MEND_H
#define KV_FUZZ_MEND_H

#include "image.h"

/* Body size and checksum. */
void mend_manifest(struct kv_buffer *bytes);

/* Everything: headers, records, the chain of COMMITs, digests in MANIFEST and indexes, pages. */
void mend_image(struct image *image);

#endif
