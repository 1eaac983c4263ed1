/* chain — see chain.h, whose list is the picture of the bytes. */
#include "protocol/data/chain.h"

#include <endian.h>
#include <string.h>

#include "protocol/base/own.h"

enum {
    STATEMENT_VERSION = 1,
    LEAF_VERSION = 1,
    STATEMENT_CUT = 1, /* a flag */
    LINK_HEAD_BYTES = 1 + SHA256_BYTES + 8 + 4 + 1 + 8 + 4,
};

/* Bytes being written one behind the other, and read again. */

static uint8_t *put_u32(uint8_t *at, uint32_t number)
{
    number = htobe32(number);
    memcpy(at, &number, sizeof number);
    return at + sizeof number;
}

static uint8_t *put_u64(uint8_t *at, uint64_t number)
{
    number = htobe64(number);
    memcpy(at, &number, sizeof number);
    return at + sizeof number;
}

static uint8_t *put_bytes(uint8_t *at, const void *bytes, size_t size)
{
    memcpy(at, bytes, size);
    return at + size;
}

static uint32_t take_u32(const uint8_t **at)
{
    uint32_t number;
    memcpy(&number, *at, sizeof number);
    *at += sizeof number;
    return be32toh(number);
}

static uint64_t take_u64(const uint8_t **at)
{
    uint64_t number;
    memcpy(&number, *at, sizeof number);
    *at += sizeof number;
    return be64toh(number);
}

static void take_bytes(const uint8_t **at, void *out, size_t size)
{
    memcpy(out, *at, size);
    *at += size;
}

/* ---- Links ---- */

enum err chain_add(
    struct sha256 *sha, enum chain_kind kind, struct chain *chain, const struct chain_frame *frame)
{
    uint8_t head[LINK_HEAD_BYTES], *at = head;
    if (frame->seq != chain->seq || frame->part != chain->part || frame->bytes.size > UINT32_MAX)
        return ERR_INVALID;
    *at++ = (uint8_t)kind;
    at = put_bytes(at, chain->digest.bytes, SHA256_BYTES);
    at = put_u64(at, frame->seq);
    at = put_u32(at, frame->part);
    *at++ = frame->has_more;
    at = put_u64(at, (uint64_t)frame->time_ns);
    at = put_u32(at, (uint32_t)frame->bytes.size);
    ASSERT(at == head + sizeof head);
    sha256_begin(sha);
    sha256_add(sha, slice_of(head, sizeof head));
    sha256_add(sha, frame->bytes);
    sha256_end(sha, chain->digest.bytes);
    chain->seq += frame->has_more ? 0 : 1;
    chain->part = frame->has_more ? chain->part + 1 : 0;
    return ERR_OK;
}

void chain_encode(const struct chain *chain, uint8_t out[CHAIN_BYTES])
{
    uint8_t *at = put_u64(out, chain->seq);
    at = put_u32(at, chain->part);
    at = put_bytes(at, chain->digest.bytes, SHA256_BYTES);
    ASSERT(at == out + CHAIN_BYTES);
}

enum err chain_decode(struct slice bytes, struct chain *out)
{
    const uint8_t *at = bytes.data;
    if (bytes.size != CHAIN_BYTES)
        return fault(ERR_CORRUPT, "a chain of %zu bytes", bytes.size);
    out->seq = take_u64(&at);
    out->part = take_u32(&at);
    take_bytes(&at, out->digest.bytes, SHA256_BYTES);
    return ERR_OK;
}

/* ---- Statements ---- */

void statement_encode(const struct statement *statement, uint8_t out[STATEMENT_BYTES])
{
    uint8_t *at = out;
    *at++ = STATEMENT_VERSION;
    *at++ = statement->is_cut ? STATEMENT_CUT : 0;
    *at++ = (uint8_t)statement->state;
    at = put_u64(at, statement->number);
    at = put_u64(at, statement->events);
    at = put_u64(at, statement->bytes);
    at = put_u64(at, statement->request_bytes);
    at = put_u64(at, statement->asides);
    at = put_u64(at, (uint64_t)statement->accepted_ns);
    at = put_u64(at, (uint64_t)statement->ended_ns);
    at = put_bytes(at, statement->record.bytes, SHA256_BYTES);
    at = put_bytes(at, statement->body.bytes, SHA256_BYTES);
    at = put_bytes(at, statement->event_chain.bytes, SHA256_BYTES);
    at = put_bytes(at, statement->aside_chain.bytes, SHA256_BYTES);
    ASSERT(at == out + STATEMENT_BYTES);
}

