/* What actors do: each act fails the schedule if the store breaks a promise. They do nothing once their actor is dead. */
#ifndef KV_SCHEDULES_ACTS_H
#define KV_SCHEDULES_ACTS_H

#include "stage.h"

void actor_reset(struct actor *actor);

/* Give everything back; the living must be able to. */
void actor_leave(struct actor *actor);

void act_open(struct actor *actor);
void act_open_new(struct actor *actor); /* makes the store */
void act_close(struct actor *actor);

/* One transaction; big: the log is due for sealing then; huge: it must be sealed before. */
void act_commit(struct actor *actor);
void act_commit_big(struct actor *actor);
void act_commit_huge(struct actor *actor);

/* Prepare a transaction, and take it back. */
void act_take_back(struct actor *actor);

/* Take a snapshot, read it all, let others do something, read it again. */
void act_read(struct actor *actor);

/* Others may go on before what follows. */
void act_rest(struct actor *actor);

/* Seal, and merge everything. */
void act_compact(struct actor *actor);

/* Make what is committed durable. */
void act_sync(struct actor *actor);
void act_check(struct actor *actor);

/* A newcomer opens what is left, and finds it sound. */
void crew_inspect(struct actor *crew);

#endif
