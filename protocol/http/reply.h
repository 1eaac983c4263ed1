/* reply — an HTTP/1.x response from bytes: its head, and its body with the framing taken off,
 * pulled one event at a time.
 *
 *   feed:  reply_next(reply, &input, &event)   consumes a part of `input`, says what it found
 *   until: REPLY_NEED_MORE                     all input is consumed
 *      or: REPLY_END                           what is left of `input` is not of this response
 *   the peer ends its side: reply_closed()     was that the end of the body, or a cut?
 *
 *   HEAD ─▶ BODY* ─▶ END ─▶ reply_begin() for the next response of a kept connection
 *   any error: close the connection
 *
 * Fed whole, byte by byte or cut anywhere, the same bytes give the same head, body bytes, end or
 * error; only the cuts between BODY events differ. What chunked coding costs a chunk that comes
 * whole is a few dozen instructions.
 *
 * Taken, for servers do it:
 *   interim responses (1xx), skipped, but 101: what follows that is no HTTP, a body until the close
 *   LF alone at the end of a line of the head, a chunk's size or a trailer (libcurl takes it, too)
 *   obs-fold: the lines are joined by a space (RFC 9112 §5.2)
 *   no reason phrase, nor the space before it
 *   a space between a field's name and its colon: removed (RFC 9112 §5.1)
 *   a field whose name is no token, or whose value has control characters: left out, unless the
 *     framing depends on it
 *   Content-Length more than once, if equal, also as "5, 5"
 *   Content-Length beside Transfer-Encoding, which counts, and Transfer-Encoding in HTTP/1.0: the
 *     connection is not kept (RFC 9112 §6.1)
 *   a chunk's extensions, white space after its size, trailer fields: skipped
 *   `Transfer-Encoding: identity`, which RFC 2616 had: as if it were absent
 * Refused:
 *   what does not begin with HTTP/1.0 or HTTP/1.1 and a status of 100–599, at the first byte that
 *     shows it
 *   a line of the head without a colon
 *   Content-Lengths that differ or are no decimal number below 2^63, even where Transfer-Encoding
 *     or the status makes them count for nothing; codings other than one `chunked`
 *   a chunk's size without digits or of more than 16; data that does not end in CRLF where the size
 *     says
 *   more than bounds.h allows: ERR_LIMIT
 *
 *   thread  any, one at a time · source  RFC 9112, RFC 9110 §15.2; libcurl 7.88.1, tried */
#ifndef TOKENLOG_PROTOCOL_HTTP_REPLY_H
#define TOKENLOG_PROTOCOL_HTTP_REPLY_H

#include "protocol/base/slice.h"

/* Embedded in its owner, who reads none of it. It holds memory only from the first field of a head
 * until the call that follows REPLY_HEAD. */
struct reply {
    struct buf head; /* the fields so far, as they are given out */
    struct buf line; /* the beginning of a line of the head that the end of an input cut */
    uint64_t left;   /* of the body or of the chunk under way; while its size is read: that */
    const char *problem;
    uint32_t framing_bytes; /* read and dropped since the last byte of a head or a body */
    uint16_t status;
    uint8_t state;
    uint8_t at; /* bytes of "HTTP/1.1 200", or digits of a chunk's size */
    uint8_t version_minor;
    uint8_t interim_count;
    bool is_after_cr; /* LF must follow */
    bool is_head_request;
    bool is_head_given;
    bool is_left_out; /* the field of the last line */
    bool is_kept;
};

enum reply_event_kind { REPLY_NEED_MORE, REPLY_HEAD, REPLY_BODY, REPLY_END };

struct reply_event {
    enum reply_event_kind kind;
    /* HEAD: the final response's fields, "Name: value\r\n" each, without the status line and the
     * blank line; borrowed until the next call. BODY: at least one byte, borrowed from `input`. */
    struct slice bytes;
};

/* reply_begin — for a new `reply`, or one after END or reply_deinit(), which holds nothing.
 * `is_head_request`: the request was a HEAD, so that no body comes whatever the head says. */
void reply_begin(struct reply *reply, bool is_head_request);
void reply_deinit(struct reply *reply);

/* reply_next — the next event; `*input` loses what was consumed. Not to be called after END.
 *   answers  ERR_INVALID malformed, ERR_LIMIT past a bound: read reply_problem(). Only that and
 *            reply_deinit() are allowed then
 *   faults   ERR_NOMEM: as after an error, but there is no problem to read */
enum err reply_next(struct reply *reply, struct slice *input, struct reply_event *event) NODISCARD;
/* reply_closed — the peer has ended its side, and reply_next() has been given all that came.
 *   answers  ERR_OK the response is whole: the close was its end, or its end had come
 *            ERR_CLOSED it was cut off: before or within its head, or within its body */
enum err reply_closed(const struct reply *reply) NODISCARD;

/* From HEAD on: 101, or 200–599. */
int reply_status(const struct reply *reply);
/* reply_is_kept — from END on: the connection can carry another request, if nothing has been
 * received on it past this END. */
bool reply_is_kept(const struct reply *reply);
/* reply_has_begun — a byte of it has come, be it of an interim response. */
bool reply_has_begun(const struct reply *reply);
/* reply_problem — why ERR_INVALID or ERR_LIMIT was answered: a clause, static. */
const char *reply_problem(const struct reply *reply);

#endif
