/* file_sim — see file_sim.h. The kernel is called past the C library, so that nothing else that
 * stands before its functions (a sanitizer) is needed or confused.                             */
#include "tests/sim/file_sim.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "protocol/base/err.h"
#include "tests/sim/random.h"

enum {
    SECTOR_BYTES = 512,   /* what a disk writes whole */
    PAGE_BYTES = 4096,    /* what a failing write leaves whole */
    DESCRIPTORS_MAX = 16, /* LMDB has two, and a third for a moment */
};

struct write {
    uint64_t offset;
    size_t size;
    uint8_t *bytes;
};

struct descriptor {
    int fd;
    bool is_durable; /* O_DSYNC */
};

struct failure {
    uint64_t nth, count; /* in operations so far; nth 0: none */
    int error;
};

/* What the file is called, in the page cache and on the disk. */
enum naming { NAME_NEW, NAME_RENAMED, NAME_SETTLED };

static struct {
    enum naming naming;
    const char *name; /* NULL: nothing is recorded */
    struct sim_random random;
    void (*before)(void *context, enum file_operation operation);
    void *context;
    struct descriptor descriptors[DESCRIPTORS_MAX];
    size_t descriptor_count;
    struct write *unflushed;
    size_t unflushed_count, unflushed_capacity;
    uint8_t *durable;
    size_t durable_size, durable_capacity;
    size_t cached_size; /* of the file in the page cache */
    uint64_t operations[FILE_OPERATION_COUNT];
    struct failure failures[FILE_OPERATION_COUNT];
    uint64_t failed;
    bool is_stopped, are_flushes_ignored;
} file;

/* A test that runs out of memory is of no use. */
static void *must(void *pointer)
{
    ASSERT(pointer);
    return pointer;
}

/* ---- what is on the disk ---------------------------------------------------------------------- */

static void durable_reserve(size_t size)
{
    if (size > file.durable_capacity) {
        size_t capacity = size * 2;
        file.durable = must(realloc(file.durable, capacity));
        memset(file.durable + file.durable_capacity, 0, capacity - file.durable_capacity);
        file.durable_capacity = capacity;
    }
}

static void land(uint64_t offset, const uint8_t *bytes, size_t size)
{
    durable_reserve((size_t)offset + size);
    memcpy(file.durable + offset, bytes, size);
    if (offset + size > file.durable_size)
        file.durable_size = (size_t)offset + size;
}

/* tear — all of it lands, none, or each sector by chance. */
static void tear(const struct write *write)
{
    uint64_t kind = sim_random_below(&file.random, 4);
    for (size_t at = 0; at < write->size; at += SECTOR_BYTES) {
        size_t rest = write->size - at;
        if (kind == 0 || (kind > 1 && sim_random_below(&file.random, 2) == 0))
            land(write->offset + at, write->bytes + at, rest < SECTOR_BYTES ? rest : SECTOR_BYTES);
    }
}

static void forget_unflushed(void)
{
    for (size_t i = 0; i < file.unflushed_count; i++)
        free(file.unflushed[i].bytes);
    file.unflushed_count = 0;
}

static void land_unflushed(void)
{
    for (size_t i = 0; i < file.unflushed_count; i++)
        land(file.unflushed[i].offset, file.unflushed[i].bytes, file.unflushed[i].size);
    forget_unflushed();
    durable_reserve(file.cached_size);
    file.durable_size = file.cached_size;
}

static void lose_unflushed(void)
{
    for (size_t i = 0; i < file.unflushed_count; i++)
        tear(&file.unflushed[i]);
    forget_unflushed();
}

static void remember(uint64_t offset, const uint8_t *bytes, size_t size)
{
    if (file.unflushed_count == file.unflushed_capacity) {
        file.unflushed_capacity = file.unflushed_capacity ? file.unflushed_capacity * 2 : 64;
        file.unflushed =
            must(realloc(file.unflushed, file.unflushed_capacity * sizeof *file.unflushed));
    }
    struct write *write = &file.unflushed[file.unflushed_count++];
    *write = (struct write){offset, size, must(malloc(size))};
    memcpy(write->bytes, bytes, size);
}

/* ---- operations ------------------------------------------------------------------------------- */

struct verdict {
    int error;     /* an errno value; 0: it succeeds */
    bool is_never; /* the process had ended before */
    bool is_last;  /* it ends in the middle of this */
};

static struct verdict begin_operation(enum file_operation operation)
{
    if (file.is_stopped)
        return (struct verdict){.error = EIO, .is_never = true};
    if (file.before)
        file.before(file.context, operation);
    uint64_t number = ++file.operations[operation];
    const struct failure *failure = &file.failures[operation];
    bool fails =
        failure->nth > 0 && number >= failure->nth && number - failure->nth < failure->count;
    if (file.is_stopped)
        return (struct verdict){.error = EIO, .is_last = true};
    file.failed += fails;
    return (struct verdict){.error = fails ? failure->error : 0};
}

