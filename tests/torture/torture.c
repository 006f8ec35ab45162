/*
 * Processes on one store, killed at random.
 *
 * Writers, readers, a compactor and a process that forks, through the extension
 * (linked in, or kv.so loaded) and through kv.h, with main databases in memory
 * and in files that they share, take turns at a store whose segments are tiny,
 * so that it seals and merges all the time. Every 20 to 200 ms one of them is
 * killed, or all but the read-only ones, or all; or a reader is stopped for a
 * while; or one is told to close and go. Each is replaced by another of its
 * role and other ways. When all are gone, an audit looks at what is left.
 *
 * What each checks: bank.h and worker.c. What this process checks: that nobody
 * ends otherwise than by being killed, that acknowledgements go on coming, and
 * that no acknowledged commit is missing.
 *
 *   torture [--kills N] [--minutes N] [--seed N] [--directory DIR]
 *
 * With --minutes, some processes live from start to end, and their anonymous
 * memory and descriptors are compared after a fifth of the time and at the end.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "worker.h"

enum {
    SLOTS = 9,
    DATABASES = 2,
    MAX_SILENCE_MS =
        60000, /* without a commit although a writer lives: a busy disk may take seconds to sync */
    MAX_WAIT_MS = 20000, /* for a commit after a writer was killed; a second is what is aimed at */
    STOP_MS = 300,
    GROWTH_PERCENT = 50, /* that the memory of one that lives on may grow by, and … */
    GROWTH_BYTES = 8 * 1024 * 1024,
    GROWTH_DESCRIPTORS = 4,
};

/* Who runs in a slot. */
struct slot {
    enum role role;
    unsigned place;
    bool lives_on; /* never killed */
    pid_t pid;     /* 0: nobody */
    bool readonly;
    uint64_t stopped_until_ms;
    uint64_t memory_bytes, descriptors; /* at the first measurement */
};

struct torture {
    uint64_t kills_wanted, end_ms; /* one of the two ends it */
    uint64_t seed, random;
    char directory[2048], store[2100], databases[DATABASES][2100];
    struct shared *shared;
    int pipe[2];
    struct slot slots[SLOTS];
    int64_t acknowledged[BANK_PLACES];

    uint64_t start_ms, last_commit_ms;
    uint64_t killed_writer_ms; /* 0: a commit has come since */
    uint64_t longest_wait_ms;
    uint64_t kills, massacres, stops, farewells, audits, commits, failures;
    bool measured;
};

static const struct slot cast[SLOTS] = {
    {.role = WRITER, .place = 0},
    {.role = WRITER, .place = 1},
    {.role = WRITER, .place = 2},
    {.role = COMPACTOR},
    {.role = READER},
    {.role = READER},
    {.role = READER},
    {.role = READER},
    {.role = FORKER},
};

static uint64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void __attribute__((format(printf, 2, 3)))
complain(struct torture *torture, const char *format, ...)
{
    va_list arguments;

    torture->failures++;
    va_start(arguments, format);
    fprintf(stderr, "torture: ");
    vfprintf(stderr, format, arguments);
    fprintf(stderr, "\n");
    va_end(arguments);
}

/* ---- Starting processes */

/* The ways of a new process. */
static struct worker new_worker(struct torture *torture, const struct slot *slot)
{
    uint64_t *random = &torture->random;
    const char *library = getenv("KV_SO");
    struct worker worker = {
        .role = slot->role,
        .place = slot->place,
        .random = bank_random(random),
        .acknowledged = torture->acknowledged[slot->place],
        .shared = torture->shared,
        .pipe = torture->pipe[1],
        .config = {.store = torture->store,
                   .sql = bank_percent(random, 60),
                   .auto_compact = bank_percent(random, 50),
                   .synchronous = (enum kv_synchronous)bank_below(random, 3)},
    };

