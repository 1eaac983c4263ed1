/* row — one table says which kind of field each key is; encoding and decoding walk it.
 *
 *     map { key: value, … }     ID 16 bytes · TEXT str · BYTES bin · numbers int · BOOL bool
 *
 * A field with its zero value is left out. Keys are never reused: a field that goes leaves a hole,
 * and a new one takes the next number at the end. */
#include "protocol/data/row.h"

#include <assert.h>
#include <string.h>

#include "protocol/data/attempt.h"
#include "protocol/data/member.h"
#include "protocol/data/pack.h"

enum {
    NS_PER_S = 1000000000,
    ROW_KEYS_MAX = 64,     /* a bit each while decoding */
    ROW_UNKNOWN_MAX = 256, /* members of later versions; a bound on the skipping */
};

enum row_kind {
    ROW_NONE,
    ROW_ID,
    ROW_TEXT,
    ROW_BYTES,
    ROW_U64,
    ROW_U32,
    ROW_I64,
    ROW_BOOL,
    ROW_STATE
};

struct row_field {
    enum row_kind kind; /* ROW_NONE: a hole */
    size_t offset;
};

#define FIELD(key, kind, member) [key] = {kind, offsetof(struct row, member)}
static const struct row_field row_fields[] = {
    FIELD(1, ROW_ID, id),
    FIELD(2, ROW_U64, number),
    FIELD(3, ROW_U32, project),
    FIELD(4, ROW_U32, attempt),
    FIELD(5, ROW_ID, previous),
    FIELD(6, ROW_STATE, state),
    FIELD(7, ROW_BOOL, is_streamed),
    FIELD(8, ROW_BOOL, is_sse),
    FIELD(9, ROW_TEXT, project_name),
    FIELD(10, ROW_TEXT, key),
    FIELD(11, ROW_BYTES, fingerprint),
    FIELD(12, ROW_TEXT, method),
    FIELD(13, ROW_TEXT, path),
    FIELD(14, ROW_TEXT, dialect),
    FIELD(15, ROW_TEXT, model),
    FIELD(16, ROW_TEXT, provider),
    FIELD(17, ROW_TEXT, metadata),
    FIELD(18, ROW_I64, accepted_ns),
    FIELD(19, ROW_I64, dispatched_ns),
    FIELD(20, ROW_I64, first_event_ns),
    FIELD(21, ROW_I64, last_event_ns),
    FIELD(22, ROW_I64, ended_ns),
    FIELD(23, ROW_I64, ttl_s),
    FIELD(24, ROW_U32, status),
    FIELD(25, ROW_TEXT, content_type),
    FIELD(26, ROW_BYTES, head),
    FIELD(27, ROW_I64, content_length),
    FIELD(28, ROW_U64, events),
    FIELD(29, ROW_U64, bytes),
    FIELD(30, ROW_U64, request_bytes),
    FIELD(31, ROW_TEXT, finish_reason),
    FIELD(32, ROW_TEXT, reason),
    FIELD(33, ROW_TEXT, detail),
    FIELD(34, ROW_I64, usage.input),
    FIELD(35, ROW_I64, usage.output),
    FIELD(36, ROW_I64, usage.cached),
    FIELD(37, ROW_I64, usage.reasoning),
    FIELD(38, ROW_I64, usage.total),
    FIELD(39, ROW_BOOL, is_held),
    FIELD(40, ROW_TEXT, damage),
    FIELD(41, ROW_BOOL, is_sliding),
    FIELD(42, ROW_I64, touched_ns),
    FIELD(43, ROW_TEXT, provider_dialect),
    FIELD(44, ROW_BYTES, attempts),
    FIELD(45, ROW_BOOL, is_appended),
    FIELD(46, ROW_BYTES, writer_state),
    FIELD(47, ROW_TEXT, run),
    FIELD(48, ROW_TEXT, step),
    FIELD(49, ROW_TEXT, upstream_id),
    FIELD(50, ROW_BOOL, is_kept_upstream),
    FIELD(51, ROW_U64, upload_bytes),
    FIELD(52, ROW_BYTES, upload_digest),
};
#undef FIELD
enum { ROW_FIELDS = sizeof row_fields / sizeof row_fields[0] };
static_assert((int)ROW_FIELDS <= (int)ROW_KEYS_MAX, "a bit for each key");

