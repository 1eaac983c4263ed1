/* bounds — the limits of HTTP exchanges, with unit and reason. */
#ifndef TOKENLOG_SERVER_HTTP_BOUNDS_H
#define TOKENLOG_SERVER_HTTP_BOUNDS_H

enum {
    REPLY_BYTES_MAX = 8 * 1024 * 1024,   /* a whole reply: a listing of LIST_PAGE_MAX rows */
    RESPONSE_HEAD_BYTES_MAX = 64 * 1024, /* a response head: a provider's kept fields and ours */
    ERROR_MESSAGE_BYTES = 512, /* of an error's sentence, with its NUL: what is longer is cut */
    STALL_CHECKS = 4,          /* looks at a stalled send per send_timeout_ms */
    EXCHANGE_PREFIX_BYTES_MAX = 64,   /* copied before each pushed piece: an id line */
    EXCHANGE_SEGMENTS_MIN = 8,        /* iovecs that must be free for one more piece */
    EXCHANGE_COPIED_BYTES_MAX = 1280, /* of one send: so little is copied rather than borrowed */
};

#endif
