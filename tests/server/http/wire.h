/* wire — a caller's end of a connection, looked at from the loop's own thread: nothing blocks.
 *
 *   wire_open ─▶ wire_send ─▶ WIRE_UNTIL(rig, wire_has(…)) ─▶ wire_close */
#ifndef TOKENLOG_TESTS_SERVER_HTTP_WIRE_H
#define TOKENLOG_TESTS_SERVER_HTTP_WIRE_H

#include "tests/server/io/net.h"
#include "tests/server/stream/server_rig.h"

enum { WIRE_BYTES_MAX = 64 * 1024 * 1024 };

struct wire {
    int fd;
    struct buf got;
    bool is_ended; /* FIN, or an error */
    int error;
};

static inline void wire_open(
    struct wire *wire, void (*accept_fd)(void *context, int fd), void *context, int receive_bytes)
{
    uint16_t port;
    int listening = net_listen(&port);
    *wire = (struct wire){.fd = net_connect(port, receive_bytes)};
    assert_true(wire->fd >= 0);
    int fd = accept4(listening, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    assert_true(fd >= 0);
    (void)close(listening);
    buf_init(&wire->got, WIRE_BYTES_MAX);
    accept_fd(context, fd);
}

static inline void wire_send(struct wire *wire, const char *text)
{
    assert_true(net_write(wire->fd, text, strlen(text)));
}

/* wire_pull — what has come by now. */
static inline void wire_pull(struct wire *wire)
{
    char bytes[16384];
    while (!wire->is_ended) {
        ssize_t size = recv(wire->fd, bytes, sizeof bytes, MSG_DONTWAIT);
        if (size < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        wire->is_ended = size <= 0;
        wire->error = size < 0 ? errno : 0;
        if (size > 0)
            assert_int_equal(buf_append(&wire->got, slice_of(bytes, (size_t)size)), ERR_OK);
    }
}

static inline bool wire_has(struct wire *wire, const char *text)
{
    wire_pull(wire);
    return slice_find(buf_slice(&wire->got), slice_text(text)) >= 0;
}

static inline size_t wire_count(struct wire *wire, const char *text)
{
    wire_pull(wire);
    struct slice rest = buf_slice(&wire->got), wanted = slice_text(text);
    size_t count = 0;
    for (ptrdiff_t at; (at = slice_find(rest, wanted)) >= 0; count++)
        rest = slice_sub(rest, (size_t)at + wanted.size, rest.size);
    return count;
}

static inline bool wire_ended(struct wire *wire)
{
    wire_pull(wire);
    return wire->is_ended;
}

static inline bool wire_ends_with(struct wire *wire, const char *text)
{
    struct slice got = buf_slice(&wire->got), wanted = slice_text(text);
    return got.size >= wanted.size &&
           slice_equal(slice_sub(got, got.size - wanted.size, wanted.size), wanted);
}

static inline void wire_clear(struct wire *wire)
{
    wire_pull(wire);
    buf_clear(&wire->got);
}

static inline void wire_close(struct wire *wire)
{
    if (wire->fd >= 0)
        (void)close(wire->fd);
    wire->fd = -1;
    buf_deinit(&wire->got);
}

#endif
