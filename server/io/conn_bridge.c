/* conn_bridge — see conn_bridge.h.
 *
 * Credit: `taken` is what the far side has received, `consumed` what the core has. While their
 * difference is below CONN_UNREAD_BYTES_MAX the far side goes on by itself; where it stops it says
 * so (STOPPED), and the core tells it to go on once what waits here has halved.
 *
 * The end: the socket's `closed` crosses as CLOSED, its last word; the core answers RELEASE, its last
 * word; nothing can be on its way then, and the far side frees the bridge. */
#include "server/io/conn_bridge.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { /* far ─▶ core */
    UP_ESTABLISHED = MAILBOX_FIRST << 0,
    UP_SENT = MAILBOX_FIRST << 1,
    UP_END = MAILBOX_FIRST << 2,
    UP_BROKEN = MAILBOX_FIRST << 3,
    UP_STOPPED = MAILBOX_FIRST << 4,
    UP_CLOSED = MAILBOX_FIRST << 5,
};

enum { /* core ─▶ far */
    DOWN_START = MAILBOX_FIRST << 0,
    DOWN_SEND = MAILBOX_FIRST << 1,
    DOWN_RESUME = MAILBOX_FIRST << 2,
    DOWN_RELEASE = MAILBOX_FIRST << 3,
    DOWN_CLOSE = MAILBOX_FIRST << 4, /* this bit and the next three: enum conn_close */
};

static const size_t close_count = CONN_CLOSE_NOW + 1;

struct conn_bridge {
    struct crossing *crossing;
    /* The core's. */
    const struct socket_events *events;
    void *context;
    bool is_stopped;
    uint64_t received; /* by the conn */
    size_t unread;     /* of that */
    struct mailbox up;
    /* Written by one side before it tells, read by the other after. */
    struct burst *burst;
    _Atomic uint64_t consumed;
    /* The far side's. */
    struct mailbox down;
    struct socket_config config;
    int fd;
    struct socket *socket;
    uint64_t taken;
};

/* ---- the far side ---------------------------------------------------------------------------- */

static size_t far_unread(const struct conn_bridge *bridge)
{
    return (size_t)(bridge->taken - atomic_load_explicit(&bridge->consumed, memory_order_relaxed));
}

static unsigned stopped_bit(size_t unread)
{
    return unread >= CONN_UNREAD_BYTES_MAX ? UP_STOPPED : 0;
}

static bool put_bytes(struct conn_bridge *bridge, struct slice bytes)
{
    while (bytes.size > 0) {
        struct parcel *parcel = parcel_take(bridge->crossing);
        if (!parcel)
            return false;
        struct slice part = slice_sub(bytes, 0, sizeof parcel->bytes);
        memcpy(parcel->bytes, part.data, part.size);
        parcel->size = part.size;
        bridge->taken += part.size;
        mailbox_put(&bridge->up, parcel);
        bytes = slice_sub(bytes, part.size, bytes.size);
    }
    return true;
}

static size_t far_received(void *context, struct slice bytes)
{
    struct conn_bridge *bridge = context;
    bool is_whole = put_bytes(bridge, bytes);
    size_t unread = far_unread(bridge);
    mailbox_tell(&bridge->up, stopped_bit(unread) | (is_whole ? 0u : UP_BROKEN));
    if (!is_whole)
        socket_close(bridge->socket, CONN_CLOSE_NOW);
    return unread;
}

static void far_established(void *context)
{
    mailbox_tell(&((struct conn_bridge *)context)->up, UP_ESTABLISHED);
}

static void far_sent(void *context)
{
    mailbox_tell(&((struct conn_bridge *)context)->up, UP_SENT);
}

static void far_ended(void *context, bool is_broken)
{
    mailbox_tell(&((struct conn_bridge *)context)->up, is_broken ? UP_BROKEN : UP_END);
}

static void far_closed(void *context)
{
    struct conn_bridge *bridge = context;
    bridge->socket = NULL;
    mailbox_tell(&bridge->up, UP_CLOSED);
}

static const struct socket_events far_events = {
    far_received, far_established, far_sent, far_ended, far_closed};

