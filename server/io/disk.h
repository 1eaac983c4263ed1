/* disk — storage's disk seam on the ring: durable writes are one WRITE_FIXED (WRITE, where the
 * buffer is not registered) with RWF_DSYNC, the cheapest there is; the rest is disk_plain's.
 *
 *   thread  the loop's */
#ifndef TOKENLOG_SERVER_IO_DISK_H
#define TOKENLOG_SERVER_IO_DISK_H

#include "server/io/loop.h"
#include "storage/disk.h"

/* disk_ring_new — faults ERR_NOMEM. */
enum err disk_ring_new(struct loop *loop, struct disk **out) NODISCARD;
struct disk *disk_ring_free(struct disk *disk); /* no write may be in flight */
/* disk_ring_delay — hold every completion back for so long (tests of "visible means durable"; a
 * hidden parameter). 0: off. */
void disk_ring_delay(struct disk *disk, int64_t delay_ns);

#endif
