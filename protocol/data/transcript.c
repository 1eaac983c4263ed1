/* transcript — see the header for both forms. A record's kind is told in JSON by which member there
 * is, in msgpack by the first element. */
#include "protocol/data/transcript.h"

#include <string.h>

#include "protocol/base/base64.h"
#include "protocol/data/json.h"
#include "protocol/data/member.h"
#include "protocol/data/pack.h"
#include "protocol/data/timestamp.h"

const char *transcript_format_name(enum transcript_format format)
{
    return format == TRANSCRIPT_JSONL ? "jsonl" : "msgpack";
}

enum err transcript_format_parse(struct slice name, enum transcript_format *out)
{
    bool is_jsonl = slice_equal(name, SLICE("jsonl"));
    if (!is_jsonl && !slice_equal(name, SLICE("msgpack")))
        return ERR_INVALID;
    *out = is_jsonl ? TRANSCRIPT_JSONL : TRANSCRIPT_MSGPACK;
    return ERR_OK;
}

/* ——— JSON, writing ——— */

static enum err put_base64(struct json_writer *json, const char *name, struct slice bytes)
{
    json_key(json, name);
    json_raw(json, SLICE("\""));
    TRY(json->err);
    TRY(base64_encode(bytes, json->out));
    return buf_append_byte(json->out, '"');
}

static enum err put_piece(struct json_writer *json, struct slice bytes)
{
    if (!slice_is_utf8(bytes))
        return put_base64(json, "base64", bytes);
    json_key(json, "data");
    json_string(json, bytes);
    return json->err;
}

static enum err put_stream(struct json_writer *json, struct slice encoded)
{
    struct row row;
    TRY(row_decode(encoded, &row));
    json_key(json, "stream");
    json_raw(json, SLICE_NONE);
    TRY(json->err);
    TRY(row_json(&row, json->out));
    return put_base64(json, "row", encoded);
}

static enum err put_event(struct json_writer *json, const struct transcript_record *record)
{
    char time[TIMESTAMP_TEXT_BYTES];
    timestamp_format(record->time_ns, time);
    json_key(json, "seq");
    json_unsigned(json, record->seq);
    json_key(json, "time");
    json_string(json, slice_text(time));
    if (record->is_more) {
        json_key(json, "more");
        json_boolean(json, true);
    }
    return put_piece(json, record->bytes);
}

static enum err put_end(struct json_writer *json, const struct transcript_record *record)
{
    char id[ID_TEXT_BYTES], sha256[2 * SHA256_BYTES + 1];
    id_format(&record->id, id);
    hex_encode(slice_of(record->sha256, SHA256_BYTES), sha256);
    json_key(json, "end");
    json_open(json, '{');
    member_text(json, "id", slice_text(id));
    member_text(json, "state", record->state);
    member_text(json, "reason", record->reason);
    json_key(json, "events");
    json_unsigned(json, record->event_count);
    json_key(json, "bytes");
    json_unsigned(json, record->byte_count);
    if (record->has_sha256)
        member_text(json, "sha256", slice_text(sha256));
    json_close(json, '}');
    return json->err;
}

static enum err put_record(struct json_writer *json, const struct transcript_record *record)
{
    switch (record->kind) {
    case TRANSCRIPT_STREAM: return put_stream(json, record->bytes);
    case TRANSCRIPT_EVENT: return put_event(json, record);
    case TRANSCRIPT_END: return put_end(json, record);
    case TRANSCRIPT_REQUEST: break;
    }
    json_key(json, "request");
    json_unsigned(json, record->seq);
    return put_piece(json, record->bytes);
}

static enum err write_json(const struct transcript_record *record, struct buf *out)
{
    struct json_writer json;
    json_writer_init(&json, out);
    json_open(&json, '{');
    TRY(put_record(&json, record));
    json_close(&json, '}');
    TRY(json.err);
    return buf_append_byte(out, '\n');
}

/* ——— msgpack, writing ——— */

static void pack_record(struct pack_writer *pack, const struct transcript_record *record)
{
    switch (record->kind) {
    case TRANSCRIPT_STREAM:
        pack_array(pack, 3);
        pack_text(pack, SLICE("stream"));
        pack_unsigned(pack, TRANSCRIPT_VERSION);
        break;
    case TRANSCRIPT_EVENT:
        pack_array(pack, 5);
        pack_text(pack, SLICE("event"));
        pack_unsigned(pack, record->seq);
        pack_bool(pack, record->is_more);
        pack_signed(pack, record->time_ns);
        break;
    case TRANSCRIPT_REQUEST:
        pack_array(pack, 3);
        pack_text(pack, SLICE("request"));
        pack_unsigned(pack, record->seq);
        break;
    case TRANSCRIPT_END:
        pack_array(pack, 7);
        pack_text(pack, SLICE("end"));
        pack_bytes(pack, id_slice(&record->id));
        pack_text(pack, record->state);
        pack_text(pack, record->reason);
        pack_unsigned(pack, record->event_count);
        pack_unsigned(pack, record->byte_count);
        pack_bytes(pack, slice_of(record->sha256, record->has_sha256 ? SHA256_BYTES : 0));
        return;
    }
    pack_bytes(pack, record->bytes);
}

