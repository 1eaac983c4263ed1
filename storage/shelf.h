/* shelf — the stored blocks, request body and asides of one stream: put, found, merged, cleared.
 *
 *   table    key                              value
 *   blocks   stream ‖ first seq ‖ part        stored block: consecutive frames
 *   bodies   stream ‖ byte offset ‖ 0         stored block of one frame: the bytes from there on
 *   asides   stream ‖ index ‖ part            stored block of one frame: place u64 ‖ event, or the
 *                                             next part of it
 *
 *   answers  ERR_FULL of putting · faults ERR_CORRUPT, ERR_IO, ERR_NOMEM
 *   thread   the view's; a shelf is made for a call, and owns nothing                          */
#ifndef TOKENLOG_STORAGE_SHELF_H
#define TOKENLOG_STORAGE_SHELF_H

#include "storage/block.h"
#include "storage/table.h"

struct shelf {
    struct view *view;
    struct block_codec *codec;
    struct buf *value; /* for what is put; NULL of a shelf that is only read */
    uint32_t project;
    uint64_t number;
};

/* shelf_put — the run's frames, from where the stored ones end. */
enum err shelf_put(const struct shelf *shelf, const struct block_run *run) NODISCARD;
/* shelf_merge — see store_merge. answers ERR_AGAIN */
enum err shelf_merge(const struct shelf *shelf, struct block_position *from) NODISCARD;
enum err shelf_put_body(const struct shelf *shelf, uint64_t offset, struct slice piece) NODISCARD;
enum err shelf_put_aside(
    const struct shelf *shelf, uint32_t index, uint64_t before_seq, struct slice event) NODISCARD;
/* shelf_clear — remove up to *values_left values, and count them down. answers ERR_AGAIN: the
 * budget is spent and more are left */
enum err shelf_clear(const struct shelf *shelf, size_t *values_left) NODISCARD;

/* shelf_check — whether every value passes its checksum. `what` is text either way; ERR_CORRUPT: it
 * says which one does not. */
enum { SHELF_DAMAGE_BYTES = 64 };
enum err shelf_check(const struct shelf *shelf, char what[SHELF_DAMAGE_BYTES]) NODISCARD;

/* shelf_get — the stored block that holds the frame of `at`, a fresh one. answers ERR_NOTFOUND
 * shelf_get_body, shelf_get_aside — see store_get_body, store_get_aside */
enum err shelf_get(const struct shelf *shelf, enum table table, struct block_position at,
    struct block **out) NODISCARD;
enum err shelf_get_body(const struct shelf *shelf, uint64_t offset, struct buf *out) NODISCARD;
enum err shelf_get_aside(
    const struct shelf *shelf, uint32_t index, uint64_t *before_seq, struct buf *out) NODISCARD;

#endif
