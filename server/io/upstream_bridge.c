/* upstream_bridge — see upstream_bridge.h.
 *
 * Credit: `taken` is what libcurl has delivered there, `consumed` what the owner has taken here. Past
 * UPSTREAM_CREDIT_BYTES between them data() answers ERR_AGAIN there and says so (STOPPED); the core
 * answers RESUME when nothing waits any more.
 *
 * An owner that answers ERR_AGAIN here keeps its parcels here, in their order, and is offered the
 * first of them again after the resume. Meanwhile the idle clock is told to stand still (CLOCK).
 *
 * The end: `ended` crosses as ENDED, the far side's last word; the core answers RELEASE, its last
 * word, when the owner was told; the far side frees the bridge. After a cancel, what comes is thrown
 * away until ENDED has come: the owner may free the request's body then, and not before. */
#include "server/io/upstream_bridge.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/http/bounds.h"
#include "server/io/upload.h"

enum { MESSAGE_BYTES = 256 /* of `ended`: as libcurl's CURL_ERROR_SIZE */ };

enum { /* far ─▶ core */
    UP_HEAD = MAILBOX_FIRST << 0,
    UP_STOPPED = MAILBOX_FIRST << 1,
    UP_ENDED = MAILBOX_FIRST << 2,
    UP_ROOM = MAILBOX_FIRST << 3,
};

enum { /* core ─▶ far */
    DOWN_START = MAILBOX_FIRST << 0,
    DOWN_RESUME = MAILBOX_FIRST << 1,
    DOWN_CLOCK = MAILBOX_FIRST << 2,
    DOWN_CANCEL = MAILBOX_FIRST << 3,
    DOWN_RELEASE = MAILBOX_FIRST << 4,
    DOWN_FEED = MAILBOX_FIRST << 5,
};

struct upstream_bridge {
    struct crossing *crossing;
    /* The core's. */
    const struct upstream_owner *owner;
    void *context;
    struct mailbox up;
    struct task task;     /* delivers again */
    struct parcel *first; /* not taken by the owner */
    struct parcel *last;
    bool is_queued; /* the task */
    bool has_head, is_ended, is_stopped, is_paused, is_resumed, is_canceled, is_dropped;
    /* Written by one side before it tells, read by the other after. */
    struct upstream_request *request; /* owned */
    struct buf head;
    int status;
    enum upstream_end how;
    char message[MESSAGE_BYTES];
    _Atomic uint64_t consumed;
    _Atomic bool is_held;
    /* The far side's. */
    struct mailbox down;
    struct transfers *transfers;
    struct transfer *transfer;
    struct task flush;
    struct parcel *filling; /* put at the turn's end */
    unsigned bits;          /* told then */
    bool is_flushing;       /* the task is queued */
    bool is_released;
    uint64_t taken;
};

/* ---- the far side ---------------------------------------------------------------------------- */

static void far_put(struct upstream_bridge *bridge)
{
    if (bridge->filling)
        mailbox_put(&bridge->up, bridge->filling);
    bridge->filling = NULL;
}

static void far_flush(struct task *task)
{
    struct upstream_bridge *bridge = CONTAINER_OF(task, struct upstream_bridge, flush);
    bridge->is_flushing = false;
    if (bridge->is_released) {
        free(bridge);
        return;
    }
    if (bridge->filling || bridge->bits) {
        unsigned bits = bridge->bits;
        bridge->bits = 0;
        far_put(bridge);
        mailbox_tell(&bridge->up, bits);
    }
}

static void tell_later(struct upstream_bridge *bridge, unsigned bits)
{
    bridge->bits |= bits;
    if (bridge->is_flushing)
        return;
    bridge->is_flushing = true;
    loop_defer(crossing_far(bridge->crossing), &bridge->flush);
}

static void far_head(void *context, int status, struct slice head)
{
    struct upstream_bridge *bridge = context;
    if (buf_append(&bridge->head, head) != ERR_OK) {
        transfer_cancel(bridge->transfer);
        return;
    }
    bridge->status = status;
    tell_later(bridge, UP_HEAD);
}

static enum err far_copy(struct upstream_bridge *bridge, struct slice bytes)
{
    while (bytes.size > 0) {
        struct parcel *parcel = bridge->filling;
        if (parcel && parcel->size == sizeof parcel->bytes) {
            far_put(bridge);
            continue;
        }
        if (!parcel && !(parcel = bridge->filling = parcel_take(bridge->crossing)))
            return fault(ERR_NOMEM, "parcel");
        struct slice part = slice_sub(bytes, 0, sizeof parcel->bytes - parcel->size);
        memcpy(parcel->bytes + parcel->size, part.data, part.size);
        parcel->size += part.size;
        bytes = slice_sub(bytes, part.size, bytes.size);
    }
    return ERR_OK;
}

