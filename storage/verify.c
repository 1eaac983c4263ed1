/* verify — see verify.h. Each table is walked from end to end, in views of so many entries:
 *
 *   rows      decoded; the number, the expiry entry and the values of the stream must fit it
 *   blocks    (of each row) decoded; seq, part and offset go on without a gap, to the row's counts
 *   numbers   the row is there and has this number
 *   keys      the row is there and has this key
 *   expiry    the row is there and is due then
 *   meta      readable
 *   blocks, bodies, asides: the number is known
 *
 * A finding is reported and the walk goes on; what cannot be walked at all is a fault. */
#include "storage/verify.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/base/own.h"
#include "storage/block.h"
#include "storage/bounds.h"
#include "storage/store.h"

enum {
    FINDING_BYTES = 160,
    PROGRESS_ENTRIES = 1024, /* between two calls of progress */
};

struct verifier {
    struct tables *tables;
    struct view *view; /* of this step */
    struct block_codec *codec;
    const struct verify_sink *sink;
    uint64_t done, total;
};

static void PRINTF(3, 4)
    report(const struct verifier *verifier, const struct id *id, const char *format, ...)
{
    char text[FINDING_BYTES];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    verifier->sink->report(verifier->sink->context, id, text);
}

/* ---- A stream's values, against its row ---- */

/* What has been walked of a stream. */
struct extent {
    struct block_position at;
    uint64_t offset;
    bool is_known; /* false after a value that could not be read */
};

static void check_continues(const struct verifier *verifier, const struct row *row,
    const char *table, const struct extent *extent, const struct block *block)
{
    struct block_position first = {block->first_seq, block->part};
    if (first.seq != extent->at.seq || first.part != extent->at.part)
        report(verifier, &row->id, "%s: %" PRIu64 ".%u follows where %" PRIu64 ".%u should", table,
            first.seq, first.part, extent->at.seq, extent->at.part);
    else if (block->first_offset != extent->offset)
        report(verifier, &row->id, "%s: %" PRIu64 ".%u has offset %" PRIu64 ", not %" PRIu64, table,
            first.seq, first.part, block->first_offset, extent->offset);
}

static void check_value(const struct verifier *verifier, const struct row *row,
    const struct walk *walk, struct extent *extent)
{
    const char *table = schema_table_name(walk->table);
    uint32_t project, part;
    uint64_t number, seq;
    struct block *block;
    bool is_key = schema_block_read(walk->key, &project, &number, &seq, &part);
    if (!is_key || block_decode(verifier->codec, walk->value, &block) != ERR_OK) {
        report(verifier, &row->id, "%s: the value after %" PRIu64 ".%u fails its checks: %s", table,
            extent->at.seq, extent->at.part, is_key ? fault_origin() : "its key's size");
        extent->is_known = false;
        return;
    }
    if (block->first_seq != seq || block->part != part)
        report(verifier, &row->id, "%s: the value at %" PRIu64 ".%u is of %" PRIu64 ".%u", table,
            seq, part, block->first_seq, block->part);
    if (walk->table != TABLE_BLOCKS && block->frames[0].time_ns != 0)
        report(verifier, &row->id, "%s: the value at %" PRIu64 ".%u has a time", table, seq, part);
    if (extent->is_known)
        check_continues(verifier, row, table, extent, block);
    struct block_position next = block_next(block, block->frame_count - 1);
    extent->offset = block->first_offset + block->size;
    if (walk->table == TABLE_BODIES)
        next = (struct block_position){extent->offset, 0}; /* they are counted by byte */
    if (walk->table == TABLE_ASIDES && next.part == 0)
        extent->offset = 0; /* each counts its own bytes */
    extent->at = next;
    extent->is_known = true;
    block_unref(block);
}

