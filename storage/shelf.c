/* shelf — see shelf.h. What is stored of a stream ends where its last value says (block_summarize);
 * a repeat goes on from there, however it is cut.
 *
 * Merging reads neighbours into a group until the next would not fit one stored block, by raw size,
 * by frames and by stored size, and puts the group in their place:
 *
 *   | s 0..9 | s 10..12 | s 13..40 | s 41..300 (full) |      →      | s 0..40 | s 41..300 |
 *
 * A group never spans a FRAME_MORE, and is put in the transaction that removes its members, so that
 * no reader sees both or neither. */
#include "storage/shelf.h"

#include <inttypes.h>
#include <stdio.h>

#include "protocol/base/own.h"
#include "storage/bounds.h"

enum { ASIDE_PLACE_BYTES = 8 };

static struct schema_key stream_key(const struct shelf *shelf)
{
    return schema_number(shelf->project, shelf->number);
}

static struct schema_key value_key(const struct shelf *shelf, struct block_position at)
{
    return schema_block(shelf->project, shelf->number, at.seq, at.part);
}

/* What the last stored value of a table says; ERR_NOTFOUND: there is none. */
static enum err last_stored(const struct shelf *shelf, enum table table, struct block_summary *out)
{
    CLEANUP(walk_end) struct walk walk = {0};
    TRY(walk_begin(shelf->view, table, stream_key(shelf), &walk));
    TRY(walk_last(&walk));
    return block_summarize(walk.value, out);
}

/* Store the run from `at` to its end. */
static enum err put_from(
    const struct shelf *shelf, const struct block_run *run, struct block_position at)
{
    for (;;) {
        struct schema_key key = value_key(shelf, at);
        buf_clear(shelf->value);
        enum err err = block_encode(shelf->codec, run, &at, shelf->value);
        if (err == ERR_CLOSED)
            return ERR_OK;
        TRY(err);
        TRY(view_put(shelf->view, TABLE_BLOCKS, key, buf_slice(shelf->value)));
    }
}

enum err shelf_put(const struct shelf *shelf, const struct block_run *run)
{
    struct block_summary last = {0};
    enum err err = last_stored(shelf, TABLE_BLOCKS, &last);
    if (err != ERR_NOTFOUND)
        TRY(err);
    return put_from(shelf, run, last.next);
}

/* ---- Merging ---- */

/* Neighbouring stored blocks that fit one together. */
struct group {
    struct block *blocks[MERGE_GROUP_BLOCKS];
    size_t count;
    size_t stored;
    uint32_t bytes, frames;
};

static void group_clear(struct group *group)
{
    for (size_t i = 0; i < group->count; i++)
        block_unref(group->blocks[i]);
    *group = (struct group){0};
}

static bool group_admits(
    const struct group *group, const struct block_summary *next, size_t stored_size)
{
    if (group->count == 0)
        return true;
    const struct block *last = group->blocks[group->count - 1];
    struct block_position end = block_next(last, last->frame_count - 1);
    return group->count < MERGE_GROUP_BLOCKS && end.part == 0 && end.seq == next->first.seq &&
           group->bytes + next->bytes <= STORED_RAW_BYTES_MAX &&
           group->frames + next->frame_count <= STORED_FRAMES_MAX &&
           group->stored + stored_size <= BLOCK_STORED_BYTES_MAX;
}

static enum err group_add(struct group *group, struct block_codec *codec, struct slice stored)
{
    struct block *block;
    TRY(block_decode(codec, stored, &block));
    group->blocks[group->count++] = block;
    group->stored += stored.size;
    group->bytes += block->size;
    group->frames += block->frame_count;
    return ERR_OK;
}

/* group_gather — add the entry walked to and those after it that fit. The walk stands on the first
 * that did not; ERR_NOTFOUND: there was none. */
static enum err group_gather(struct group *group, struct block_codec *codec, struct walk *walk)
{
    for (;;) {
        struct block_summary summary;
        TRY(block_summarize(walk->value, &summary));
        if (!group_admits(group, &summary, walk->value.size))
            return ERR_OK;
        TRY(group_add(group, codec, walk->value));
        TRY(walk_next(walk));
    }
}

/* Put the group in place of its members. */
static enum err group_replace(const struct shelf *shelf, const struct group *group)
{
    if (group->count < 2)
        return ERR_OK;
    for (size_t i = 0; i < group->count; i++) {
        const struct block *block = group->blocks[i];
        struct block_position at = {block->first_seq, block->part};
        TRY(view_remove(shelf->view, TABLE_BLOCKS, value_key(shelf, at)));
    }
    struct block_run run = {.blocks = group->blocks, .count = group->count};
    block_codec_expect_much(shelf->codec); /* its parts fit one value, and so will it */
    struct block_position first = {group->blocks[0]->first_seq, group->blocks[0]->part};
    return put_from(shelf, &run, first);
}

