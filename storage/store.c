/* store — see store.h; the picture of the tables is schema.h's.
 *
 * A stream's life in the tables:
 *
 *   put_row        rows, numbers, keys (of a new stream), expiry (of an ended one)
 *   put_blocks     blocks, from where the last stored one ends
 *   delete         row → tombstone, number → deleted, expiry → 0; values go, step by step; then
 *                  expiry → the tombstone's own
 *   drop_row       row, number, key, expiry: all gone
 *
 *   invariants     a row's expiry entry is at row_expires_ns(row); or, while its deletion is under
 *                  way, at 0, so that a crash leaves it due at once
 *                  a number says deleted exactly when its row is a tombstone */
#include "storage/store.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "protocol/base/own.h"
#include "storage/listing.h"
#include "storage/shelf.h"
#include "storage/table.h"
#include "storage/verify.h"

enum {
    UUID_BYTES = 16,
    VALUE_BYTES_MAX = 32 * 1024, /* of a sealed value; rows and blocks are half of it at most */
    EXPIRY_UNFINISHED = 0,       /* the time of an entry whose deletion is under way */
};

struct store {
    struct tables *tables;
    struct block_codec *codec; /* the writer's */
    uint8_t uuid[UUID_BYTES];
    atomic_uint_fast64_t absorbed_lsn;
};

struct store_txn {
    struct store *store;
    struct view *view;
    struct buf value; /* what is being put */
};

/* ---- Small values ---- */

static enum err get_content(
    struct view *view, enum table table, struct schema_key key, struct slice *out)
{
    struct slice value;
    TRY(view_get(view, table, key, &value));
    return value_open(value, out);
}

static enum err put_content(
    struct store_txn *txn, enum table table, struct schema_key key, struct slice content)
{
    TRY(value_seal(&content, 1, &txn->value));
    return view_put(txn->view, table, key, buf_slice(&txn->value));
}

static enum err put_content_small(
    struct store_txn *txn, enum table table, struct schema_key key, struct slice content)
{
    TRY(value_seal(&content, 1, &txn->value));
    return view_put_small(txn->view, table, key, buf_slice(&txn->value));
}

/* A number among the meta values; 0 if there is none. */
static enum err get_meta(struct view *view, const char *name, size_t size, uint64_t *out)
{
    struct slice content;
    enum err err = get_content(view, TABLE_META, schema_meta(name), &content);
    if (err == ERR_NOTFOUND) {
        *out = 0;
        return ERR_OK;
    }
    TRY(err);
    if (content.size != size)
        return fault(ERR_CORRUPT, "meta value %s has %zu bytes", name, content.size);
    *out = size == 4 ? unpack_u32(content.data) : unpack_u64(content.data);
    return ERR_OK;
}

static enum err put_meta_u32(struct store_txn *txn, const char *name, uint32_t value)
{
    uint8_t bytes[4];
    pack_u32(bytes, value);
    return put_content_small(txn, TABLE_META, schema_meta(name), slice_of(bytes, sizeof bytes));
}

static enum err put_meta_u64(struct store_txn *txn, const char *name, uint64_t value)
{
    uint8_t bytes[8];
    pack_u64(bytes, value);
    return put_content_small(txn, TABLE_META, schema_meta(name), slice_of(bytes, sizeof bytes));
}

/* ---- Opening ---- */

static enum err random_bytes(uint8_t *out, size_t size)
{
    ssize_t got = getrandom(out, size, 0); /* up to 256 bytes come whole (getrandom(2)) */
    return got == (ssize_t)size ? ERR_OK : fault(ERR_IO, "getrandom: %s", strerror(errno));
}

/* What a fresh store begins with. */
static enum err write_identity(struct store *store)
{
    uint8_t uuid[UUID_BYTES];
    struct store_txn *txn = NULL;
    TRY(random_bytes(uuid, sizeof uuid));
    TRY(store_begin(store, &txn));
    enum err err = put_meta_u32(txn, META_FORMAT, SCHEMA_FORMAT);
    if (err == ERR_OK)
        err =
            put_content_small(txn, TABLE_META, schema_meta(META_UUID), slice_of(uuid, sizeof uuid));
    if (err != ERR_OK) {
        store_abort(txn);
        return err;
    }
    return store_commit(txn, 0);
}