static enum err check_values(
    const struct verifier *verifier, const struct row *row, enum table table, struct extent *extent)
{
    CLEANUP(walk_end) struct walk walk = {0};
    /* A deleted stream may have lost a part. */
    *extent = (struct extent){.is_known = row->state != STREAM_DELETED};
    TRY(walk_begin(verifier->view, table, schema_number(row->project, row->number), &walk));
    enum err err;
    for (err = walk_first(&walk); err == ERR_OK; err = walk_next(&walk))
        check_value(verifier, row, &walk, extent);
    return err == ERR_NOTFOUND ? ERR_OK : err;
}

static bool has_expiry(const struct verifier *verifier, const struct row *row, int64_t expires_ns)
{
    struct slice value;
    struct schema_key key = schema_expiry(expires_ns, row->project, &row->id);
    return view_get(verifier->view, TABLE_EXPIRY, key, &value) == ERR_OK;
}

static void check_counts(
    const struct verifier *verifier, const struct row *row, const struct extent *events)
{
    bool is_short = events->at.seq < row->events || events->offset < row->bytes;
    bool is_exact =
        events->at.seq == row->events && (events->offset == row->bytes || events->at.part > 0);
    if (!events->is_known || (stream_state_is_live(row->state) ? !is_short : is_exact))
        return;
    report(verifier, &row->id,
        "events: %" PRIu64 " (%" PRIu64 " bytes) are stored, %" PRIu64 " (%" PRIu64
        ") were counted",
        events->at.seq, events->offset, row->events, row->bytes);
}

static enum err check_contents(const struct verifier *verifier, const struct row *row)
{
    struct extent events, body, asides;
    TRY(check_values(verifier, row, TABLE_BLOCKS, &events));
    TRY(check_values(verifier, row, TABLE_BODIES, &body));
    TRY(check_values(verifier, row, TABLE_ASIDES, &asides));
    if (row->state == STREAM_DELETED) {
        bool is_empty = events.offset == 0 && body.offset == 0 && asides.at.seq == 0;
        if (!is_empty && !has_expiry(verifier, row, 0))
            report(verifier, &row->id, "deleted, but something of it is still stored");
        return ERR_OK;
    }
    check_counts(verifier, row, &events);
    /* A crash may come before the last piece of a body; the stream is interrupted then. */
    bool may_be_cut = row->state == STREAM_INTERRUPTED && body.offset < row->request_bytes;
    if (body.is_known && body.offset && !stream_state_is_live(row->state) && !may_be_cut &&
        body.offset != row->request_bytes)
        report(verifier, &row->id,
            "request body: %" PRIu64 " bytes are stored, %" PRIu64 " were counted", body.offset,
            row->request_bytes);
    return ERR_OK;
}

/* ---- The tables ---- */

/* A stored row, decoded and borrowed from the view. */
static enum err get_row(
    const struct verifier *verifier, uint32_t project, const struct id *id, struct row *out)
{
    struct slice value, content;
    TRY(view_get(verifier->view, TABLE_ROWS, schema_row(project, id), &value));
    TRY(value_open(value, &content));
    return row_decode(content, out);
}

static void check_number_of(const struct verifier *verifier, const struct row *row)
{
    struct slice value, content;
    struct id id;
    bool is_deleted;
    struct schema_key key = schema_number(row->project, row->number);
    if (view_get(verifier->view, TABLE_NUMBERS, key, &value) != ERR_OK ||
        value_open(value, &content) != ERR_OK ||
        !schema_number_value_read(content, &id, &is_deleted) || !id_equal(&id, &row->id))
        report(verifier, &row->id, "its number %" PRIu64 " does not lead to it", row->number);
    else if (is_deleted != (row->state == STREAM_DELETED))
        report(verifier, &row->id, "its number says %s", is_deleted ? "deleted" : "not deleted");
}

