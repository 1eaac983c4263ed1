/* bounds — the sizes that protocol/http accepts from peers. Each has a name, a unit and a reason. */
#ifndef TOKENLOG_PROTOCOL_HTTP_BOUNDS_H
#define TOKENLOG_PROTOCOL_HTTP_BOUNDS_H

enum {
    HTTP_HEAD_BYTES_MAX = 32 * 1024,   /* request line + headers; browsers' cookies rarely pass 8 KiB, agents' metadata may */
    HTTP_TARGET_BYTES_MAX = 8 * 1024,  /* the request target; RFC 9110 §4.1 asks for at least 8000 octets */
    HTTP_HEADER_COUNT_MAX = 100,       /* header fields in a message; as Apache and nginx */
    HTTP_TRAILER_BYTES_MAX = 4 * 1024, /* trailer fields are read and dropped */
    HTTP_QUERY_COUNT_MAX = 32,         /* parameters in a query */
};

#endif
