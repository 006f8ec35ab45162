/* Inputs that are images, changed: see image.h. */
#include "fuzz.h"
#include "image.h"
#include "mend.h"

static unsigned next_random(unsigned *state)
{
    *state = *state * 1103515245u + 12345u;
    return *state >> 8;
}

static struct image_file *choose_file(struct image *image, unsigned kinds, unsigned *random)
{
    size_t start = image->count ? next_random(random) % image->count : 0;

    for (size_t i = 0; i < image->count; i++) {
        struct image_file *file = &image->files[(start + i) % image->count];

        if (file->kind & kinds)
            return file;
    }
    return NULL;
}

/* A few bytes, most often where there are some that are not zero. */
static void mutate_window(struct kv_buffer *bytes, unsigned *random)
{
    size_t at = next_random(random) % bytes->size, width = (size_t)1 << next_random(random) % 7;

    if (next_random(random) % 8 != 0) {
        while (at > 0 && bytes->data[at] == 0)
            at--;
    }
    width = width < bytes->size - at ? width : bytes->size - at;
    LLVMFuzzerMutate(bytes->data + at, width, width);
}

/* Anything anywhere: longer, shorter. */
static void mutate_whole(struct kv_buffer *bytes)
{
    enum { GROWTH = 256 };

    fuzz_check(kv_buffer_reserve(bytes, GROWTH), "out of memory");
    bytes->size = LLVMFuzzerMutate(bytes->data, bytes->size, bytes->size + GROWTH);
}

size_t image_mutate(unsigned kinds, uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
    struct image image;
    struct image_file *file;
    struct kv_buffer packed = {0};
    unsigned random = seed * 2654435761u + 1;

    image_unpack(kv_slice_of(data, size), &image);
    file = choose_file(&image, kinds, &random);
    if (file) {
        if (file->bytes.size > 0 && next_random(&random) % 8 != 0)
            mutate_window(&file->bytes, &random);
        else
            mutate_whole(&file->bytes);
        if (next_random(&random) & 1)
            mend_image(&image);
        image_pack(&image, &packed);
    }
    if (packed.size > 0 && packed.size <= max_size) {
        memcpy(data, packed.data, packed.size);
        size = packed.size;
    }
    kv_buffer_release(&packed);
    image_release(&image);
    return size;
}
