/* audit — see audit.h.
 *
 *   chains     0 ‖ chain          while the stream lives: the next frame's place, the last link
 *              1 ‖ statement      from its end to its deletion
 *
 * A repeat after a crash changes nothing: frames that are chained are skipped, a closed stream
 * takes nothing any more, and who has a leaf gets no other. The leaves of a tree are appended
 * only; a node is put when its last leaf is, in the same transaction.
 *
 * What of the log is damaged costs the log, and nothing else: neither events nor deletions wait. */
#include "storage/audit.h"

#include <stdlib.h>
#include <string.h>

#include "protocol/base/own.h"
#include "storage/audit_content.h"
#include "storage/bounds.h"
#include "storage/roll.h"
#include "storage/shelf.h"

enum { CHAIN_OPEN = 0, CHAIN_CLOSED = 1, CHAIN_VALUE_BYTES_MAX = 1 + STATEMENT_BYTES };

static struct roll roll_of(const struct audit *audit)
{
    return (struct roll){audit->view, audit->value};
}

/* ---- Chains and statements ---- */

struct entry {
    bool is_closed;
    struct chain chain;
    struct statement statement;
};

/* answers ERR_NOTFOUND */
static enum err entry_get(struct view *view, uint32_t project, uint64_t number, struct entry *out)
{
    struct slice content;
    TRY(content_get(view, TABLE_CHAINS, schema_number(project, number), &content));
    if (content.size == 0)
        return fault(ERR_CORRUPT, "an empty chain");
    struct slice rest = slice_sub(content, 1, content.size);
    out->is_closed = content.data[0] == CHAIN_CLOSED;
    return out->is_closed ? statement_decode(rest, &out->statement)
                          : chain_decode(rest, &out->chain);
}

static enum err entry_put(
    const struct audit *audit, uint32_t project, uint64_t number, const struct entry *entry)
{
    uint8_t content[CHAIN_VALUE_BYTES_MAX];
    struct roll roll = roll_of(audit);
    content[0] = entry->is_closed ? CHAIN_CLOSED : CHAIN_OPEN;
    if (entry->is_closed)
        statement_encode(&entry->statement, content + 1);
    else
        chain_encode(&entry->chain, content + 1);
    size_t size = 1 + (entry->is_closed ? (size_t)STATEMENT_BYTES : (size_t)CHAIN_BYTES);
    return content_put(
        &roll, TABLE_CHAINS, schema_number(project, number), slice_of(content, size));
}

/* The frames of a block from the chain's place on; ERR_INVALID: they do not follow on it. */
static enum err chain_block(
    struct sha256 *sha, struct chain *chain, const struct block *block, uint32_t frame_count)
{
    for (uint32_t i = 0; i < frame_count; i++) {
        struct chain_frame frame = {.seq = block_seq(block, i),
            .part = i == 0 ? block->part : 0,
            .has_more = (block->frames[i].flags & FRAME_MORE) != 0,
            .time_ns = block->frames[i].time_ns,
            .bytes = block_frame(block, i)};
        bool is_known =
            frame.seq < chain->seq || (frame.seq == chain->seq && frame.part < chain->part);
        if (!is_known)
            TRY(chain_add(sha, CHAIN_EVENTS, chain, &frame));
    }
    return ERR_OK;
}

static enum err chain_run(struct sha256 *sha, struct chain *chain, const struct block_run *run)
{
    for (size_t i = 0; i < run->count; i++) {
        const struct block *block = run->blocks[i];
        bool is_growing = i + 1 == run->count && run->last_frames > 0;
        TRY(chain_block(sha, chain, block, is_growing ? run->last_frames : block->frame_count));
    }
    return ERR_OK;
}

static enum err absorb(const struct audit *audit, uint32_t project, uint64_t number,
    const struct block_run *run, struct sha256 *sha)
{
    struct entry entry = {.is_closed = false};
    enum err err = entry_get(audit->view, project, number, &entry);
    if (err != ERR_NOTFOUND)
        TRY(err);
    if (entry.is_closed)
        return ERR_OK;
    err = chain_run(sha, &entry.chain, run);
    if (err == ERR_INVALID)
        return ERR_OK; /* its beginning is not chained: closing goes through what is stored */
    TRY(err);
    return entry_put(audit, project, number, &entry);
}

