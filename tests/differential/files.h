/* Whole directories: copying and removing them. */
#ifndef KV_DIFFERENTIAL_FILES_H
#define KV_DIFFERENTIAL_FILES_H

#include <stdbool.h>

/* Copy directory `from` with all it holds to `to`, which must not exist. False: it failed. */
bool files_copy(const char *from, const char *to);

/* Remove the directory with all it holds. */
void files_remove(const char *directory);

#endif