static const char *const state_names[] = {
    [STREAM_ACCEPTED] = "accepted",
    [STREAM_STREAMING] = "streaming",
    [STREAM_COMPLETED] = "completed",
    [STREAM_FAILED] = "failed",
    [STREAM_STOPPED] = "stopped",
    [STREAM_INTERRUPTED] = "interrupted",
    [STREAM_DELETED] = "deleted",
};

const char *stream_state_name(enum stream_state state)
{
    ASSERT(state <= STREAM_DELETED);
    return state_names[state];
}

bool stream_state_is_live(enum stream_state state)
{
    return state == STREAM_ACCEPTED || state == STREAM_STREAMING;
}

enum err stream_state_parse(struct slice name, enum stream_state *out)
{
    for (unsigned state = STREAM_ACCEPTED; state <= STREAM_DELETED; state++)
        if (slice_equal(name, slice_text(state_names[state]))) {
            *out = (enum stream_state)state;
            return ERR_OK;
        }
    return ERR_INVALID;
}

/* ---- encoding ---- */

static const void *field_const(const struct row *row, const struct row_field *field)
{
    return (const uint8_t *)row + field->offset;
}

static void *field_of(struct row *row, const struct row_field *field)
{
    return (uint8_t *)row + field->offset;
}

static bool field_is_zero(const struct row *row, const struct row_field *field)
{
    static const struct id id_none;
    const void *at = field_const(row, field);
    switch (field->kind) {
    case ROW_NONE: return true;
    case ROW_ID: return id_equal(at, &id_none);
    case ROW_TEXT:
    case ROW_BYTES: return ((const struct slice *)at)->size == 0;
    case ROW_U64: return *(const uint64_t *)at == 0;
    case ROW_U32: return *(const uint32_t *)at == 0;
    case ROW_I64: return *(const int64_t *)at == 0;
    case ROW_BOOL: return !*(const bool *)at;
    case ROW_STATE: return *(const enum stream_state *)at == STREAM_ACCEPTED;
    }
    return true;
}

static void field_pack(
    struct pack_writer *writer, const struct row *row, const struct row_field *field)
{
    const void *at = field_const(row, field);
    switch (field->kind) {
    case ROW_NONE: break;
    case ROW_ID: pack_bytes(writer, id_slice(at)); break;
    case ROW_TEXT: pack_text(writer, *(const struct slice *)at); break;
    case ROW_BYTES: pack_bytes(writer, *(const struct slice *)at); break;
    case ROW_U64: pack_unsigned(writer, *(const uint64_t *)at); break;
    case ROW_U32: pack_unsigned(writer, *(const uint32_t *)at); break;
    case ROW_I64: pack_signed(writer, *(const int64_t *)at); break;
    case ROW_BOOL: pack_bool(writer, *(const bool *)at); break;
    case ROW_STATE: pack_unsigned(writer, *(const enum stream_state *)at); break;
    }
}

enum err row_encode(const struct row *row, struct buf *out)
{
    uint8_t encoded[ROW_BYTES_MAX], keys[ROW_FIELDS];
    struct pack_writer writer;
    uint32_t count = 0;
    for (size_t key = 0; key < ROW_FIELDS; key++)
        if (!field_is_zero(row, &row_fields[key]))
            keys[count++] = (uint8_t)key;
    pack_writer_init(&writer, encoded, sizeof encoded);
    pack_map(&writer, count);
    for (uint32_t i = 0; i < count; i++) {
        pack_unsigned(&writer, keys[i]);
        field_pack(&writer, row, &row_fields[keys[i]]);
    }
    if (writer.is_full)
        return ERR_LIMIT;
    return buf_append(out, slice_of(encoded, writer.size));
}

/* ---- decoding ---- */

static enum err read_id(struct slice *input, struct id *out)
{
    struct slice bytes;
    TRY(pack_read_bytes(input, &bytes));
    if (bytes.size != ID_BYTES)
        return fault(ERR_CORRUPT, "row: an ID of %zu bytes", bytes.size);
    memcpy(out->bytes, bytes.data, ID_BYTES);
    return ERR_OK;
}

