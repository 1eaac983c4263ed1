/* disk — the seam between the storage engine and a file system: real (disk_plain.c here for
 * blocking work, server/io/disk.c for the ring) or simulated (tests/sim/). All of the journal's I/O
 * passes through it; LMDB does its own.
 *
 * Only one call is asynchronous, since only one is on a token's path: write_durable. All others
 * block, and are made at start-up, by the offline tools, or on the archiver's thread (prefill),
 * never on a loop that serves. (One exception: a loop that runs out of prepared slots creates one.)
 *
 *   thread  write_durable, register_buffers: the loop's. The others: any, several files at once,
 *           one file by one thread at a time; where disk.reads_ahead, `read` by several */
#ifndef TOKENLOG_STORAGE_DISK_H
#define TOKENLOG_STORAGE_DISK_H

#include "protocol/base/slice.h"

enum {
    DISK_ALIGN = 4096 /* bytes; offsets, sizes and addresses of O_DIRECT writes are multiples */
};

struct disk;
struct disk_file;

/* One durable write in flight, embedded in its owner, who keeps `bytes` unchanged until `done` is
 * called.
 *   done  on the loop thread, never before write_durable has returned. ERR_OK means: on stable
 *         storage, all of it. ERR_IO, ERR_FULL: nothing may be assumed about the range; a write is
 *         never tried again here, and a short one is ERR_IO */
struct disk_write {
    struct disk_file *file;
    uint64_t offset;
    struct slice bytes; /* data and size multiples of DISK_ALIGN */
    int buffer_index;   /* of a registered buffer that holds `bytes`, or -1 */
    void (*done)(struct disk_write *write, enum err err);
    void *owner;           /* the issuer's; untouched */
    uint64_t reserved[24]; /* the implementation's own operation lives here */
};

struct disk_ops {
    /* open — create if `size` > 0 and the file is absent (allocated to `size`, not prefilled, mode
     * 0600), O_DIRECT|O_DSYNC where the file system takes it. `size` says nothing about a file that
     * is there. A file that may not be written is opened for reading; writes to it are then faults.
     *   answers ERR_NOTFOUND absent and size is 0 · ERR_FULL (nothing is left behind)
     *   faults  ERR_IO, ERR_NOMEM */
    enum err (*open)(struct disk *disk, const char *path, uint64_t size, struct disk_file **out);
    void (*close)(struct disk_file *file);
    enum err (*size)(struct disk_file *file, uint64_t *out);
    /* read — exactly `size` bytes, blocking; bytes past the end read as zeros. `out` is aligned to
     * DISK_ALIGN, as are offset and size. faults ERR_IO */
    enum err (*read)(struct disk_file *file, uint64_t offset, void *out, size_t size);
    /* prefill — write zeros over the whole file and flush, blocking: an overwrite of written blocks
     * needs no metadata flush later. answers ERR_FULL · faults ERR_IO, ERR_NOMEM */
    enum err (*prefill)(struct disk_file *file, uint64_t size);
    /* write_now — blocking durable write, aligned as write_durable's. ERR_FULL, ERR_IO as there. */
    enum err (*write_now)(struct disk_file *file, uint64_t offset, struct slice bytes);
    void (*write_durable)(struct disk *disk, struct disk_write *write);
    /* register_buffers — pin the journal's batch buffers, replacing those pinned before; false: go
     * on without (locked-memory limit). Their owner may free them once no write is in flight. */
    bool (*register_buffers)(struct disk *disk, const struct slice *buffers, size_t count);
    /* sync_directory — make creations, renames and removals inside `path` durable. faults ERR_IO */
    enum err (*sync_directory)(struct disk *disk, const char *path);
    /* remove — answers ERR_NOTFOUND · faults ERR_IO. An open file lives on until its close. */
    enum err (*remove)(struct disk *disk, const char *path);
    enum err (*rename)(struct disk *disk, const char *from, const char *to);
};

/* Embedded first in every implementation. */
struct disk {
    const struct disk_ops *ops;
    /* Recovery may have threads of its own read ahead of it. Not from a simulated disk: there the order
     * of all calls is the test's. */
    bool reads_ahead;
};

/* disk_plain — pread, pwrite and friends on O_DSYNC descriptors, blocking; its write_durable
 * completes inside disk_plain_run(). For the offline tools, tests, and the benchmark that keeps
 * io_uring honest. The blocking functions are exported for the ring's disk to share.
 *   disk_plain_new  NULL: out of memory */
struct disk *disk_plain_new(void);
struct disk *disk_plain_free(struct disk *disk);
/* disk_plain_run — performs what had been issued, in order, and calls `done` for each; what those
 * calls issue waits for the next run. */
void disk_plain_run(struct disk *disk);
extern const struct disk_ops disk_plain_ops;
/* The descriptor of a file opened by disk_plain_ops.open; the file's until its close. */
int disk_plain_fd(const struct disk_file *file);
/* Whether O_DIRECT was granted. */
bool disk_plain_is_direct(const struct disk_file *file);

#endif