static enum err write_msgpack(const struct transcript_record *record, struct buf *out)
{
    enum { HEAD_BYTES_MAX = 256 }; /* all but the bytes and the two names of an end */
    uint8_t *at;
    size_t room = record->bytes.size + record->state.size + record->reason.size + HEAD_BYTES_MAX;
    struct pack_writer pack;
    TRY(buf_reserve(out, room, &at));
    pack_writer_init(&pack, at, room);
    pack_record(&pack, record);
    ASSERT(!pack.is_full);
    buf_commit(out, pack.size);
    return ERR_OK;
}

enum err transcript_write(
    enum transcript_format format, const struct transcript_record *record, struct buf *out)
{
    if (record->bytes.size > TRANSCRIPT_PIECE_BYTES_MAX)
        return ERR_LIMIT;
    return format == TRANSCRIPT_JSONL ? write_json(record, out) : write_msgpack(record, out);
}

/* ——— JSON, reading ——— */

static enum err corrupt(const char *what)
{
    return fault(ERR_CORRUPT, "a record of a transcript: %s", what);
}

static enum err take_number(struct json_span span, uint64_t *out)
{
    if (span.type != JSON_NUMBER || slice_u64(span.raw, out) != ERR_OK)
        return corrupt("a number is none");
    return ERR_OK;
}

/* Decoded, at the end of `scratch`, which must not move any more: room was reserved. */
static enum err take_text(struct json_span span, struct buf *scratch, struct slice *out)
{
    size_t from = scratch->size;
    *out = SLICE_NONE;
    if (!span.raw.size || span.type == JSON_NULL)
        return ERR_OK;
    if (span.type != JSON_STRING || json_span_text(span, scratch) != ERR_OK)
        return corrupt("a text is none");
    *out = slice_of(scratch->data + from, scratch->size - from);
    return ERR_OK;
}

static enum err take_base64(struct json_span span, struct buf *scratch, struct slice *out)
{
    size_t from = scratch->size;
    if (span.type != JSON_STRING || span.raw.size < 2 ||
        base64_decode(slice_sub(span.raw, 1, span.raw.size - 2), scratch) != ERR_OK)
        return corrupt("a base64 is none");
    *out = slice_of(scratch->data + from, scratch->size - from);
    return ERR_OK;
}

static enum err take_end(struct slice object, struct buf *scratch, struct transcript_record *out)
{
    enum { ID, STATE, REASON, EVENTS, BYTES, SHA256, COUNT };
    static const char *const names[] = {"id", "state", "reason", "events", "bytes", "sha256"};
    struct json_span spans[COUNT];
    struct slice id, sha256;
    out->kind = TRANSCRIPT_END;
    json_scan_all(object, names, COUNT, spans);
    TRY(take_text(spans[ID], scratch, &id));
    TRY(take_text(spans[STATE], scratch, &out->state));
    TRY(take_text(spans[REASON], scratch, &out->reason));
    TRY(take_text(spans[SHA256], scratch, &sha256));
    TRY(take_number(spans[EVENTS], &out->event_count));
    TRY(take_number(spans[BYTES], &out->byte_count));
    out->has_sha256 = sha256.size > 0;
    if (id_parse(id, &out->id) != ERR_OK)
        return corrupt("an ID is none");
    if (out->has_sha256 && hex_decode(sha256, out->sha256, SHA256_BYTES) != ERR_OK)
        return corrupt("a digest is none");
    return ERR_OK;
}

enum { SEQ, TIME, MORE, DATA, BASE64, REQUEST, STREAM, ROW, END, MEMBER_COUNT };

static enum err take_piece(
    const struct json_span *spans, struct buf *scratch, struct transcript_record *out)
{
    return spans[BASE64].raw.size ? take_base64(spans[BASE64], scratch, &out->bytes)
                                  : take_text(spans[DATA], scratch, &out->bytes);
}

static enum err take_event(
    const struct json_span *spans, struct buf *scratch, struct transcript_record *out)
{
    struct slice time;
    out->kind = TRANSCRIPT_EVENT;
    TRY(take_number(spans[SEQ], &out->seq));
    TRY(take_text(spans[TIME], scratch, &time));
    if (timestamp_parse(time, &out->time_ns) != ERR_OK)
        return corrupt("a time is none");
    out->is_more = spans[MORE].raw.size && json_span_is_true(spans[MORE]);
    return take_piece(spans, scratch, out);
}

