/* disk_plain — the disk seam by plain system calls.
 *
 *   open      O_DIRECT | O_DSYNC; where the file system refuses O_DIRECT (older tmpfs, some network
 *             ones), buffered with O_DSYNC: slower, as durable
 *   write     every write that returns is on stable storage, since the descriptor is O_DSYNC
 *   queue     write_durable only queues; disk_plain_run performs and completes, so that `done` is
 *             never called from inside the call that issued the write
 *
 * errno is translated where it arrives: no space of any kind is ERR_FULL, all else is ERR_IO. */
#include "storage/disk.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "protocol/base/own.h"

enum { PREFILL_STEP_BYTES = 1024 * 1024 /* large enough for the device's best rate */ };

struct disk_file {
    int fd;
    bool is_direct;
};

struct disk_plain {
    struct disk disk;
    struct disk_write *head;
    struct disk_write **tail;
};

/* What lives in disk_write.reserved. */
struct plain_operation {
    struct disk_write *next;
};
static_assert(sizeof(struct plain_operation) <= sizeof(((struct disk_write *)NULL)->reserved));

static struct plain_operation *operation_of(struct disk_write *write)
{
    return (struct plain_operation *)(void *)write->reserved;
}

struct disk *disk_plain_new(void)
{
    struct disk_plain *plain = calloc(1, sizeof *plain);
    if (!plain)
        return NULL;
    plain->disk.ops = &disk_plain_ops;
    plain->disk.reads_ahead = true;
    plain->tail = &plain->head;
    return &plain->disk;
}

struct disk *disk_plain_free(struct disk *disk)
{
    struct disk_plain *plain = (struct disk_plain *)disk;
    ASSERT(!plain || !plain->head);
    free(plain);
    return NULL;
}

void disk_plain_run(struct disk *disk)
{
    struct disk_plain *plain = (struct disk_plain *)disk;
    struct disk_write *write = plain->head;
    plain->head = NULL;
    plain->tail = &plain->head;
    while (write) {
        struct disk_write *next = operation_of(write)->next; /* `done` may reuse or free `write` */
        write->done(write, disk->ops->write_now(write->file, write->offset, write->bytes));
        write = next;
    }
}

int disk_plain_fd(const struct disk_file *file)
{
    return file->fd;
}

bool disk_plain_is_direct(const struct disk_file *file)
{
    return file->is_direct;
}

static enum err translate(const char *call, const char *path)
{
    if (errno == ENOSPC || errno == EDQUOT || errno == EFBIG)
        return ERR_FULL;
    return fault(ERR_IO, "%s %s: %m", call, path);
}

/* open_as — one attempt after the other at what is best to have: direct, buffered, read-only. A
 * file system that refuses O_DIRECT may have created the file all the same: no O_EXCL then. */
static int open_as(const char *path, int flags, bool *is_direct)
{
    int fd = open(path, O_RDWR | O_DSYNC | O_DIRECT | O_CLOEXEC | flags, 0600);
    *is_direct = fd >= 0;
    if (fd < 0 && errno == EINVAL)
        fd = open(path, O_RDWR | O_DSYNC | O_CLOEXEC | (flags & ~O_EXCL), 0600);
    if (fd < 0 && (errno == EACCES || errno == EROFS || errno == EPERM) && !(flags & O_CREAT))
        fd = open(path, O_RDONLY | O_CLOEXEC);
    return fd;
}

/* allocate — disk space for the whole file, where the file system can promise it. */
static enum err allocate(int fd, const char *path, uint64_t size)
{
    if (fallocate(fd, 0, 0, (off_t)size) == 0)
        return ERR_OK;
    if (errno != EOPNOTSUPP && errno != ENOSYS)
        return translate("fallocate", path);
    return ftruncate(fd, (off_t)size) == 0 ? ERR_OK : translate("ftruncate", path);
}

static enum err create(const char *path, uint64_t size, int *fd, bool *is_direct)
{
    int created = open_as(path, O_CREAT | O_EXCL, is_direct);
    if (created < 0)
        return translate("create", path);
    enum err err = allocate(created, path, size);
    if (err != ERR_OK) {
        (void)unlink(path); /* half a segment would pass for a slot of the wrong size */
        (void)close(created);
        return err;
    }
    *fd = created;
    return ERR_OK;
}

