/* record — one journal record: what a commit's batch is made of.
 *
 * A msgpack array; a later version may append elements, which today's reader skips if they are
 * scalars (strings and bytes are):
 *
 *     [ type u8, flags u8, stream number u64, seq u64, time_ns i64, payload bin ]
 *
 * An event larger than a fragment is several records of the same seq, the last one has RECORD_LAST.
 *
 *   thread  any; no state · allocates nothing · the journal adds magic, length and CRC to a batch
 *   source  https://github.com/msgpack/msgpack/blob/master/spec.md                               */
#ifndef TOKENLOG_PROTOCOL_DATA_RECORD_H
#define TOKENLOG_PROTOCOL_DATA_RECORD_H

#include "protocol/base/slice.h"

/* What the payload is. */
enum record_type {
    RECORD_ROW = 1,         /* an encoded row (row.h): the newest truth of its stream */
    RECORD_BODY = 2,        /* a fragment of the request's body */
    RECORD_EVENT = 3,       /* an event of the stream, or a fragment of one */
    RECORD_ASIDE = 4,       /* a provider frame hidden from the caller; without a number */
    RECORD_DELETE = 5,      /* nothing, or a reason */
    RECORD_MAY_SKIP = 0x80, /* bit: a reader that does not know the type may go on without it */
};

enum record_flags {
    RECORD_LAST = 1, /* the last fragment of its event */
};

enum {
    /* Beyond the payload: array head 1, type 2, flags 2, number 9, seq 9, time 9, bin head 5. */
    RECORD_OVERHEAD_BYTES_MAX = 37,
    RECORD_ELEMENTS = 6,
    RECORD_ELEMENTS_MAX = 32, /* of a later version; enough, and a bound on the skipping */
};

struct record {
    uint8_t type;    /* enum record_type; unknown ones are decoded like any other */
    uint8_t flags;   /* enum record_flags */
    uint64_t number; /* the stream's number in the store */
    uint64_t seq;
    int64_t time_ns;      /* ns since the Unix epoch */
    struct slice payload; /* at most UINT32_MAX bytes; the caller's bound is far below */
};

/* record_encode — writes the record to the front of `out`; *size is what it took, at most
 * payload.size + RECORD_OVERHEAD_BYTES_MAX.
 *   answers  ERR_LIMIT it does not fit in `capacity` (`out` may hold a part of it) */
enum err record_encode(
    const struct record *record, uint8_t *out, size_t capacity, size_t *size) NODISCARD;

/* record_decode — takes one record off the front of `input`; the payload is borrowed from it.
 *   faults  ERR_CORRUPT malformed, cut short or out of range; `input` is as it was */
enum err record_decode(struct slice *input, struct record *out) NODISCARD;

static inline bool record_type_may_be_skipped(uint8_t type)
{
    return (type & RECORD_MAY_SKIP) != 0;
}

#endif
