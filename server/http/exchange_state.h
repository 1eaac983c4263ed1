/* exchange_state — what the parts of the exchange share, and nobody else includes.
 *
 *   exchange.c           its life: made, timed, closed; all of them
 *   exchange_request.c   what is received: the head, the body
 *   exchange_upload.c    a body that goes on to a provider while it arrives
 *   exchange_response.c  what is sent: a reply, or a stream */
#ifndef TOKENLOG_SERVER_HTTP_EXCHANGE_STATE_H
#define TOKENLOG_SERVER_HTTP_EXCHANGE_STATE_H

#include "server/http/exchange.h"

enum exchange_state {
    STATE_HEAD, /* waiting for a request's head; idle if nothing of it has come */
    STATE_BODY,
    STATE_HANDLING,   /* somebody holds it, or is about to answer */
    STATE_RESPONDING, /* a head was written */
    STATE_FLUSHING,   /* all was pushed: when it is sent, the next request, or the end */
    STATE_CLOSING,
};

/* What was inside the request, if it was a wrapping. */
struct inner {
    struct http1_request request;
    struct slice body;
    struct buf text;
};

enum reply_framing { FRAMING_LENGTH, FRAMING_CHUNKED, FRAMING_CLOSE };

struct exchanges {
    struct exchange_config config;
    struct list open;
    size_t open_count;
    uint64_t bodies_bytes;
    bool is_draining;
    char date[40];
    int64_t date_s;
};

struct exchange {
    /* What each part of a response touches comes first. */
    struct conn *conn;
    const struct responder *responder;
    void *context;
    enum exchange_state state;
    enum reply_framing framing;
    bool is_continue_owed; /* 100 Continue is to be sent */
    bool is_resting;       /* the responder waits to wake us */
    bool keeps_alive;
    bool is_clean;
    bool was_sent; /* all of the response, while its holder is told */
    bool is_head_method;
    bool is_version_10;
    struct buf out;
    size_t out_pushed;   /* bytes of `out` */
    int64_t length_left; /* FRAMING_LENGTH */
    struct exchanges *owner;
    struct list node;
    struct http1 *parser;
    struct target target;
    struct buf body;
    struct inner *inner;       /* NULL: it is no wrapping */
    struct arriving *arriving; /* NULL: the body is not streamed, or no more of it is read */
    int64_t body_started_ns;   /* less what it waited for us */
    uint64_t body_bytes;       /* received */
    bool may_stream;           /* exchange_offer_stream */
    bool is_partial;           /* what is handled has only the beginning of its body */
    uint64_t body_held;        /* counted in bodies_bytes */
    struct buf fields;         /* of the response to come */
    int64_t accepted_ns;
    struct timer timer;
    struct project *project;
    const struct dialect *dialect;
    exchange_announcer *announcer;
    exchange_fallback *fallback; /* NULL: none */
    void *fallback_context;
    size_t fallback_index;
    size_t fallback_fields; /* bytes of `fields` when it was set */
};

/* exchange.c. exchange_timer_ms — the one timer, set anew.
 * exchange_close_now — whatever is under way. exchange_detach — its holder is told that it is over. */
void exchange_timer_ms(struct exchange *exchange, int64_t ms);
void exchange_close_now(struct exchange *exchange);
void exchange_detach(struct exchange *exchange);

/* exchange_request.c. exchange_received — as struct conn_owner has it.
 * exchange_drop_body — of the request; what was received of it is borrowed no longer.
 * exchange_watch_body — the timer, for the next piece of the body, or for so much of it as should have come
 * by then. exchange_refuse_… — 413, 408, or what the parser says. */
void exchange_received(void *exchange, struct slice bytes, size_t *consumed);
void exchange_drop_body(struct exchange *exchange);
void exchange_watch_body(struct exchange *exchange, struct timer *timer);
void exchange_refuse_long(struct exchange *exchange, uint64_t bytes_max);
void exchange_refuse_slow(struct exchange *exchange);
void exchange_refuse_malformed(struct exchange *exchange);

/* exchange_upload.c. exchange_pull_upload — more of the body, from `input` what there is room for.
 * exchange_drop_upload — the connection has gone, or what arrives is of no use: cut, if it is not whole. */
void exchange_pull_upload(struct exchange *exchange, struct slice *input);
void exchange_drop_upload(struct exchange *exchange);

/* exchange_response.c. exchange_writable — as struct conn_owner has it. */
void exchange_writable(void *exchange);

#endif
