/* ballast — see ballast.h. Its blocks are allocated, not sparse. A file system that cannot allocate
 * gets none: the store's own reserve (table.h) then has to do. */
#include "storage/ballast.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "protocol/base/own.h"
#include "storage/bounds.h"

enum err ballast_init(struct ballast *ballast, const char *directory)
{
    *ballast = (struct ballast){0};
    if (directory && asprintf(&ballast->path, "%s/ballast", directory) < 0) {
        ballast->path = NULL;
        return fault(ERR_NOMEM, "a path");
    }
    struct stat stat_of;
    ballast->is_held =
        ballast->path && stat(ballast->path, &stat_of) == 0 && stat_of.st_size >= BALLAST_BYTES;
    return ERR_OK;
}

void ballast_deinit(struct ballast *ballast)
{
    free(ballast->path);
    *ballast = (struct ballast){0};
}

static bool has_room(int fd)
{
    struct statvfs stat;
    if (fstatvfs(fd, &stat) != 0)
        return false;
    return (uint64_t)stat.f_bavail * stat.f_frsize >= (uint64_t)BALLAST_BYTES * BALLAST_ROOM_FACTOR;
}

void ballast_hold(struct ballast *ballast, int64_t now_ns)
{
    if (!ballast->path || ballast->is_held || now_ns < ballast->next_ns)
        return;
    ballast->next_ns = now_ns + BALLAST_RETRY_NS;
    CLEANUP(cleanup_close) int fd = open(ballast->path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return;
    ballast->is_held = has_room(fd) && posix_fallocate(fd, 0, BALLAST_BYTES) == 0;
    if (!ballast->is_held)
        (void)unlink(ballast->path);
}

void ballast_drop(struct ballast *ballast, int64_t now_ns)
{
    if (!ballast->is_held)
        return;
    (void)unlink(ballast->path);
    ballast->is_held = false;
    ballast->next_ns = now_ns + BALLAST_RETRY_NS;
}