static enum err check_row(struct verifier *verifier, const struct walk *walk)
{
    struct slice content;
    struct row row;
    uint32_t project;
    struct id id;
    if (!schema_row_read(walk->key, &project, &id)) {
        report(verifier, NULL, "rows: a key has %zu bytes", walk->key.size);
        return ERR_OK;
    }
    if (value_open(walk->value, &content) != ERR_OK || row_decode(content, &row) != ERR_OK) {
        report(verifier, &id, "the row fails its checks: %s", fault_origin());
        return ERR_OK;
    }
    if (row.project != project || !id_equal(&row.id, &id)) {
        report(verifier, &id, "the row is of another stream");
        return ERR_OK;
    }
    int64_t expires_ns = row_expires_ns(&row);
    bool is_unfinished = row.state == STREAM_DELETED && has_expiry(verifier, &row, 0);
    if (expires_ns && !is_unfinished && !has_expiry(verifier, &row, expires_ns))
        report(verifier, &id, "it expires, but is not in the index of what does");
    check_number_of(verifier, &row);
    return check_contents(verifier, &row);
}

static enum err check_number(struct verifier *verifier, const struct walk *walk)
{
    uint32_t project;
    uint64_t number;
    struct slice content;
    struct id id;
    bool is_deleted;
    struct row row;
    if (!schema_number_read(walk->key, &project, &number) ||
        value_open(walk->value, &content) != ERR_OK ||
        !schema_number_value_read(content, &id, &is_deleted))
        report(verifier, NULL, "numbers: an entry fails its checks");
    else if (get_row(verifier, project, &id, &row) != ERR_OK || row.number != number)
        report(verifier, &id, "number %" PRIu64 " leads to no row that has it", number);
    return ERR_OK;
}

/* Whether it is one of the row's two: the caller's, or its upstream_id. */
static bool has_key(const struct row *row, struct slice key)
{
    return slice_equal(row->key, key) ||
           (key.size > 1 && key.data[0] == KEY_SPACE_UPSTREAM &&
               slice_equal(row->upstream_id, slice_sub(key, 1, key.size)));
}

static enum err check_key(struct verifier *verifier, const struct walk *walk)
{
    struct slice content;
    struct schema_caller_value caller;
    struct row row;
    if (walk->key.size < 4 || value_open(walk->value, &content) != ERR_OK ||
        !schema_caller_value_read(content, &caller)) {
        report(verifier, NULL, "keys: an entry fails its checks");
        return ERR_OK;
    }
    uint32_t project = unpack_u32(walk->key.data);
    struct schema_key key = schema_caller(project, caller.key);
    if (!slice_equal(schema_key_slice(&key), walk->key))
        report(verifier, &caller.id, "a caller's key lies under another's digest");
    else if (get_row(verifier, project, &caller.id, &row) != ERR_OK || !has_key(&row, caller.key) ||
             row.attempt != caller.attempt)
        report(verifier, &caller.id, "a caller's key leads to no row that has it");
    return ERR_OK;
}

static enum err check_expiry(struct verifier *verifier, const struct walk *walk)
{
    uint32_t project;
    int64_t expires_ns;
    struct id id;
    struct row row;
    if (!schema_expiry_read(walk->key, &expires_ns, &project, &id))
        report(verifier, NULL, "expiry: a key has %zu bytes", walk->key.size);
    else if (get_row(verifier, project, &id, &row) != ERR_OK)
        report(verifier, &id, "an expiry entry leads to no row");
    else if (expires_ns ? expires_ns != row_expires_ns(&row) : row.state != STREAM_DELETED)
        report(verifier, &id, "an expiry entry is at another time than the row says");
    return ERR_OK;
}

static enum err check_owned(struct verifier *verifier, const struct walk *walk)
{
    uint32_t project, part;
    uint64_t number, seq;
    struct slice value;
    const char *table = schema_table_name(walk->table);
    if (!schema_block_read(walk->key, &project, &number, &seq, &part))
        report(verifier, NULL, "%s: a key has %zu bytes", table, walk->key.size);
    else if (view_get(verifier->view, TABLE_NUMBERS, schema_number(project, number), &value) !=
             ERR_OK)
        report(verifier, NULL, "%s: %" PRIu64 ".%u of stream %u/%" PRIu64 ", which is not known",
            table, seq, part, project, number);
    return ERR_OK;
}