enum err audit_absorb(
    const struct audit *audit, uint32_t project, uint64_t number, const struct block_run *run)
{
    struct sha256 *sha;
    TRY(sha256_new(&sha));
    enum err err = absorb(audit, project, number, run, sha);
    sha256_free(sha);
    return err == ERR_CORRUPT ? ERR_OK : err;
}

/* ---- What is stored of a stream, hashed ---- */

static enum err hash_events(const struct shelf *shelf, struct sha256 *sha, struct chain *chain)
{
    struct block_position at = {0, 0};
    *chain = (struct chain){.seq = 0};
    for (;;) {
        struct block *block;
        enum err err = shelf_get(shelf, TABLE_BLOCKS, at, &block);
        if (err == ERR_NOTFOUND)
            return ERR_OK;
        TRY(err);
        err = chain_block(sha, chain, block, block->frame_count);
        at = block_next(block, block->frame_count - 1);
        block_unref(block);
        if (err != ERR_OK)
            return err == ERR_INVALID ? fault(ERR_CORRUPT, "a block repeats frames") : err;
    }
}

static enum err hash_body(const struct shelf *shelf, struct sha256 *sha, struct audit_content *out)
{
    CLEANUP(buf_deinit) struct buf piece;
    enum err err;
    buf_init(&piece, BLOCK_BYTES_MAX);
    sha256_begin(sha);
    out->body_bytes = 0;
    while ((err = shelf_get_body(shelf, out->body_bytes, &piece)) == ERR_OK) {
        sha256_add(sha, buf_slice(&piece));
        out->body_bytes += piece.size;
        buf_clear(&piece);
    }
    sha256_end(sha, out->body.bytes);
    return err == ERR_CLOSED ? ERR_OK : err;
}

static enum err hash_asides(const struct shelf *shelf, struct sha256 *sha, struct chain *chain)
{
    CLEANUP(buf_deinit) struct buf event;
    uint64_t before_seq;
    buf_init(&event, FRAGMENT_BYTES_MAX);
    *chain = (struct chain){.seq = 0};
    for (;;) {
        enum err err = shelf_get_aside(shelf, (uint32_t)chain->seq, &before_seq, &event);
        if (err == ERR_NOTFOUND)
            return ERR_OK;
        TRY(err);
        struct chain_frame frame = {
            .seq = chain->seq, .time_ns = (int64_t)before_seq, .bytes = buf_slice(&event)};
        TRY(chain_add(sha, CHAIN_ASIDES, chain, &frame));
        buf_clear(&event);
    }
}

enum err audit_hash(struct view *view, struct block_codec *codec, struct sha256 *sha,
    uint32_t project, uint64_t number, struct audit_content *out)
{
    struct shelf shelf = {view, codec, NULL, project, number};
    TRY(hash_events(&shelf, sha, &out->events));
    TRY(hash_body(&shelf, sha, out));
    return hash_asides(&shelf, sha, &out->asides);
}

enum err audit_statement(
    struct view *view, uint32_t project, uint64_t number, struct statement *out)
{
    struct entry entry;
    TRY(entry_get(view, project, number, &entry));
    if (!entry.is_closed)
        return ERR_NOTFOUND;
    *out = entry.statement;
    return ERR_OK;
}

/* ---- The tree ---- */

enum { PENDING_MAX = MERKLE_LEVELS_MAX };

struct tree {
    struct view *view;
    uint32_t project;
    /* What an append puts once it has read all it needs: a damaged tree stays as it was. */
    struct {
        unsigned level;
        uint64_t index;
        struct digest digest;
    } pending[PENDING_MAX];
    size_t pending_count;
};

enum err audit_leaf(struct view *view, uint32_t project, uint64_t index, struct leaf *out)
{
    struct slice content;
    TRY(content_get(view, TABLE_LEAVES, schema_leaf(project, index), &content));
    return leaf_decode(content, out);
}

