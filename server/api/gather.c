/* gather — see gather.h. */
#include "server/api/gather.h"

enum {
    EVENTS_A_TURN = 512, /* some 0.5 ms: others' tokens wait no longer for a long recording */
};

static void go_on(struct gather *gather);

static void finish(struct gather *gather, enum err err)
{
    exchange_release(gather->exchange);
    gather->done(gather, err == ERR_CLOSED ? ERR_OK : err);
}

/* One frame: an event, or a part of one. */
static enum err take_frame(struct gather *gather, const struct reader_view *view)
{
    struct slice frame = block_frame(view->block, view->index);
    uint64_t seq = block_seq(view->block, view->index);
    bool is_more = view->block->frames[view->index].flags & FRAME_MORE;
    bool is_alone = !is_more && gather->parts.size == 0;
    if (!is_alone)
        TRY(buf_append(&gather->parts, frame));
    if (!is_more)
        TRY(gather->take(gather, seq, is_alone ? frame : buf_slice(&gather->parts)));
    if (!is_more)
        buf_clear(&gather->parts);
    reader_take(gather->reader, view->index + 1);
    return ERR_OK;
}

static void go_on(struct gather *gather)
{
    struct loop *loop = hub_loop(stream_hub(gather->stream));
    enum err err = ERR_OK;
    for (int i = 0; i < EVENTS_A_TURN && !err; i++) {
        struct reader_view view;
        err = reader_peek(gather->reader, &view);
        if (!err)
            err = take_frame(gather, &view);
    }
    if (!err)
        timer_set(loop, &gather->timer, loop_now_ns(loop));
    else if (err != ERR_AGAIN)
        finish(gather, err);
}

static void woken(void *context)
{
    go_on(context);
}

static void turn_came(struct timer *timer)
{
    go_on(CONTAINER_OF(timer, struct gather, timer));
}

static void closed(void *context)
{
    struct gather *gather = context;
    gather->gone(gather);
}

static const struct responder responder = {NULL, closed};

enum err gather_start(
    struct gather *gather, struct exchange *exchange, struct stream *stream, uint64_t from)
{
    TRY(reader_new(stream, from, false, woken, gather, &gather->reader));
    gather->exchange = exchange;
    gather->stream = stream;
    gather->timer.fire = turn_came;
    buf_init(&gather->parts, REPLY_BYTES_MAX); /* what is larger fits no answer */
    exchange_hold(exchange, &responder, gather);
    go_on(gather);
    return ERR_OK;
}

void gather_deinit(struct gather *gather)
{
    if (!gather->reader)
        return;
    timer_cancel(hub_loop(stream_hub(gather->stream)), &gather->timer);
    buf_deinit(&gather->parts);
    gather->reader = reader_close(gather->reader);
}
