/* Whole directories: see files.h. */
#include "files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_BYTES = 4096, DESCRIPTORS = 16 };

static bool copy_bytes(int from, int to)
{
    ssize_t size;

    do {
        size = sendfile(to, from, NULL, 1 << 24);
    } while (size > 0);
    return size == 0;
}

static bool copy_file(const char *from, const char *to)
{
    int source = open(from, O_RDONLY | O_CLOEXEC);
    int target = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    bool good = source >= 0 && target >= 0 && copy_bytes(source, target);

    if (source >= 0)
        close(source);
    if (target >= 0)
        close(target);
    return good;
}

static bool copy_entry(const char *from, const char *to, const char *name)
{
    char source[PATH_BYTES], target[PATH_BYTES];
    struct stat status;

    if (snprintf(source, sizeof(source), "%s/%s", from, name) >= (int)sizeof(source) ||
        snprintf(target, sizeof(target), "%s/%s", to, name) >= (int)sizeof(target))
        return false;
    if (lstat(source, &status) != 0)
        return errno == ENOENT; /* a background thread may just have removed it */
    if (S_ISDIR(status.st_mode))
        return files_copy(source, target);
    return copy_file(source, target);
}

bool files_copy(const char *from, const char *to)
{
    DIR *directory = opendir(from);
    struct dirent *entry;
    bool good = directory && mkdir(to, 0700) == 0;

    while (good && (entry = readdir(directory)))
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            good = copy_entry(from, to, entry->d_name);
    if (directory)
        closedir(directory);
    return good;
}

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *place)
{
    (void)status, (void)type, (void)place;
    (void)remove(path);
    return 0;
}

void files_remove(const char *directory)
{
    (void)nftw(directory, remove_entry, DESCRIPTORS, FTW_DEPTH | FTW_PHYS);
}