    if (worker.config.sql && library && bank_percent(random, 50))
        worker.config.library = library;
    if (worker.config.sql && slot->role != FORKER && bank_percent(random, 50))
        worker.config.database = torture->databases[bank_below(random, DATABASES)];
    if (slot->role == READER && !worker.config.database)
        worker.config.readonly = bank_percent(random, 50);
    return worker;
}

/* Run `what` in a process of its own. */
static pid_t start(struct torture *torture, struct worker worker, void (*what)(struct worker *))
{
    sigset_t term;
    pid_t pid;

    /* It may be told to stop before it is ready for that. */
    sigemptyset(&term);
    sigaddset(&term, SIGTERM);
    sigprocmask(SIG_BLOCK, &term, NULL);
    pid = fork();
    if (pid == 0) {
        close(torture->pipe[0]);
        what(&worker);
        _exit(0);
    }
    if (pid < 0) {
        perror("torture: fork");
        exit(1);
    }
    sigprocmask(SIG_UNBLOCK, &term, NULL);
    return pid;
}

static void fill(struct torture *torture, struct slot *slot)
{
    struct worker worker = new_worker(torture, slot);

    slot->readonly = worker.config.readonly;
    slot->stopped_until_ms = 0;
    slot->pid = start(torture, worker, worker_run);
}

/* ---- Ends */

static void take_acknowledgements(struct torture *torture)
{
    struct acknowledgement message;

    while (read(torture->pipe[0], &message, sizeof(message)) == (ssize_t)sizeof(message)) {
        uint64_t now = now_ms();

        if (message.count <= torture->acknowledged[message.place])
            complain(torture, "place %u acknowledged %" PRId64 " after %" PRId64, message.place,
                     message.count, torture->acknowledged[message.place]);
        torture->acknowledged[message.place] = message.count;
        torture->commits++;
        torture->last_commit_ms = now;
        if (torture->killed_writer_ms && now - torture->killed_writer_ms > torture->longest_wait_ms)
            torture->longest_wait_ms = now - torture->killed_writer_ms;
        torture->killed_writer_ms = 0;
    }
}

/* Judge how a process ended. */
static void note_end(struct torture *torture, pid_t pid, int status)
{
    if (WIFEXITED(status) && WEXITSTATUS(status) == WORKER_FAILED)
        torture->failures++; /* it has said why */
    else if (WIFEXITED(status) && WEXITSTATUS(status) != 0)
        complain(torture, "process %d ended with exit code %d", (int)pid, WEXITSTATUS(status));
    else if (WIFSIGNALED(status) && WTERMSIG(status) != SIGKILL)
        complain(torture, "process %d died of signal %d", (int)pid, WTERMSIG(status));
    for (unsigned i = 0; i < SLOTS; i++)
        if (torture->slots[i].pid == pid)
            torture->slots[i].pid = 0;
}

/* Bury the dead, orphans too. */
static void reap(struct torture *torture)
{
    int status;
    pid_t pid;

    while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
        note_end(torture, pid, status);
}

static void kill_slot(struct torture *torture, struct slot *slot)
{
    kill(slot->pid, SIGKILL);
    torture->kills++;
    if (slot->role == WRITER && !torture->killed_writer_ms)
        torture->killed_writer_ms = now_ms();
}

static void wait_for(struct torture *torture, const struct slot *slot)
{
    while (slot->pid) {
        int status;
        pid_t pid = waitpid(slot->pid, &status, 0);

        if (pid == slot->pid)
            note_end(torture, pid, status);
        else if (errno != EINTR)
            return;
    }
}

static bool run_to_end(struct torture *torture, struct worker worker, void (*what)(struct worker *))
{
    int status = 0;
    pid_t pid = start(torture, worker, what);
    uint64_t failures = torture->failures;

    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    note_end(torture, pid, status);
    return torture->failures == failures;
}

/* ---- Audits: everybody is gone */

static const int64_t *audited;

static void audit_what_is_acknowledged(struct worker *worker)
{
    worker_audit(worker, audited);
}

