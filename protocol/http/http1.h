/* http1 — HTTP/1.x requests from bytes (llhttp, strict), pulled one event at a time, and the framing of responses.
 *
 *   feed:  http1_next(parser, &input, &event)   consumes a part of `input`, says what it found
 *   until: HTTP1_NEED_MORE                      all input is consumed (or paused at END, before the next request)
 *
 *   HEAD ─▶ BODY* ─▶ END ─▶ (next request, pipelined)        any error: ERR_INVALID, then the connection has to close
 *
 * The parser copies the head into its own buffer (allocated at the first byte of a request, freed at its END, so that
 * an idle connection holds none): `request` is borrowed until END. BODY spans are borrowed from `input`.
 *
 * Refused (ERR_INVALID, with the status and a sentence in `error`): two Content-Lengths even if equal, Content-Length
 * together with Transfer-Encoding, a Transfer-Encoding other than exactly `chunked` (501), bare CR or LF, obs-fold, space before the colon,
 * NUL, a version other than 1.0 and 1.1 (505), missing or repeated Host in 1.1 (400), head too large (431), target too long (414),
 * body longer than `body_bytes_max` (413, at the head where Content-Length says so, else when the chunks pass it), CONNECT and Upgrade
 * are not honoured (Upgrade is ignored; CONNECT is 501). Absolute-form targets are accepted, reduced to path and query.
 *
 *   thread  any, one at a time
 *   source  RFC 9112; llhttp 8.1 (lenient flags all off)                                                          */
#ifndef TOKENLOG_PROTOCOL_HTTP_HTTP1_H
#define TOKENLOG_PROTOCOL_HTTP_HTTP1_H

#include "protocol/http/header.h"

struct http1_request {
    struct slice method;   /* "GET" */
    struct slice target;   /* as received, origin-form: "/v1/x?y=z" */
    struct slice host;     /* the Host field, or SLICE_NONE (1.0) */
    struct headers headers;
    int version_minor;     /* 0 or 1 */
    bool keep_alive;       /* the peer wants the connection kept after this response */
    bool expects_continue; /* Expect: 100-continue, and a body will come */
    bool has_body;
    bool is_chunked;
    uint64_t content_length; /* 0 if chunked or absent */
};

enum http1_event_kind { HTTP1_NEED_MORE, HTTP1_HEAD, HTTP1_BODY, HTTP1_END };

struct http1_event {
    enum http1_event_kind kind;
    struct slice body; /* of BODY */
};

struct http1_error {
    int status;          /* to answer with: 400, 413, 414, 431, 501, 505 */
    const char *code;    /* stable, e.g. "bad_request", "headers_too_large", "body_too_large" */
    const char *message; /* says what to do; static */
};

struct http1;

/* http1_new — faults ERR_NOMEM. http1_free takes NULL. */
enum err http1_new(uint64_t body_bytes_max, struct http1 **out) NODISCARD;
struct http1 *http1_free(struct http1 *parser);

/* http1_next — answers ERR_INVALID (read http1_error(); no further call is allowed but _free) · faults ERR_NOMEM.
 *   After END the next call begins the next request. */
enum err http1_next(struct http1 *parser, struct slice *input, struct http1_event *event) NODISCARD;
const struct http1_request *http1_request(const struct http1 *parser); /* valid from HEAD until after END's next call */
struct http1_error http1_error(const struct http1 *parser);
/* http1_is_idle — no byte of a request has been received since the last END (a close now loses nothing). */
bool http1_is_idle(const struct http1 *parser);

/* Responses. http1_write_status appends "HTTP/1.1 200 OK\r\n"; http1_write_header one field (ERR_INVALID if unclean). The caller ends the
 * head with "\r\n". A chunk of a chunked body is: http1_chunk_head(size) bytes, the data, "\r\n"; the last one is HTTP1_LAST_CHUNK. */
enum { HTTP1_CHUNK_HEAD_BYTES = 20 };
#define HTTP1_LAST_CHUNK "0\r\n\r\n"
const char *http_reason(int status); /* "Not Found"; "Unknown" for what the registry lacks */
enum err http1_write_status(struct buf *out, int status) NODISCARD;
enum err http1_write_header(struct buf *out, struct slice name, struct slice value) NODISCARD;
size_t http1_chunk_head(size_t size, char out[HTTP1_CHUNK_HEAD_BYTES]);

#endif
