/*
 * What a fuzz target is: bytes in, and a program that must survive them.
 *
 * Each target_<name>.c defines the first two functions, as libFuzzer calls them
 * (https://llvm.org/docs/LibFuzzer.html). Linked with libFuzzer it is a
 * fuzzer; linked with replay.c it is a plain program that replays a corpus.
 */
#ifndef KV_FUZZ_FUZZ_H
#define KV_FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* Try one input. Returns 0; aborts if what must hold does not. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Change an input in place, to at most `max_size` bytes; the new size. The same for the same seed. */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);

/* Change any bytes a little: libFuzzer's or replay.c's. */
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);

/* End the program, so that the input is kept, unless `holds`. */
#define fuzz_check(holds, ...)                                                                     \
    do {                                                                                           \
        if (!(holds)) {                                                                            \
            fprintf(stderr, "%s:%d: ", __FILE__, __LINE__);                                        \
            fprintf(stderr, __VA_ARGS__);                                                          \
            fputc('\n', stderr);                                                                   \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

#endif
