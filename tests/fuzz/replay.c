/*
 * The main function of a target without libFuzzer: every file of the given
 * directories is tried, and changed a number of times by the target's mutator.
 *
 *   fuzz_<target> [-mutations=N] [-seed=N] [-keep=FILE] <file or directory>…
 *
 * With -keep each input is written to a file before it is tried: in the end, the one that failed.
 * The last line has the figures. An input that hangs ends the program by a signal.
 */
#include <dirent.h>
#include <string.h>
#include <unistd.h>

#include "fuzz.h"

enum { INPUT_BYTES = 1 << 20, HANG_SECONDS = 30 };

static unsigned mutations, seed = 1;
static unsigned long input_count, exec_count;
static const char *keep;

static unsigned next_random(void)
{
    seed = seed * 1664525u + 1013904223u;
    return seed >> 8;
}

/* What libFuzzer would do, in small: change a byte, insert one, take one out. */
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size)
{
    static const uint8_t odd[] = {0, 1, 0x7f, 0x80, 0xff};
    size_t at = size ? next_random() % size : 0;

    switch (size ? next_random() % 5 : 3) {
    case 0: data[at] ^= (uint8_t)(1u << next_random() % 8); return size;
    case 1: data[at] = odd[next_random() % sizeof(odd)]; return size;
    case 2: data[at] = (uint8_t)(data[at] + next_random() % 9 - 4); return size;
    case 3:
        if (size == max_size)
            return size;
        memmove(data + at + 1, data + at, size - at);
        data[at] = (uint8_t)next_random();
        return size + 1;
    default:
        if (size < 2 || size == max_size) /* a window keeps its size */
            return size;
        memmove(data + at, data + at + 1, size - at - 1);
        return size - 1;
    }
}

static void keep_input(const uint8_t *data, size_t size)
{
    FILE *file = fopen(keep, "wb");

    fuzz_check(file && fwrite(data, 1, size, file) == size, "%s cannot be written", keep);
    fclose(file);
}

/* In a block of its size, so that reading past it is noticed. */
static void try_input(const uint8_t *data, size_t size)
{
    uint8_t *copy = malloc(size ? size : 1);

    fuzz_check(copy, "out of memory");
    memcpy(copy, data, size);
    if (keep)
        keep_input(data, size);
    alarm(HANG_SECONDS);
    LLVMFuzzerTestOneInput(copy, size);
    alarm(0);
    free(copy);
    exec_count++;
}

static void replay_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    uint8_t *original = malloc(INPUT_BYTES), *changed = malloc(INPUT_BYTES);
    size_t size;

    fuzz_check(file && original && changed, "%s cannot be read", path);
    size = fread(original, 1, INPUT_BYTES, file);
    fclose(file);
    input_count++;
    try_input(original, size);
    for (unsigned i = 0; i < mutations; i++) {
        size_t changed_size = size;

        memcpy(changed, original, size);
        for (unsigned times = next_random() % 4 + 1; times > 0; times--)
            changed_size =
                LLVMFuzzerCustomMutator(changed, changed_size, INPUT_BYTES, next_random());
        try_input(changed, changed_size);
    }
    free(original);
    free(changed);
}

static void replay(const char *path)
{
    struct dirent **names;
    int count = scandir(path, &names, NULL, alphasort);

    if (count < 0) {
        replay_file(path);
        return;
    }
    for (int i = 0; i < count; i++) {
        char name[4096];

        snprintf(name, sizeof(name), "%s/%s", path, names[i]->d_name);
        if (names[i]->d_name[0] != '.')
            replay_file(name);
        free(names[i]);
    }
    free(names);
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (strncmp(argv[i], "-mutations=", 11) == 0)
            mutations = (unsigned)strtoul(argv[i] + 11, NULL, 10);
        else if (strncmp(argv[i], "-seed=", 6) == 0)
            seed = (unsigned)strtoul(argv[i] + 6, NULL, 10);
        else if (strncmp(argv[i], "-keep=", 6) == 0)
            keep = argv[i] + 6;
        else
            replay(argv[i]);
    }
    printf("%s: %lu inputs, %lu execs, 0 crashes\n", strrchr(argv[0], '/') + 1, input_count,
           exec_count);
    return input_count == 0;
}
