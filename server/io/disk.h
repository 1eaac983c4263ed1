/* disk — storage's disk seam on the ring: durable writes are WRITE_FIXED with RWF_DSYNC (facts: the cheapest), the rest is disk_plain's. */
#ifndef TOKENLOG_SERVER_IO_DISK_H
#define TOKENLOG_SERVER_IO_DISK_H

#include "server/io/loop.h"
#include "storage/disk.h"

enum err disk_ring_new(struct loop *loop, struct disk **out) NODISCARD;
struct disk *disk_ring_free(struct disk *disk);
/* disk_ring_delay — hold every completion back for so long (tests of "visible means durable"; a hidden parameter). 0: off. */
void disk_ring_delay(struct disk *disk, int64_t delay_ns);

#endif
