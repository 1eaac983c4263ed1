/* roll — see roll.h.
 *
 *   put_row    rows, and of a new stream numbers, keys, its project; expiry of an ended one
 *   amend      row and expiry; a row that is put later keeps it
 *   bury       row → tombstone, number → deleted, expiry → 0: due at once, until…
 *   rest       …its values are gone: expiry → the tombstone's own
 *   drop_row   row, number, key, expiry: all gone                                            */
#include "storage/roll.h"

#include <string.h>

#include "protocol/base/own.h"
#include "storage/bounds.h"

enum { EXPIRY_UNFINISHED = 0 /* the time of an entry whose deletion is under way */ };

enum err content_get(struct view *view, enum table table, struct schema_key key, struct slice *out)
{
    struct slice value;
    TRY(view_get(view, table, key, &value));
    return value_open(value, out);
}

enum err content_put(
    const struct roll *roll, enum table table, struct schema_key key, struct slice content)
{
    TRY(value_seal(&content, 1, roll->value));
    return view_put(roll->view, table, key, buf_slice(roll->value));
}

enum err content_put_small(
    const struct roll *roll, enum table table, struct schema_key key, struct slice content)
{
    TRY(value_seal(&content, 1, roll->value));
    return view_put_small(roll->view, table, key, buf_slice(roll->value));
}

/* The decoded row; its slices are borrowed from the view. */
static enum err get_row(struct view *view, uint32_t project, const struct id *id, struct row *out)
{
    struct slice content;
    TRY(content_get(view, TABLE_ROWS, schema_row(project, id), &content));
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
    const struct roll *roll, int64_t expires_ns, uint32_t project, const struct id *id)
{
    struct schema_key key = schema_expiry(expires_ns, project, id);
    return view_put_small(roll->view, TABLE_EXPIRY, key, SLICE_NONE);
}

static enum err remove_expiry(
    const struct roll *roll, int64_t expires_ns, uint32_t project, const struct id *id)
{
    return view_remove(roll->view, TABLE_EXPIRY, schema_expiry(expires_ns, project, id));
}

static enum err put_number(const struct roll *roll, const struct row *row, bool is_deleted)
{
    uint8_t content[SCHEMA_NUMBER_VALUE_BYTES];
    memcpy(content, row->id.bytes, ID_BYTES);
    content[ID_BYTES] = is_deleted;
    return content_put_small(roll, TABLE_NUMBERS, schema_number(row->project, row->number),
        slice_of(content, sizeof content));
}

enum err roll_is_deleted(const struct roll *roll, uint32_t project, uint64_t number, bool *out)
{
    struct slice content;
    *out = false;
    enum err err = content_get(roll->view, TABLE_NUMBERS, schema_number(project, number), &content);
    if (err == ERR_NOTFOUND)
        return ERR_OK;
    TRY(err);
    struct id id;
    if (!schema_number_value_read(content, &id, out))
        return fault(ERR_CORRUPT, "a stream number's value has %zu bytes", content.size);
    return ERR_OK;
}

enum err roll_find_caller(
    struct view *view, uint32_t project, struct slice key, struct schema_caller_value *out)
{
    struct slice content;
    TRY(content_get(view, TABLE_KEYS, schema_caller(project, key), &content));
    if (!schema_caller_value_read(content, out))
        return fault(ERR_CORRUPT, "a key's value has %zu bytes", content.size);
    return slice_equal(out->key, key) ? ERR_OK : ERR_NOTFOUND;
}

/* Point a key of the row's at it, unless that points at a later attempt. */
static enum err put_caller(const struct roll *roll, const struct row *row, struct slice key)
{
    struct schema_caller_value stored;
    enum err err = roll_find_caller(roll->view, row->project, key, &stored);
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
    struct slice parts[] = {slice_of(head, sizeof head), key};
    TRY(value_seal(parts, 2, roll->value));
    return view_put(
        roll->view, TABLE_KEYS, schema_caller(row->project, key), buf_slice(roll->value));
}

/* Forget a key of the row's if it means this stream. */
static enum err remove_caller(const struct roll *roll, const struct row *row, struct slice key)
{
    struct schema_caller_value caller;
    enum err err = roll_find_caller(roll->view, row->project, key, &caller);
    if (err == ERR_NOTFOUND || (err == ERR_OK && !id_equal(&caller.id, &row->id)))
        return ERR_OK;
    TRY(err);
    return view_remove(roll->view, TABLE_KEYS, schema_caller(row->project, key));
}

/* ---- The key that an upstream_id is ---- */

struct upstream_key {
    uint8_t bytes[KEY_BYTES_MAX];
    size_t size; /* 0: there is none, or it is too long to be one */
};