static enum err tree_get(void *context, unsigned level, uint64_t index, struct digest *out)
{
    const struct tree *tree = context;
    struct slice content;
    struct leaf leaf;
    enum err err;
    if (level == 0) {
        err = audit_leaf(tree->view, tree->project, index, &leaf);
        if (err == ERR_OK)
            *out = leaf_digest(&leaf);
    } else {
        struct schema_key key = schema_node(tree->project, level, index);
        err = content_get(tree->view, TABLE_NODES, key, &content);
        if (err == ERR_OK && content.size != SHA256_BYTES)
            err = ERR_NOTFOUND;
        if (err == ERR_OK)
            memcpy(out->bytes, content.data, SHA256_BYTES);
    }
    return err == ERR_NOTFOUND ? fault(ERR_CORRUPT, "the audit log lacks node %u/%llu", level,
                                     (unsigned long long)index)
                               : err;
}

static enum err tree_put(void *context, unsigned level, uint64_t index, const struct digest *digest)
{
    struct tree *tree = context;
    ASSERT(tree->pending_count < PENDING_MAX);
    tree->pending[tree->pending_count].level = level;
    tree->pending[tree->pending_count].index = index;
    tree->pending[tree->pending_count++].digest = *digest;
    return ERR_OK;
}

enum err audit_size(struct view *view, uint32_t project, uint64_t *out)
{
    CLEANUP(walk_end) struct walk walk = {0};
    uint32_t ignored;
    uint64_t last;
    *out = 0;
    TRY(walk_begin(view, TABLE_LEAVES, schema_rows(project), &walk));
    enum err err = walk_last(&walk);
    if (err == ERR_NOTFOUND)
        return ERR_OK;
    TRY(err);
    if (!schema_number_read(walk.key, &ignored, &last) || last == UINT64_MAX)
        return fault(ERR_CORRUPT, "a leaf's key of %zu bytes", walk.key.size);
    *out = last + 1;
    return ERR_OK;
}

enum err audit_find(
    struct view *view, uint32_t project, const struct id *id, enum leaf_kind kind, uint64_t *index)
{
    struct slice content;
    struct schema_key key = schema_leaf_id(project, id, (uint8_t)kind);
    TRY(content_get(view, TABLE_LEAF_IDS, key, &content));
    if (content.size != 8)
        return fault(ERR_CORRUPT, "a leaf's index of %zu bytes", content.size);
    *index = unpack_u64(content.data);
    return ERR_OK;
}

/* Deletions may use what is kept in reserve. */
static enum err put(const struct audit *audit, const struct leaf *leaf, enum table table,
    struct schema_key key, struct slice content)
{
    struct roll roll = roll_of(audit);
    return leaf->kind == LEAF_DELETED ? content_put_small(&roll, table, key, content)
                                      : content_put(&roll, table, key, content);
}

static enum err append_leaf(const struct audit *audit, uint32_t project, const struct leaf *leaf)
{
    struct tree tree = {.view = audit->view, .project = project};
    struct merkle_source source = {tree_get, &tree};
    struct digest digest = leaf_digest(leaf);
    uint8_t bytes[LEAF_BYTES], index[8];
    uint64_t size;
    TRY(audit_size(audit->view, project, &size));
    TRY(merkle_append(&source, tree_put, size, &digest));
    leaf_encode(leaf, bytes);
    TRY(put(audit, leaf, TABLE_LEAVES, schema_leaf(project, size), slice_of(bytes, LEAF_BYTES)));
    for (size_t i = 1; i < tree.pending_count; i++) /* the first is the leaf */
        TRY(put(audit, leaf, TABLE_NODES,
            schema_node(project, tree.pending[i].level, tree.pending[i].index),
            slice_of(tree.pending[i].digest.bytes, SHA256_BYTES)));
    pack_u64(index, size);
    return put(audit, leaf, TABLE_LEAF_IDS, schema_leaf_id(project, &leaf->id, (uint8_t)leaf->kind),
        slice_of(index, sizeof index));
}

/* ---- Closing ---- */

/* The chain that absorption made; gone through again where it does not reach the row's count. */
static enum err closing_chain(
    const struct shelf *shelf, struct sha256 *sha, const struct row *row, struct chain *out)
{
    struct entry entry = {.is_closed = false};
    enum err err = entry_get(shelf->view, row->project, row->number, &entry);
    if (err == ERR_OK && !entry.is_closed && entry.chain.seq == row->events) {
        *out = entry.chain;
        return ERR_OK;
    }
    return hash_events(shelf, sha, out);
}