static ssize_t result(const struct verdict *verdict, size_t size)
{
    errno = verdict->error;
    return verdict->error == 0 ? (ssize_t)size : -1;
}

static void write_cached(int fd, uint64_t offset, const uint8_t *bytes, size_t size)
{
    ASSERT(syscall(SYS_pwrite64, fd, bytes, size, offset) == (long)size);
    if (offset + size > file.cached_size)
        file.cached_size = (size_t)offset + size;
}

/* Some whole pages, and not all of them. */
static size_t part_of(size_t size)
{
    size_t pages = (size + PAGE_BYTES - 1) / PAGE_BYTES;
    return (size_t)sim_random_below(&file.random, pages) * PAGE_BYTES;
}

static ssize_t write_buffered(int fd, uint64_t offset, const uint8_t *bytes, size_t size)
{
    struct verdict verdict = begin_operation(FILE_WRITE);
    size_t part = verdict.error == 0 || verdict.is_last ? size : part_of(size);
    if (!verdict.is_never && part > 0) {
        write_cached(fd, offset, bytes, part);
        remember(offset, bytes, part);
    }
    return result(&verdict, size);
}

static ssize_t write_durably(int fd, uint64_t offset, const uint8_t *bytes, size_t size)
{
    struct verdict verdict = begin_operation(FILE_DURABLE_WRITE);
    struct write write = {offset, size, (uint8_t *)(uintptr_t)bytes};
    if (!verdict.is_never)
        write_cached(fd, offset, bytes, size);
    if (verdict.is_last || (verdict.error == 0 && file.are_flushes_ignored))
        remember(offset, bytes, size);
    else if (verdict.error == 0)
        land(offset, bytes, size);
    else if (!verdict.is_never)
        tear(&write);
    return result(&verdict, size);
}

static int flush(void)
{
    struct verdict verdict = begin_operation(FILE_FLUSH);
    if (verdict.error == 0 && !file.are_flushes_ignored)
        land_unflushed();
    else if (verdict.error != 0 && !file.is_stopped)
        lose_unflushed();
    return (int)result(&verdict, 0);
}

/* ---- the C library's functions ---------------------------------------------------------------- */

static struct descriptor *find(int fd)
{
    for (size_t i = 0; i < file.descriptor_count; i++)
        if (file.descriptors[i].fd == fd)
            return &file.descriptors[i];
    return NULL;
}

static bool is_recorded(const char *path)
{
    const char *slash = strrchr(path, '/');
    size_t size = file.name ? strlen(file.name) : 0;
    if (size == 0 || !slash || strncmp(slash + 1, file.name, size) != 0)
        return false;
    return slash[1 + size] == '\0' || strcmp(slash + 1 + size, ".new") == 0;
}

static ssize_t write_at(
    const struct descriptor *descriptor, uint64_t offset, const void *bytes, size_t size)
{
    return descriptor->is_durable ? write_durably(descriptor->fd, offset, bytes, size)
                                  : write_buffered(descriptor->fd, offset, bytes, size);
}