static enum err plain_open(
    struct disk *disk, const char *path, uint64_t size, struct disk_file **out)
{
    (void)disk;
    struct disk_file *file = calloc(1, sizeof *file);
    if (!file)
        return fault(ERR_NOMEM, "open %s", path);
    enum err err = ERR_OK;
    file->fd = open_as(path, 0, &file->is_direct);
    if (file->fd < 0 && errno != ENOENT)
        err = translate("open", path);
    else if (file->fd < 0)
        err = size > 0 ? create(path, size, &file->fd, &file->is_direct) : ERR_NOTFOUND;
    if (err != ERR_OK) {
        free(file);
        return err;
    }
    *out = file;
    return ERR_OK;
}

static void plain_close(struct disk_file *file)
{
    if (!file)
        return;
    (void)close(file->fd);
    free(file);
}

static enum err plain_size(struct disk_file *file, uint64_t *out)
{
    struct stat status;
    if (fstat(file->fd, &status) != 0)
        return translate("fstat", "of an open file");
    *out = (uint64_t)status.st_size;
    return ERR_OK;
}

static enum err plain_read(struct disk_file *file, uint64_t offset, void *out, size_t size)
{
    size_t done = 0;
    while (done < size) {
        ssize_t got = pread(file->fd, (uint8_t *)out + done, size - done, (off_t)(offset + done));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return fault(ERR_IO, "read at %llu: %m", (unsigned long long)(offset + done));
        done += (size_t)got;
        if (got == 0 || got % DISK_ALIGN != 0) /* the end; going on unaligned is EINVAL */
            break;
    }
    memset((uint8_t *)out + done, 0, size - done);
    return ERR_OK;
}

static enum err plain_write_now(struct disk_file *file, uint64_t offset, struct slice bytes)
{
    ASSERT(offset % DISK_ALIGN == 0 && bytes.size % DISK_ALIGN == 0);
    ASSERT((uintptr_t)bytes.data % DISK_ALIGN == 0);
    ssize_t wrote;
    do
        wrote = pwrite(file->fd, bytes.data, bytes.size, (off_t)offset);
    while (wrote < 0 && errno == EINTR);
    if (wrote < 0)
        return translate("write", "to an open file");
    if ((size_t)wrote != bytes.size)
        return fault(ERR_IO, "short write: %zd of %zu bytes", wrote, bytes.size);
    return ERR_OK;
}

static enum err plain_prefill(struct disk_file *file, uint64_t size)
{
    CLEANUP(cleanup_free) void *zeros = aligned_alloc(DISK_ALIGN, PREFILL_STEP_BYTES);
    if (!zeros)
        return fault(ERR_NOMEM, "prefill");
    memset(zeros, 0, PREFILL_STEP_BYTES);
    for (uint64_t offset = 0; offset < size; offset += PREFILL_STEP_BYTES) {
        uint64_t step = size - offset < PREFILL_STEP_BYTES ? size - offset : PREFILL_STEP_BYTES;
        TRY(plain_write_now(file, offset, slice_of(zeros, (size_t)step)));
    }
    return ERR_OK;
}

static void plain_write_durable(struct disk *disk, struct disk_write *write)
{
    struct disk_plain *plain = (struct disk_plain *)disk;
    operation_of(write)->next = NULL;
    *plain->tail = write;
    plain->tail = &operation_of(write)->next;
}

static bool plain_register_buffers(struct disk *disk, const struct slice *buffers, size_t count)
{
    (void)disk, (void)buffers, (void)count;
    return false;
}

static enum err plain_sync_directory(struct disk *disk, const char *path)
{
    (void)disk;
    CLEANUP(cleanup_close) int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return translate("open", path);
    return fsync(fd) == 0 ? ERR_OK : translate("fsync", path);
}

static enum err plain_remove(struct disk *disk, const char *path)
{
    (void)disk;
    if (unlink(path) == 0)
        return ERR_OK;
    return errno == ENOENT ? ERR_NOTFOUND : translate("unlink", path);
}

static enum err plain_rename(struct disk *disk, const char *from, const char *to)
{
    (void)disk;
    return rename(from, to) == 0 ? ERR_OK : translate("rename", from);
}

const struct disk_ops disk_plain_ops = {
    .open = plain_open,
    .close = plain_close,
    .size = plain_size,
    .read = plain_read,
    .prefill = plain_prefill,
    .write_now = plain_write_now,
    .write_durable = plain_write_durable,
    .register_buffers = plain_register_buffers,
    .sync_directory = plain_sync_directory,
    .remove = plain_remove,
    .rename = plain_rename,
};