static enum err check_meta(struct verifier *verifier, const struct walk *walk)
{
    struct slice content;
    if (value_open(walk->value, &content) != ERR_OK)
        report(verifier, NULL, "meta: \"%.*s\" fails its checks", SLICE_PRINT(walk->key));
    return ERR_OK;
}

/* The audit log is its own proof (audit.h); here, only that it can be read. */
static enum err check_logged(struct verifier *verifier, const struct walk *walk)
{
    struct slice content;
    if (value_open(walk->value, &content) != ERR_OK)
        report(verifier, NULL, "%s: an entry fails its checks", schema_table_name(walk->table));
    return ERR_OK;
}

typedef enum err check_function(struct verifier *verifier, const struct walk *walk);

static check_function *const checks[TABLE_COUNT] = {
    [TABLE_META] = check_meta,
    [TABLE_ROWS] = check_row,
    [TABLE_NUMBERS] = check_number,
    [TABLE_KEYS] = check_key,
    [TABLE_BLOCKS] = check_owned,
    [TABLE_BODIES] = check_owned,
    [TABLE_ASIDES] = check_owned,
    [TABLE_EXPIRY] = check_expiry,
    [TABLE_CHAINS] = check_logged,
    [TABLE_LEAVES] = check_logged,
    [TABLE_NODES] = check_logged,
    [TABLE_LEAF_IDS] = check_logged,
};

static void count_entry(struct verifier *verifier)
{
    verifier->done++;
    if (verifier->sink->progress && verifier->done % PROGRESS_ENTRIES == 0)
        verifier->sink->progress(verifier->sink->context, verifier->done, verifier->total);
}

/* Walk to the first entry after `last`, or to the first of all. */
static enum err walk_after(struct walk *walk, const struct schema_key *last)
{
    if (last->size == 0)
        return walk_first(walk);
    TRY(walk_from(walk, *last));
    return slice_equal(walk->key, schema_key_slice(last)) ? walk_next(walk) : ERR_OK;
}

/* VERIFY_STEP_ROWS entries after `last`, which moves on. ERR_NOTFOUND: these were the last */
static enum err check_some(struct verifier *verifier, enum table table, struct schema_key *last)
{
    CLEANUP(walk_end) struct walk walk = {0};
    TRY(walk_begin(verifier->view, table, (struct schema_key){.size = 0}, &walk));
    TRY(walk_after(&walk, last));
    for (size_t n = 1;; n++) {
        TRY(checks[table](verifier, &walk));
        count_entry(verifier);
        if (n == VERIFY_STEP_ROWS && walk.key.size <= sizeof last->bytes)
            break;
        TRY(walk_next(&walk));
    }
    last->size = walk.key.size;
    memcpy(last->bytes, walk.key.data, walk.key.size);
    return ERR_OK;
}

static enum err check_table(struct verifier *verifier, enum table table)
{
    struct schema_key last = {.size = 0};
    enum err err = ERR_OK;
    while (err == ERR_OK) {
        TRY(view_begin(verifier->tables, false, &verifier->view));
        err = check_some(verifier, table, &last);
        verifier->view = view_abort(verifier->view);
    }
    return err == ERR_NOTFOUND ? ERR_OK : err;
}

static enum err check_tables(struct verifier *verifier)
{
    struct tables_size size;
    TRY(tables_size(verifier->tables, &size));
    for (int i = 0; i < TABLE_COUNT; i++)
        verifier->total += size.entries[i];
    for (int i = 0; i < TABLE_COUNT; i++)
        TRY(check_table(verifier, (enum table)i));
    if (verifier->sink->progress)
        verifier->sink->progress(verifier->sink->context, verifier->done, verifier->total);
    return ERR_OK;
}

enum err verify_tables(struct tables *tables, const struct verify_sink *sink)
{
    struct verifier verifier = {.tables = tables, .sink = sink};
    TRY(block_codec_new(1, &verifier.codec)); /* the level matters to encoding only */
    enum err err = check_tables(&verifier);
    block_codec_free(verifier.codec);
    return err;
}