static enum err far_data(void *context, struct slice bytes)
{
    struct upstream_bridge *bridge = context;
    uint64_t waiting =
        bridge->taken - atomic_load_explicit(&bridge->consumed, memory_order_relaxed);
    if (waiting >= UPSTREAM_CREDIT_BYTES) {
        tell_later(bridge, UP_STOPPED);
        return ERR_AGAIN;
    }
    TRY(far_copy(bridge, bytes));
    bridge->taken += bytes.size;
    tell_later(bridge, 0);
    return ERR_OK;
}

static void far_ended(void *context, enum upstream_end how, const char *message)
{
    struct upstream_bridge *bridge = context;
    unsigned bits = bridge->bits | UP_ENDED;
    bridge->transfer = NULL;
    bridge->bits = 0;
    bridge->how = how;
    (void)snprintf(bridge->message, sizeof bridge->message, "%s", message);
    far_put(bridge);
    mailbox_tell(&bridge->up, bits);
}

static void far_room(void *context)
{
    tell_later(context, UP_ROOM);
}

static const struct upstream_owner far_owner = {far_head, far_data, far_ended, NULL};

static void far_start(struct upstream_bridge *bridge)
{
    enum err err =
        transfer_start(bridge->transfers, bridge->request, &far_owner, bridge, &bridge->transfer);
    if (err != ERR_OK)
        far_ended(bridge, UPSTREAM_REFUSED, "out of memory");
}

static void far_release(struct upstream_bridge *bridge)
{
    ASSERT(!bridge->transfer);
    bridge->is_released = true;
    if (!bridge->is_flushing)
        free(bridge);
}

static void far_run(struct task *task)
{
    struct upstream_bridge *bridge = CONTAINER_OF(task, struct upstream_bridge, down.task);
    unsigned bits = mailbox_open(&bridge->down);
    if (bits & DOWN_RELEASE) {
        far_release(bridge);
        return;
    }
    if (bits & DOWN_START)
        far_start(bridge);
    if (!bridge->transfer)
        return;
    if (bits & DOWN_CLOCK)
        transfer_hold(
            bridge->transfer, atomic_load_explicit(&bridge->is_held, memory_order_relaxed));
    if (bits & DOWN_RESUME)
        transfer_resume(bridge->transfer);
    if (bits & DOWN_FEED)
        transfer_feed(bridge->transfer);
    if (bits & DOWN_CANCEL)
        transfer_cancel(bridge->transfer);
}

/* ---- the core's side ------------------------------------------------------------------------- */

static void near_run(struct task *task);
static void near_again(struct task *task);

static void add_string(char **at, const char *text, const char **out)
{
    size_t size = text ? strlen(text) + 1 : 0;
    if (text)
        memcpy(*at, text, size);
    *out = text ? *at : NULL;
    *at += size;
}

static size_t string_bytes(const char *text)
{
    return text ? strlen(text) + 1 : 0;
}

/* In one piece: the request, its list of headers, their text. The body stays the owner's. */
static struct upstream_request *copy_request(const struct upstream_request *from)
{
    size_t count = 0;
    size_t size = string_bytes(from->url) + string_bytes(from->method) +
                  string_bytes(from->ca_file) + string_bytes(from->resolve);
    for (; from->headers && from->headers[count]; count++)
        size += string_bytes(from->headers[count]);
    struct upstream_request *copy =
        malloc(sizeof *copy + (count + 1) * sizeof *copy->headers + size);
    if (!copy)
        return NULL;
    const char **headers = (const char **)(copy + 1);
    char *at = (char *)(headers + count + 1);
    *copy = *from;
    copy->headers = headers;
    for (size_t i = 0; i < count; i++)
        add_string(&at, from->headers[i], &headers[i]);
    headers[count] = NULL;
    add_string(&at, from->url, &copy->url);
    add_string(&at, from->method, &copy->method);
    add_string(&at, from->ca_file, &copy->ca_file);
    add_string(&at, from->resolve, &copy->resolve);
    return copy;
}

enum err upstream_bridge_start(struct crossing *crossing, struct transfers *transfers,
    const struct upstream_request *request, const struct upstream_owner *owner, void *context,
    struct upstream_bridge **out)
{
    TRY(transfer_check(request));
    struct upstream_bridge *bridge = calloc(1, sizeof *bridge);
    if (!bridge || !(bridge->request = copy_request(request))) {
        free(bridge);
        return fault(ERR_NOMEM, "upstream");
    }
    bridge->crossing = crossing;
    bridge->transfers = transfers;
    bridge->owner = owner;
    bridge->context = context;
    bridge->task.run = near_again;
    bridge->flush.run = far_flush;
    bridge->request->room = far_room;
    bridge->request->room_context = bridge;
    buf_init(&bridge->head, REPLY_HEAD_BYTES_MAX);
    mailbox_init(&bridge->up, crossing_core(crossing), near_run);
    mailbox_init(&bridge->down, crossing_far(crossing), far_run);
    mailbox_tell(&bridge->down, DOWN_START);
    *out = bridge;
    return ERR_OK;
}