static void far_start(struct conn_bridge *bridge)
{
    struct socket_config config = bridge->config;
    config.loop = crossing_far(bridge->crossing);
    config.events = &far_events;
    config.context = bridge;
    if (socket_new(&config, bridge->fd, &bridge->socket) != ERR_OK)
        mailbox_tell(&bridge->up, UP_BROKEN | UP_CLOSED);
}

static void far_resume(struct conn_bridge *bridge)
{
    size_t unread = far_unread(bridge);
    if (stopped_bit(unread)) /* more has come meanwhile */
        mailbox_tell(&bridge->up, UP_STOPPED);
    socket_resume(bridge->socket, unread);
}

static void far_run(struct task *task)
{
    struct conn_bridge *bridge = CONTAINER_OF(task, struct conn_bridge, down.task);
    unsigned bits = mailbox_open(&bridge->down);
    if (bits & DOWN_RELEASE) {
        ASSERT(!bridge->socket);
        free(bridge);
        return;
    }
    if (bits & DOWN_START)
        far_start(bridge);
    if (bridge->socket && bits & DOWN_SEND)
        socket_send(bridge->socket, bridge->burst);
    if (bridge->socket && bits & DOWN_RESUME)
        far_resume(bridge);
    for (unsigned how = 0; bridge->socket && how < close_count; how++)
        if (bits & ((unsigned)DOWN_CLOSE << how))
            socket_close(bridge->socket, (enum conn_close)how);
}

/* ---- the core's side ------------------------------------------------------------------------- */

static void settle_credit(struct conn_bridge *bridge)
{
    atomic_store_explicit(
        &bridge->consumed, bridge->received - bridge->unread, memory_order_relaxed);
    if (!bridge->is_stopped || bridge->unread > CONN_UNREAD_BYTES_MAX / 2)
        return;
    bridge->is_stopped = false;
    mailbox_tell(&bridge->down, DOWN_RESUME);
}

static void near_deliver(struct conn_bridge *bridge, struct parcel *parcel)
{
    while (parcel) {
        struct parcel *next = parcel->next;
        bridge->received += parcel->size;
        bridge->unread =
            bridge->events->received(bridge->context, slice_of(parcel->bytes, parcel->size));
        parcel_give(bridge->crossing, parcel);
        parcel = next;
    }
    settle_credit(bridge);
}

static void near_run(struct task *task)
{
    struct conn_bridge *bridge = CONTAINER_OF(task, struct conn_bridge, up.task);
    const struct socket_events *events = bridge->events;
    unsigned bits = mailbox_open(&bridge->up);
    bridge->is_stopped |= (bits & UP_STOPPED) != 0;
    if (bits & UP_ESTABLISHED)
        events->established(bridge->context);
    near_deliver(bridge, mailbox_take(&bridge->up));
    if (bits & UP_SENT)
        events->sent(bridge->context);
    if (bits & UP_END)
        events->ended(bridge->context, false);
    if (bits & UP_BROKEN)
        events->ended(bridge->context, true);
    if (!(bits & UP_CLOSED))
        return;
    events->closed(bridge->context);
    mailbox_tell(&bridge->down, DOWN_RELEASE);
}

enum err conn_bridge_new(
    struct crossing *crossing, const struct socket_config *config, int fd, struct conn_bridge **out)
{
    struct conn_bridge *bridge = calloc(1, sizeof *bridge);
    if (!bridge) {
        (void)close(fd);
        return fault(ERR_NOMEM, "connection");
    }
    bridge->crossing = crossing;
    bridge->events = config->events;
    bridge->context = config->context;
    bridge->config = *config;
    bridge->fd = fd;
    mailbox_init(&bridge->up, crossing_core(crossing), near_run);
    mailbox_init(&bridge->down, crossing_far(crossing), far_run);
    mailbox_tell(&bridge->down, DOWN_START);
    *out = bridge;
    return ERR_OK;
}

void conn_bridge_send(struct conn_bridge *bridge, struct burst *burst)
{
    bridge->burst = burst;
    mailbox_tell(&bridge->down, DOWN_SEND);
}

void conn_bridge_resume(struct conn_bridge *bridge, size_t unread)
{
    bridge->unread = unread;
    settle_credit(bridge);
}

void conn_bridge_close(struct conn_bridge *bridge, enum conn_close how)
{
    mailbox_tell(&bridge->down, (unsigned)DOWN_CLOSE << how);
}
