/* transcript — a recording as records that stand for themselves: what an export is made of, and
 * what GET …/events?format=jsonl answers with.
 *
 *     stream   the row, encoded (row.h); in JSON also as people read it
 *     event    one event, or a part of a long one: all parts but the last say `more`
 *     request  a piece of the request's body
 *     end      closes the recording: counts, and the digest of its records before this one
 *
 * As JSON lines                                   and as msgpack
 *     {"stream":{…},"row":"<base64>"}             ["stream", version, row bin]
 *     {"seq":0,"time":"…","data":"…"}             ["event", seq, more, time_ns, bin]
 *     {"request":0,"data":"…"}                    ["request", offset, bin]
 *     {"end":{"id":…,"state":…,"reason":…,        ["end", id bin, state, reason, events, bytes,
 *        "events":…,"bytes":…,"sha256":…}}         SHA-256 bin]
 *
 * Bytes that are no UTF-8 are `base64` instead of `data`. Times are RFC 3339, to the nanosecond.
 *
 *   thread  any; no state                                                                       */
#ifndef TOKENLOG_PROTOCOL_DATA_TRANSCRIPT_H
#define TOKENLOG_PROTOCOL_DATA_TRANSCRIPT_H

#include "protocol/data/row.h"

enum {
    TRANSCRIPT_VERSION = 1,
    TRANSCRIPT_PIECE_BYTES_MAX = 64 * 1024, /* of an event's part or of a body in one record */
    /* A written record: a piece of control characters (6 bytes each), or a row, twice, so. */
    TRANSCRIPT_RECORD_BYTES_MAX = 512 * 1024,
};

enum transcript_format { TRANSCRIPT_JSONL, TRANSCRIPT_MSGPACK };
const char *transcript_format_name(enum transcript_format format); /* "jsonl", "msgpack" */
enum err transcript_format_parse(struct slice name, enum transcript_format *out) NODISCARD;

enum transcript_kind {
    TRANSCRIPT_STREAM,
    TRANSCRIPT_EVENT,
    TRANSCRIPT_REQUEST,
    TRANSCRIPT_END,
};

struct transcript_record {
    enum transcript_kind kind;
    struct slice bytes; /* STREAM: the encoded row; EVENT, REQUEST: the piece */
    uint64_t seq;       /* EVENT; REQUEST: the byte offset */
    int64_t time_ns;    /* EVENT */
    bool is_more;       /* EVENT: the next record has more of it */
    /* END */
    struct id id;
    struct slice state, reason;
    uint64_t event_count, byte_count;
    bool has_sha256;
    uint8_t sha256[SHA256_BYTES];
};

/* transcript_write — appended to `out`.
 *   answers  ERR_LIMIT of `out`, or the piece is too long (a part may have been appended)
 *   faults   ERR_NOMEM · ERR_CORRUPT a STREAM's row is none
 * transcript_read — takes one record off the front of `input`; slices are borrowed from it or from
 *   `scratch`, which is cleared first.
 *   faults   ERR_CORRUPT it is none, or is not whole (`input` is as it was) · ERR_NOMEM        */
enum err transcript_write(enum transcript_format format, const struct transcript_record *record,
    struct buf *out) NODISCARD;
enum err transcript_read(enum transcript_format format, struct slice *input, struct buf *scratch,
    struct transcript_record *out) NODISCARD;

#endif