/* What can not be read any more can not be covered: the statement then says that it was cut. */
static enum err close_statement(const struct shelf *shelf, struct sha256 *sha,
    const struct row *row, bool is_deleted, struct statement *out)
{
    struct audit_content content = {.body_bytes = 0};
    TRY(statement_of_row(row, out));
    enum err err = closing_chain(shelf, sha, row, &content.events);
    if (err == ERR_OK && !is_deleted)
        err = hash_body(shelf, sha, &content);
    if (err == ERR_OK && !is_deleted)
        err = hash_asides(shelf, sha, &content.asides);
    if (err != ERR_OK && err != ERR_CORRUPT)
        return err;
    out->is_cut = is_deleted || err == ERR_CORRUPT;
    out->event_chain = content.events.digest;
    out->body = content.body;
    out->aside_chain = content.asides.digest;
    out->asides = content.asides.seq;
    return ERR_OK;
}

static enum err append_deletion(const struct audit *audit, uint32_t project, const struct id *id,
    int64_t time_ns, struct slice reason)
{
    struct leaf leaf = {LEAF_DELETED, *id, time_ns, {{0}}};
    sha256(reason, leaf.digest.bytes);
    return append_leaf(audit, project, &leaf);
}

/* A stream that was deleted before it was closed: both leaves, one after the other. */
static enum err close_deleted(const struct audit *audit, const struct row *row)
{
    struct slice content;
    struct row tombstone;
    struct schema_key key = schema_row(row->project, &row->id);
    TRY(content_get(audit->view, TABLE_ROWS, key, &content));
    TRY(row_decode(content, &tombstone));
    TRY(append_deletion(audit, row->project, &row->id, tombstone.ended_ns, tombstone.reason));
    return view_remove(audit->view, TABLE_CHAINS, schema_number(row->project, row->number));
}

static enum err close_stream(const struct audit *audit, const struct row *row, struct sha256 *sha)
{
    struct shelf shelf = {audit->view, audit->codec, audit->value, row->project, row->number};
    struct roll roll = roll_of(audit);
    struct entry entry = {.is_closed = true};
    struct schema_key key = schema_number(row->project, row->number);
    bool is_deleted;
    uint64_t index;
    TRY(roll_is_deleted(&roll, row->project, row->number, &is_deleted));
    enum err err = audit_find(audit->view, row->project, &row->id, LEAF_FINISHED, &index);
    if (err == ERR_OK) /* a repeat; of a deleted stream it may have begun a chain again */
        return is_deleted ? view_remove(audit->view, TABLE_CHAINS, key) : ERR_OK;
    if (err != ERR_NOTFOUND)
        return err;
    TRY(close_statement(&shelf, sha, row, is_deleted, &entry.statement));
    struct leaf leaf = leaf_of_statement(&row->id, &entry.statement);
    TRY(append_leaf(audit, row->project, &leaf));
    return is_deleted ? close_deleted(audit, row)
                      : entry_put(audit, row->project, row->number, &entry);
}

enum err audit_close(const struct audit *audit, struct slice encoded_row)
{
    struct sha256 *sha;
    struct row row;
    TRY(row_decode(encoded_row, &row));
    if (stream_state_is_live(row.state) || row.state == STREAM_DELETED)
        return ERR_OK;
    TRY(sha256_new(&sha));
    enum err err = close_stream(audit, &row, sha);
    sha256_free(sha);
    return err == ERR_CORRUPT ? ERR_OK : err;
}

/* Of a stream that is not in the log yet nothing is said: closing it will. */
static enum err bury(
    const struct audit *audit, uint64_t number, const struct store_deletion *deletion)
{
    uint32_t project = deletion->project;
    uint64_t index;
    enum err err = audit_find(audit->view, project, &deletion->id, LEAF_FINISHED, &index);
    if (err != ERR_OK)
        return err == ERR_NOTFOUND ? ERR_OK : err;
    err = audit_find(audit->view, project, &deletion->id, LEAF_DELETED, &index);
    if (err != ERR_NOTFOUND)
        return err;
    TRY(append_deletion(audit, project, &deletion->id, deletion->now_ns, deletion->reason));
    return view_remove(audit->view, TABLE_CHAINS, schema_number(project, number));
}

