/* The episode's process: see process.h. */
#include "process.h"

#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SECONDS_LIMIT = 600 };

/*
 * LeakSanitizer asks this. A process that went on after a crash inherited the
 * memory of threads that it does not have, and looks for their stacks.
 */
__attribute__((visibility("default"))) int __lsan_is_turned_off(void);

static bool has_crashed;

int __lsan_is_turned_off(void)
{
    return has_crashed;
}

void process_limit(void)
{
    alarm(SECONDS_LIMIT);
}

static void wait_for_end_of(int descriptor)
{
    char byte;

    while (read(descriptor, &byte, 1) > 0)
        ;
    close(descriptor);
}

void process_crash(void)
{
    int pipes[2];
    char number[32];
    pid_t child;

    fflush(NULL);
    if (pipe2(pipes, O_CLOEXEC) != 0 || (child = fork()) < 0)
        abort();
    if (child > 0) {
        snprintf(number, sizeof(number), "%ld", (long)child);
        execl("/proc/self/exe", "differential", "--wait-for", number, (char *)NULL);
        _exit(2);
    }
    has_crashed = true;
    process_limit();
    close(pipes[1]);
    wait_for_end_of(pipes[0]);
}

int process_wait_main(int argc, char **argv)
{
    pid_t child = argc > 2 ? (pid_t)atol(argv[2]) : 0;
    int status;

    if (child <= 0 || waitpid(child, &status, 0) != child)
        return 2;
    if (WIFSIGNALED(status)) {
        signal(WTERMSIG(status), SIG_DFL);
        raise(WTERMSIG(status));
    }
    return WEXITSTATUS(status);
}