static enum err read_small(struct slice *input, uint32_t max, uint32_t *out)
{
    uint64_t number;
    TRY(pack_read_unsigned(input, max, &number));
    *out = (uint32_t)number;
    return ERR_OK;
}

static enum err field_read(struct slice *input, struct row *row, const struct row_field *field)
{
    void *at = field_of(row, field);
    uint32_t state;
    switch (field->kind) {
    case ROW_ID: return read_id(input, at);
    case ROW_TEXT:
    case ROW_BYTES: return pack_read_bytes(input, at);
    case ROW_U64: return pack_read_unsigned(input, UINT64_MAX, at);
    case ROW_U32: return read_small(input, UINT32_MAX, at);
    case ROW_I64: return pack_read_signed(input, at);
    case ROW_BOOL: return pack_read_bool(input, at);
    case ROW_NONE:
    case ROW_STATE: break;
    }
    TRY(read_small(input, STREAM_DELETED, &state));
    *(enum stream_state *)at = (enum stream_state)state;
    return ERR_OK;
}

static enum err read_member(struct slice *input, struct row *row, uint64_t *seen)
{
    uint64_t key;
    TRY(pack_read_unsigned(input, UINT64_MAX, &key));
    if (key >= ROW_FIELDS || row_fields[key].kind == ROW_NONE)
        return pack_skip(input);
    if (*seen >> key & 1)
        return fault(ERR_CORRUPT, "row: key %u twice", (unsigned)key);
    *seen |= (uint64_t)1 << key;
    return field_read(input, row, &row_fields[key]);
}

enum err row_decode(struct slice bytes, struct row *out)
{
    struct row row = {0};
    uint64_t seen = 0;
    uint32_t count;
    if (bytes.size > ROW_BYTES_MAX)
        return fault(ERR_CORRUPT, "row: %zu bytes", bytes.size);
    TRY(pack_read_map(&bytes, &count));
    if (count > ROW_FIELDS + ROW_UNKNOWN_MAX)
        return fault(ERR_CORRUPT, "row: %u members", count);
    for (uint32_t i = 0; i < count; i++)
        TRY(read_member(&bytes, &row, &seen));
    if (bytes.size > 0)
        return fault(ERR_CORRUPT, "row: %zu bytes after its end", bytes.size);
    *out = row;
    return ERR_OK;
}

/* ---- for people ---- */