static enum err read_identity(struct store *store, struct view *view)
{
    struct slice uuid;
    uint64_t format, absorbed;
    TRY(get_meta(view, META_FORMAT, 4, &format));
    if (format == 0)
        return ERR_NOTFOUND;
    if (format > SCHEMA_FORMAT)
        return fault(ERR_UNSUPPORTED, "the store has format %u, this program knows up to %u",
            (unsigned)format, SCHEMA_FORMAT);
    TRY(get_content(view, TABLE_META, schema_meta(META_UUID), &uuid));
    if (uuid.size != UUID_BYTES)
        return fault(ERR_CORRUPT, "the store's UUID has %zu bytes", uuid.size);
    memcpy(store->uuid, uuid.data, UUID_BYTES);
    TRY(get_meta(view, META_ABSORBED, 8, &absorbed));
    atomic_store(&store->absorbed_lsn, absorbed);
    return ERR_OK;
}

static enum err check_identity(struct store *store)
{
    struct view *view;
    TRY(view_begin(store->tables, false, &view));
    enum err err = read_identity(store, view);
    view_abort(view);
    return err;
}

static enum err open_store(
    struct store *store, const char *file, const struct tables_options *options, int zstd_level)
{
    TRY(block_codec_new(zstd_level, &store->codec));
    TRY(tables_open(file, options, &store->tables));
    enum err err = check_identity(store);
    if (err != ERR_NOTFOUND)
        return err;
    if (options->is_read_only)
        return fault(ERR_CORRUPT, "%s is no store: it has no format", file);
    TRY(write_identity(store));
    return check_identity(store);
}

enum err store_open_sized(
    const char *path, bool read_only, int zstd_level, uint64_t map_bytes, struct store **out)
{
    CLEANUP(cleanup_free) char *file = NULL;
    if (asprintf(&file, "%s/store.lmdb", path) < 0) {
        file = NULL;
        return fault(ERR_NOMEM, "a path");
    }
    struct store *store = calloc(1, sizeof *store);
    if (!store)
        return fault(ERR_NOMEM, "a store");
    struct tables_options options = {.is_read_only = read_only, .map_bytes = map_bytes};
    enum err err = open_store(store, file, &options, zstd_level);
    if (err != ERR_OK) {
        store_close(store);
        return err;
    }
    *out = store;
    return ERR_OK;
}

enum err store_open(const char *path, bool read_only, int zstd_level, struct store **out)
{
    return store_open_sized(path, read_only, zstd_level, STORE_MAP_BYTES, out);
}

struct store *store_close(struct store *store)
{
    if (!store)
        return NULL;
    tables_close(store->tables);
    block_codec_free(store->codec);
    free(store);
    return NULL;
}

void store_uuid(const struct store *store, uint8_t out[16])
{
    memcpy(out, store->uuid, UUID_BYTES);
}

uint64_t store_absorbed_lsn(const struct store *store)
{
    return atomic_load(&store->absorbed_lsn);
}

static enum err raise_epoch(struct store_txn *txn, uint32_t *epoch)
{
    uint64_t before;
    TRY(get_meta(txn->view, META_EPOCH, 4, &before));
    if (before == UINT32_MAX)
        return fault(ERR_CORRUPT, "the boot epoch is at its end");
    *epoch = (uint32_t)before + 1;
    return put_meta_u32(txn, META_EPOCH, *epoch);
}

enum err store_next_epoch(struct store *store, uint32_t *epoch)
{
    struct store_txn *txn = NULL;
    uint32_t raised = 0;
    TRY(store_begin(store, &txn));
    enum err err = raise_epoch(txn, &raised);
    if (err != ERR_OK) {
        store_abort(txn);
        return err;
    }
    TRY(store_commit(txn, 0));
    *epoch = raised;
    return ERR_OK;
}

void store_size(const struct store *store, struct store_size *out)
{
    struct tables_size size;
    *out = (struct store_size){0};
    if (tables_size(store->tables, &size) == ERR_OK)
        *out = (struct store_size){size.file_bytes, size.used_bytes, size.entries[TABLE_ROWS]};
}

/* ---- Transactions ---- */

enum err store_begin(struct store *store, struct store_txn **out)
{
    struct store_txn *txn = calloc(1, sizeof *txn);
    if (!txn)
        return fault(ERR_NOMEM, "a transaction");
    enum err err = view_begin(store->tables, true, &txn->view);
    if (err != ERR_OK) {
        free(txn);
        return err;
    }
    txn->store = store;
    buf_init(&txn->value, VALUE_BYTES_MAX);
    *out = txn;
    return ERR_OK;
}

