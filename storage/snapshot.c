/* snapshot — LMDB's copy, through a pipe.
 *
 *     feeder thread:  store_copy ──▶ pipe ──▶ caller: head │ … the rest, at snapshot_write
 *
 * LMDB begins its read transaction before it writes the first byte, and a pipe holds little: once
 * the head has arrived the state is fixed, and LMDB waits until it is read on. The head is the two
 * meta pages. LMDB writes them under the writers' lock (mdb_copy.1; it must not be held while the
 * caller does other things), and has let go of it when they have been read.
 *
 * The end of a snapshot that was not read to its end closes the pipe: the feeder gets EPIPE. */
#include "storage/snapshot.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/base/own.h"

enum {
    HEAD_BYTES = 2 * 4096, /* two meta pages: no page is larger, and a pipe holds 64 KiB */
    READ_BYTES = 1024 * 1024,
    ORIGIN_BYTES = 256, /* of a fault's text */
};

struct snapshot {
    struct store *store;
    bool is_compact;
    uint64_t absorbed_lsn;
    int read_fd, write_fd; /* write_fd: the feeder's, once it runs */
    pthread_t feeder;
    bool has_feeder;
    enum err err; /* the feeder's; read after the join */
    char origin[ORIGIN_BYTES];
    size_t head_bytes;
    uint8_t head[HEAD_BYTES];
};

/* A closed pipe is an answer here, not a signal; one that is pending dies with the thread. */
static void block_sigpipe(void)
{
    sigset_t set;
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGPIPE);
    (void)pthread_sigmask(SIG_BLOCK, &set, NULL);
}

static void *feed(void *context)
{
    struct snapshot *snapshot = context;
    block_sigpipe();
    snapshot->err = store_copy(snapshot->store, snapshot->write_fd, snapshot->is_compact);
    if (err_is_fault(snapshot->err))
        (void)snprintf(snapshot->origin, sizeof snapshot->origin, "%s", fault_origin());
    (void)close(snapshot->write_fd);
    return NULL;
}

/* What the feeder came to, with its fault's origin taken over into this thread. */
static enum err join_feeder(struct snapshot *snapshot)
{
    if (snapshot->has_feeder)
        (void)pthread_join(snapshot->feeder, NULL);
    snapshot->has_feeder = false;
    return err_is_fault(snapshot->err) ? fault(snapshot->err, "%s", snapshot->origin)
                                       : snapshot->err;
}

/* Up to `size` bytes; fewer only at the end. */
static enum err read_some(int fd, uint8_t *out, size_t size, size_t *got)
{
    size_t done = 0;
    while (done < size) {
        ssize_t count = read(fd, out + done, size - done);
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            return fault(ERR_IO, "pipe: %s", strerror(errno));
        if (count == 0)
            break;
        done += (size_t)count;
    }
    *got = done;
    return ERR_OK;
}

static enum err start(struct snapshot *snapshot)
{
    int fds[2];
    TRY(store_read_absorbed(snapshot->store, &snapshot->absorbed_lsn));
    if (pipe2(fds, O_CLOEXEC) != 0)
        return fault(ERR_IO, "pipe: %s", strerror(errno));
    snapshot->read_fd = fds[0];
    snapshot->write_fd = fds[1];
    if (pthread_create(&snapshot->feeder, NULL, feed, snapshot) != 0) {
        (void)close(fds[1]);
        return fault(ERR_NOMEM, "no thread for a copy of the store");
    }
    snapshot->has_feeder = true;
    TRY(read_some(snapshot->read_fd, snapshot->head, HEAD_BYTES, &snapshot->head_bytes));
    return snapshot->head_bytes == HEAD_BYTES ? ERR_OK : join_feeder(snapshot);
}

enum err snapshot_begin(struct store *store, bool is_compact, struct snapshot **out)
{
    struct snapshot *snapshot = calloc(1, sizeof *snapshot);
    if (!snapshot)
        return fault(ERR_NOMEM, "a snapshot");
    snapshot->store = store;
    snapshot->is_compact = is_compact;
    snapshot->read_fd = -1;
    enum err err = start(snapshot);
    if (err != ERR_OK) {
        snapshot_end(snapshot);
        return err;
    }
    *out = snapshot;
    return ERR_OK;
}

uint64_t snapshot_absorbed_lsn(const struct snapshot *snapshot)
{
    return snapshot->absorbed_lsn;
}

static enum err write_all(int fd, struct slice bytes)
{
    while (bytes.size) {
        ssize_t count = write(fd, bytes.data, bytes.size);
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0 && (errno == ENOSPC || errno == EDQUOT || errno == EFBIG))
            return ERR_FULL;
        if (count < 0)
            return fault(ERR_IO, "write: %s", strerror(errno));
        bytes = slice_sub(bytes, (size_t)count, bytes.size);
    }
    return ERR_OK;
}

static enum err pour(
    struct snapshot *snapshot, int fd, const struct progress *progress, uint64_t *bytes)
{
    struct store_size size;
    CLEANUP(cleanup_free) uint8_t *piece = malloc(READ_BYTES);
    if (!piece)
        return fault(ERR_NOMEM, "copying the store");
    store_size(snapshot->store, &size);
    uint64_t total = snapshot->is_compact ? size.used_bytes : size.file_bytes;
    uint64_t done = snapshot->head_bytes;
    TRY(write_all(fd, slice_of(snapshot->head, snapshot->head_bytes)));
    for (size_t got = READ_BYTES; got == READ_BYTES;) {
        TRY(read_some(snapshot->read_fd, piece, READ_BYTES, &got));
        TRY(write_all(fd, slice_of(piece, got)));
        done += got;
        if (progress && progress->report)
            progress->report(progress->context, "store", done, total);
    }
    TRY(join_feeder(snapshot));
    if (fsync(fd) != 0)
        return fault(ERR_IO, "fsync of a copy of the store: %s", strerror(errno));
    *bytes = done;
    return ERR_OK;
}

enum err snapshot_write(
    struct snapshot *snapshot, const char *path, const struct progress *progress, uint64_t *bytes)
{
    ASSERT(snapshot->has_feeder);
    CLEANUP(cleanup_close) int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0 && errno == EEXIST)
        return ERR_EXISTS;
    if (fd < 0)
        return errno == ENOSPC ? ERR_FULL : fault(ERR_IO, "create %s: %s", path, strerror(errno));
    enum err err = pour(snapshot, fd, progress, bytes);
    if (err != ERR_OK)
        (void)unlink(path);
    return err;
}

struct snapshot *snapshot_end(struct snapshot *snapshot)
{
    if (!snapshot)
        return NULL;
    cleanup_close(&snapshot->read_fd); /* before the join: the feeder may wait for a reader */
    if (snapshot->has_feeder)
        (void)pthread_join(snapshot->feeder, NULL);
    free(snapshot);
    return NULL;
}
