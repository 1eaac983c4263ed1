/* bounds — the limits of the I/O layer, with unit and reason. */
#ifndef TOKENLOG_SERVER_IO_BOUNDS_H
#define TOKENLOG_SERVER_IO_BOUNDS_H

enum {
    LOOP_ENTRIES = 4096,              /* submission queue; completions get four times that */
    LOOP_COMPLETIONS_PER_TURN = 1024, /* copied out, then run: bounds one turn's work */
    RECV_BUFFER_BYTES = 16 * 1024,    /* one provided buffer: a TLS record, or the head of a request */
    RECV_BUFFER_COUNT = 512,          /* 8 MiB shared by all connections; a connection holds none while idle */
    CONN_SEGMENTS_MAX = 64,           /* iovecs of one send */
    CONN_SEND_BYTES_MAX = 256 * 1024, /* queued for one send: what a slow reader can cost */
    CONN_SCRATCH_BYTES = 4 * 1024,    /* small copies (chunk heads, id lines) of one send */
    CONN_UNREAD_BYTES_MAX = 64 * 1024,/* received and not consumed (pipelining): then receiving stops */
    CONN_LINGER_MS = 5000,            /* after our FIN, wait so long for the peer's */
    LISTEN_BACKLOG = 4096,
    UPSTREAM_HEAD_BYTES_MAX = 64 * 1024, /* of a provider's response head */
    UPSTREAM_CONNECTIONS_PER_HOST = 4096, /* HTTP/1.1 needs one per live stream */
};

#endif
