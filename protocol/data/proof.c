/* proof — see proof.h. Reading collects the first thing that is wrong as a sentence: whoever
 * checks a proof wants to know which part of it does not hold. */
#include "protocol/data/proof.h"

#include <endian.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "protocol/base/own.h"

#define HEAD_CONTEXT "tokenlog head 1" /* and its NUL: a signature of ours means nothing else */

enum { HEAD_MESSAGE_BYTES = sizeof HEAD_CONTEXT + HEAD_STORE_BYTES + 8 + 8 + SHA256_BYTES };

/* ---- Heads ---- */

static size_t head_message(
    const struct head *head, uint8_t out[HEAD_MESSAGE_BYTES + HEAD_PROJECT_BYTES_MAX])
{
    uint64_t size = htobe64(head->size), time_ns = htobe64((uint64_t)head->time_ns);
    uint8_t *at = out;
    ASSERT(head->project.size <= HEAD_PROJECT_BYTES_MAX);
    at = mempcpy(at, HEAD_CONTEXT, sizeof HEAD_CONTEXT);
    at = mempcpy(at, head->store, HEAD_STORE_BYTES);
    at = mempcpy(at, &size, sizeof size);
    at = mempcpy(at, &time_ns, sizeof time_ns);
    at = mempcpy(at, head->root.bytes, SHA256_BYTES);
    if (head->project.size)
        at = mempcpy(at, head->project.data, head->project.size);
    return (size_t)(at - out);
}

enum err head_sign(struct head *head, const uint8_t seed[ED25519_BYTES])
{
    uint8_t message[HEAD_MESSAGE_BYTES + HEAD_PROJECT_BYTES_MAX];
    size_t size = head_message(head, message);
    TRY(ed25519_public(seed, head->key));
    return ed25519_sign(seed, slice_of(message, size), head->signature);
}

bool head_check(const struct head *head)
{
    uint8_t message[HEAD_MESSAGE_BYTES + HEAD_PROJECT_BYTES_MAX];
    size_t size = head_message(head, message);
    return ed25519_verify(head->key, slice_of(message, size), head->signature);
}

/* ---- Parts of JSON ---- */

static void put_hex(struct json_writer *writer, const char *name, struct slice bytes)
{
    CLEANUP(cleanup_free) char *text = malloc(2 * bytes.size + 1);
    json_key(writer, name);
    if (!text) {
        writer->err = writer->err ? writer->err : fault(ERR_NOMEM, "hexadecimal digits");
        return;
    }
    hex_encode(bytes, text);
    json_string(writer, slice_of(text, 2 * bytes.size));
}

static void put_digest(struct json_writer *writer, const char *name, const struct digest *digest)
{
    put_hex(writer, name, slice_of(digest->bytes, SHA256_BYTES));
}

static void put_u64(struct json_writer *writer, const char *name, uint64_t number)
{
    json_key(writer, name);
    json_unsigned(writer, number);
}

static void put_ns(struct json_writer *writer, const char *name, int64_t ns)
{
    char text[24];
    int size = snprintf(text, sizeof text, "%" PRId64, ns);
    json_key(writer, name);
    json_string(writer, slice_of(text, (size_t)size));
}

static bool get_hex(const struct json *json, const char *name, uint8_t *out, size_t size)
{
    return hex_decode(json_text(json_get(json, name)), out, size) == ERR_OK;
}

static bool get_digest(const struct json *json, const char *name, struct digest *out)
{
    return get_hex(json, name, out->bytes, SHA256_BYTES);
}

static bool get_u64(const struct json *json, const char *name, uint64_t *out)
{
    int64_t number = json_int(json_get(json, name), -1);
    *out = (uint64_t)number;
    return number >= 0;
}

static bool get_ns(const struct json *json, const char *name, int64_t *out)
{
    struct slice text = json_text(json_get(json, name));
    uint64_t number;
    bool is_negative = slice_has_prefix(text, SLICE("-"));
    if (slice_u64(slice_sub(text, is_negative, text.size), &number) != ERR_OK || number > INT64_MAX)
        return false;
    *out = is_negative ? -(int64_t)number : (int64_t)number;
    return true;
}

/* Hexadecimal of any size, appended to `scratch`; `out` is borrowed from it while it does not
 * grow. */
