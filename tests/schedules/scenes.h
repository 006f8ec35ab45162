#ifndef KV_SCHEDULES_SCENES_H
#define KV_SCHEDULES_SCENES_H

#include "stage.h"

extern const struct scene scenes[];
extern const size_t scene_count;

#endif