static void audit(struct torture *torture)
{
    struct slot auditor = {.role = READER};
    int status;
    pid_t pid;

    /* Orphans of those who fork may be about; they do not stay long. */
    while ((pid = waitpid(-1, &status, 0)) > 0)
        note_end(torture, pid, status);
    take_acknowledgements(torture);
    audited = torture->acknowledged;
    torture->audits++;
    (void)!run_to_end(torture, new_worker(torture, &auditor), audit_what_is_acknowledged);
    torture->last_commit_ms = now_ms();
    torture->killed_writer_ms = 0;
}

/* Kill everybody, or, if they are to go in peace, ask them to. */
static void empty_the_stage(struct torture *torture, bool in_peace)
{
    for (unsigned i = 0; i < SLOTS; i++) {
        struct slot *slot = &torture->slots[i];

        if (!slot->pid)
            continue;
        kill(slot->pid, SIGCONT);
        if (in_peace)
            kill(slot->pid, SIGTERM);
        else
            kill_slot(torture, slot);
    }
    for (unsigned i = 0; i < SLOTS; i++)
        wait_for(torture, &torture->slots[i]);
    torture->massacres += !in_peace;
    torture->farewells += in_peace;
    if (!torture->failures)
        audit(torture);
}

/* ---- Events */

static struct slot *choose(struct torture *torture)
{
    struct slot *slot = &torture->slots[bank_below(&torture->random, SLOTS)];

    return slot->pid && !slot->lives_on ? slot : NULL;
}

/* Readers only: a stopped writer would be waited for. */
static void stop_a_reader(struct torture *torture)
{
    struct slot *slot = choose(torture);

    for (unsigned tries = 0; tries < SLOTS && (!slot || slot->role != READER); tries++)
        slot = choose(torture);
    if (!slot || slot->role != READER || slot->stopped_until_ms)
        return;
    kill(slot->pid, SIGSTOP);
    slot->stopped_until_ms = now_ms() + bank_below(&torture->random, STOP_MS);
    torture->stops++;
}

static void continue_readers(struct torture *torture)
{
    for (unsigned i = 0; i < SLOTS; i++) {
        struct slot *slot = &torture->slots[i];

        if (slot->pid && slot->stopped_until_ms && slot->stopped_until_ms <= now_ms()) {
            kill(slot->pid, SIGCONT);
            slot->stopped_until_ms = 0;
        }
    }
}

static void kill_all_but_readonly(struct torture *torture)
{
    for (unsigned i = 0; i < SLOTS; i++)
        if (torture->slots[i].pid && !torture->slots[i].readonly && !torture->slots[i].lives_on)
            kill_slot(torture, &torture->slots[i]);
    torture->killed_writer_ms = 0; /* nobody is left who could go on at once */
}

static void something_happens(struct torture *torture, bool may_empty)
{
    unsigned what = bank_below(&torture->random, 100);
    struct slot *slot = choose(torture);

    if (what < 15)
        stop_a_reader(torture);
    else if (what < 18)
        kill_all_but_readonly(torture);
    else if (what < 21 && may_empty)
        empty_the_stage(torture, bank_percent(&torture->random, 30));
    else if (slot && what < 30)
        kill(slot->pid, SIGTERM);
    else if (slot)
        kill_slot(torture, slot);
}

/* ---- Watching */

static uint64_t memory_bytes(pid_t pid)
{
    char path[64], line[256];
    uint64_t kilobytes = 0;
    FILE *file;

    snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
    file = fopen(path, "r");
    while (file && fgets(line, sizeof(line), file))
        if (sscanf(line, "RssAnon: %" SCNu64, &kilobytes) == 1)
            break;
    if (file)
        fclose(file);
    return kilobytes * 1024;
}

static uint64_t descriptor_count(pid_t pid)
{
    char path[64];
    uint64_t count = 0;
    DIR *directory;

    snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
    directory = opendir(path);
    while (directory && readdir(directory))
        count++;
    if (directory)
        closedir(directory);
    return count > 2 ? count - 2 : 0;
}

