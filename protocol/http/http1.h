/* http1 — HTTP/1.x requests from bytes (llhttp, strict), pulled one event at a time, and the
 * framing of responses.
 *
 *   feed:  http1_next(parser, &input, &event)   consumes a part of `input`, says what it found
 *   until: HTTP1_NEED_MORE                      all input is consumed
 *
 *   HEAD ─▶ BODY* ─▶ END ─▶ (next request, pipelined)
 *   any error: ERR_INVALID; answer with http1_error() and close the connection
 *
 * After END nothing is consumed until the next call, so whoever pulls decides when the next request
 * begins. Fed whole, byte by byte or cut anywhere, the same bytes give the same heads, body bytes,
 * ends and error; only the cuts between BODY events differ.
 *
 * The head is copied into a buffer of its own, allocated at the first byte of a request and freed
 * by http1_release() or when the next request begins: an idle connection that was released holds
 * `struct http1` alone (under 256 bytes). BODY spans are borrowed from `input`.
 *
 * Refused, with a status and a sentence:
 *   400  bare CR or LF, obs-fold, space before the colon, control characters; two Content-Lengths,
 *        even if equal; Content-Length together with Transfer-Encoding; Transfer-Encoding in 1.0;
 *        no Host in 1.1, or two, or a malformed one; a chunk's framing. Of chunk extensions only
 *        what llhttp 8.1 reads is taken, one unquoted `;name=value`: nobody sends others
 *   413  a body longer than `body_bytes_max`: at the head where Content-Length says so, else at the
 *        chunk that passes it
 *   414  a target, 431 a head, field count or trailer past its bound (bounds.h)
 *   501  a method unknown to llhttp, CONNECT, a Transfer-Encoding other than exactly `chunked`
 *   505  a version other than 1.0 and 1.1
 * Upgrade is ignored. Expectations other than 100-continue are ignored (RFC 9110 §10.1.1 allows).
 *
 *   thread  any, one at a time
 *   source  RFC 9112; llhttp 8.1 (lenient flags all off) */
#ifndef TOKENLOG_PROTOCOL_HTTP_HTTP1_H
#define TOKENLOG_PROTOCOL_HTTP_HTTP1_H

#include "protocol/http/header.h"

struct http1_request {
    struct slice method; /* "GET" */
    /* "/v1/x?y=z", or "*" of OPTIONS. An absolute-form target is reduced to its path and query. */
    struct slice target;
    struct slice
        host; /* of the target if that is absolute (RFC 9112 §3.2.2), else of Host; or none */
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
    struct slice body; /* of BODY: at least one byte */
};

struct http1_error {
    int status;          /* to answer with */
    const char *code;    /* stable, e.g. "bad_request", "headers_too_large", "body_too_large" */
    const char *message; /* says what to do; static */
};

struct http1;

/* http1_new — faults ERR_NOMEM. http1_free takes NULL and returns NULL. */
enum err http1_new(uint64_t body_bytes_max, struct http1 **out) NODISCARD;
struct http1 *http1_free(struct http1 *parser);

/* http1_next — the next event; `*input` loses what was consumed.
 *   After END the next call begins the next request. After a request without keep_alive there is
 *   none: what follows is swallowed (RFC 9112 §9.6).
 *   answers  ERR_INVALID: read http1_error(); only http1_error() and http1_free() are allowed then
 *   faults   ERR_NOMEM: as after ERR_INVALID, but there is no error to read */
enum err http1_next(struct http1 *parser, struct slice *input, struct http1_event *event) NODISCARD;
/* http1_request — the current request: from HEAD until http1_release(), or until the call of
 * http1_next() that follows END. */
const struct http1_request *http1_request(const struct http1 *parser);
/* http1_release — after END: free the head now, for a response that will take long. */
void http1_release(struct http1 *parser);
/* http1_error — why ERR_INVALID was answered. */
struct http1_error http1_error(const struct http1 *parser);
/* http1_is_idle — no byte of a request has been received since the last END: a close loses nothing.
 * Empty lines are no part of a request. */
bool http1_is_idle(const struct http1 *parser);

/* Responses. The caller writes a status line, fields and "\r\n". A chunk of a chunked body is:
 * http1_chunk_head(size) bytes, the data, "\r\n"; the last one is HTTP1_LAST_CHUNK. */
enum { HTTP1_CHUNK_HEAD_BYTES = 20 /* 16 hex digits, CRLF, a NUL, rounded up */ };
#define HTTP1_LAST_CHUNK "0\r\n\r\n"
/* http_reason — "Not Found"; "Unknown" for what the IANA registry lacks. */
const char *http_reason(int status);
/* http1_write_status — append "HTTP/1.1 200 OK\r\n"; `status` is 100–999. Answers and faults:
 * buf. */
enum err http1_write_status(struct buf *out, int status) NODISCARD;
/* http1_write_header — append one field. ERR_INVALID if it is not clean (header.h); nothing is
 * appended unless all is. */
enum err http1_write_header(struct buf *out, struct slice name, struct slice value) NODISCARD;
/* http1_chunk_head — write "1f\r\n" and a NUL; the size without the NUL. `size` is not 0, which
 * would be the end. */
size_t http1_chunk_head(size_t size, char out[HTTP1_CHUNK_HEAD_BYTES]);

#endif
