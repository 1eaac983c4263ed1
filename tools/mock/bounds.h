/* bounds — what the mock provider will hold or do at most, with the reason. */
#ifndef TOKENLOG_TOOLS_MOCK_BOUNDS_H
#define TOKENLOG_TOOLS_MOCK_BOUNDS_H

enum {
    REQUEST_BODY_BYTES_MAX = 64 << 20, /* a prompt with images, with room */
    BLOB_KEPT_BYTES = 1 << 20,    /* of a blob's body, for /mock/last; the rest is digested only */
    BLOB_WRITE_BYTES = 256 << 10, /* one write of a blob that is made */
    REQUEST_HEAD_BYTES_MAX = 64 << 10, /* request target and headers together */
    REQUEST_HEADERS_MAX = 256,         /* more than any client sends */
    READ_BYTES = 64 << 10,             /* one read; shared by all connections */
    ACCEPTS_PER_TURN = 512,            /* so that a storm of callers does not stop the streams */
    BACKGROUNDS_MAX = 4096,            /* responses in the background that are kept */
    EVENTS_PER_WAIT = 1024,            /* of one epoll_wait */
    WRITES_PER_TURN = 64,              /* of one stream, so that none starves the others */
    BYTES_SENT_SINGLY_PER_TURN = 4096, /* the same, for write=1 */
    WRITE_BYTES_MAX = 48 << 20,        /* one write, and what a blocked connection may hold back */
    TEXT_BYTES_MAX = 32 << 20,         /* text=W, size=B: an event with a large image */
    TEXT_TOTAL_BYTES_MAX =
        8 << 20,            /* of answers that repeat the whole text (Responses: three times) */
    EVENTS_MAX = 100000000, /* tokens of one generation */
    RATE_PER_SECOND_MAX = 1000000,
    TTFT_MS_MAX = 3600 * 1000,
    BURST_MAX = 100000,
    RETRY_AFTER_S_MAX = 86400,
    MODEL_BYTES_MAX = 1024,      /* a model's name */
    PREDICTIONS_MAX = 256,       /* kept to be read; Replicate itself forgets them in time */
    MODELS_MAX = 4096,           /* names counted one by one in /mock/stats */
    EMBEDDING_INPUTS_MAX = 2048, /* the provider's own limit */
    DRAIN_MS = 2000,             /* a closing connection waits so long for the caller's FIN */
    RESET_POLL_MS = 1,           /* how often a reset asks whether its last bytes have left */
    LISTEN_BACKLOG = 4096,
};

#endif