static struct upstream_key upstream_key_of(const struct row *row)
{
    struct upstream_key key = {.size = 0};
    if (row->upstream_id.size == 0 || row->upstream_id.size >= sizeof key.bytes)
        return key;
    key.bytes[0] = KEY_SPACE_UPSTREAM;
    memcpy(key.bytes + 1, row->upstream_id.data, row->upstream_id.size);
    key.size = 1 + row->upstream_id.size;
    return key;
}

static enum err put_upstream(const struct roll *roll, const struct row *row)
{
    struct upstream_key key = upstream_key_of(row);
    return key.size ? put_caller(roll, row, slice_of(key.bytes, key.size)) : ERR_OK;
}

/* A later version may be the first with a key (storage_replace), and have another upstream_id, or be the
 * first with one. */
static enum err move_names(const struct roll *roll, const struct row *stored, const struct row *row)
{
    struct upstream_key old = upstream_key_of(stored); /* before the table is written to */
    bool is_moved = !slice_equal(stored->upstream_id, row->upstream_id);
    if (stored->key.size == 0 && row->key.size)
        TRY(put_caller(roll, row, row->key));
    if (!is_moved)
        return ERR_OK;
    if (old.size)
        TRY(remove_caller(roll, row, slice_of(old.bytes, old.size)));
    return put_upstream(roll, row);
}

static enum err put_project(const struct roll *roll, const struct row *row)
{
    struct slice known;
    struct schema_key key = schema_project(row->project);
    enum err err = content_get(roll->view, TABLE_META, key, &known);
    if (err != ERR_NOTFOUND)
        return err;
    if (row->project_name.size > PROJECT_NAME_BYTES_MAX)
        return fault(ERR_CORRUPT, "a project's name has %zu bytes", row->project_name.size);
    uint8_t number[4];
    pack_u32(number, row->project);
    TRY(content_put(roll, TABLE_META, key, row->project_name));
    return content_put(
        roll, TABLE_META, schema_project_name(row->project_name), slice_of(number, sizeof number));
}

/* The indexes of a stream that the store sees for the first time. */
static enum err put_new_stream(const struct roll *roll, const struct row *row)
{
    TRY(put_project(roll, row));
    TRY(put_number(roll, row, row->state == STREAM_DELETED));
    if (row->key.size)
        TRY(put_caller(roll, row, row->key));
    return put_upstream(roll, row);
}

/* ---- What others say of a row ---- */

static bool has_amendments(const struct row *row)
{
    return row->is_held || row->touched_ns || row->damage.size;
}

/* A row with its amendments may be too long; they are worth more than what is for people only. */
static enum err encode_amended(const struct row *row, struct buf *out)
{
    struct row shorter = *row;
    struct slice *spare[] = {&shorter.detail, &shorter.metadata, &shorter.head};
    enum err err = row_encode(&shorter, out);
    for (size_t i = 0; err == ERR_LIMIT && i < sizeof spare / sizeof spare[0]; i++) {
        *spare[i] = SLICE_NONE;
        err = row_encode(&shorter, out);
    }
    return err;
}

/* `row` with the amendments of `stored`, in `bytes`, to which it then points. */
static enum err carry_amendments(struct row *row, const struct row *stored, struct buf *bytes)
{
    struct row amended = *row;
    amended.is_held = stored->is_held;
    amended.damage = stored->damage;
    if (stored->touched_ns > amended.touched_ns)
        amended.touched_ns = stored->touched_ns;
    TRY(encode_amended(&amended, bytes));
    return row_decode(buf_slice(bytes), row);
}

static void amend_row(struct row *row, const struct store_amendment *amendment)
{
    switch (amendment->kind) {
    case AMEND_HOLD: row->is_held = true; return;
    case AMEND_RELEASE: row->is_held = false; return;
    case AMEND_TOUCH:
        if (amendment->time_ns > row->touched_ns)
            row->touched_ns = amendment->time_ns;
        return;
    case AMEND_DAMAGE:
        if (row->damage.size == 0)
            row->damage = amendment->damage;
        return;
    }
}

static enum err move_expiry(const struct roll *roll, int64_t from_ns, const struct row *row)
{
    int64_t to_ns = row_expires_ns(row);
    if (from_ns == to_ns)
        return ERR_OK;
    if (from_ns)
        TRY(remove_expiry(roll, from_ns, row->project, &row->id));
    return to_ns ? put_expiry(roll, to_ns, row->project, &row->id) : ERR_OK;
}