static enum err get_bytes(const struct json *value, struct buf *scratch, struct slice *out)
{
    struct slice text = json_text(value);
    uint8_t *at;
    if (text.size % 2)
        return ERR_INVALID;
    if (text.size == 0) {
        *out = SLICE_NONE;
        return ERR_OK;
    }
    TRY(buf_reserve(scratch, text.size / 2, &at));
    TRY(hex_decode(text, at, text.size / 2));
    buf_commit(scratch, text.size / 2);
    *out = slice_of(at, text.size / 2);
    return ERR_OK;
}

/* ---- Writing ---- */

void head_write(struct json_writer *writer, const struct head *head)
{
    json_open(writer, '{');
    json_key(writer, "object");
    json_string(writer, SLICE("audit.head"));
    put_hex(writer, "store", slice_of(head->store, HEAD_STORE_BYTES));
    json_key(writer, "project");
    json_string(writer, head->project);
    put_u64(writer, "size", head->size);
    put_digest(writer, "root", &head->root);
    put_ns(writer, "time_ns", head->time_ns);
    put_hex(writer, "key", slice_of(head->key, ED25519_BYTES));
    put_hex(writer, "signature", slice_of(head->signature, ED25519_SIGNATURE_BYTES));
    json_close(writer, '}');
}

void path_write(struct json_writer *writer, const struct merkle_path *path)
{
    char text[2 * SHA256_BYTES + 1];
    json_open(writer, '[');
    for (size_t i = 0; i < path->count; i++) {
        hex_encode(slice_of(path->digests[i].bytes, SHA256_BYTES), text);
        json_string(writer, slice_of(text, sizeof text - 1));
    }
    json_close(writer, ']');
}

static void put_leaf(struct json_writer *writer, const struct proof_leaf *leaf, const char *time)
{
    put_u64(writer, "index", leaf->index);
    put_ns(writer, time, leaf->leaf.time_ns);
    put_digest(writer, "digest", &leaf->leaf.digest);
    json_key(writer, "path");
    path_write(writer, &leaf->path);
}

static void put_deletion(struct json_writer *writer, const struct proof *proof)
{
    json_key(writer, "deletion");
    if (!proof->has_deletion) {
        json_null(writer);
        return;
    }
    json_open(writer, '{');
    put_leaf(writer, &proof->deletion, "deleted_ns");
    json_key(writer, "reason");
    if (proof->reason.size)
        json_string(writer, proof->reason);
    else
        json_null(writer);
    json_close(writer, '}');
}

static void put_statement(struct json_writer *writer, const struct proof *proof)
{
    uint8_t statement[STATEMENT_BYTES];
    if (!proof->has_statement) {
        json_key(writer, "statement");
        json_null(writer);
        return;
    }
    statement_encode(&proof->statement, statement);
    put_hex(writer, "statement", slice_of(statement, sizeof statement));
    if (proof->record.size)
        put_hex(writer, "record", proof->record);
}

void proof_write(struct json_writer *writer, const struct proof *proof)
{
    char id[ID_TEXT_BYTES];
    id_format(&proof->finished.leaf.id, id);
    json_open(writer, '{');
    json_key(writer, "object");
    json_string(writer, SLICE("audit.proof"));
    json_key(writer, "stream");
    json_string(writer, slice_text(id));
    put_leaf(writer, &proof->finished, "ended_ns");
    put_statement(writer, proof);
    put_deletion(writer, proof);
    json_key(writer, "head");
    head_write(writer, &proof->head);
}

void proof_write_frame(struct json_writer *writer, const struct chain_frame *frame)
{
    json_open(writer, '{');
    put_u64(writer, "seq", frame->seq);
    put_u64(writer, "part", frame->part);
    json_key(writer, "more");
    json_boolean(writer, frame->has_more);
    put_ns(writer, "time_ns", frame->time_ns);
    put_hex(writer, "data", frame->bytes);
    json_close(writer, '}');
}

/* ---- Reading ---- */

enum err head_read(const struct json *json, struct head *out)
{
    struct head head = {.project = json_text(json_get(json, "project"))};
    bool is_head = slice_equal(json_text(json_get(json, "object")), SLICE("audit.head")) &&
                   head.project.size <= HEAD_PROJECT_BYTES_MAX &&
                   get_hex(json, "store", head.store, HEAD_STORE_BYTES) &&
                   get_u64(json, "size", &head.size) && get_digest(json, "root", &head.root) &&
                   get_ns(json, "time_ns", &head.time_ns) &&
                   get_hex(json, "key", head.key, ED25519_BYTES) &&
                   get_hex(json, "signature", head.signature, ED25519_SIGNATURE_BYTES);
    if (!is_head)
        return ERR_INVALID;
    *out = head;
    return ERR_OK;
}

