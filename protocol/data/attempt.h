/* attempt — one try at one target, as the row of its stream keeps it (row.attempts).
 *
 *     attempts = attempt*      one after another, without a count
 *     attempt  = array [ number, kind, is shown, target, key, started, first event, ended, status, why,
 *                        input, output, cached, reasoning, total, cost, from ]
 *
 * Oldest first. A later version may append elements, which today's reader skips; the last one was, and may
 * be missing: it is then 0.
 *
 *   thread  any; no state                                                                        */
#ifndef TOKENLOG_PROTOCOL_DATA_ATTEMPT_H
#define TOKENLOG_PROTOCOL_DATA_ATTEMPT_H

#include "protocol/data/json.h"
#include "protocol/data/row.h"

enum attempt_kind {
    ATTEMPT_FIRST,
    ATTEMPT_RETRY,        /* the same target once more, maybe with another key */
    ATTEMPT_FAILOVER,     /* another target, after the one before it had failed */
    ATTEMPT_HEDGE,        /* another target, while the one before it is still awaited */
    ATTEMPT_CONTINUATION, /* of what an attempt before it has left unfinished */
    ATTEMPT_RESUMPTION,   /* the same generation, by another connection: nothing is paid again */
};
const char *attempt_kind_name(enum attempt_kind kind); /* "first" … */

enum {
    ATTEMPT_TARGET_BYTES_MAX = 160, /* a provider's name and the most of any model's */
    ATTEMPT_WORD_BYTES_MAX = 64,    /* of a key's name, and of why */
    /* Encoded: three texts with heads of at most 2 bytes, 14 numbers of at most 9, and an array. */
    ATTEMPT_BYTES_MAX = ATTEMPT_TARGET_BYTES_MAX + 2 * ATTEMPT_WORD_BYTES_MAX + 136,
    /* Of a row: what routing allows is 6, each less than 200 bytes with usual names. */
    ATTEMPTS_BYTES_MAX = 3 * 1024,
};

struct attempt {
    uint32_t number; /* 1, 2… of its stream */
    enum attempt_kind kind;
    bool is_shown;       /* the stream's response, or a part of it, is this one's: */
    uint64_t from;       /* it begins with this event of the stream, counted from 0; else 0 */
    struct slice target; /* "provider/model"; what is too long is cut, as of the two below */
    struct slice key;    /* a name for the provider's key, never the key; or empty */
    int64_t started_ns, first_event_ns, ended_ns; /* as row.h's: 0 = has not happened */
    uint32_t status;                              /* 0: no response */
    struct slice why; /* a stable code; empty: it ended well, or has not ended */
    struct usage usage;
    int64_t cost_nano_usd; /* -1: not known */
};

/* attempt_encode — appended to `out`.  answers buf_append's
 * attempt_decode — takes one off the front of *rest; slices are borrowed from it.  faults ERR_CORRUPT
 * attempt_shown — the last one whose response the stream has.  answers ERR_NOTFOUND · faults likewise */
enum err attempt_encode(const struct attempt *attempt, struct buf *out) NODISCARD;
enum err attempt_decode(struct slice *rest, struct attempt *out) NODISCARD;
enum err attempt_shown(struct slice attempts, struct attempt *out) NODISCARD;

/* attempts_cost — of all whose cost is known, in nano-dollars; -1: of none.
 * attempts_json — an array: times are RFC 3339, costs US dollars; what is unknown is null. What cannot
 * be read is left out, as if it were not there.
 * cost_json — "0.000123000", or null */
int64_t attempts_cost(struct slice attempts);
void attempts_json(struct slice attempts, struct json_writer *writer);
void cost_json(int64_t nano_usd, struct json_writer *writer);

#endif