enum err roll_amend(const struct roll *roll, const struct store_amendment *amendment)
{
    CLEANUP(buf_deinit) struct buf bytes;
    struct row row, amended;
    buf_init(&bytes, ROW_BYTES_MAX);
    TRY(get_row(roll->view, amendment->project, &amendment->id, &row));
    if (row.state == STREAM_DELETED)
        return ERR_NOTFOUND;
    int64_t expires_ns = row_expires_ns(&row);
    amend_row(&row, amendment);
    TRY(encode_amended(&row, &bytes));
    TRY(row_decode(buf_slice(&bytes), &amended)); /* what `row` borrows ends with the first write */
    TRY(content_put_small(
        roll, TABLE_ROWS, schema_row(amended.project, &amended.id), buf_slice(&bytes)));
    return move_expiry(roll, expires_ns, &amended);
}

/* What a number leads to is damage itself where it cannot be read: there is nothing to mark then. */
static enum err find_number(
    const struct roll *roll, uint32_t project, uint64_t number, struct id *id, bool *is_deleted)
{
    struct slice content;
    enum err err = content_get(roll->view, TABLE_NUMBERS, schema_number(project, number), &content);
    if (err == ERR_CORRUPT || (err == ERR_OK && !schema_number_value_read(content, id, is_deleted)))
        return ERR_NOTFOUND;
    return err;
}

enum err roll_mark_damage(const struct roll *roll, uint32_t project, uint64_t number,
    struct slice damage, struct id *id, bool *is_news)
{
    bool is_deleted;
    struct row row;
    struct store_amendment amendment = {.kind = AMEND_DAMAGE, .project = project, .damage = damage};
    TRY(find_number(roll, project, number, &amendment.id, &is_deleted));
    enum err err = get_row(roll->view, project, &amendment.id, &row);
    if (err == ERR_CORRUPT || is_deleted)
        return ERR_NOTFOUND;
    TRY(err);
    bool was_known = row.damage.size > 0;
    if (!was_known)
        TRY(roll_amend(roll, &amendment));
    *id = amendment.id;
    *is_news = !was_known;
    return ERR_OK;
}

/* ---- Putting ---- */

static enum err put_version(const struct roll *roll, const struct row *row, struct slice encoded)
{
    TRY(content_put(roll, TABLE_ROWS, schema_row(row->project, &row->id), encoded));
    return row->state == STREAM_DELETED ? put_number(roll, row, true) : ERR_OK;
}

enum err roll_put_row(const struct roll *roll, struct slice encoded_row)
{
    CLEANUP(buf_deinit) struct buf amended;
    struct row row, stored;
    buf_init(&amended, ROW_BYTES_MAX);
    TRY(row_decode(encoded_row, &row));
    enum err err = get_row(roll->view, row.project, &row.id, &stored);
    if (err == ERR_NOTFOUND || err == ERR_CORRUPT) { /* a damaged one is mended by the new one */
        TRY(content_put(roll, TABLE_ROWS, schema_row(row.project, &row.id), encoded_row));
        TRY(put_new_stream(roll, &row));
        return move_expiry(roll, 0, &row);
    }
    TRY(err);
    if (!row_is_newer(&row, &stored))
        return ERR_OK;
    int64_t expires_ns = row_expires_ns(&stored);
    if (has_amendments(&stored)) {
        TRY(carry_amendments(&row, &stored, &amended));
        encoded_row = buf_slice(&amended);
    }
    TRY(move_names(roll, &stored, &row));
    TRY(put_version(roll, &row, encoded_row));
    return move_expiry(roll, expires_ns, &row);
}

/* ---- Deleting ---- */

/* The row that stays: who it was, what it cost, that it is gone; nothing of its content. */
static struct row tombstone_of(const struct row *row, const struct store_deletion *deletion)
{
    struct row tombstone = *row;
    tombstone.state = STREAM_DELETED;
    tombstone.reason = deletion->reason;
    tombstone.detail = tombstone.metadata = tombstone.head = tombstone.path = SLICE_NONE;
    tombstone.damage = SLICE_NONE;
    tombstone.is_sliding = false; /* its own time runs from the deletion */
    tombstone.ended_ns = deletion->now_ns;
    tombstone.ttl_s = deletion->tombstone_ttl_s;
    return tombstone;
}

static enum err put_tombstone(
    const struct roll *roll, const struct row *row, const struct store_deletion *deletion)
{
    CLEANUP(buf_deinit) struct buf encoded;
    buf_init(&encoded, ROW_BYTES_MAX);
    struct row tombstone = tombstone_of(row, deletion);
    int64_t expires_ns = row_expires_ns(row);
    TRY(row_encode(&tombstone, &encoded));
    struct row copy; /* of what does not change when the table is written to */
    TRY(row_decode(buf_slice(&encoded), &copy));
    TRY(content_put_small(
        roll, TABLE_ROWS, schema_row(copy.project, &copy.id), buf_slice(&encoded)));
    TRY(put_number(roll, &copy, true));
    if (expires_ns)
        TRY(remove_expiry(roll, expires_ns, copy.project, &copy.id));
    return put_expiry(roll, EXPIRY_UNFINISHED, copy.project, &copy.id);
}