enum err path_read(const struct json *json, struct merkle_path *out)
{
    out->count = 0;
    if (json_type(json) != JSON_ARRAY)
        return ERR_INVALID;
    for (const struct json *at = json_at(json, 0); at; at = json_next(at)) {
        if (out->count == MERKLE_PATH_MAX)
            return ERR_INVALID;
        TRY(hex_decode(json_text(at), out->digests[out->count++].bytes, SHA256_BYTES));
    }
    return ERR_OK;
}

static enum err read_leaf(
    const struct json *json, const char *time, const struct head *head, struct proof_leaf *out)
{
    if (!get_u64(json, "index", &out->index) || !get_ns(json, time, &out->leaf.time_ns) ||
        !get_digest(json, "digest", &out->leaf.digest))
        return ERR_INVALID;
    TRY(path_read(json_get(json, "path"), &out->path));
    struct digest leaf = leaf_digest(&out->leaf);
    return merkle_check(&leaf, out->index, head->size, &out->path, &head->root) ? ERR_OK
                                                                                : ERR_INVALID;
}

static enum err read_statement(
    const struct json *json, struct buf *record_bytes, struct proof *proof, const char **why)
{
    uint8_t bytes[STATEMENT_BYTES];
    const struct json *record = json_get(json, "record");
    if (json_type(json_get(json, "statement")) == JSON_NULL)
        return ERR_OK;
    *why = "the statement is none";
    if (!get_hex(json, "statement", bytes, sizeof bytes) ||
        statement_decode(slice_of(bytes, sizeof bytes), &proof->statement) != ERR_OK)
        return ERR_INVALID;
    *why = "the statement is not the one whose digest is in the leaf";
    struct leaf leaf = leaf_of_statement(&proof->finished.leaf.id, &proof->statement);
    if (!digest_equal(&leaf.digest, &proof->finished.leaf.digest) ||
        leaf.time_ns != proof->finished.leaf.time_ns)
        return ERR_INVALID;
    proof->has_statement = true;
    *why = "the record is malformed";
    return record ? get_bytes(record, record_bytes, &proof->record) : ERR_OK;
}

/* The record is the one the statement covers, and says what the statement says. */
static enum err check_record(struct proof_result *out, const char **why)
{
    const struct statement *said = &out->proof.statement;
    struct digest digest;
    if (!out->proof.record.size)
        return ERR_OK;
    *why = "the record is not the one whose digest is in the statement";
    sha256(out->proof.record, digest.bytes);
    if (!digest_equal(&digest, &said->record))
        return ERR_INVALID;
    *why = "the record is malformed";
    if (row_decode(out->proof.record, &out->row) != ERR_OK)
        return ERR_INVALID;
    *why = "the record and the statement do not say the same";
    const struct row *row = &out->row;
    out->has_row = id_equal(&row->id, &out->proof.finished.leaf.id) &&
                   row->number == said->number && row->state == said->state &&
                   row->events == said->events && row->bytes == said->bytes &&
                   row->request_bytes == said->request_bytes && row->ended_ns == said->ended_ns;
    return out->has_row ? ERR_OK : ERR_INVALID;
}

static enum err read_deletion(const struct json *json, struct proof *proof)
{
    if (json_type(json) == JSON_NULL)
        return ERR_OK;
    struct digest digest;
    proof->deletion.leaf.kind = LEAF_DELETED;
    proof->deletion.leaf.id = proof->finished.leaf.id;
    TRY(read_leaf(json, "deleted_ns", &proof->head, &proof->deletion));
    proof->reason = json_text(json_get(json, "reason"));
    proof->has_deletion = true;
    if (!proof->reason.size)
        return ERR_OK;
    sha256(proof->reason, digest.bytes);
    return digest_equal(&digest, &proof->deletion.leaf.digest) ? ERR_OK : ERR_INVALID;
}