/* Gather one group from `from` on; *next is where the one after begins. ERR_NOTFOUND: nowhere */
static enum err group_from(const struct shelf *shelf, struct block_position from,
    struct group *group, struct block_position *next)
{
    CLEANUP(walk_end) struct walk walk = {0};
    TRY(walk_begin(shelf->view, TABLE_BLOCKS, stream_key(shelf), &walk));
    TRY(walk_from(&walk, value_key(shelf, from)));
    TRY(group_gather(group, shelf->codec, &walk));
    struct block_summary summary;
    TRY(block_summarize(walk.value, &summary));
    *next = summary.first;
    return ERR_OK;
}

enum err shelf_merge(const struct shelf *shelf, struct block_position *from)
{
    for (size_t looked = 0; looked < MERGE_STEP_VALUES;) {
        CLEANUP(group_clear) struct group group = {0};
        struct block_position next;
        enum err err = group_from(shelf, *from, &group, &next); /* its walk ends before we write */
        if (err != ERR_NOTFOUND)
            TRY(err);
        TRY(group_replace(shelf, &group));
        if (err == ERR_NOTFOUND)
            return ERR_OK;
        looked += group.count;
        *from = next;
    }
    return ERR_AGAIN;
}

/* ---- Bodies and asides ---- */

/* Put the first of `bytes`, as many as fit one value, and take them off. */
static enum err put_bytes(const struct shelf *shelf, enum table table, struct block_position at,
    uint64_t offset, struct slice *bytes)
{
    size_t taken;
    buf_clear(shelf->value);
    TRY(block_encode_bytes(shelf->codec, at, offset, *bytes, shelf->value, &taken));
    TRY(view_put(shelf->view, table, value_key(shelf, at), buf_slice(shelf->value)));
    *bytes = slice_sub(*bytes, taken, bytes->size);
    return ERR_OK;
}

enum err shelf_put_body(const struct shelf *shelf, uint64_t offset, struct slice piece)
{
    struct block_summary last = {0};
    enum err err = last_stored(shelf, TABLE_BODIES, &last);
    if (err != ERR_NOTFOUND)
        TRY(err);
    uint64_t end = last.first_offset + last.bytes;
    if (offset > end)
        return fault(ERR_CORRUPT, "request body bytes %llu to %llu are missing",
            (unsigned long long)end, (unsigned long long)offset);
    struct slice rest = slice_sub(piece, end - offset, piece.size);
    while (rest.size) {
        struct block_position at = {offset + piece.size - rest.size, 0};
        TRY(put_bytes(shelf, TABLE_BODIES, at, at.seq, &rest));
    }
    return ERR_OK;
}

enum err shelf_put_aside(
    const struct shelf *shelf, uint32_t index, uint64_t before_seq, struct slice event)
{
    CLEANUP(buf_deinit) struct buf whole;
    uint8_t place[ASIDE_PLACE_BYTES];
    buf_init(&whole, FRAGMENT_BYTES_MAX + ASIDE_PLACE_BYTES);
    pack_u64(place, before_seq);
    TRY(buf_append(&whole, slice_of(place, sizeof place)));
    TRY(buf_append(&whole, event));
    struct slice rest = buf_slice(&whole);
    struct block_position at = {index, 0};
    for (; rest.size; at.part++)
        TRY(put_bytes(shelf, TABLE_ASIDES, at, whole.size - rest.size, &rest));
    return ERR_OK;
}

/* ---- Clearing ---- */

/* The first value of a table. */
static enum err first_position(
    const struct shelf *shelf, enum table table, struct block_position *out)
{
    CLEANUP(walk_end) struct walk walk = {0};
    uint32_t project;
    uint64_t number;
    TRY(walk_begin(shelf->view, table, stream_key(shelf), &walk));
    TRY(walk_first(&walk));
    if (!schema_block_read(walk.key, &project, &number, &out->seq, &out->part))
        return fault(ERR_CORRUPT, "a key of %zu bytes", walk.key.size);
    return ERR_OK;
}

/* A walk does not outlive a write, so each value is looked for anew. */
static enum err clear_table(const struct shelf *shelf, enum table table, size_t *values_left)
{
    struct block_position at;
    enum err err;
    while ((err = first_position(shelf, table, &at)) == ERR_OK) {
        if (*values_left == 0)
            return ERR_AGAIN;
        TRY(view_remove(shelf->view, table, value_key(shelf, at)));
        *values_left -= 1;
    }
    return err == ERR_NOTFOUND ? ERR_OK : err;
}

enum err shelf_clear(const struct shelf *shelf, size_t *values_left)
{
    TRY(clear_table(shelf, TABLE_BLOCKS, values_left));
    TRY(clear_table(shelf, TABLE_BODIES, values_left));
    return clear_table(shelf, TABLE_ASIDES, values_left);
}