/* Note, or compare, what those who live on use. */
static void measure(struct torture *torture, bool compare)
{
    for (unsigned i = 0; i < SLOTS; i++) {
        struct slot *slot = &torture->slots[i];
        uint64_t memory, descriptors;

        if (!slot->lives_on || !slot->pid)
            continue;
        memory = memory_bytes(slot->pid);
        descriptors = descriptor_count(slot->pid);
        printf("%.1f minutes: %s %d: RssAnon %" PRIu64 " KB, %" PRIu64 " descriptors\n",
               (double)(now_ms() - torture->start_ms) / 60000, worker_role_name(slot->role),
               (int)slot->pid, memory / 1024, descriptors);
        if (!compare) {
            slot->memory_bytes = memory;
            slot->descriptors = descriptors;
        } else if (memory > slot->memory_bytes + slot->memory_bytes * GROWTH_PERCENT / 100 +
                                GROWTH_BYTES ||
                   descriptors > slot->descriptors + GROWTH_DESCRIPTORS) {
            complain(torture, "a %s grows", worker_role_name(slot->role));
        }
    }
    fflush(stdout);
}

static void check_progress(struct torture *torture)
{
    uint64_t now = now_ms();

    if (torture->killed_writer_ms && now - torture->killed_writer_ms > MAX_WAIT_MS) {
        complain(torture, "no commit for %d ms after a writer was killed", MAX_WAIT_MS);
        torture->killed_writer_ms = 0;
    }
    if (now - torture->last_commit_ms > MAX_SILENCE_MS) {
        complain(torture, "no commit for %d ms", MAX_SILENCE_MS);
        torture->last_commit_ms = now;
    }
}

/* ---- The run */

static bool is_over(const struct torture *torture)
{
    if (torture->failures)
        return true;
    return torture->end_ms ? now_ms() >= torture->end_ms : torture->kills >= torture->kills_wanted;
}

static void run(struct torture *torture)
{
    struct pollfd events = {.fd = torture->pipe[0], .events = POLLIN};
    uint64_t next_ms = 0;

    torture->last_commit_ms = torture->start_ms = now_ms();
    while (!is_over(torture)) {
        poll(&events, 1, 10);
        take_acknowledgements(torture);
        reap(torture);
        take_acknowledgements(torture); /* of those who have just ended */
        for (unsigned i = 0; i < SLOTS; i++)
            if (!torture->slots[i].pid && !torture->failures)
                fill(torture, &torture->slots[i]);
        continue_readers(torture);
        check_progress(torture);
        if (torture->end_ms && !torture->measured &&
            now_ms() - torture->start_ms > (torture->end_ms - torture->start_ms) / 5) {
            measure(torture, false);
            torture->measured = true;
        }
        if (now_ms() < next_ms)
            continue;
        something_happens(torture, !torture->end_ms);
        next_ms = now_ms() + 20 + bank_below(&torture->random, 180);
    }
    if (torture->measured && !torture->failures)
        measure(torture, true);
    empty_the_stage(torture, torture->failures == 0);
}

/* ---- Beginning */

static void found(struct torture *torture)
{
    static const char *const journal_modes[DATABASES] = {"wal", "delete"};
    struct slot founder = {.role = WRITER};

    for (unsigned i = 0; i < DATABASES; i++) {
        struct worker worker = new_worker(torture, &founder);

        snprintf(torture->databases[i], sizeof(torture->databases[i]), "%s/main-%u.db",
                 torture->directory, i);
        worker.config.sql = true;
        worker.config.database = torture->databases[i];
        worker.config.journal_mode = journal_modes[i];
        if (!run_to_end(torture, worker, i == 0 ? worker_found : worker_visit))
            exit(1);
    }
}