/* One array of frames, against its chain; each is decoded into what scratch has left. */
static enum err check_frames(const struct json *array, struct sha256 *sha, enum chain_kind kind,
    struct buf *scratch, struct chain *chain)
{
    size_t kept = scratch->size;
    for (const struct json *at = json_at(array, 0); at; at = json_next(at)) {
        uint64_t part;
        struct chain_frame frame = {.has_more = json_bool(json_get(at, "more"), false)};
        if (!get_u64(at, "seq", &frame.seq) || !get_u64(at, "part", &part) || part > UINT32_MAX ||
            !get_ns(at, "time_ns", &frame.time_ns))
            return ERR_INVALID;
        frame.part = (uint32_t)part;
        TRY(get_bytes(json_get(at, "data"), scratch, &frame.bytes));
        TRY(chain_add(sha, kind, chain, &frame));
        scratch->size = kept;
    }
    return ERR_OK;
}

static enum err check_chain(const struct json *array, struct sha256 *sha, enum chain_kind kind,
    struct buf *scratch, uint64_t count, const struct digest *digest)
{
    struct chain chain = {.seq = 0};
    TRY(check_frames(array, sha, kind, scratch, &chain));
    return chain.seq == count && digest_equal(&chain.digest, digest) ? ERR_OK : ERR_INVALID;
}

static enum err check_contents(const struct json *json, struct sha256 *sha, struct buf *scratch,
    struct proof_result *out, const char **why)
{
    const struct statement *said = &out->proof.statement;
    const struct json *events = json_get(json, "events"), *asides = json_get(json, "asides");
    const struct json *body = json_get(json, "body");
    if (events) {
        *why = "the events are not those of the statement's chain";
        TRY(check_chain(events, sha, CHAIN_EVENTS, scratch, said->events, &said->event_chain));
        out->has_events = true;
        out->events = said->events;
    }
    if (asides) {
        *why = "the asides are not those of the statement's chain";
        TRY(check_chain(asides, sha, CHAIN_ASIDES, scratch, said->asides, &said->aside_chain));
        out->has_asides = true;
    }
    if (!body)
        return ERR_OK;
    struct slice bytes;
    struct digest digest;
    *why = "the request's body is not the one whose digest is in the statement";
    TRY(get_bytes(body, scratch, &bytes));
    sha256(bytes, digest.bytes);
    out->has_body = digest_equal(&digest, &said->body);
    return out->has_body ? ERR_OK : ERR_INVALID;
}

static enum err check_head(const struct json *json, struct head *out, const char **why)
{
    *why = "it has no head";
    TRY(head_read(json, out));
    *why = "the head's signature is not that of its key";
    return head_check(out) ? ERR_OK : ERR_INVALID;
}

struct checking {
    const struct json *json;
    struct sha256 *sha;
    struct buf scratch; /* for what is looked at and let go */
    struct buf *record;
    struct proof_result *out;
};

static enum err check_all(struct checking *checking, const char **why)
{
    const struct json *json = checking->json;
    struct proof *proof = &checking->out->proof;
    *why = "it is no proof: \"object\" is not \"audit.proof\"";
    if (!slice_equal(json_text(json_get(json, "object")), SLICE("audit.proof")))
        return ERR_INVALID;
    TRY(check_head(json_get(json, "head"), &proof->head, why));
    *why = "\"stream\" is no ID";
    TRY(id_parse(json_text(json_get(json, "stream")), &proof->finished.leaf.id));
    *why = "the path does not lead from the stream's leaf to the head's root";
    TRY(read_leaf(json, "ended_ns", &proof->head, &proof->finished));
    *why = "the path does not lead from the deletion's leaf to the head's root";
    TRY(read_deletion(json_get(json, "deletion"), proof));
    TRY(read_statement(json, checking->record, proof, why));
    if (!proof->has_statement)
        return ERR_OK;
    TRY(check_record(checking->out, why));
    return check_contents(json, checking->sha, &checking->scratch, checking->out, why);
}

enum err proof_check(
    const struct json *json, struct buf *record, struct proof_result *out, const char **why)
{
    struct checking checking = {.json = json, .record = record, .out = out};
    *out = (struct proof_result){.proof.finished.leaf.kind = LEAF_FINISHED};
    *why = "";
    TRY(sha256_new(&checking.sha));
    buf_init(&checking.scratch, PROOF_BYTES_MAX);
    enum err err = check_all(&checking, why);
    buf_deinit(&checking.scratch);
    sha256_free(checking.sha);
    return err == ERR_OK || err_is_fault(err) ? err : ERR_INVALID;
}
