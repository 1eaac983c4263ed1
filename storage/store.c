/* store — see store.h; the picture of the tables is schema.h's. This file opens and closes, begins
 * and commits; it leaves rows and what leads to them to roll.c, what a stream has to shelf.c, lists
 * to listing.c, checking to verify.c, LMDB to table.c. */
#include "storage/store.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "protocol/base/own.h"
#include "storage/audit.h"
#include "storage/audit_key.h"
#include "storage/evict.h"
#include "storage/listing.h"
#include "storage/roll.h"
#include "storage/shelf.h"
#include "storage/table.h"
#include "storage/verify.h"

enum {
    UUID_BYTES = 16,
    VALUE_BYTES_MAX = 32 * 1024, /* of a sealed value; rows and blocks are half of it at most */
};

struct store {
    struct tables *tables;
    struct block_codec *codec; /* the writer's */
    struct block_cache *cache; /* borrowed; or NULL */
    uint8_t uuid[UUID_BYTES];
    uint8_t audit_key[ED25519_BYTES];
    bool has_audit_key;
    atomic_uint_fast64_t absorbed_lsn;
    uint64_t closed_lsn;
};

struct store_txn {
    struct store *store;
    struct view *view;
    struct buf value; /* what is being put */
};

/* ---- Small values ---- */

static struct roll roll_of(struct store_txn *txn)
{
    return (struct roll){txn->view, &txn->value};
}

/* A number among the meta values; 0 if there is none. */
static enum err get_meta(struct view *view, const char *name, size_t size, uint64_t *out)
{
    struct slice content;
    enum err err = content_get(view, TABLE_META, schema_meta(name), &content);
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
    struct roll roll = roll_of(txn);
    pack_u32(bytes, value);
    return content_put_small(&roll, TABLE_META, schema_meta(name), slice_of(bytes, sizeof bytes));
}

static enum err put_meta_u64(struct store_txn *txn, const char *name, uint64_t value)
{
    uint8_t bytes[8];
    struct roll roll = roll_of(txn);
    pack_u64(bytes, value);
    return content_put_small(&roll, TABLE_META, schema_meta(name), slice_of(bytes, sizeof bytes));
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
    struct roll roll = roll_of(txn);
    enum err err = put_meta_u32(txn, META_FORMAT, SCHEMA_FORMAT);
    if (err == ERR_OK)
        err = content_put_small(
            &roll, TABLE_META, schema_meta(META_UUID), slice_of(uuid, sizeof uuid));
    if (err != ERR_OK) {
        store_abort(txn);
        return err;
    }
    return store_commit(txn, 0);
}