static void txn_free(struct store_txn *txn)
{
    buf_deinit(&txn->value);
    free(txn);
}

enum err store_commit(struct store_txn *txn, uint64_t absorbed_lsn)
{
    enum err err = absorbed_lsn ? put_meta_u64(txn, META_ABSORBED, absorbed_lsn) : ERR_OK;
    if (err != ERR_OK) {
        store_abort(txn);
        return err;
    }
    struct store *store = txn->store;
    err = view_commit(txn->view);
    txn_free(txn);
    if (err == ERR_OK && absorbed_lsn)
        atomic_store(&store->absorbed_lsn, absorbed_lsn);
    return err;
}

void store_abort(struct store_txn *txn)
{
    if (!txn)
        return;
    view_abort(txn->view);
    txn_free(txn);
}

enum err store_touch(struct store *store)
{
    struct store_txn *txn = NULL;
    TRY(store_begin(store, &txn));
    enum err err = put_meta_u32(txn, META_FORMAT, SCHEMA_FORMAT);
    if (err != ERR_OK) {
        store_abort(txn);
        return err;
    }
    return store_commit(txn, 0);
}

uint64_t store_txn_bytes(const struct store_txn *txn)
{
    return view_bytes(txn->view);
}

/* ---- Rows ---- */

/* The decoded row; its slices are borrowed from the view. */
static enum err get_row(struct view *view, uint32_t project, const struct id *id, struct row *out)
{
    struct slice content;
    TRY(get_content(view, TABLE_ROWS, schema_row(project, id), &content));
    return row_decode(content, out);
}

static int state_rank(enum stream_state state)
{
    switch (state) {
    case STREAM_ACCEPTED: return 0;
    case STREAM_STREAMING: return 1;
    case STREAM_COMPLETED:
    case STREAM_FAILED:
    case STREAM_STOPPED:
    case STREAM_INTERRUPTED: return 2;
    case STREAM_DELETED: return 3;
    }
    return 0;
}

/* Whether `row` is a version of its stream at least as late as the one that is stored. */
static bool row_is_newer(const struct row *row, const struct row *stored)
{
    int rank = state_rank(row->state), stored_rank = state_rank(stored->state);
    if (rank != stored_rank)
        return rank > stored_rank;
    return row->state != STREAM_DELETED && row->events >= stored->events;
}

static enum err put_expiry(
    struct store_txn *txn, int64_t expires_ns, uint32_t project, const struct id *id)
{
    struct schema_key key = schema_expiry(expires_ns, project, id);
    return view_put_small(txn->view, TABLE_EXPIRY, key, SLICE_NONE);
}

static enum err remove_expiry(
    struct store_txn *txn, int64_t expires_ns, uint32_t project, const struct id *id)
{
    return view_remove(txn->view, TABLE_EXPIRY, schema_expiry(expires_ns, project, id));
}

static enum err put_number(struct store_txn *txn, const struct row *row, bool is_deleted)
{
    uint8_t content[SCHEMA_NUMBER_VALUE_BYTES];
    memcpy(content, row->id.bytes, ID_BYTES);
    content[ID_BYTES] = is_deleted;
    return put_content_small(txn, TABLE_NUMBERS, schema_number(row->project, row->number),
        slice_of(content, sizeof content));
}

static enum err number_is_deleted(
    struct store_txn *txn, uint32_t project, uint64_t number, bool *out)
{
    struct slice content;
    *out = false;
    enum err err = get_content(txn->view, TABLE_NUMBERS, schema_number(project, number), &content);
    if (err == ERR_NOTFOUND)
        return ERR_OK;
    TRY(err);
    struct id id;
    if (!schema_number_value_read(content, &id, out))
        return fault(ERR_CORRUPT, "a stream number's value has %zu bytes", content.size);
    return ERR_OK;
}

static enum err get_caller(
    struct view *view, uint32_t project, struct slice key, struct schema_caller_value *out)
{
    struct slice content;
    TRY(get_content(view, TABLE_KEYS, schema_caller(project, key), &content));
    if (!schema_caller_value_read(content, out))
        return fault(ERR_CORRUPT, "a key's value has %zu bytes", content.size);
    return slice_equal(out->key, key) ? ERR_OK : ERR_NOTFOUND;
}