enum err audit_bury(
    const struct audit *audit, uint64_t number, const struct store_deletion *deletion)
{
    enum err err = bury(audit, number, deletion);
    return err == ERR_CORRUPT ? ERR_OK : err;
}

/* ---- Answering ---- */

struct answering {
    struct store *store;
    struct view *view;
    struct block_codec *codec;
    const struct audit_request *request;
    struct tree tree;
    struct merkle_source source;
    uint64_t size;
    struct json_writer writer;
    struct buf *record;
};

static enum err make_head(const struct answering *answering, struct head *out)
{
    uint8_t seed[ED25519_BYTES];
    *out = (struct head){.project = answering->request->project_name,
        .size = answering->size,
        .time_ns = answering->request->now_ns};
    if (store_audit_key(answering->store, seed) != ERR_OK)
        return ERR_DENIED;
    store_uuid(answering->store, out->store);
    enum err err = merkle_root(&answering->source, answering->size, &out->root);
    if (err == ERR_OK)
        err = head_sign(out, seed);
    explicit_bzero(seed, sizeof seed);
    return err;
}

static enum err answer_head(struct answering *answering)
{
    struct head head;
    TRY(make_head(answering, &head));
    head_write(&answering->writer, &head);
    return answering->writer.err;
}

static enum err answer_consistency(struct answering *answering)
{
    struct json_writer *writer = &answering->writer;
    struct merkle_path path = {.count = 0};
    uint64_t old_size = answering->request->old_size;
    if (old_size > answering->size)
        return ERR_INVALID;
    if (old_size > 0)
        TRY(merkle_prove_prefix(&answering->source, old_size, answering->size, &path));
    json_open(writer, '{');
    json_key(writer, "object");
    json_string(writer, SLICE("audit.consistency"));
    json_key(writer, "old_size");
    json_unsigned(writer, old_size);
    json_key(writer, "size");
    json_unsigned(writer, answering->size);
    json_key(writer, "path");
    path_write(writer, &path);
    json_close(writer, '}');
    return writer->err;
}

/* A leaf of the stream and its path; ERR_NOTFOUND: not in this tree. */
static enum err prove_leaf(struct answering *answering, enum leaf_kind kind, struct proof_leaf *out)
{
    const struct audit_request *request = answering->request;
    TRY(audit_find(answering->view, request->project, &request->id, kind, &out->index));
    if (out->index >= answering->size)
        return ERR_NOTFOUND;
    TRY(audit_leaf(answering->view, request->project, out->index, &out->leaf));
    return merkle_prove(&answering->source, out->index, answering->size, &out->path);
}

/* What the row still says; of a stream that is forgotten, nothing. */
static enum err add_row(struct answering *answering, struct proof *proof, struct row *row)
{
    const struct audit_request *request = answering->request;
    struct slice content;
    struct entry entry;
    struct schema_key key = schema_row(request->project, &request->id);
    enum err err = content_get(answering->view, TABLE_ROWS, key, &content);
    if (err == ERR_NOTFOUND)
        return ERR_OK;
    TRY(err);
    TRY(row_decode(content, row));
    if (row->state == STREAM_DELETED) {
        proof->reason = row->reason;
        return ERR_OK;
    }
    TRY(statement_record(row, answering->record));
    proof->record = buf_slice(answering->record);
    err = entry_get(answering->view, request->project, row->number, &entry);
    if (err != ERR_NOTFOUND)
        TRY(err);
    proof->has_statement = err == ERR_OK && entry.is_closed;
    if (proof->has_statement)
        proof->statement = entry.statement;
    return ERR_OK;
}

static void write_block(struct json_writer *writer, const struct block *block)
{
    for (uint32_t i = 0; i < block->frame_count; i++) {
        struct chain_frame frame = {.seq = block_seq(block, i),
            .part = i == 0 ? block->part : 0,
            .has_more = (block->frames[i].flags & FRAME_MORE) != 0,
            .time_ns = block->frames[i].time_ns,
            .bytes = block_frame(block, i)};
        proof_write_frame(writer, &frame);
    }
}

