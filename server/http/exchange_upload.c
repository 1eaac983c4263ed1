/* exchange_upload — a body that goes on while it arrives: from the connection, through the parser, into an
 * upload (upload.h), no faster than its reader takes it.
 *
 *   ARRIVING ─▶ (no room: nothing is read) ─▶ ARRIVING … ─▶ its end: the upload is whole
 *       ├─ the caller goes, stalls, is too slow, or sends no HTTP ─▶ the upload is cut
 *       └─ the reader is gone (the provider has answered, or died): what still comes is thrown away */
#include "server/http/exchange_state.h"

#include <stdlib.h>

struct arriving {
    struct exchange *exchange;
    struct upload *upload;
    struct timer timer; /* for the next piece */
    int64_t waits_ns;   /* since when there is no room; 0: there is */
};

static void resume(void *context);
static void piece_is_late(struct timer *timer);

/* ── begun and ended ────────────────────────────────────────────────────────────────────────── */

/* Of all of it, the beginning as it was made of what was received. */
static int64_t length_of(const struct exchange *exchange)
{
    const struct http1_request *request = http1_request(exchange->parser);
    uint64_t rest = request->content_length - exchange->body.size;
    return request->is_chunked ? -1 : (int64_t)(exchange_body(exchange).size + rest);
}

enum err exchange_upload(struct exchange *exchange, struct upload **out)
{
    struct exchanges *owner = exchange->owner;
    ASSERT(exchange->is_partial && exchange->state == STATE_HANDLING && !exchange->arriving);
    if (owner->bodies_bytes + UPLOAD_BYTES > owner->config.bodies_bytes_max)
        return ERR_LIMIT;
    struct arriving *arriving = calloc(1, sizeof *arriving);
    enum err err = arriving
                       ? upload_new(exchange_body(exchange), length_of(exchange), &arriving->upload)
                       : fault(ERR_NOMEM, "an upload");
    if (err) {
        free(arriving);
        return err;
    }
    arriving->exchange = exchange;
    arriving->timer.fire = piece_is_late;
    upload_on_room(arriving->upload, resume, arriving);
    owner->bodies_bytes += UPLOAD_BYTES;
    exchange->arriving = arriving;
    exchange->body_started_ns = loop_now_ns(owner->config.loop); /* it may have waited for us */
    exchange_watch_body(exchange, &arriving->timer);
    conn_resume(exchange->conn);
    *out = upload_ref(arriving->upload);
    return ERR_OK;
}

static void arriving_free(struct exchange *exchange)
{
    struct arriving *arriving = exchange->arriving;
    exchange->arriving = NULL;
    exchange->owner->bodies_bytes -= UPLOAD_BYTES;
    timer_cancel(exchange->owner->config.loop, &arriving->timer);
    upload_on_room(arriving->upload, NULL, NULL);
    upload_unref(arriving->upload);
    free(arriving);
}

void exchange_drop_upload(struct exchange *exchange)
{
    if (!exchange->arriving)
        return;
    upload_cut(exchange->arriving->upload);
    arriving_free(exchange);
}

/* No more of it is read. Who waits for an answer is told why, unless one is on its way. */
static void refuse(struct exchange *exchange, void (*answer)(struct exchange *exchange))
{
    bool is_answered = upload_room(exchange->arriving->upload) == SIZE_MAX;
    exchange_drop_upload(exchange);
    if (is_answered || exchange->state != STATE_HANDLING)
        return;
    exchange_detach(exchange);
    answer(exchange);
}

/* ── time ───────────────────────────────────────────────────────────────────────────────────── */

static void piece_is_late(struct timer *timer)
{
    refuse(CONTAINER_OF(timer, struct arriving, timer)->exchange, exchange_refuse_slow);
}

/* What the provider takes its time for is not the caller's. */
static void wait_for_room(struct arriving *arriving)
{
    struct loop *loop = arriving->exchange->owner->config.loop;
    timer_cancel(loop, &arriving->timer);
    if (arriving->waits_ns == 0)
        arriving->waits_ns = loop_now_ns(loop);
}

static void resume(void *context)
{
    struct arriving *arriving = context;
    struct exchange *exchange = arriving->exchange;
    if (arriving->waits_ns)
        exchange->body_started_ns += loop_now_ns(exchange->owner->config.loop) - arriving->waits_ns;
    arriving->waits_ns = 0;
    exchange_watch_body(exchange, &arriving->timer);
    conn_resume(exchange->conn);
}

/* ── its bytes ──────────────────────────────────────────────────────────────────────────────── */

static void end(struct exchange *exchange)
{
    exchange->is_partial = false;
    upload_end(exchange->arriving->upload);
    arriving_free(exchange);
    if (exchange->state >= STATE_RESPONDING)
        http1_release(exchange->parser);
}

static void put(struct exchange *exchange, struct slice piece)
{
    struct arriving *arriving = exchange->arriving;
    exchange->body_bytes += piece.size;
    exchange_watch_body(exchange, &arriving->timer);
    upload_put(arriving->upload, piece);
}

/* The next event of what there is room for: framing makes it only less. */
static enum err next_event(
    struct exchange *exchange, struct slice *input, size_t room, struct http1_event *event)
{
    struct slice part = slice_sub(*input, 0, room);
    size_t size = part.size;
    enum err err = http1_next(exchange->parser, &part, event);
    *input = slice_sub(*input, size - part.size, input->size);
    return err;
}

void exchange_pull_upload(struct exchange *exchange, struct slice *input)
{
    while (exchange->arriving) {
        struct http1_event event;
        size_t room = upload_room(exchange->arriving->upload);
        if (next_event(exchange, input, room, &event) != ERR_OK) {
            refuse(exchange, exchange_refuse_malformed);
        } else if (event.kind == HTTP1_BODY) {
            put(exchange, event.body);
        } else if (event.kind == HTTP1_END) {
            end(exchange);
        } else if (room == 0) {
            wait_for_room(exchange->arriving);
            return;
        } else if (input->size == 0) {
            return;
        }
    }
}