/* Point the row's key at it, unless that points at a later attempt. */
static enum err put_caller(struct store_txn *txn, const struct row *row)
{
    struct schema_caller_value stored;
    enum err err = get_caller(txn->view, row->project, row->key, &stored);
    if (err == ERR_OK) {
        int order = memcmp(stored.id.bytes, row->id.bytes, ID_BYTES); /* by time */
        if (stored.attempt > row->attempt || (stored.attempt == row->attempt && order >= 0))
            return ERR_OK;
    } else if (err != ERR_NOTFOUND) {
        return err;
    }
    uint8_t head[SCHEMA_CALLER_VALUE_BYTES];
    memcpy(head, row->id.bytes, ID_BYTES);
    pack_u32(head + ID_BYTES, row->attempt);
    struct slice parts[] = {slice_of(head, sizeof head), row->key};
    TRY(value_seal(parts, 2, &txn->value));
    return view_put(
        txn->view, TABLE_KEYS, schema_caller(row->project, row->key), buf_slice(&txn->value));
}

static enum err put_project(struct store_txn *txn, const struct row *row)
{
    struct slice known;
    struct schema_key key = schema_project(row->project);
    enum err err = get_content(txn->view, TABLE_META, key, &known);
    if (err != ERR_NOTFOUND)
        return err;
    if (row->project_name.size > PROJECT_NAME_BYTES_MAX)
        return fault(ERR_CORRUPT, "a project's name has %zu bytes", row->project_name.size);
    uint8_t number[4];
    pack_u32(number, row->project);
    TRY(put_content(txn, TABLE_META, key, row->project_name));
    return put_content(
        txn, TABLE_META, schema_project_name(row->project_name), slice_of(number, sizeof number));
}

/* The indexes of a stream that the store sees for the first time. */
static enum err put_new_stream(struct store_txn *txn, const struct row *row)
{
    TRY(put_project(txn, row));
    TRY(put_number(txn, row, row->state == STREAM_DELETED));
    return row->key.size ? put_caller(txn, row) : ERR_OK;
}

enum err store_put_row(struct store_txn *txn, struct slice encoded_row)
{
    struct row row, stored;
    TRY(row_decode(encoded_row, &row));
    enum err err = get_row(txn->view, row.project, &row.id, &stored);
    bool is_new = err == ERR_NOTFOUND;
    if (!is_new) {
        TRY(err);
        if (!row_is_newer(&row, &stored))
            return ERR_OK;
        if (row_expires_ns(&stored))
            TRY(remove_expiry(txn, row_expires_ns(&stored), row.project, &row.id));
    }
    TRY(put_content(txn, TABLE_ROWS, schema_row(row.project, &row.id), encoded_row));
    if (is_new)
        TRY(put_new_stream(txn, &row));
    else if (row.state == STREAM_DELETED)
        TRY(put_number(txn, &row, true));
    if (row_expires_ns(&row))
        TRY(put_expiry(txn, row_expires_ns(&row), row.project, &row.id));
    return ERR_OK;
}

/* ---- Blocks ---- */

static struct shelf shelf_of(struct store_txn *txn, uint32_t project, uint64_t number)
{
    return (struct shelf){txn->view, txn->store->codec, &txn->value, project, number};
}

enum err store_put_blocks(
    struct store_txn *txn, uint32_t project, uint64_t number, const struct block_run *run)
{
    bool is_deleted;
    TRY(number_is_deleted(txn, project, number, &is_deleted));
    if (is_deleted)
        return ERR_OK;
    struct shelf shelf = shelf_of(txn, project, number);
    return shelf_put(&shelf, run);
}

enum err store_merge(
    struct store_txn *txn, uint32_t project, uint64_t number, struct block_position *from)
{
    struct shelf shelf = shelf_of(txn, project, number);
    return shelf_merge(&shelf, from);
}

/* ---- Bodies and asides ---- */

enum err store_put_body(
    struct store_txn *txn, uint32_t project, uint64_t number, uint64_t offset, struct slice piece)
{
    bool is_deleted;
    TRY(number_is_deleted(txn, project, number, &is_deleted));
    if (is_deleted)
        return ERR_OK;
    struct shelf shelf = shelf_of(txn, project, number);
    return shelf_put_body(&shelf, offset, piece);
}

enum err store_put_aside(struct store_txn *txn, uint32_t project, uint64_t number, uint32_t index,
    uint64_t before_seq, struct slice event)
{
    bool is_deleted;
    TRY(number_is_deleted(txn, project, number, &is_deleted));
    if (is_deleted)
        return ERR_OK;
    struct shelf shelf = shelf_of(txn, project, number);
    return shelf_put_aside(&shelf, index, before_seq, event);
}

