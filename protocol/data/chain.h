/* chain — what the audit log says of one stream, in bytes that never change: a chain over its
 * events, a statement that closes it, and the leaf that goes into its project's tree (merkle.h).
 *
 *   event 0 ──▶ link ──▶ link ──▶ … ──▶ link ─┐
 *   aside 0 ──▶ link ──▶ … ───────────────────┤
 *   request body ──▶ SHA-256 ─────────────────┼──▶ statement ──▶ SHA-256 ──▶ leaf ──▶ tree ──▶ head
 *   final row (request, attempt, end) ─ SHA-256 ┘  counts, state
 *
 * All numbers are big-endian.
 *
 *   link       SHA-256(kind u8 ‖ link before 32 ‖ seq u64 ‖ part u32 ‖ goes on u8 ‖ time u64 ‖
 *              size u32 ‖ bytes); before the first, 32 zero bytes
 *   statement  version u8 ‖ flags u8 ‖ state u8 ‖ number ‖ events ‖ bytes ‖ request bytes ‖
 *              asides ‖ accepted_ns ‖ ended_ns (u64 each) ‖ record 32 ‖ body 32 ‖ events 32 ‖
 *              asides 32
 *   leaf       version u8 ‖ kind u8 ‖ id 16 ‖ time_ns u64 ‖ digest 32
 *
 *   thread  any; no state                                                                       */
#ifndef TOKENLOG_PROTOCOL_DATA_CHAIN_H
#define TOKENLOG_PROTOCOL_DATA_CHAIN_H

#include "protocol/data/merkle.h"
#include "protocol/data/row.h"

/* Which of a stream's sequences; the first byte of each link, apart from the tree's 0 and 1. */
enum chain_kind { CHAIN_EVENTS = 2, CHAIN_ASIDES = 3 };

struct chain {
    uint64_t seq; /* of the link that is next… */
    uint32_t part;
    struct digest digest; /* …and the last one so far */
};
/* What a link is made of. Of an aside: seq is its index, time_ns the event before which it came. */
struct chain_frame {
    uint64_t seq;
    uint32_t part;
    bool has_more; /* the event goes on with the next part */
    int64_t time_ns;
    struct slice bytes;
};
/* chain_add — answers ERR_INVALID: the frame is not the next one; nothing has changed */
enum err chain_add(struct sha256 *sha, enum chain_kind kind, struct chain *chain,
    const struct chain_frame *frame) NODISCARD;

enum {
    CHAIN_BYTES = 8 + 4 + SHA256_BYTES,
    STATEMENT_BYTES = 3 + 7 * 8 + 4 * SHA256_BYTES,
    LEAF_BYTES = 2 + ID_BYTES + 8 + SHA256_BYTES,
};
void chain_encode(const struct chain *chain, uint8_t out[CHAIN_BYTES]);
enum err chain_decode(struct slice bytes, struct chain *out) NODISCARD; /* ERR_CORRUPT */

struct statement {
    /* It was deleted before it was closed (which a full disk may bring about): of body and asides
     * nothing is said, their digests are of nothing. */
    bool is_cut;
    enum stream_state state;
    uint64_t number, events, bytes, request_bytes, asides;
    int64_t accepted_ns, ended_ns;
    struct digest record; /* of statement_record */
    struct digest body;   /* SHA-256 of the request's body */
    struct digest event_chain, aside_chain;
};
void statement_encode(const struct statement *statement, uint8_t out[STATEMENT_BYTES]);
enum err statement_decode(struct slice bytes, struct statement *out) NODISCARD; /* ERR_CORRUPT */
/* statement_record — the row as the statement covers it, appended: all but what may change after
 * the end without the recording having changed: ttl_s, is_sliding, touched_ns, is_held, damage.
 *   answers and faults  row_encode's */
enum err statement_record(const struct row *row, struct buf *out) NODISCARD;
/* statement_of_row — its fields that follow from the row, `record` included; the rest is zero. */
enum err statement_of_row(const struct row *row, struct statement *out) NODISCARD;

enum leaf_kind {
    LEAF_FINISHED = 1, /* time_ns: its end; digest: of the statement */
    LEAF_DELETED = 2,  /* time_ns: of the deletion; digest: of the reason */
};
struct leaf {
    enum leaf_kind kind;
    struct id id;
    int64_t time_ns;
    struct digest digest;
};
void leaf_encode(const struct leaf *leaf, uint8_t out[LEAF_BYTES]);
enum err leaf_decode(struct slice bytes, struct leaf *out) NODISCARD; /* ERR_CORRUPT */
struct digest leaf_digest(const struct leaf *leaf);                   /* its hash in the tree */
struct leaf leaf_of_statement(const struct id *id, const struct statement *statement);

#endif
