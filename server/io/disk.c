/* disk — see disk.h.
 *
 *   write_durable ─▶ one ring write ─▶ result ─▶ [held back by a timer, in tests] ─▶ done(err)
 *
 * The operation and the timer live in the write's own reserved space: nothing is allocated on a
 * token's path. A short write is a failed one: what of it reached the disk is not known to be
 * durable, and whoever issued it writes again elsewhere. */
#include "server/io/disk.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct disk_ring {
    struct disk disk; /* first: the seam's contract */
    struct disk_ops ops;
    struct disk *plain;
    struct loop *loop;
    int64_t delay_ns;
    size_t in_flight;
};

/* In disk_write.reserved. */
struct ring_write {
    struct op op;
    struct timer delay;
    struct disk_ring *ring;
    struct disk_write *write;
    enum err err;
};

static_assert(sizeof(struct ring_write) <= sizeof((struct disk_write *)0)->reserved,
    "the operation fits into the space that storage/disk.h reserves");

static struct disk_ring *ring_of(struct disk *disk)
{
    return CONTAINER_OF(disk, struct disk_ring, disk);
}

static enum err ring_open(
    struct disk *disk, const char *path, uint64_t size, struct disk_file **out)
{
    struct disk *plain = ring_of(disk)->plain;
    return plain->ops->open(plain, path, size, out);
}

static enum err ring_sync_directory(struct disk *disk, const char *path)
{
    struct disk *plain = ring_of(disk)->plain;
    return plain->ops->sync_directory(plain, path);
}

static enum err ring_remove(struct disk *disk, const char *path)
{
    struct disk *plain = ring_of(disk)->plain;
    return plain->ops->remove(plain, path);
}

static enum err ring_rename(struct disk *disk, const char *from, const char *to)
{
    struct disk *plain = ring_of(disk)->plain;
    return plain->ops->rename(plain, from, to);
}

static enum err translate(int32_t result, const struct disk_write *write)
{
    if (result == -ENOSPC || result == -EDQUOT)
        return ERR_FULL;
    if (result < 0)
        return fault(ERR_IO, "durable write of %zu bytes at %llu: %s", write->bytes.size,
            (unsigned long long)write->offset, strerror(-result));
    if ((size_t)result != write->bytes.size)
        return fault(ERR_IO, "durable write at %llu is short: %d of %zu bytes",
            (unsigned long long)write->offset, result, write->bytes.size);
    return ERR_OK;
}

static void finish(struct ring_write *ring_write)
{
    struct disk_write *write = ring_write->write;
    ASSERT(ring_write->ring->in_flight > 0);
    ring_write->ring->in_flight--;
    write->done(write, ring_write->err);
}

static void delay_fired(struct timer *timer)
{
    finish(CONTAINER_OF(timer, struct ring_write, delay));
}

static void write_done(struct op *op, int32_t result, uint32_t flags)
{
    (void)flags;
    struct ring_write *ring_write = CONTAINER_OF(op, struct ring_write, op);
    struct disk_ring *ring = ring_write->ring;
    ring_write->err = translate(result, ring_write->write);
    if (ring->delay_ns == 0) {
        finish(ring_write);
        return;
    }
    ring_write->delay.fire = delay_fired;
    timer_set(ring->loop, &ring_write->delay, loop_now_ns(ring->loop) + ring->delay_ns);
}

static void ring_write_durable(struct disk *disk, struct disk_write *write)
{
    struct disk_ring *ring = ring_of(disk);
    struct ring_write *ring_write = (struct ring_write *)(void *)write->reserved;
    ASSERT(write->done && write->bytes.size > 0);
    *ring_write = (struct ring_write){.op.done = write_done, .ring = ring, .write = write};
    ring->in_flight++;
    loop_write(ring->loop, &ring_write->op,
        &(struct loop_write){
            .fd = disk_plain_fd(write->file),
            .data = write->bytes.data,
            .size = write->bytes.size,
            .offset = write->offset,
            .buffer_index = write->buffer_index,
            .is_durable = true,
        });
}

static bool ring_register_buffers(struct disk *disk, const struct slice *buffers, size_t count)
{
    return loop_register_buffers(ring_of(disk)->loop, buffers, count);
}

enum err disk_ring_new(struct loop *loop, struct disk **out)
{
    struct disk_ring *ring = calloc(1, sizeof *ring);
    if (!ring)
        return fault(ERR_NOMEM, "disk");
    ring->loop = loop;
    ring->plain = disk_plain_new();
    if (!ring->plain) {
        free(ring);
        return fault(ERR_NOMEM, "disk");
    }
    ring->ops = *ring->plain->ops; /* those that take only a file are the same */
    ring->ops.open = ring_open;
    ring->ops.sync_directory = ring_sync_directory;
    ring->ops.remove = ring_remove;
    ring->ops.rename = ring_rename;
    ring->ops.write_durable = ring_write_durable;
    ring->ops.register_buffers = ring_register_buffers;
    ring->disk.ops = &ring->ops;
    ring->disk.reads_ahead = true;
    *out = &ring->disk;
    return ERR_OK;
}

struct disk *disk_ring_free(struct disk *disk)
{
    if (!disk)
        return NULL;
    struct disk_ring *ring = ring_of(disk);
    ASSERT(ring->in_flight == 0);
    ring->plain = disk_plain_free(ring->plain);
    free(ring);
    return NULL;
}

void disk_ring_delay(struct disk *disk, int64_t delay_ns)
{
    ring_of(disk)->delay_ns = delay_ns;
}