/* ---- Deleting ---- */

/* The row that stays: who it was, what it cost, that it is gone; nothing of its content. */
static struct row tombstone_of(const struct row *row, const struct store_deletion *deletion)
{
    struct row tombstone = *row;
    tombstone.state = STREAM_DELETED;
    tombstone.reason = deletion->reason;
    tombstone.detail = tombstone.metadata = tombstone.head = SLICE_NONE;
    tombstone.ended_ns = deletion->now_ns;
    tombstone.ttl_s = deletion->tombstone_ttl_s;
    return tombstone;
}

static enum err put_tombstone(
    struct store_txn *txn, const struct row *row, const struct store_deletion *deletion)
{
    CLEANUP(buf_deinit) struct buf encoded;
    buf_init(&encoded, ROW_BYTES_MAX);
    struct row tombstone = tombstone_of(row, deletion);
    int64_t expires_ns = row_expires_ns(row);
    TRY(row_encode(&tombstone, &encoded));
    struct row copy; /* of what does not change when the table is written to */
    TRY(row_decode(buf_slice(&encoded), &copy));
    TRY(put_content_small(
        txn, TABLE_ROWS, schema_row(copy.project, &copy.id), buf_slice(&encoded)));
    TRY(put_number(txn, &copy, true));
    if (expires_ns)
        TRY(remove_expiry(txn, expires_ns, copy.project, &copy.id));
    return put_expiry(txn, EXPIRY_UNFINISHED, copy.project, &copy.id);
}

enum err store_delete(
    struct store_txn *txn, const struct store_deletion *deletion, size_t *values_left)
{
    struct row row;
    uint32_t project = deletion->project;
    TRY(get_row(txn->view, project, &deletion->id, &row));
    if (row.state != STREAM_DELETED)
        TRY(put_tombstone(txn, &row, deletion));
    TRY(get_row(txn->view, project, &deletion->id, &row));
    uint64_t number = row.number;
    int64_t expires_ns = row_expires_ns(&row);
    struct shelf shelf = shelf_of(txn, project, number);
    TRY(shelf_clear(&shelf, values_left));
    TRY(remove_expiry(txn, EXPIRY_UNFINISHED, project, &deletion->id));
    return expires_ns ? put_expiry(txn, expires_ns, project, &deletion->id) : ERR_OK;
}

/* Forget the key if it means this stream. */
static enum err remove_caller(struct store_txn *txn, const struct row *row)
{
    struct schema_caller_value caller;
    enum err err = get_caller(txn->view, row->project, row->key, &caller);
    if (err == ERR_NOTFOUND || (err == ERR_OK && !id_equal(&caller.id, &row->id)))
        return ERR_OK;
    TRY(err);
    return view_remove(txn->view, TABLE_KEYS, schema_caller(row->project, row->key));
}

enum err store_drop_row(struct store_txn *txn, uint32_t project, const struct id *id)
{
    struct row row;
    TRY(get_row(txn->view, project, id, &row));
    if (row.state != STREAM_DELETED)
        return ERR_INVALID;
    uint64_t number = row.number;
    int64_t expires_ns = row_expires_ns(&row);
    if (row.key.size)
        TRY(remove_caller(txn, &row));
    if (expires_ns)
        TRY(remove_expiry(txn, expires_ns, project, id));
    TRY(remove_expiry(txn, EXPIRY_UNFINISHED, project, id));
    TRY(view_remove(txn->view, TABLE_NUMBERS, schema_number(project, number)));
    return view_remove(txn->view, TABLE_ROWS, schema_row(project, id));
}

static enum err gather_expired(
    struct view *view, int64_t now_ns, struct store_expired *out, size_t count, size_t *found)
{
    CLEANUP(walk_end) struct walk walk = {0};
    TRY(walk_begin(view, TABLE_EXPIRY, (struct schema_key){.size = 0}, &walk));
    enum err err = walk_first(&walk);
    for (size_t n = 0; err == ERR_OK && n < count; err = walk_next(&walk)) {
        struct store_expired *expired = &out[n];
        struct row row;
        int64_t expires_ns;
        if (!schema_expiry_read(walk.key, &expires_ns, &expired->project, &expired->id))
            return fault(ERR_CORRUPT, "an expiry key of %zu bytes", walk.key.size);
        if (expires_ns > now_ns)
            break;
        if (get_row(view, expired->project, &expired->id, &row) != ERR_OK)
            continue; /* unreadable: store_verify's to report, not ours to remove */
        expired->is_tombstone = row.state == STREAM_DELETED && expires_ns != EXPIRY_UNFINISHED;
        *found = ++n;
    }
    return err == ERR_NOTFOUND ? ERR_OK : err;
}

