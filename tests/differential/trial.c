/* Trials: see trial.h. */
#include "trial.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "files.h"

void trial_init(struct trial *trial, const char *parent, unsigned name)
{
    void *memory = mmap(NULL, sizeof(*trial->report), PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (memory == MAP_FAILED)
        abort();
    *trial = (struct trial){.report = (struct report *)memory};
    snprintf(trial->directory, sizeof(trial->directory), "%s/%u", parent, name);
}

void trial_release(struct trial *trial)
{
    munmap(trial->report, sizeof(*trial->report));
}

/* In the new process. */
static void run_here(struct trial *trial, const struct op_list *list, const struct setting *setting)
{
    struct report *report = trial->report;
    struct text what = {0};

    setenv("TMPDIR", trial->directory, 1);
    report->is_same =
        run_ops(list, setting, trial->directory, &report->figures, &report->failed_at, &what);
    if (what.data)
        snprintf(report->what, sizeof(report->what), "%s", what.data);
    text_release(&what);
    report->is_finished = true;
}

void trial_start(struct trial *trial, const struct op_list *list, const struct setting *setting)
{
    memset(trial->report, 0, sizeof(*trial->report));
    files_remove(trial->directory);
    if (mkdir(trial->directory, 0700) != 0) {
        perror(trial->directory);
        exit(2);
    }
    fflush(NULL);
    trial->process = fork();
    if (trial->process < 0)
        abort();
    if (trial->process == 0) {
        run_here(trial, list, setting);
        exit(0);
    }
}

enum verdict trial_finish(struct trial *trial, int status)
{
    struct report *report = trial->report;

    trial->process = 0;
    files_remove(trial->directory);
    if (WIFSIGNALED(status))
        snprintf(report->what, sizeof(report->what), "died: signal %d (%s)\n", WTERMSIG(status),
                 strsignal(WTERMSIG(status)));
    else if (WEXITSTATUS(status) || !report->is_finished)
        snprintf(report->what, sizeof(report->what), "died: exit code %d\n", WEXITSTATUS(status));
    else
        return report->is_same ? VERDICT_SAME : VERDICT_DIFFERENT;
    return VERDICT_DIED;
}

enum verdict trial_run(struct trial *trial, const struct op_list *list,
                       const struct setting *setting)
{
    int status;

    trial_start(trial, list, setting);
    while (waitpid(trial->process, &status, 0) < 0)
        if (errno != EINTR)
            abort();
    return trial_finish(trial, status);
}
