/* client — one connection of the crowd: connects, sends a request, reads the response and has its
 * tokens checked. What to send, and what to do after, is the crowd's.
 *
 *     IDLE ──start──▶ CONNECTING ──▶ READING ──ended──▶ IDLE
 *       └──start, on a kept connection──▶┘
 *
 *   thread  one */
#ifndef TOKENLOG_TOOLS_BENCH_CLIENT_H
#define TOKENLOG_TOOLS_BENCH_CLIENT_H

#include "tools/bench/load_options.h"
#include "tools/bench/reply.h"
#include "tools/bench/tokens.h"

/* How a request ended. */
enum client_end {
    CLIENT_COMPLETE,  /* the response is whole; whether it is right, its owner knows */
    CLIENT_HUNG_UP,   /* by client_hang_up */
    CLIENT_UNREACHED, /* no connection */
    CLIENT_CUT,       /* the connection broke before the response's end */
    CLIENT_MALFORMED, /* not HTTP */
};

enum client_state { CLIENT_IDLE, CLIENT_CONNECTING, CLIENT_READING };

struct client {
    const struct client_owner *owner;
    enum client_state state;
    int fd;          /* -1: none */
    bool is_reused;  /* the request went out on a kept connection */
    bool is_hung_up; /* asked for while bytes were being read */
    bool has_bytes;  /* of the response */
    int64_t sent_ns; /* monotonic, when the request went out */
    uint64_t body_bytes;
    struct reply *reply;
    struct tokens tokens;

    /* The owner's. */
    uint32_t index;
    uint32_t stream;     /* replay: which of the recorded ones */
    bool is_reader;      /* a GET; else a POST */
    bool has_token;      /* in this response */
    uint64_t pace_token; /* the first of this response, and when it came */
    int64_t pace_ns;
    int64_t schedule_ns; /* when the generation was asked for */
    uint64_t hang_up_at; /* resume: after so many events */
    int64_t start_ns;    /* when it may begin */
    char url[REPLY_URL_BYTES];
};

/* What the crowd does for its clients. `ended` may start the client again. `token` may hang up. */
struct client_owner {
    const struct load_options *options;
    int epoll;
    void *context;
    void (*request)(void *context, struct client *client, struct buf *out);
    void (*head)(void *context, struct client *client);
    void (*token)(void *context, struct client *client, uint64_t index);
    void (*ended)(void *context, struct client *client, enum client_end end);
    struct buf *scratch; /* for requests */
    uint8_t *read_bytes; /* CLIENT_READ_BYTES, for all */
};

enum {
    CLIENT_READ_BYTES = 256 * 1024, /* as much as a socket's buffer often holds */
    CLIENT_REQUEST_BYTES_MAX = 8192,
};

/* client_init — false: out of memory. */
bool client_init(struct client *client, const struct client_owner *owner) NODISCARD;
void client_deinit(struct client *client);
void client_start(struct client *client);
void client_ready(struct client *client, uint32_t events); /* epoll's */
/* client_hang_up — in `token`: the connection is reset once those bytes are through. */
void client_hang_up(struct client *client);

#endif