enum err roll_bury(const struct roll *roll, const struct store_deletion *deletion, uint64_t *number)
{
    struct row row;
    TRY(get_row(roll->view, deletion->project, &deletion->id, &row));
    if (row.is_held)
        return ERR_DENIED;
    *number = row.number; /* before the table is written to */
    return row.state == STREAM_DELETED ? ERR_OK : put_tombstone(roll, &row, deletion);
}

enum err roll_rest(const struct roll *roll, uint32_t project, const struct id *id)
{
    struct row row;
    TRY(get_row(roll->view, project, id, &row));
    int64_t expires_ns = row_expires_ns(&row);
    TRY(remove_expiry(roll, EXPIRY_UNFINISHED, project, id));
    return expires_ns ? put_expiry(roll, expires_ns, project, id) : ERR_OK;
}

enum err roll_drop_row(const struct roll *roll, uint32_t project, const struct id *id)
{
    struct row row;
    TRY(get_row(roll->view, project, id, &row));
    if (row.state != STREAM_DELETED)
        return ERR_INVALID;
    uint64_t number = row.number;
    int64_t expires_ns = row_expires_ns(&row);
    struct upstream_key upstream = upstream_key_of(&row); /* before the table is written to */
    if (row.key.size)
        TRY(remove_caller(roll, &row, row.key));
    if (upstream.size)
        TRY(remove_caller(roll, &row, slice_of(upstream.bytes, upstream.size)));
    if (expires_ns)
        TRY(remove_expiry(roll, expires_ns, project, id));
    TRY(remove_expiry(roll, EXPIRY_UNFINISHED, project, id));
    TRY(view_remove(roll->view, TABLE_NUMBERS, schema_number(project, number)));
    TRY(view_remove(roll->view, TABLE_CHAINS, schema_number(project, number)));
    return view_remove(roll->view, TABLE_ROWS, schema_row(project, id));
}

/* The next row whose time is over, from where `walk` is. ERR_NOTFOUND: there is none. */
static enum err next_expired(
    struct walk *walk, bool is_first, int64_t now_ns, struct row *row, int64_t *expires_ns)
{
    enum err err = is_first ? walk_first(walk) : walk_next(walk);
    for (; err == ERR_OK; err = walk_next(walk)) {
        uint32_t project;
        struct id id;
        if (!schema_expiry_read(walk->key, expires_ns, &project, &id))
            return fault(ERR_CORRUPT, "an expiry key of %zu bytes", walk->key.size);
        if (*expires_ns > now_ns)
            return ERR_NOTFOUND;
        if (get_row(walk->view, project, &id, row) == ERR_OK)
            return ERR_OK; /* unreadable: store_verify's to report, not ours to remove */
    }
    return err;
}

enum err roll_expired(
    struct view *view, int64_t now_ns, struct store_expired *out, size_t count, size_t *found)
{
    CLEANUP(walk_end) struct walk walk = {0};
    TRY(walk_begin(view, TABLE_EXPIRY, (struct schema_key){.size = 0}, &walk));
    enum err err = ERR_OK;
    struct row row;
    int64_t expires_ns;
    for (bool is_first = true; *found < count; is_first = false) {
        err = next_expired(&walk, is_first, now_ns, &row, &expires_ns);
        if (err != ERR_OK)
            break;
        if (stream_state_is_live(row.state))
            continue;
        out[(*found)++] = (struct store_expired){
            row.project, row.id, row.state == STREAM_DELETED && expires_ns != EXPIRY_UNFINISHED};
    }
    return err == ERR_NOTFOUND ? ERR_OK : err;
}

enum err roll_over(struct view *view, int64_t now_ns, size_t rows_max,
    enum err (*visit)(void *context, const struct row *row), void *context)
{
    CLEANUP(walk_end) struct walk walk = {0};
    TRY(walk_begin(view, TABLE_EXPIRY, (struct schema_key){.size = 0}, &walk));
    enum err err = ERR_OK;
    struct row row;
    int64_t expires_ns;
    for (bool is_first = true; err == ERR_OK && rows_max > 0; is_first = false) {
        err = next_expired(&walk, is_first, now_ns, &row, &expires_ns);
        if (err != ERR_OK || !stream_state_is_live(row.state))
            continue;
        err = visit(context, &row);
        rows_max--;
    }
    return err == ERR_NOTFOUND ? ERR_OK : err;
}
