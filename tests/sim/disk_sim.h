/* disk_sim — a disk in memory, behind the storage engine's seam, that fails as real ones do.
 *
 *   write_durable   in flight until sim_disk_complete; a reader sees the old bytes until then
 *   power cut       each 512-byte sector of what was in flight is kept or lost by itself; names
 *                   that no sync_directory covered are kept up to a random point of their history
 *   process crash   each write in flight happens wholly or not at all; names are kept
 *   failures        the n-th operation of a kind from now fails; a failed write leaves any sectors
 *   bit rot         one bit of a file at rest
 *   a lying disk    acknowledges writes that it loses at a power cut
 *
 * Everything random comes from the seed. Running a program's crash: sim_disk_power_cut, then
 * journal_abandon (and its like) for what the dead process held, then open anew on the same disk.
 *
 *   thread  any: one lock is around every call. Another thread of the dead process may be inside one
 *           when it crashes: what it held open is then of no use to it any more                  */
#ifndef TOKENLOG_TESTS_SIM_DISK_SIM_H
#define TOKENLOG_TESTS_SIM_DISK_SIM_H

#include "storage/disk.h"

enum { SIM_SECTOR_BYTES = 512 /* what a disk writes whole */ };

enum sim_operation {
    SIM_OPEN, /* that creates */
    SIM_READ,
    SIM_WRITE, /* write_durable and write_now */
    SIM_PREFILL,
    SIM_SYNC_DIRECTORY,
    SIM_OPERATION_COUNT,
};

struct disk *sim_disk_new(uint64_t seed);
/* sim_disk_free — files still open must have been closed; writes in flight are forgotten. */
struct disk *sim_disk_free(struct disk *disk);

/* Writes in flight, and completing up to `count` of them, oldest first: `done` is called, and may
 * issue more. Returns how many were completed. */
size_t sim_disk_in_flight(const struct disk *disk);
size_t sim_disk_complete(struct disk *disk, size_t count);

/* sim_disk_power_cut — what survives is the disk from now on. Writes in flight never complete;
 * files open before fault with ERR_IO and are only good for being closed. */
void sim_disk_power_cut(struct disk *disk);
/* sim_disk_power_cut_keeping — the same, but sector i of what is in flight (in order, oldest write
 * first) is kept if bit i of `sectors` is set; those from 64 on follow bit 63; names are kept. */
void sim_disk_power_cut_keeping(struct disk *disk, uint64_t sectors);
/* sim_disk_kill — the process ends, the system goes on. */
void sim_disk_kill(struct disk *disk);
/* sim_disk_orphan — the process ends, and its writes in flight are still on their way: they happen
 * at sim_disk_land, when the next process has long read the disk. */
void sim_disk_orphan(struct disk *disk);
void sim_disk_land(struct disk *disk);
/* Sectors in flight. */
size_t sim_disk_sectors_in_flight(const struct disk *disk);

/* sim_disk_fail — the `nth` operation from now (1: the next) ends with `err` (ERR_IO, ERR_FULL), as
 * do `count` - 1 more after it; 0: none. A later call replaces this one. */
void sim_disk_fail(
    struct disk *disk, enum sim_operation operation, uint64_t nth, uint64_t count, enum err err);
/* Operations of a kind so far. */
uint64_t sim_disk_operations(const struct disk *disk, enum sim_operation operation);

/* sim_disk_ignore_sync — from now on completed writes are not yet safe: a power cut treats them as
 * if they were in flight. The negative control of every test here. */
void sim_disk_ignore_sync(struct disk *disk, bool is_ignored);

/* sim_disk_bytes — a file's content as a reader sees it, borrowed until the next call that changes
 * the disk; may be written to. NULL: no such file. */
uint8_t *sim_disk_bytes(struct disk *disk, const char *path, uint64_t *size);
void sim_disk_flip_bit(struct disk *disk, const char *path, uint64_t bit);
/* Files there are now. */
size_t sim_disk_file_count(const struct disk *disk);

#endif
