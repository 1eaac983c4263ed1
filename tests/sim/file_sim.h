/* file_sim — the one file that LMDB writes by itself, recorded where it calls the C library: each
 * write and each flush in order, what a power cut could leave of them, and failures on demand.
 *
 *   LMDB ──▶ open, pwrite, write, writev, fdatasync, fsync, ftruncate, close
 *                │ defined here, in the program, so that the library's calls come here
 *                ├──▶ the real file: the page cache, which LMDB also reads through its map
 *                ├──▶ unflushed: writes that no flush has covered, in order
 *                └──▶ durable:   the bytes that are on the disk for certain
 *
 *   a write              is unflushed; through an O_DSYNC descriptor it is durable at once, alone
 *   a flush              makes durable what is unflushed
 *   a power cut          keeps any of the unflushed writes, or any sectors of them; the file is as
 *                        long as it was when last flushed, or as far as what is kept, or longer
 *   a failed write       leaves a part of it in the page cache, unflushed
 *   a failed flush       (fsync(2), errseq) leaves the page cache as it is and forgets: any sectors
 *                        got to the disk, the others never will, whatever later flushes say
 *   a failed O_DSYNC     the same, for the bytes of this write
 *   an ended process     (file_sim_stop) writes nothing more; what it was writing is unflushed; the
 *                        page cache lives on
 *
 *   a new file           is made as NAME.new and renamed: which name it has after a power cut is open
 *                        until its directory is flushed
 *
 * It cannot see: the file system's own order of other names and of sizes (blocks that hold older
 * bytes of other files), stores through a map (LMDB makes none to this file without
 * MDB_WRITEMAP, which is not used; its lock file has nothing that outlives the process), and a disk
 * that tears below 512 bytes.
 *
 * One file at a time in a process, which is state of the program: the C library's functions take no
 * context.
 *
 *   thread  one: the simulation's
 *   source  fsync(2); LMDB 0.9.24, mdb_page_flush, mdb_env_write_meta, mdb_env_init_meta         */
#ifndef TOKENLOG_TESTS_SIM_FILE_SIM_H
#define TOKENLOG_TESTS_SIM_FILE_SIM_H

#include <stdbool.h>
#include <stdint.h>

enum file_operation { FILE_WRITE, FILE_DURABLE_WRITE, FILE_FLUSH, FILE_OPERATION_COUNT };

/* file_sim_begin — record what is opened from now on with a path that ends in "/NAME" or "/NAME.new".
 *   The file must not be there yet. `before` (may be NULL) is called before each operation takes place; it may
 *   call file_sim_stop and file_sim_fail, which then count for this operation.
 * file_sim_end — record no more. */
void file_sim_begin(const char *name, uint64_t seed,
    void (*before)(void *context, enum file_operation operation), void *context);
void file_sim_end(void);

/* Operations so far, whatever became of them. */
uint64_t file_sim_operations(enum file_operation operation);
/* Writes that no flush has covered. */
uint64_t file_sim_unflushed(void);

/* file_sim_fail — the `nth` operation of a kind from now (1: the next) fails with the errno value
 *   `error`, as do `count` - 1 more after it; 0: none. A later call replaces this one.
 * file_sim_ignore_flushes — flushes succeed and do nothing: the negative control. */
void file_sim_fail(enum file_operation operation, uint64_t nth, uint64_t count, int error);
uint64_t file_sim_failed(void); /* how many have, so, in this process */
void file_sim_ignore_flushes(bool are_ignored);

/* file_sim_stop — the process is at its end, in the middle of this operation; all later ones fail and
 *   change nothing.
 * file_sim_restart — another process, on the page cache that the last one has left.
 * file_sim_power_cut — the file NAME in the working directory becomes what the power cut has left; nobody has it open. The
 *   power is on again: operations work. */
struct file_cut {
    uint64_t writes; /* unflushed write i is kept if bit i is set; those from 64 on follow bit 63 */
    bool is_torn;    /* instead: each sector of each of them by chance */
    bool is_grown;   /* the file is as long as it was in the page cache: zeros, where nothing is */
};
void file_sim_stop(void);
void file_sim_restart(void);
void file_sim_power_cut(const struct file_cut *cut);

#endif