static void pop(struct upstream_bridge *bridge)
{
    struct parcel *parcel = bridge->first;
    bridge->first = parcel->next;
    atomic_store_explicit(&bridge->consumed,
        atomic_load_explicit(&bridge->consumed, memory_order_relaxed) + parcel->size,
        memory_order_relaxed);
    parcel_give(bridge->crossing, parcel);
}

static void hold(struct upstream_bridge *bridge, bool is_held)
{
    bridge->is_paused = is_held;
    atomic_store_explicit(&bridge->is_held, is_held, memory_order_relaxed);
    if (!bridge->is_ended)
        mailbox_tell(&bridge->down, DOWN_CLOCK);
}

static void deliver_head(struct upstream_bridge *bridge)
{
    bridge->has_head = false;
    if (!bridge->is_canceled)
        bridge->owner->head(bridge->context, bridge->status, buf_slice(&bridge->head));
    buf_deinit(&bridge->head);
}

static void deliver_data(struct upstream_bridge *bridge)
{
    while (bridge->first && !bridge->is_paused && !bridge->is_canceled) {
        struct slice bytes = slice_of(bridge->first->bytes, bridge->first->size);
        enum err err = bridge->owner->data(bridge->context, bytes);
        if (err == ERR_AGAIN && !bridge->is_canceled) {
            hold(bridge, true);
            return;
        }
        pop(bridge);
        if (err != ERR_OK)
            upstream_bridge_cancel(bridge);
    }
    while (bridge->first && bridge->is_canceled)
        pop(bridge);
}

static void clear(struct upstream_bridge *bridge)
{
    while (bridge->first)
        pop(bridge);
    buf_deinit(&bridge->head);
    free(bridge->request);
    bridge->request = NULL;
}

static void tell_end(struct upstream_bridge *bridge)
{
    if (bridge->is_canceled)
        bridge->owner->ended(bridge->context, UPSTREAM_CANCELED, "canceled");
    else
        bridge->owner->ended(bridge->context, bridge->how, bridge->message);
    clear(bridge);
    mailbox_tell(&bridge->down, DOWN_RELEASE);
}

static void deliver(struct upstream_bridge *bridge)
{
    if (bridge->has_head)
        deliver_head(bridge);
    deliver_data(bridge);
    if (bridge->first || bridge->is_queued)
        return;
    if (bridge->is_ended) {
        tell_end(bridge);
    } else if (bridge->is_stopped) {
        bridge->is_stopped = false;
        mailbox_tell(&bridge->down, DOWN_RESUME);
    }
}

static void keep(struct upstream_bridge *bridge, struct parcel *parcel)
{
    if (!parcel)
        return;
    if (bridge->first)
        bridge->last->next = parcel;
    else
        bridge->first = parcel;
    while (parcel->next)
        parcel = parcel->next;
    bridge->last = parcel;
}

static void near_run(struct task *task)
{
    struct upstream_bridge *bridge = CONTAINER_OF(task, struct upstream_bridge, up.task);
    unsigned bits = mailbox_open(&bridge->up);
    keep(bridge, mailbox_take(&bridge->up));
    if (bridge->is_dropped) {
        upstream_bridge_drop(bridge);
        return;
    }
    bridge->has_head |= (bits & UP_HEAD) != 0;
    bridge->is_stopped |= (bits & UP_STOPPED) != 0;
    bridge->is_ended |= (bits & UP_ENDED) != 0;
    if (bits & UP_ROOM && bridge->request)
        upload_tell_room(bridge->request->upload);
    deliver(bridge);
}

static void near_again(struct task *task)
{
    struct upstream_bridge *bridge = CONTAINER_OF(task, struct upstream_bridge, task);
    bridge->is_queued = false;
    if (bridge->is_dropped) {
        upstream_bridge_drop(bridge);
        return;
    }
    if (bridge->is_paused && bridge->is_resumed)
        hold(bridge, false);
    bridge->is_resumed = false;
    deliver(bridge);
}

static void deliver_later(struct upstream_bridge *bridge)
{
    if (bridge->is_queued)
        return;
    bridge->is_queued = true;
    loop_defer(crossing_core(bridge->crossing), &bridge->task);
}

void upstream_bridge_resume(struct upstream_bridge *bridge)
{
    bridge->is_resumed = true;
    deliver_later(bridge);
}

void upstream_bridge_feed(struct upstream_bridge *bridge)
{
    if (!bridge->is_ended)
        mailbox_tell(&bridge->down, DOWN_FEED);
}

void upstream_bridge_cancel(struct upstream_bridge *bridge)
{
    if (bridge->is_canceled)
        return;
    bridge->is_canceled = true;
    if (!bridge->is_ended)
        mailbox_tell(&bridge->down, DOWN_CANCEL);
    deliver_later(bridge);
}

/* A task that the core's loop still holds frees it when it runs. */
void upstream_bridge_drop(struct upstream_bridge *bridge)
{
    bridge->is_dropped = true;
    if (bridge->is_queued || mailbox_is_posted(&bridge->up))
        return;
    keep(bridge, mailbox_take(&bridge->up));
    if (bridge->filling)
        free(bridge->filling);
    clear(bridge);
    free(bridge);
}