static void parse(struct torture *torture, int argc, char **argv)
{
    static const struct option options[] = {{"kills", required_argument, NULL, 'k'},
                                            {"minutes", required_argument, NULL, 'm'},
                                            {"seed", required_argument, NULL, 's'},
                                            {"directory", required_argument, NULL, 'd'},
                                            {NULL, 0, NULL, 0}};
    int option;

    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (option) {
        case 'k': torture->kills_wanted = strtoull(optarg, NULL, 10); break;
        case 'm': torture->end_ms = now_ms() + (uint64_t)(atof(optarg) * 60000); break;
        case 's': torture->seed = strtoull(optarg, NULL, 10); break;
        case 'd': snprintf(torture->directory, sizeof(torture->directory), "%s", optarg); break;
        default: exit(2);
        }
    }
}

/* A directory of its own, and memory and a pipe for all. */
static void set_up(struct torture *torture)
{
    const char *temporary = getenv("TMPDIR");

    if (!*torture->directory) {
        snprintf(torture->directory, sizeof(torture->directory), "%s/kv-torture.XXXXXX",
                 temporary && *temporary ? temporary : "/tmp");
        if (!mkdtemp(torture->directory)) {
            perror(torture->directory);
            exit(1);
        }
    } else if (mkdir(torture->directory, 0700) != 0) {
        perror(torture->directory);
        exit(1);
    }
    snprintf(torture->store, sizeof(torture->store), "%s/store", torture->directory);
    torture->shared = mmap(NULL, sizeof(*torture->shared), PROT_READ | PROT_WRITE,
                           MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (torture->shared == MAP_FAILED || pipe(torture->pipe) != 0) {
        perror("torture");
        exit(1);
    }
    fcntl(torture->pipe[0], F_SETFL, O_NONBLOCK);
    prctl(PR_SET_CHILD_SUBREAPER, 1);
}

static void remove_directory(const struct torture *torture)
{
    pid_t pid = fork();

    if (pid == 0) {
        execlp("rm", "rm", "-rf", "--", torture->directory, (char *)NULL);
        _exit(1);
    }
    waitpid(pid, NULL, 0);
}

static void print_figures(const struct torture *torture)
{
    const struct shared *shared = torture->shared;

    printf("torture: seed %" PRIu64 ": %" PRIu64 " kills (all at once %" PRIu64 " times), %" PRIu64
           " stops, %" PRIu64 " forks, %" PRIu64 " opens, %" PRIu64 " audits; %" PRIu64
           " commits, %" PRIu64 " aborts, %" PRIu64 " bulks, %" PRIu64 " reads of %" PRIu64
           " rows, %" PRIu64 " compactions, %" PRIu64 " busy; longest wait after a kill %" PRIu64
           " ms, %.0f s; %" PRIu64 " failures\n",
           torture->seed, torture->kills, torture->massacres, torture->stops, shared->forks,
           shared->opens, torture->audits, shared->commits, shared->aborts, shared->bulks,
           shared->reads, shared->rows, shared->compactions, shared->busy, torture->longest_wait_ms,
           (double)(now_ms() - torture->start_ms) / 1000, torture->failures);
}

int main(int argc, char **argv)
{
    static struct torture torture = {.kills_wanted = 100};

    torture.seed = (uint64_t)time(NULL) << 20 | (uint64_t)getpid();
    parse(&torture, argc, argv);
    torture.random = torture.seed;
    memcpy(torture.slots, cast, sizeof(cast));
    if (torture.end_ms) /* one of each kind, but two writers */
        for (unsigned i = 0; i < SLOTS; i++)
            torture.slots[i].lives_on = i == 0 || i == 1 || i == 3 || i == 4 || i == 5 || i == 8;
    set_up(&torture);
    found(&torture);
    run(&torture);
    print_figures(&torture);
    if (torture.failures)
        fprintf(stderr, "torture: the store is left in %s\n", torture.directory);
    else
        remove_directory(&torture);
    return torture.failures ? EXIT_FAILURE : EXIT_SUCCESS;
}
