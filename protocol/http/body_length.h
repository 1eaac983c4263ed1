/* body_length — how long the body of a response is, and whether its connection is kept after it.
 *
 *   thread  any; pure · source  RFC 9112 §6.3, §9.3 */
#ifndef TOKENLOG_PROTOCOL_HTTP_BODY_LENGTH_H
#define TOKENLOG_PROTOCOL_HTTP_BODY_LENGTH_H

#include "protocol/base/slice.h"

/* What is known of a response beside its fields. */
struct response_line {
    int status;
    int version_minor;    /* 0 or 1 */
    bool is_head_request; /* it answers a HEAD */
};

enum body_kind { BODY_NONE, BODY_SIZED, BODY_CHUNKED, BODY_UNTIL_CLOSE };

struct body_length {
    enum body_kind kind;
    uint64_t bytes; /* of BODY_SIZED: below 2^63; may be 0 */
    bool is_kept;
};

/* body_length_read — of `fields`, "Name: value\r\n" each, which are clean (header.h).
 *   101 ends HTTP: what follows is a body until the close. `Transfer-Encoding: identity` and an
 *   empty one count as none. Several Content-Lengths, and lists of them, are taken if all are equal.
 *   Content-Length beside `chunked`, and `chunked` in HTTP/1.0: chunked, and not kept (§6.1).
 * NULL, or what is wrong, a static clause: a Content-Length that is no number below 2^63, or two
 * that differ; a Transfer-Encoding other than one `chunked`. Wrong is wrong even where the status
 * or the other field makes it count for nothing. */
const char *body_length_read(
    struct slice fields, struct response_line line, struct body_length *out) NODISCARD;

#endif
