/* A list of operations as an SQL script for people. */
#ifndef KV_DIFFERENTIAL_SCRIPT_H
#define KV_DIFFERENTIAL_SCRIPT_H

#include <stdio.h>

#include "op.h"
#include "world.h"

void script_print(FILE *file, const struct op_list *list, const struct setting *setting);

#endif
