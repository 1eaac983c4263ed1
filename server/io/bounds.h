/* bounds — the limits of the I/O layer, with unit and reason. */
#ifndef TOKENLOG_SERVER_IO_BOUNDS_H
#define TOKENLOG_SERVER_IO_BOUNDS_H

#include <assert.h>

enum {
    LOOP_ENTRIES = 4096,              /* submission queue; completions get four times that */
    LOOP_COMPLETIONS_PER_TURN = 1024, /* copied out, then run: bounds one turn's work */
    LOOP_PACE_NS = 8 * 1000 * 1000,   /* how much comes is looked at over so long */
    LOOP_BUSY_GAP_NS = 250 * 1000,    /* a completion so often is load: some 1,300 events/s */
    LOOP_COALESCED_MAX = 256,         /* completions that a turn under load waits for */
    LOOP_WORKERS_MAX = 2,             /* kernel threads for buffered file writes; each kind */
    LOOP_DEFER_PASSES_MAX = 4,        /* rounds of tasks that defer tasks; the rest: next turn */
    LOOP_ENDS_MAX = 2,                /* of one turn: once more for what the first has deferred */
    LOOP_SLICE_NS = 100 * 1000,       /* the least that the kernel allows */
    LOAD_WINDOW_NS =
        50 * 1000 * 1000,          /* as many connections as one accepts in it may be too many */
    LOOP_TIMERS_MAX = 1024 * 1024, /* 8 MiB of addresses, touched as used: setting can't fail */
    LOOP_BLOCK_BYTES = 8 * 1024,   /* scratch of one send, borrowed while it lasts */
    LOOP_BLOCKS_KEPT = 256,        /* 2 MiB kept for the next ones; more are freed */
    LOOP_DRAIN_MS = 1000,          /* loop_free waits so long for cancelled operations */

    RECV_BUFFER_BYTES = 16 * 1024, /* one provided buffer: a TLS record, or the head of a request */
    RECV_BUFFER_COUNT = 512,       /* 8 MiB shared by all; a connection holds none while idle */
    RECV_BUFFERS_LENT_MIN = 16,    /* of them, to begin with; one more whenever all are taken */

    CONN_SEGMENTS_MAX = 64,            /* iovecs of one send */
    CONN_SEND_BYTES_MAX = 256 * 1024,  /* queued for one send: what a slow reader can cost */
    CONN_SCRATCH_BYTES = 4 * 1024,     /* small copies (chunk heads, id lines) of one send */
    CONN_UNREAD_BYTES_MAX = 64 * 1024, /* received and not consumed (pipelining): receiving stops */
    CONN_UNREAD_BYTES_HARD = CONN_UNREAD_BYTES_MAX + 2 * RECV_BUFFER_BYTES, /* the last receive, and
                                             the TLS record that it completes, still come in */
    CONN_WIRE_BYTES_MAX = CONN_SEND_BYTES_MAX + 64 * 1024, /* one send as TLS records, handshakes */
    CONN_LINGER_MS = 5000,       /* after our FIN, wait so long for the peer's */
    CONN_FLUSH_STALL_MS = 30000, /* while closing: no progress for so long, and it is cut */
    CONN_DRAIN_POLL_MS = 5,      /* before a reset: between looks at what is not acknowledged */

    PARCEL_BYTES = 4096 - 2 * 8, /* of what crosses between loops: a request's head, many events */
    PARCELS_KEPT = 512,          /* 2 MiB of empty ones a far reactor; more are freed */
    UPSTREAM_CREDIT_BYTES = 16 * 1024, /* of a far transfer, not yet taken by the core: then it
                                          pauses. The read that passes it still comes in */
    REACTORS_MAX = 64,                 /* each has 8 MiB of receive buffers, touched as used */
    REACTORS_BY_DEFAULT = 8, /* at most: the one that decides keeps no more of them busy */

    LISTEN_BACKLOG = 4096,     /* the kernel cuts it to net.core.somaxconn */
    LISTEN_PAUSE_MS = 100,     /* after EMFILE and the like */
    KEEPALIVE_IDLE_S = 60,     /* a peer that vanished is noticed after */
    KEEPALIVE_INTERVAL_S = 15, /* idle + interval × count = 2 minutes */
    KEEPALIVE_COUNT = 4,

    UPSTREAM_CONNECTIONS_PER_HOST = 65536, /* one per live stream; ports end first */
    UPSTREAM_CONNECTIONS_KEPT = 1024,      /* idle ones, for the next request */
    UPSTREAM_KEPT_S = 118,                 /* … so long, as libcurl does */
    UPSTREAM_NAME_S = 60,                  /* a name's address is known, as libcurl does */
    UPSTREAM_HANDLES_KEPT = 256,           /* libcurl easy handles, ~6 KiB each */
    UPSTREAM_BUFFER_BYTES = 16 * 1024,     /* most that one data() delivers */
    WATCH_EVENTS_MAX = 256,                /* sockets told of by one look; the rest: next turn */
    UPSTREAM_ACKS_MS_MIN = 1000,           /* between two requests for delayed acknowledgements */
    UPSTREAM_ACKS_MS_MAX = 16 * 1000,      /* … where they do not suit the provider */
    UPLOAD_BYTES = 256 * 1024,             /* of a streamed request body, received and not yet sent:
                                              then receiving stops. A power of two */
    UPSTREAM_TOUCHED_MAX = 3,              /* addresses: as deep as an event goes */
    UPSTREAM_HEADERS_MAX = 256,            /* of one request */
    UPSTREAM_HEADER_BYTES_MAX = 64 * 1024, /* one request header line */
};

static_assert(CONN_UNREAD_BYTES_MAX >= RECV_BUFFER_BYTES, "what one receive brings can be kept");

#endif