enum err statement_decode(struct slice bytes, struct statement *out)
{
    const uint8_t *at = bytes.data;
    if (bytes.size != STATEMENT_BYTES || at[0] != STATEMENT_VERSION || at[1] > STATEMENT_CUT ||
        at[2] >= STREAM_DELETED || stream_state_is_live((enum stream_state)at[2]))
        return fault(ERR_CORRUPT, "a statement of %zu bytes", bytes.size);
    out->is_cut = at[1] & STATEMENT_CUT;
    out->state = (enum stream_state)at[2];
    at += 3;
    out->number = take_u64(&at);
    out->events = take_u64(&at);
    out->bytes = take_u64(&at);
    out->request_bytes = take_u64(&at);
    out->asides = take_u64(&at);
    out->accepted_ns = (int64_t)take_u64(&at);
    out->ended_ns = (int64_t)take_u64(&at);
    take_bytes(&at, out->record.bytes, SHA256_BYTES);
    take_bytes(&at, out->body.bytes, SHA256_BYTES);
    take_bytes(&at, out->event_chain.bytes, SHA256_BYTES);
    take_bytes(&at, out->aside_chain.bytes, SHA256_BYTES);
    return ERR_OK;
}

enum err statement_record(const struct row *row, struct buf *out)
{
    struct row covered = *row;
    covered.ttl_s = covered.touched_ns = 0;
    covered.is_sliding = covered.is_held = false;
    covered.damage = SLICE_NONE;
    return row_encode(&covered, out);
}

enum err statement_of_row(const struct row *row, struct statement *out)
{
    CLEANUP(buf_deinit) struct buf record;
    buf_init(&record, ROW_BYTES_MAX);
    TRY(statement_record(row, &record));
    *out = (struct statement){.state = row->state,
        .number = row->number,
        .events = row->events,
        .bytes = row->bytes,
        .request_bytes = row->request_bytes,
        .accepted_ns = row->accepted_ns,
        .ended_ns = row->ended_ns};
    sha256(buf_slice(&record), out->record.bytes);
    return ERR_OK;
}

/* ---- Leaves ---- */

void leaf_encode(const struct leaf *leaf, uint8_t out[LEAF_BYTES])
{
    uint8_t *at = out;
    *at++ = LEAF_VERSION;
    *at++ = (uint8_t)leaf->kind;
    at = put_bytes(at, leaf->id.bytes, ID_BYTES);
    at = put_u64(at, (uint64_t)leaf->time_ns);
    at = put_bytes(at, leaf->digest.bytes, SHA256_BYTES);
    ASSERT(at == out + LEAF_BYTES);
}

enum err leaf_decode(struct slice bytes, struct leaf *out)
{
    const uint8_t *at = bytes.data;
    if (bytes.size != LEAF_BYTES || at[0] != LEAF_VERSION ||
        (at[1] != LEAF_FINISHED && at[1] != LEAF_DELETED))
        return fault(ERR_CORRUPT, "a leaf of %zu bytes", bytes.size);
    out->kind = (enum leaf_kind)at[1];
    at += 2;
    take_bytes(&at, out->id.bytes, ID_BYTES);
    out->time_ns = (int64_t)take_u64(&at);
    take_bytes(&at, out->digest.bytes, SHA256_BYTES);
    return ERR_OK;
}

struct digest leaf_digest(const struct leaf *leaf)
{
    uint8_t bytes[LEAF_BYTES];
    leaf_encode(leaf, bytes);
    return merkle_leaf(slice_of(bytes, sizeof bytes));
}

struct leaf leaf_of_statement(const struct id *id, const struct statement *statement)
{
    uint8_t bytes[STATEMENT_BYTES];
    struct leaf leaf = {LEAF_FINISHED, *id, statement->ended_ns, {{0}}};
    statement_encode(statement, bytes);
    sha256(slice_of(bytes, sizeof bytes), leaf.digest.bytes);
    return leaf;
}
