/* What an episode's process does to itself. */
#ifndef KV_DIFFERENTIAL_PROCESS_H
#define KV_DIFFERENTIAL_PROCESS_H

/* End it, if it takes too long. */
void process_limit(void);

/*
 * Die as by kill -9 and live on: this process becomes another program, which
 * drops all locks, threads and mappings at once; the child returns from here, once that
 * has happened. What it inherited of open files it must leave alone.
 */
void process_crash(void);

/* The main function of that program: it ends as the child does. */
int process_wait_main(int argc, char **argv);

#endif
