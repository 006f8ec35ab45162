/* A file system in memory for all there is: see disk.h. */
#include "disk.h"

#include "fuzz.h"

static struct kv_memfs *fs;

/* Linked with --wrap=kv_io_posix, this is what the engine calls. */
struct kv_io *__wrap_kv_io_posix(void);

struct kv_io *__wrap_kv_io_posix(void)
{
    return disk_io();
}

void disk_start(const struct image *image)
{
    fs = kv_memfs_new(1);
    if (image)
        image_install(image, fs, DISK_PATH);
}

void disk_end(void)
{
    kv_memfs_free(fs);
    fs = NULL;
}

struct kv_memfs *disk_fs(void)
{
    return fs;
}

struct kv_io *disk_io(void)
{
    return kv_memfs_io(fs);
}

bool disk_place(struct image *image, struct kv_manifest *manifest, struct kv_place *out)
{
    struct image_file *file = image_find(image, IMAGE_MANIFEST, 0);

    if (!file || kv_manifest_decode(kv_buffer_slice(&file->bytes), manifest) != KV_OK)
        return false;
    disk_start(image);
    *out = (struct kv_place){
        .io = disk_io(), .path = DISK_PATH, .hash_seed = manifest->hash_seed, .file_mode = 0600};
    memcpy(out->uuid, manifest->uuid, KV_UUID_BYTES);
    fuzz_check(kv_io_dir_open(out->io, DISK_PATH, &out->dir) == KV_OK, "no directory");
    return true;
}

void disk_place_release(struct kv_manifest *manifest, struct kv_place *place)
{
    kv_io_dir_close(place->dir);
    kv_manifest_release(manifest);
    disk_end();
}

void disk_each_segment(const uint8_t *data, size_t size,
                       void (*each)(const struct kv_place *place,
                                    const struct kv_segment_info *info))
{
    struct image image;
    struct kv_manifest manifest;
    struct kv_place place;

    image_unpack(kv_slice_of(data, size), &image);
    if (disk_place(&image, &manifest, &place)) {
        for (size_t i = 0; i < manifest.run_count; i++) {
            for (size_t j = 0; j < manifest.runs[i].segment_count; j++)
                each(&place, &manifest.runs[i].segments[j]);
        }
        disk_place_release(&manifest, &place);
    }
    image_release(&image);
}