static enum err take_members(struct slice line, struct buf *scratch, struct transcript_record *out)
{
    static const char *const names[] = {
        "seq", "time", "more", "data", "base64", "request", "stream", "row", "end"};
    struct json_span spans[MEMBER_COUNT];
    json_scan_all(line, names, MEMBER_COUNT, spans);
    if (spans[SEQ].raw.size)
        return take_event(spans, scratch, out);
    if (spans[END].raw.size && spans[END].type == JSON_OBJECT)
        return take_end(spans[END].raw, scratch, out);
    if (spans[STREAM].raw.size) {
        out->kind = TRANSCRIPT_STREAM;
        return take_base64(spans[ROW], scratch, &out->bytes);
    }
    out->kind = TRANSCRIPT_REQUEST;
    TRY(take_number(spans[REQUEST], &out->seq));
    return take_piece(spans, scratch, out);
}

static enum err read_json(struct slice *input, struct buf *scratch, struct transcript_record *out)
{
    const char *why;
    size_t at;
    uint8_t *room;
    ptrdiff_t end = slice_find_byte(*input, '\n');
    if (end < 0)
        return corrupt("its line has no end");
    struct slice line = slice_sub(*input, 0, (size_t)end);
    if (json_object_check(line, &why, &at) != ERR_OK)
        return fault(ERR_CORRUPT, "a line of a transcript, at byte %zu: %s", at, why);
    TRY(buf_reserve(scratch, line.size, &room)); /* decoded texts are shorter: it will not move */
    TRY(take_members(line, scratch, out));
    *input = slice_sub(*input, (size_t)end + 1, input->size);
    return ERR_OK;
}

/* ——— msgpack, reading ——— */

static enum err unpack_end(struct slice *input, struct transcript_record *out)
{
    struct slice id, sha256;
    out->kind = TRANSCRIPT_END;
    TRY(pack_read_bytes(input, &id));
    TRY(pack_read_bytes(input, &out->state));
    TRY(pack_read_bytes(input, &out->reason));
    TRY(pack_read_unsigned(input, UINT64_MAX, &out->event_count));
    TRY(pack_read_unsigned(input, UINT64_MAX, &out->byte_count));
    TRY(pack_read_bytes(input, &sha256));
    if (id.size != ID_BYTES || (sha256.size && sha256.size != SHA256_BYTES))
        return corrupt("an ID or a digest has another size");
    memcpy(out->id.bytes, id.data, ID_BYTES);
    out->has_sha256 = sha256.size > 0;
    if (out->has_sha256)
        memcpy(out->sha256, sha256.data, SHA256_BYTES);
    return ERR_OK;
}

static enum err unpack_event(struct slice *input, struct transcript_record *out)
{
    out->kind = TRANSCRIPT_EVENT;
    TRY(pack_read_unsigned(input, UINT64_MAX, &out->seq));
    TRY(pack_read_bool(input, &out->is_more));
    TRY(pack_read_signed(input, &out->time_ns));
    return pack_read_bytes(input, &out->bytes);
}

static enum err unpack_stream(struct slice *input, struct transcript_record *out)
{
    uint64_t version;
    out->kind = TRANSCRIPT_STREAM;
    TRY(pack_read_unsigned(input, UINT64_MAX, &version));
    if (version != TRANSCRIPT_VERSION)
        return corrupt("it is of a later version");
    return pack_read_bytes(input, &out->bytes);
}

static enum err read_msgpack(struct slice *input, struct transcript_record *out)
{
    struct slice rest = *input, kind;
    uint32_t count;
    TRY(pack_read_array(&rest, &count));
    TRY(pack_read_bytes(&rest, &kind));
    if (count == 3 && slice_equal(kind, SLICE("stream"))) {
        TRY(unpack_stream(&rest, out));
    } else if (count == 5 && slice_equal(kind, SLICE("event"))) {
        TRY(unpack_event(&rest, out));
    } else if (count == 7 && slice_equal(kind, SLICE("end"))) {
        TRY(unpack_end(&rest, out));
    } else if (count == 3 && slice_equal(kind, SLICE("request"))) {
        out->kind = TRANSCRIPT_REQUEST;
        TRY(pack_read_unsigned(&rest, UINT64_MAX, &out->seq));
        TRY(pack_read_bytes(&rest, &out->bytes));
    } else {
        return corrupt("its kind is not known");
    }
    *input = rest;
    return ERR_OK;
}

enum err transcript_read(enum transcript_format format, struct slice *input, struct buf *scratch,
    struct transcript_record *out)
{
    struct transcript_record record = {0};
    buf_clear(scratch);
    TRY(format == TRANSCRIPT_JSONL ? read_json(input, scratch, &record)
                                   : read_msgpack(input, &record));
    *out = record;
    return ERR_OK;
}
