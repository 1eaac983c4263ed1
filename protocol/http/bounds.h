/* bounds — the sizes that protocol/http accepts from peers. Each has a name, a unit and a
 * reason. */
#ifndef TOKENLOG_PROTOCOL_HTTP_BOUNDS_H
#define TOKENLOG_PROTOCOL_HTTP_BOUNDS_H

#include <assert.h>

enum {
    /* Request line and fields: cookies rarely pass 8 KiB, agents' metadata may. */
    HTTP_HEAD_BYTES_MAX = 32 * 1024,
    /* First allocation for a head: an SDK's request line and fields are 400–900 bytes. */
    HTTP_HEAD_BYTES_START = 1024,
    /* The request target: RFC 9110 §4.1 asks for at least 8000 octets. */
    HTTP_TARGET_BYTES_MAX = 8 * 1024,
    /* The request line: a target, the longest method, two spaces and the version. */
    HTTP_REQUEST_LINE_BYTES_MAX = HTTP_TARGET_BYTES_MAX + 64,
    /* Empty lines before a request line: RFC 9112 §2.2 asks for at least one. */
    HTTP_EMPTY_LINES_MAX = 4,
    /* Fields of a message: as Apache and nginx. */
    HTTP_HEADER_COUNT_MAX = 100,
    /* A chunked body's framing between two body bytes, or after the last: extensions and trailer
     * fields are read and dropped. So is a response's reason phrase. */
    HTTP_TRAILER_BYTES_MAX = 4 * 1024,
    /* The fields of a provider's response: policies and cookies rarely pass 8 KiB. One line of it
     * that comes in parts is held once more. */
    REPLY_HEAD_BYTES_MAX = 64 * 1024,
    /* Interim responses before the final one: 102 every 20 seconds for 40 minutes. */
    REPLY_INTERIM_MAX = 120,
    /* Parameters of a query: no route of ours takes more than ten. */
    HTTP_QUERY_COUNT_MAX = 32,
};

static_assert(HTTP_REQUEST_LINE_BYTES_MAX < HTTP_HEAD_BYTES_MAX, "the request line is in the head");
static_assert(REPLY_INTERIM_MAX < 256, "counted in a byte");

#endif