#undef open
int open(const char *path, int flags, ...)
{
    va_list list;
    va_start(list, flags);
    bool has_mode = (flags & O_CREAT) || (flags & O_TMPFILE) == O_TMPFILE;
    unsigned mode = has_mode ? va_arg(list, unsigned) : 0;
    va_end(list);
    int fd = (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
    if (fd >= 0 && is_recorded(path) && (flags & O_ACCMODE) != O_RDONLY) {
        ASSERT(file.descriptor_count < DESCRIPTORS_MAX);
        file.descriptors[file.descriptor_count++] =
            (struct descriptor){.fd = fd, .is_durable = flags & O_DSYNC};
    }
    return fd;
}

int close(int fd)
{
    struct descriptor *descriptor = find(fd);
    if (descriptor)
        *descriptor = file.descriptors[--file.descriptor_count];
    return (int)syscall(SYS_close, fd);
}

ssize_t pwrite(int fd, const void *bytes, size_t size, off_t offset)
{
    const struct descriptor *descriptor = find(fd);
    return descriptor ? write_at(descriptor, (uint64_t)offset, bytes, size)
                      : syscall(SYS_pwrite64, fd, bytes, size, offset);
}

/* One that writes at its position moves it. */
static ssize_t write_on(const struct descriptor *descriptor, const void *bytes, size_t size)
{
    off_t offset = lseek(descriptor->fd, 0, SEEK_CUR);
    ASSERT(offset >= 0);
    ssize_t written = write_at(descriptor, (uint64_t)offset, bytes, size);
    if (written > 0)
        ASSERT(lseek(descriptor->fd, offset + written, SEEK_SET) >= 0);
    return written;
}

ssize_t write(int fd, const void *bytes, size_t size)
{
    const struct descriptor *descriptor = find(fd);
    return descriptor ? write_on(descriptor, bytes, size) : syscall(SYS_write, fd, bytes, size);
}

ssize_t writev(int fd, const struct iovec *parts, int count)
{
    const struct descriptor *descriptor = find(fd);
    if (!descriptor)
        return syscall(SYS_writev, fd, parts, count);
    size_t size = 0, at = 0;
    for (int i = 0; i < count; i++)
        size += parts[i].iov_len;
    uint8_t *bytes = must(malloc(size));
    for (int i = 0; i < count; at += parts[i++].iov_len)
        memcpy(bytes + at, parts[i].iov_base, parts[i].iov_len);
    ssize_t written = write_on(descriptor, bytes, size);
    int error = errno;
    free(bytes);
    errno = error;
    return written;
}

int fdatasync(int fd)
{
    return find(fd) ? flush() : (int)syscall(SYS_fdatasync, fd);
}

int fsync(int fd)
{
    struct stat stat_now;
    if (find(fd))
        return flush();
    bool is_directory = fstat(fd, &stat_now) == 0 && S_ISDIR(stat_now.st_mode);
    if (is_directory && file.naming == NAME_RENAMED && !file.is_stopped)
        file.naming = NAME_SETTLED;
    return (int)syscall(SYS_fsync, fd);
}

int rename(const char *from, const char *to)
{
    if (is_recorded(from) && file.is_stopped) {
        errno = EIO;
        return -1;
    }
    if (is_recorded(from))
        file.naming = NAME_RENAMED;
    return (int)syscall(SYS_rename, from, to);
}

int unlink(const char *path)
{
    if (is_recorded(path) && file.descriptor_count == 0) {
        forget_unflushed();
        file.durable_size = file.cached_size = 0;
        file.naming = NAME_NEW;
        if (file.durable)
            memset(file.durable, 0, file.durable_capacity);
    }
    return (int)syscall(SYS_unlink, path);
}

int ftruncate(int fd, off_t size)
{
    ASSERT(!find(fd)); /* LMDB does it for a writable map only: nothing here would know of it */
    return (int)syscall(SYS_ftruncate, fd, size);
}

/* ---- what a test asks for --------------------------------------------------------------------- */

void file_sim_begin(const char *name, uint64_t seed,
    void (*before)(void *context, enum file_operation operation), void *context)
{
    ASSERT(!file.name);
    file.name = name;
    file.random = sim_random_new(seed);
    file.before = before;
    file.context = context;
}

void file_sim_end(void)
{
    forget_unflushed();
    free(file.unflushed);
    free(file.durable);
    memset(&file, 0, sizeof file);
}

uint64_t file_sim_operations(enum file_operation operation)
{
    return file.operations[operation];
}

uint64_t file_sim_unflushed(void)
{
    return file.unflushed_count;
}

void file_sim_fail(enum file_operation operation, uint64_t nth, uint64_t count, int error)
{
    uint64_t first = nth > 0 ? file.operations[operation] + nth : 0;
    file.failures[operation] = (struct failure){first, count, error};
}

uint64_t file_sim_failed(void)
{
    return file.failed;
}

void file_sim_ignore_flushes(bool are_ignored)
{
    file.are_flushes_ignored = are_ignored;
}

void file_sim_stop(void)
{
    file.is_stopped = true;
}

void file_sim_restart(void)
{
    file.is_stopped = false;
    memset(file.failures, 0, sizeof file.failures);
    file.failed = 0;
}

static void write_image(const char *path)
{
    int fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    ASSERT(fd >= 0 && syscall(SYS_ftruncate, fd, 0) == 0);
    write_cached(fd, 0, file.durable, file.durable_size);
    (void)syscall(SYS_close, fd);
}

/* The image, under one name or the other. */
static void place_image(void)
{
    char fresh[64], path[64];
    (void)snprintf(path, sizeof path, "./%s", file.name);
    (void)snprintf(fresh, sizeof fresh, "./%s.new", file.name);
    if (file.naming == NAME_RENAMED)
        file.naming = sim_random_below(&file.random, 2) ? NAME_NEW : NAME_SETTLED;
    bool is_new = file.naming == NAME_NEW;
    (void)syscall(SYS_unlink, is_new ? path : fresh);
    write_image(is_new ? fresh : path);
}

void file_sim_power_cut(const struct file_cut *cut)
{
    ASSERT(file.descriptor_count == 0);
    durable_reserve(file.cached_size + 1);
    for (size_t i = 0; i < file.unflushed_count; i++) {
        const struct write *write = &file.unflushed[i];
        if (cut->is_torn)
            tear(write);
        else if (cut->writes >> (i < 63 ? i : 63) & 1)
            land(write->offset, write->bytes, write->size);
    }
    forget_unflushed();
    if (cut->is_grown && file.durable_size < file.cached_size)
        file.durable_size = file.cached_size;
    file.cached_size = file.durable_size;
    place_image();
    file_sim_restart();
}