/* ---- Checking ---- */

static enum err check_table(
    const struct shelf *shelf, enum table table, char what[SHELF_DAMAGE_BYTES])
{
    CLEANUP(walk_end) struct walk walk = {0};
    TRY(walk_begin(shelf->view, table, stream_key(shelf), &walk));
    enum err err;
    for (err = walk_first(&walk); err == ERR_OK; err = walk_next(&walk)) {
        struct slice content;
        if (value_open(walk.value, &content) == ERR_OK)
            continue;
        uint32_t project, part = 0;
        uint64_t number, seq = 0;
        (void)schema_block_read(walk.key, &project, &number, &seq, &part);
        (void)snprintf(what, SHELF_DAMAGE_BYTES, "%s from %" PRIu64 ".%" PRIu32 " on",
            schema_table_name(table), seq, part);
        return ERR_CORRUPT;
    }
    return err == ERR_NOTFOUND ? ERR_OK : err;
}

enum err shelf_check(const struct shelf *shelf, char what[SHELF_DAMAGE_BYTES])
{
    what[0] = '\0';
    TRY(check_table(shelf, TABLE_BLOCKS, what));
    TRY(check_table(shelf, TABLE_BODIES, what));
    return check_table(shelf, TABLE_ASIDES, what);
}

/* ---- Reading ---- */

/* The value whose key is the last at or before `at`. */
static enum err walk_to(
    const struct shelf *shelf, enum table table, struct block_position at, struct walk *walk)
{
    TRY(walk_begin(shelf->view, table, stream_key(shelf), walk));
    TRY(walk_upto(walk, value_key(shelf, at)));
    walk_fetch(walk);
    return ERR_OK;
}

static enum err decode_at(
    const struct shelf *shelf, struct slice stored, struct block_position at, struct block **out)
{
    struct block *block;
    TRY(block_decode(shelf->codec, stored, &block));
    if (!block_holds(block, at)) {
        block_unref(block);
        return ERR_NOTFOUND;
    }
    *out = block;
    return ERR_OK;
}

enum err shelf_get(
    const struct shelf *shelf, enum table table, struct block_position at, struct block **out)
{
    CLEANUP(walk_end) struct walk walk = {0};
    TRY(walk_to(shelf, table, at, &walk));
    return decode_at(shelf, walk.value, at, out);
}

/* Bodies and asides are read until there is no more, which is found without decoding the last value. */

enum err shelf_get_body(const struct shelf *shelf, uint64_t offset, struct buf *out)
{
    CLEANUP(walk_end) struct walk walk = {0};
    struct block_summary summary;
    struct block *block;
    enum err err = walk_to(shelf, TABLE_BODIES, (struct block_position){offset, 0}, &walk);
    if (err == ERR_NOTFOUND)
        return ERR_CLOSED;
    TRY(err);
    TRY(block_summarize(walk.value, &summary));
    uint64_t skip = offset - summary.first_offset;
    if (skip >= summary.bytes)
        return ERR_CLOSED;
    TRY(block_decode(shelf->codec, walk.value, &block));
    struct slice bytes = slice_of(block->bytes, block->size);
    err = buf_append(out, slice_sub(bytes, skip, bytes.size));
    block_unref(block);
    return err;
}

/* One part of an aside; *has_more: another follows. */
static enum err append_part(
    const struct shelf *shelf, struct block_position at, struct buf *out, bool *has_more)
{
    CLEANUP(walk_end) struct walk walk = {0};
    struct block_summary summary;
    struct block *block;
    TRY(walk_to(shelf, TABLE_ASIDES, at, &walk));
    TRY(block_summarize(walk.value, &summary));
    if (at.seq >= summary.next.seq && summary.next.part == 0)
        return ERR_NOTFOUND;
    TRY(decode_at(shelf, walk.value, at, &block));
    enum err err = buf_append(out, slice_of(block->bytes, block->size));
    *has_more = (block->frames[0].flags & FRAME_MORE) != 0;
    block_unref(block);
    return err;
}

enum err shelf_get_aside(
    const struct shelf *shelf, uint32_t index, uint64_t *before_seq, struct buf *out)
{
    CLEANUP(buf_deinit) struct buf whole;
    struct block_position at = {index, 0};
    buf_init(&whole, FRAGMENT_BYTES_MAX + ASIDE_PLACE_BYTES);
    for (bool has_more = true; has_more; at.part++)
        TRY(append_part(shelf, at, &whole, &has_more));
    if (whole.size < ASIDE_PLACE_BYTES)
        return fault(ERR_CORRUPT, "an aside has %zu bytes", whole.size);
    TRY(buf_append(out, slice_sub(buf_slice(&whole), ASIDE_PLACE_BYTES, whole.size)));
    *before_seq = unpack_u64(whole.data);
    return ERR_OK;
}