static enum err write_events(struct json_writer *writer, const struct shelf *shelf)
{
    struct block_position at = {0, 0};
    struct block *block;
    enum err err;
    json_key(writer, "events");
    json_open(writer, '[');
    while ((err = shelf_get(shelf, TABLE_BLOCKS, at, &block)) == ERR_OK && writer->err == ERR_OK) {
        write_block(writer, block);
        at = block_next(block, block->frame_count - 1);
        block_unref(block);
    }
    if (err == ERR_OK)
        block_unref(block);
    json_close(writer, ']');
    return err == ERR_NOTFOUND || err == ERR_OK ? writer->err : err;
}

static enum err write_asides(struct json_writer *writer, const struct shelf *shelf)
{
    CLEANUP(buf_deinit) struct buf event;
    uint64_t before_seq;
    uint32_t index = 0;
    enum err err;
    buf_init(&event, FRAGMENT_BYTES_MAX);
    json_key(writer, "asides");
    json_open(writer, '[');
    while ((err = shelf_get_aside(shelf, index, &before_seq, &event)) == ERR_OK) {
        struct chain_frame frame = {
            .seq = index++, .time_ns = (int64_t)before_seq, .bytes = buf_slice(&event)};
        proof_write_frame(writer, &frame);
        buf_clear(&event);
    }
    json_close(writer, ']');
    return err == ERR_NOTFOUND ? writer->err : err;
}

static enum err write_body(struct json_writer *writer, const struct shelf *shelf)
{
    CLEANUP(buf_deinit) struct buf body;
    CLEANUP(cleanup_free) char *text = NULL;
    enum err err;
    buf_init(&body, PROOF_BYTES_MAX);
    while ((err = shelf_get_body(shelf, body.size, &body)) == ERR_OK) {
    }
    if (err != ERR_CLOSED)
        return err;
    text = malloc(2 * body.size + 1);
    if (!text)
        return fault(ERR_NOMEM, "a request's body");
    hex_encode(buf_slice(&body), text);
    json_key(writer, "body");
    json_string(writer, slice_of(text, 2 * body.size));
    return writer->err;
}

static enum err answer_proof(struct answering *answering)
{
    const struct audit_request *request = answering->request;
    struct proof proof = {.reason = SLICE_NONE};
    struct row row = {.number = 0};
    TRY(prove_leaf(answering, LEAF_FINISHED, &proof.finished));
    TRY(add_row(answering, &proof, &row));
    enum err err = prove_leaf(answering, LEAF_DELETED, &proof.deletion);
    proof.has_deletion = err == ERR_OK;
    if (err != ERR_NOTFOUND)
        TRY(err);
    TRY(make_head(answering, &proof.head));
    proof_write(&answering->writer, &proof);
    if (request->has_contents && proof.has_statement && !proof.statement.is_cut) {
        struct shelf shelf = {
            answering->view, answering->codec, NULL, request->project, row.number};
        TRY(write_events(&answering->writer, &shelf));
        TRY(write_asides(&answering->writer, &shelf));
        TRY(write_body(&answering->writer, &shelf));
    }
    json_close(&answering->writer, '}');
    return answering->writer.err;
}

static enum err answer(struct answering *answering)
{
    const struct audit_request *request = answering->request;
    TRY(audit_size(answering->view, request->project, &answering->size));
    if (request->size > answering->size)
        return ERR_INVALID;
    if (request->size)
        answering->size = request->size;
    answering->tree = (struct tree){.view = answering->view, .project = request->project};
    answering->source = (struct merkle_source){tree_get, &answering->tree};
    switch (request->kind) {
    case AUDIT_HEAD: return answer_head(answering);
    case AUDIT_PROOF: return answer_proof(answering);
    case AUDIT_CONSISTENCY: return answer_consistency(answering);
    }
    return ERR_INVALID;
}

enum err audit_answer(struct store *store, struct block_codec *codec,
    const struct audit_request *request, struct buf *out)
{
    CLEANUP(buf_deinit) struct buf record;
    struct answering answering = {
        .store = store, .codec = codec, .request = request, .record = &record};
    buf_init(&record, ROW_BYTES_MAX);
    json_writer_init(&answering.writer, out);
    TRY(view_begin(store_tables(store), false, &answering.view));
    enum err err = answer(&answering);
    view_abort(answering.view);
    return err;
}