static int64_t latest(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* From when on the row's time counts; -1: it does not yet. */
static int64_t expiry_base_ns(const struct row *row)
{
    bool is_writers = row->is_appended && row->state != STREAM_DELETED;
    if (!is_writers && stream_state_is_live(row->state))
        return -1;
    int64_t base_ns = is_writers ? row->accepted_ns : row->ended_ns;
    if (is_writers && row->is_sliding)
        base_ns = latest(base_ns, row->last_event_ns);
    return row->is_sliding ? latest(base_ns, row->touched_ns) : base_ns;
}

int64_t row_expires_ns(const struct row *row)
{
    int64_t lifetime, expires, from_ns = expiry_base_ns(row);
    if (from_ns < 0 || row->is_held || row->ttl_s <= 0)
        return 0;
    if (__builtin_mul_overflow(row->ttl_s, (int64_t)NS_PER_S, &lifetime) ||
        __builtin_add_overflow(from_ns, lifetime, &expires))
        return 0; /* past the end of representable time: as good as never */
    return expires;
}

static void put_request(struct json_writer *writer, const struct row *row)
{
    char previous[ID_TEXT_BYTES];
    id_format(&row->previous, previous);
    member_text(writer, "project", row->project_name);
    member_text(writer, "model", row->model);
    member_text(writer, "provider", row->provider);
    member_text(writer, "dialect", row->dialect);
    member_text(writer, "provider_dialect",
        row->provider_dialect.size ? row->provider_dialect : row->dialect);
    member_text(writer, "method", row->method);
    member_text(writer, "path", row->path);
    member_text(writer, "kind", row->is_appended ? SLICE("appended") : SLICE("generation"));
    member_text(writer, "idempotency_key", row->is_appended ? SLICE_NONE : row->key);
    member_text(
        writer, "name", row->is_appended ? slice_sub(row->key, 1, row->key.size) : SLICE_NONE);
    member_text(writer, "run", row->run);
    member_text(writer, "step", row->step);
    member_number(writer, "attempt", row->attempt);
    member_text(writer, "previous", row->attempt > 1 ? slice_text(previous) : SLICE_NONE);
    member_flag(writer, "streamed", row->is_streamed);
}

static void put_upload(struct json_writer *writer, const struct row *row)
{
    char digest[2 * SHA256_BYTES + 1];
    bool has_digest = row->upload_digest.size == SHA256_BYTES;
    if (has_digest)
        hex_encode(row->upload_digest, digest);
    member_count(writer, "upload_bytes", row->upload_bytes ? (int64_t)row->upload_bytes : -1);
    member_text(writer, "upload_sha256", has_digest ? slice_text(digest) : SLICE_NONE);
}

static void put_response(struct json_writer *writer, const struct row *row)
{
    json_key(writer, "status");
    if (row->status)
        json_unsigned(writer, row->status);
    else
        json_null(writer);
    member_text(writer, "content_type", row->content_type);
    member_number(writer, "events", row->events);
    member_number(writer, "bytes", row->bytes);
    member_number(writer, "request_bytes", row->request_bytes);
    put_upload(writer, row);
}

static void put_care(struct json_writer *writer, const struct row *row)
{
    member_flag(writer, "held", row->is_held);
    member_flag(writer, "damaged", row->damage.size > 0);
    member_text(writer, "damage", row->damage);
}

static void put_times(struct json_writer *writer, const struct row *row)
{
    member_time(writer, "created_at", row->accepted_ns);
    member_time(writer, "accepted_at", row->accepted_ns);
    member_time(writer, "dispatched_at", row->dispatched_ns);
    member_time(writer, "first_event_at", row->first_event_ns);
    member_time(writer, "last_event_at", row->last_event_ns);
    member_time(writer, "ended_at", row->ended_ns);
    member_time(writer, "expires_at", row->ended_ns || row->is_appended ? row_expires_ns(row) : 0);
}

/* The caller's own object, as it is. What is no JSON object would break ours: null. */
static void put_metadata(struct json_writer *writer, struct slice metadata)
{
    const char *why;
    size_t at;
    json_key(writer, "metadata");
    if (json_object_check(metadata, &why, &at) == ERR_OK)
        json_raw(writer, metadata);
    else
        json_null(writer);
}

static void put_url(
    struct json_writer *writer, const char *name, const char *id, const char *ending)
{
    char url[sizeof "/v1/streams/" + ID_TEXT_BYTES + sizeof "/events"] = "/v1/streams/";
    size_t size = strlen(url);
    memcpy(url + size, id, strlen(id));
    size += strlen(id);
    memcpy(url + size, ending, strlen(ending));
    size += strlen(ending);
    json_key(writer, name);
    json_string(writer, slice_of(url, size));
}

static void put_urls(struct json_writer *writer, const char *id)
{
    json_key(writer, "urls");
    json_open(writer, '{');
    put_url(writer, "self", id, "");
    put_url(writer, "events", id, "/events");
    json_close(writer, '}');
}

enum err row_json(const struct row *row, struct buf *out)
{
    char id[ID_TEXT_BYTES];
    struct json_writer writer;
    id_format(&row->id, id);
    json_writer_init(&writer, out);
    json_open(&writer, '{');
    member_text(&writer, "id", slice_text(id));
    member_text(&writer, "object", SLICE("stream"));
    member_text(&writer, "state", slice_text(stream_state_name(row->state)));
    member_text(&writer, "reason", row->reason);
    member_text(&writer, "detail", row->detail);
    put_request(&writer, row);
    put_response(&writer, row);
    put_times(&writer, row);
    put_care(&writer, row);
    member_text(&writer, "finish_reason", row->finish_reason);
    member_usage(&writer, "usage", &row->usage);
    json_key(&writer, "cost");
    cost_json(attempts_cost(row->attempts), &writer);
    json_key(&writer, "attempts");
    attempts_json(row->attempts, &writer);
    put_metadata(&writer, row->metadata);
    put_urls(&writer, id);
    json_close(&writer, '}');
    return writer.err;
}
