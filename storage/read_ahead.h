/* read_ahead — files read from front to back, a few pieces ahead of whoever looks at them: while one
 * piece is looked at the device is busy with the next ones.
 *
 *     piece   5 looked at │ 6 there │ 7 being read │ 8 being read         READ_AHEAD_PIECES buffers
 *               ╰─ what of it goes on in 6 is copied in front of that one, so that any view is one
 *                  run of bytes
 *
 * A disk says whether threads may read from it (disk.reads_ahead). Where not, or where no thread is to
 * be had, a piece is read when it is looked at: the same bytes in the same order.
 *
 *   thread  one looks; the threads that read are its own, and gone when it is closed */
#ifndef TOKENLOG_STORAGE_READ_AHEAD_H
#define TOKENLOG_STORAGE_READ_AHEAD_H

#include "storage/bounds.h"
#include "storage/disk.h"

/* Read from its beginning up to `bytes`, a multiple of DISK_ALIGN. */
struct read_ahead_file {
    struct disk_file *file;
    uint64_t bytes;
};

/* read_ahead_open — the files are read in this order, from now on.
 *   files   borrowed until read_ahead_close; nobody else may use them meanwhile
 *   faults  ERR_NOMEM */
struct read_ahead;
enum err read_ahead_open(struct disk *disk, const struct read_ahead_file *files, size_t count,
    struct read_ahead **out) NODISCARD;
struct read_ahead *read_ahead_close(struct read_ahead *ahead); /* NULL is taken; returns NULL */
/* read_ahead_view — `size` bytes (≤ BATCH_BYTES) of `file` at `offset`, all inside of it; borrowed
 * until the next view. Views go forward: files in their order, and within one no view begins before
 * the last one did. What cannot be read reads as zeros. */
const uint8_t *read_ahead_view(
    struct read_ahead *ahead, const struct disk_file *file, uint64_t offset, size_t size);
/* Whether a block of what was looked at so far could not be read. */
bool read_ahead_is_unreadable(const struct read_ahead *ahead);

/* read_what_can_be — as disk_ops.read, but where that fails block by block, with zeros for what
 * cannot be read. answers whether all could */
bool read_what_can_be(
    struct disk *disk, struct disk_file *file, uint64_t offset, uint8_t *out, size_t size);

#endif