static enum err read_identity(struct store *store, struct view *view)
{
    struct slice uuid;
    uint64_t format = 0, absorbed = 0, closed = 0;
    TRY(get_meta(view, META_FORMAT, 4, &format));
    if (format == 0)
        return ERR_NOTFOUND;
    if (format > SCHEMA_FORMAT)
        return fault(ERR_UNSUPPORTED, "the store has format %u, this program knows up to %u",
            (unsigned)format, SCHEMA_FORMAT);
    TRY(content_get(view, TABLE_META, schema_meta(META_UUID), &uuid));
    if (uuid.size != UUID_BYTES)
        return fault(ERR_CORRUPT, "the store's UUID has %zu bytes", uuid.size);
    memcpy(store->uuid, uuid.data, UUID_BYTES);
    TRY(get_meta(view, META_ABSORBED, 8, &absorbed));
    TRY(get_meta(view, META_CLOSED, 8, &closed));
    atomic_store(&store->absorbed_lsn, absorbed);
    store->closed_lsn = closed;
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

/* One who only reads does without: it matters to signing alone. */
static enum err open_audit_key(struct store *store, const char *path, bool read_only)
{
    if (!read_only)
        TRY(audit_key_open(path, store->audit_key));
    store->has_audit_key = !read_only || audit_key_read(path, store->audit_key) == ERR_OK;
    return ERR_OK;
}

enum err store_audit_key(const struct store *store, uint8_t out[ED25519_BYTES])
{
    if (!store->has_audit_key)
        return ERR_NOTFOUND;
    memcpy(out, store->audit_key, ED25519_BYTES);
    return ERR_OK;
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
    if (err == ERR_OK)
        err = open_audit_key(store, path, read_only);
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

void store_set_cache(struct store *store, struct block_cache *cache)
{
    store->cache = cache;
}

void store_uuid(const struct store *store, uint8_t out[16])
{
    memcpy(out, store->uuid, UUID_BYTES);
}

enum err store_failure(const struct store *store)
{
    return tables_failure(store->tables);
}

uint64_t store_absorbed_lsn(const struct store *store)
{
    return atomic_load(&store->absorbed_lsn);
}

static enum err raise_epoch(struct store_txn *txn, uint32_t *epoch)
{
    uint64_t before = 0;
    TRY(get_meta(txn->view, META_EPOCH, 4, &before));
    if (before == UINT32_MAX)
        return fault(ERR_CORRUPT, "the boot epoch is at its end");
    *epoch = (uint32_t)before + 1;
    if (txn->store->closed_lsn)
        TRY(put_meta_u64(txn, META_CLOSED, 0));
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

uint64_t store_closed_lsn(const struct store *store)
{
    return store->closed_lsn;
}

enum err store_mark_closed(struct store *store, uint64_t lsn)
{
    struct store_txn *txn = NULL;
    TRY(store_begin(store, &txn));
    enum err err = put_meta_u64(txn, META_CLOSED, lsn);
    if (err == ERR_OK)
        return store_commit(txn, 0);
    store_abort(txn);
    return err;
}

void store_size(const struct store *store, struct store_size *out)
{
    struct tables_size size;
    *out = (struct store_size){0};
    if (tables_size(store->tables, &size) == ERR_OK)
        *out = (struct store_size){
            size.file_bytes, size.used_bytes, size.entries[TABLE_ROWS], size.map_bytes};
}

enum err store_read_absorbed(struct store *store, uint64_t *out)
{
    struct view *view;
    TRY(view_begin(store->tables, false, &view));
    enum err err = get_meta(view, META_ABSORBED, 8, out);
    view_abort(view);
    return err;
}

enum err store_copy(struct store *store, int fd, bool is_compact)
{
    return tables_copy(store->tables, fd, is_compact);
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

/* ---- What a stream has ---- */

enum err store_put_row(struct store_txn *txn, struct slice encoded_row)
{
    struct roll roll = roll_of(txn);
    return roll_put_row(&roll, encoded_row);
}

static enum err is_deleted_stream(
    struct store_txn *txn, uint32_t project, uint64_t number, bool *out)
{
    struct roll roll = roll_of(txn);
    return roll_is_deleted(&roll, project, number, out);
}

static struct shelf shelf_of(struct store_txn *txn, uint32_t project, uint64_t number)
{
    return (struct shelf){txn->view, txn->store->codec, &txn->value, project, number};
}

static struct audit audit_of(struct store_txn *txn)
{
    return (struct audit){txn->view, txn->store->codec, &txn->value};
}

enum err store_close_stream(struct store_txn *txn, struct slice encoded_row)
{
    struct audit audit = audit_of(txn);
    return audit_close(&audit, encoded_row);
}

enum err store_put_blocks(
    struct store_txn *txn, uint32_t project, uint64_t number, const struct block_run *run)
{
    bool is_deleted;
    struct audit audit = audit_of(txn);
    TRY(audit_absorb(&audit, project, number, run));
    TRY(is_deleted_stream(txn, project, number, &is_deleted));
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

enum err store_put_body(
    struct store_txn *txn, uint32_t project, uint64_t number, uint64_t offset, struct slice piece)
{
    bool is_deleted;
    TRY(is_deleted_stream(txn, project, number, &is_deleted));
    if (is_deleted)
        return ERR_OK;
    struct shelf shelf = shelf_of(txn, project, number);
    return shelf_put_body(&shelf, offset, piece);
}

enum err store_put_aside(struct store_txn *txn, uint32_t project, uint64_t number, uint32_t index,
    uint64_t before_seq, struct slice event)
{
    bool is_deleted;
    TRY(is_deleted_stream(txn, project, number, &is_deleted));
    if (is_deleted)
        return ERR_OK;
    struct shelf shelf = shelf_of(txn, project, number);
    return shelf_put_aside(&shelf, index, before_seq, event);
}

/* ---- Deleting ---- */

enum err store_delete(
    struct store_txn *txn, const struct store_deletion *deletion, size_t *values_left)
{
    struct roll roll = roll_of(txn);
    uint64_t number;
    struct audit audit = audit_of(txn);
    TRY(roll_bury(&roll, deletion, &number));
    block_cache_forget(txn->store->cache, number);
    TRY(audit_bury(&audit, number, deletion));
    struct shelf shelf = shelf_of(txn, deletion->project, number);
    TRY(shelf_clear(&shelf, values_left));
    return roll_rest(&roll, deletion->project, &deletion->id);
}

enum err store_drop_row(struct store_txn *txn, uint32_t project, const struct id *id)
{
    struct roll roll = roll_of(txn);
    return roll_drop_row(&roll, project, id);
}

enum err store_expired(
    struct store *store, int64_t now_ns, struct store_expired *out, size_t count, size_t *found)
{
    struct view *view;
    *found = 0;
    TRY(view_begin(store->tables, false, &view));
    enum err err = roll_expired(view, now_ns, out, count, found);
    view_abort(view);
    return err;
}

enum err store_over(struct store *store, int64_t now_ns, size_t rows_max,
    enum err (*visit)(void *context, const struct row *row), void *context)
{
    struct view *view;
    TRY(view_begin(store->tables, false, &view));
    enum err err = roll_over(view, now_ns, rows_max, visit, context);
    view_abort(view);
    return err;
}

enum err store_amend(struct store_txn *txn, const struct store_amendment *amendment)
{
    struct roll roll = roll_of(txn);
    return roll_amend(&roll, amendment);
}

static_assert((int)DAMAGE_TEXT_BYTES == (int)SHELF_DAMAGE_BYTES, "one text");

enum err store_mark_damage(struct store_txn *txn, uint32_t project, uint64_t number,
    struct slice damage, struct id *id, bool *is_news)
{
    struct roll roll = roll_of(txn);
    return roll_mark_damage(&roll, project, number, damage, id, is_news);
}

enum err store_damage_of(
    struct store_txn *txn, uint32_t project, uint64_t number, char what[DAMAGE_TEXT_BYTES])
{
    struct shelf shelf = shelf_of(txn, project, number);
    enum err err = shelf_check(&shelf, what);
    if (err == ERR_OK)
        return ERR_NOTFOUND;
    return err == ERR_CORRUPT && what[0] ? ERR_OK : err;
}

enum err store_oldest(struct store *store, struct id *after, struct store_expired *out,
    size_t count, size_t *found, bool *is_end)
{
    struct view *view;
    *found = 0;
    TRY(view_begin(store->tables, false, &view));
    enum err err = evict_find(view, after, out, count, found, is_end);
    view_abort(view);
    return err;
}

struct tables *store_tables(struct store *store)
{
    return store->tables;
}

/* ---- Reading ---- */

enum err store_get_row(struct store *store, uint32_t project, const struct id *id, struct buf *out)
{
    struct view *view;
    struct slice content;
    TRY(view_begin(store->tables, false, &view));
    enum err err = content_get(view, TABLE_ROWS, schema_row(project, id), &content);
    if (err == ERR_OK)
        err = buf_append(out, content);
    view_abort(view);
    return err;
}

static enum err find_caller(
    struct store *store, uint32_t project, struct slice key, struct schema_caller_value *out)
{
    struct view *view;
    TRY(view_begin(store->tables, false, &view));
    enum err err = roll_find_caller(view, project, key, out);
    view_abort(view);
    return err;
}

enum err store_find_key(struct store *store, uint32_t project, struct slice key, struct id *out)
{
    struct schema_caller_value caller;
    TRY(find_caller(store, project, key, &caller));
    *out = caller.id;
    return ERR_OK;
}

enum err store_newest_attempt(
    struct store *store, uint32_t project, struct slice key, uint32_t *attempt)
{
    struct schema_caller_value caller;
    TRY(find_caller(store, project, key, &caller));
    *attempt = caller.attempt;
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
    enum err err = content_get(view, TABLE_META, schema_project_name(name), &content);
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
