/* directory — see the header. DIR/lock holds the number of the process that has it; flock(2) goes with the
 * open file: the kernel lets go of it however the process ends. */
#include "storage/directory.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { HOLDER_BYTES = 24 /* of a process's number, a line end and a NUL */ };

static enum err make(const char *path, bool *is_open_to_others)
{
    struct stat stat_now;
    *is_open_to_others = false;
    if (mkdir(path, 0700) == 0)
        return ERR_OK;
    if (errno != EEXIST)
        return fault(errno == ENOSPC ? ERR_FULL : ERR_IO, "mkdir %s: %s", path, strerror(errno));
    *is_open_to_others = stat(path, &stat_now) == 0 && (stat_now.st_mode & 077) != 0;
    return ERR_OK;
}

static int read_holder(int fd)
{
    char text[HOLDER_BYTES];
    ssize_t size = pread(fd, text, sizeof text - 1, 0);
    if (size <= 0)
        return 0;
    text[size] = '\0';
    return (int)strtol(text, NULL, 10);
}

static enum err write_holder(int fd)
{
    char text[HOLDER_BYTES];
    int size = snprintf(text, sizeof text, "%ld\n", (long)getpid());
    if (ftruncate(fd, 0) != 0 || pwrite(fd, text, (size_t)size, 0) != size)
        return fault(ERR_IO, "writing the lock file: %s", strerror(errno));
    return ERR_OK;
}

static enum err lock(const char *path, int fd, int *holder_pid)
{
    if (flock(fd, LOCK_EX | LOCK_NB) == 0)
        return write_holder(fd);
    if (errno != EWOULDBLOCK)
        return fault(ERR_IO, "flock %s: %s", path, strerror(errno));
    if (holder_pid)
        *holder_pid = read_holder(fd);
    return ERR_BUSY;
}

enum err directory_take(const char *path, bool *is_open_to_others, int *holder_pid, int *lock_fd)
{
    char name[PATH_MAX];
    TRY(make(path, is_open_to_others));
    int size = snprintf(name, sizeof name, "%s/lock", path);
    if (size <= 0 || size >= PATH_MAX)
        return fault(ERR_IO, "path of the lock is too long");
    int fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return fault(ERR_IO, "open %s: %s", name, strerror(errno));
    enum err err = lock(name, fd, holder_pid);
    if (err != ERR_OK)
        (void)close(fd);
    else
        *lock_fd = fd;
    return err;
}