enum err store_expired(
    struct store *store, int64_t now_ns, struct store_expired *out, size_t count, size_t *found)
{
    struct view *view;
    *found = 0;
    TRY(view_begin(store->tables, false, &view));
    enum err err = gather_expired(view, now_ns, out, count, found);
    view_abort(view);
    return err;
}

/* ---- Reading ---- */

enum err store_get_row(struct store *store, uint32_t project, const struct id *id, struct buf *out)
{
    struct view *view;
    struct slice content;
    TRY(view_begin(store->tables, false, &view));
    enum err err = get_content(view, TABLE_ROWS, schema_row(project, id), &content);
    if (err == ERR_OK)
        err = buf_append(out, content);
    view_abort(view);
    return err;
}

enum err store_find_key(struct store *store, uint32_t project, struct slice key, struct id *out)
{
    struct view *view;
    struct schema_caller_value caller;
    TRY(view_begin(store->tables, false, &view));
    enum err err = get_caller(view, project, key, &caller);
    view_abort(view);
    TRY(err);
    *out = caller.id;
    return ERR_OK;
}

enum err store_get_block(struct store *store, struct block_codec *codec, uint32_t project,
    uint64_t number, uint64_t seq, uint32_t part, struct block **out)
{
    struct view *view;
    TRY(view_begin(store->tables, false, &view));
    struct shelf shelf = {view, codec, NULL, project, number};
    enum err err = shelf_get(&shelf, TABLE_BLOCKS, (struct block_position){seq, part}, out);
    view_abort(view);
    return err;
}

enum err store_get_body(struct store *store, struct block_codec *codec, uint32_t project,
    uint64_t number, uint64_t offset, struct buf *out)
{
    struct view *view;
    TRY(view_begin(store->tables, false, &view));
    struct shelf shelf = {view, codec, NULL, project, number};
    enum err err = shelf_get_body(&shelf, offset, out);
    view_abort(view);
    return err;
}

enum err store_get_aside(struct store *store, struct block_codec *codec, uint32_t project,
    uint64_t number, uint32_t index, uint64_t *before_seq, struct buf *out)
{
    struct view *view;
    TRY(view_begin(store->tables, false, &view));
    struct shelf shelf = {view, codec, NULL, project, number};
    enum err err = shelf_get_aside(&shelf, index, before_seq, out);
    view_abort(view);
    return err;
}

enum err store_project_number(struct store *store, struct slice name, uint32_t *out)
{
    struct view *view;
    struct slice content;
    if (name.size > PROJECT_NAME_BYTES_MAX)
        return ERR_NOTFOUND;
    TRY(view_begin(store->tables, false, &view));
    enum err err = get_content(view, TABLE_META, schema_project_name(name), &content);
    if (err == ERR_OK && content.size != 4)
        err = fault(ERR_CORRUPT, "a project's number has %zu bytes", content.size);
    if (err == ERR_OK)
        *out = unpack_u32(content.data);
    view_abort(view);
    return err;
}

enum err store_project_walk(struct store *store,
    enum err (*visit)(void *context, uint32_t number, struct slice name), void *context)
{
    struct view *view;
    TRY(view_begin(store->tables, false, &view));
    enum err err = listing_projects(view, visit, context);
    view_abort(view);
    return err;
}

enum err store_list(struct store *store, uint32_t project, const struct id *before, size_t rows_max,
    enum err (*visit)(void *context, const struct row *row), void *context)
{
    struct view *view;
    TRY(view_begin(store->tables, false, &view));
    enum err err =
        listing_rows(view, project, before, &(struct listing_visit){rows_max, visit, context});
    view_abort(view);
    return err;
}

enum err store_verify(struct store *store,
    void (*report)(void *context, const struct id *id, const char *what),
    void (*progress)(void *context, uint64_t done, uint64_t total), void *context)
{
    struct verify_sink sink = {report, progress, context};
    return verify_tables(store->tables, &sink);
}
