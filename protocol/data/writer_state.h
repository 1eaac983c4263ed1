/* writer_state — what a row knows of a client's stream besides its events: who wrote what last, whether it
 * is closed, when it expires, what it was forked from. It changes in the same durable batch as an event.
 *
 * Idempotent producers: each stream remembers the last (epoch, seq) of its producers, those that wrote most
 * recently last. When the encoded state would pass its bound, the ones that wrote least recently are
 * forgotten: with IDs of 36 bytes about 150 are kept, with the longest 28. One that is forgotten is new
 * again: its next append must begin an epoch at seq 0.
 *
 *   thread  any; pure · source  durable-streams PROTOCOL.md 1.0 (draft), §4, §5.2.1 */
#ifndef TOKENLOG_PROTOCOL_DATA_WRITER_STATE_H
#define TOKENLOG_PROTOCOL_DATA_WRITER_STATE_H

#include "protocol/base/id.h"

enum {
    WRITER_STATE_BYTES_MAX = 8 * 1024, /* a row has room for so much (ROW_STATE_BYTES_MAX) */
    PRODUCERS_MAX = 256,               /* whose IDs are short */
    PRODUCER_ID_BYTES_MAX = 255,
    STREAM_SEQ_BYTES_MAX = 255,
};

struct producer_place {
    struct slice id;
    uint64_t epoch, seq;
};

struct writer_state {
    bool is_closed;
    bool is_closed_by_producer; /* by the last one of the list */
    bool is_deleted;            /* by its owner; kept for its forks */
    bool is_begun;              /* what it was created with is in it */
    bool has_ttl;               /* it was asked for, as ttl_s: the row's own has what it means */
    uint64_t ttl_s;             /* since it was last read or written */
    int64_t expires_ns;         /* at a point in time; 0 = not so */
    uint64_t forks;             /* streams that read this one as their source */
    /* A fork: `inherited` events of the source come before its own. depth 0: it is none. */
    uint32_t depth; /* forks on the way to a stream that is none */
    struct id source;
    uint64_t inherited, sub_offset;
    struct slice source_name;
    struct slice stream_seq; /* the last Stream-Seq; empty: none yet */
    size_t producer_count;
    struct producer_place producers[PRODUCERS_MAX];
};

/* writer_state_decode — slices are borrowed from `bytes`; empty bytes are a state that knows nothing.
 *   faults   ERR_CORRUPT
 * writer_state_encode — appended to `out`; forgets producers until it fits.
 *   answers  buf_append's · faults ERR_NOMEM */
enum err writer_state_decode(struct slice bytes, struct writer_state *out) NODISCARD;
enum err writer_state_encode(struct writer_state *state, struct buf *out) NODISCARD;

enum producer_verdict {
    PRODUCER_ACCEPTED,
    PRODUCER_DUPLICATE, /* `known` has the highest seq that was accepted */
    PRODUCER_STALE,     /* `known` has the epoch that is in force */
    PRODUCER_MISBEGUN,  /* a new epoch begins at seq 0 */
    PRODUCER_GAP,       /* known->seq is the one that was expected */
};
/* producer_check — what becomes of an append. producer_closed — it is the one that closed the stream.
 * producer_note — it was accepted; its ID stays borrowed. */
enum producer_verdict producer_check(const struct writer_state *state,
    const struct producer_place *asked, struct producer_place *known);
bool producer_closed(const struct writer_state *state, const struct producer_place *asked);
void producer_note(struct writer_state *state, const struct producer_place *place);

#endif
