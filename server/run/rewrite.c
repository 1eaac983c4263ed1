/* rewrite — see rewrite.h.
 *
 *   STARTING ─▶ COPYING ◀──▶ RESTING (after each share: until what was copied is durable, or others had a
 *                  │                  turn; while storage has more than it can take: for a while)
 *                  │ past the mark: the owner holds newcomers back, or there might always be more
 *                  └──▶ all was copied, and nothing waits to become visible ─▶ REPLACING ─▶ done
 *
 * Any error ends it: what was written is deleted, and the run stays as it is. */
#include "server/run/rewrite.h"

#include <stdlib.h>

#include "protocol/base/own.h"
#include "server/stream/reader.h"

struct rewrite {
    struct rewrite_owner owner;
    struct runbook *book;
    struct project *project;
    struct stream *from, *to; /* to: NULL before it has begun */
    struct reader *reader;
    struct hub_barrier barrier;
    struct timer timer;
    bool is_resting, is_held;
    uint64_t mark;
    uint64_t seq;     /* of the event of `from` that comes next */
    struct buf event; /* as far as it was read */
    size_t share;     /* bytes that were read since the last rest */
    size_t written;   /* …and written, and so are maybe not durable */
    uint64_t bytes;   /* of `to` */
};

static void copy_on(struct rewrite *rewrite);

/* Or else the server ends, and will free the rewrite. */
static bool has_storage(const struct rewrite *rewrite)
{
    return hub_storage(stream_hub(rewrite->from));
}

/* ── the end ────────────────────────────────────────────────────────────────────────────────── */

struct rewrite *rewrite_free(struct rewrite *rewrite)
{
    if (!rewrite)
        return NULL;
    list_unlink(&rewrite->barrier.node);
    if (has_storage(rewrite)) /* else the loop may be gone, and its timers with it */
        timer_cancel(hub_loop(stream_hub(rewrite->from)), &rewrite->timer);
    reader_close(rewrite->reader);
    stream_unref(rewrite->from);
    stream_unref(rewrite->to);
    buf_deinit(&rewrite->event);
    free(rewrite);
    return NULL;
}

/* What cannot be deleted now goes with its time. */
static void give_up(struct rewrite *rewrite, enum err err)
{
    rewrite->reader = reader_close(rewrite->reader);
    if (rewrite->to && append_is_open(rewrite->to) &&
        append_delete(rewrite->to, "abandoned") != ERR_OK)
        LOG(hub_log(stream_hub(rewrite->from)), LOG_WARNING, "rewrite_left_behind",
            LOG_ID("stream", &stream_row(rewrite->to)->id));
    rewrite->owner.done(rewrite->owner.context, err);
}

/* If it never becomes durable nothing else does either, and what there is can be read. */
static void is_replaced(struct hub_barrier *barrier, enum err err)
{
    struct rewrite *rewrite = CONTAINER_OF(barrier, struct rewrite, barrier);
    (void)err;
    rewrite->owner.done(rewrite->owner.context, ERR_OK);
}

static void replace(struct rewrite *rewrite)
{
    enum err err = append_replace(rewrite->to, rewrite->from, "rewritten");
    if (err) {
        give_up(rewrite, err);
        return;
    }
    rewrite->reader = reader_close(rewrite->reader);
    runbook_moved(rewrite->book, rewrite->bytes);
    rewrite->owner.replaced(rewrite->owner.context, rewrite->to);
    rewrite->barrier.done = is_replaced;
    hub_wait_stream(rewrite->to, &rewrite->barrier);
}

/* ── copying ────────────────────────────────────────────────────────────────────────────────── */

static enum err write_event(struct rewrite *rewrite, struct slice event)
{
    TRY(append_event(rewrite->to, event, SLICE_NONE));
    rewrite->written += event.size;
    rewrite->bytes += event.size;
    return ERR_OK;
}

/* A checkpoint is left out if there is a later one of its name, or if it is from before the mark and gone:
 * the head knows its version. One from behind the mark that is gone goes along for its version, and its
 * deletion with it. */
static enum err copy_record(struct rewrite *rewrite, const struct run_record *record)
{
    uint64_t to_seq = tail_events(stream_tail(rewrite->to));
    struct run_checkpoint *newest =
        record->type == RUN_CHECKPOINT ? runbook_checkpoint(rewrite->book, record->name) : NULL;
    bool is_newest = newest && newest->seq == rewrite->seq;
    if (!is_newest && (newest || rewrite->seq < rewrite->mark))
        return ERR_OK;
    TRY(write_event(rewrite, buf_slice(&rewrite->event)));
    if (is_newest)
        newest->moved_to = to_seq;
    return ERR_OK;
}

/* A record of a later version says nothing to us, and is kept. */
static enum err copy_event(struct rewrite *rewrite)
{
    CLEANUP(json_cleanup) struct json *tree = NULL;
    struct run_record record;
    enum err err = run_record_read(buf_slice(&rewrite->event), &tree, &record);
    if (!err)
        err = copy_record(rewrite, &record);
    else if (err == ERR_NOTFOUND)
        err = write_event(rewrite, buf_slice(&rewrite->event));
    TRY(err);
    rewrite->share += rewrite->event.size;
    buf_clear(&rewrite->event);
    rewrite->seq++;
    return ERR_OK;
}

/* ERR_OK: a share of it. ERR_AGAIN: all that can be read just now. */
static enum err copy_share(struct rewrite *rewrite)
{
    struct reader_view view;
    while (rewrite->share < RUN_REWRITE_SHARE_BYTES) {
        TRY(reader_peek(rewrite->reader, &view));
        for (uint32_t i = view.index; i < view.end; i++) {
            TRY(buf_append(&rewrite->event, block_frame(view.block, i)));
            if (!(view.block->frames[i].flags & FRAME_MORE))
                TRY(copy_event(rewrite));
        }
        reader_take(rewrite->reader, view.end);
    }
    return ERR_OK;
}

/* Who is held back is not to wait for others. */
static bool must_yield(const struct rewrite *rewrite)
{
    return !rewrite->is_held && hub_is_paused(stream_hub(rewrite->from));
}

static void end_rest(struct rewrite *rewrite)
{
    rewrite->is_resting = false;
    rewrite->share = rewrite->written = 0;
    copy_on(rewrite);
}

static void is_durable(struct hub_barrier *barrier, enum err err)
{
    struct rewrite *rewrite = CONTAINER_OF(barrier, struct rewrite, barrier);
    if (err)
        give_up(rewrite, err);
    else
        end_rest(rewrite);
}

static void had_turn(struct timer *timer)
{
    struct rewrite *rewrite = CONTAINER_OF(timer, struct rewrite, timer);
    if (has_storage(rewrite))
        end_rest(rewrite);
}

static void rest(struct rewrite *rewrite)
{
    struct loop *loop = hub_loop(stream_hub(rewrite->from));
    rewrite->is_resting = true;
    rewrite->barrier.done = is_durable;
    rewrite->timer.fire = had_turn;
    if (rewrite->written > 0)
        hub_wait_stream(rewrite->to, &rewrite->barrier);
    else
        timer_set(loop, &rewrite->timer,
            loop_now_ns(loop) +
                (must_yield(rewrite) ? RUN_REWRITE_YIELD_MS * INT64_C(1000000) : 0));
}

static void hold_if_due(struct rewrite *rewrite)
{
    if (rewrite->is_held || rewrite->seq < rewrite->mark)
        return;
    rewrite->is_held = true;
    rewrite->owner.hold(rewrite->owner.context);
}

/* All that is visible was copied. */
static void caught_up(struct rewrite *rewrite)
{
    if (rewrite->written > 0)
        rest(rewrite);
    else if (rewrite->seq == tail_events(stream_tail(rewrite->from)))
        replace(rewrite);
}

static void copy_on(struct rewrite *rewrite)
{
    bool is_open = append_is_open(rewrite->from) && append_is_open(rewrite->to);
    enum err err = ERR_OK;
    if (!is_open)
        err = ERR_CLOSED;
    else if (!must_yield(rewrite))
        err = copy_share(rewrite);
    hold_if_due(rewrite);
    if (!err)
        rest(rewrite);
    else if (err != ERR_AGAIN)
        give_up(rewrite, err);
    else if (rewrite->seq == stream_watermark(rewrite->from))
        caught_up(rewrite);
}

static void reader_woken(void *context)
{
    struct rewrite *rewrite = context;
    if (!rewrite->is_resting && has_storage(rewrite))
        copy_on(rewrite);
}

/* ── the beginning ──────────────────────────────────────────────────────────────────────────── */

static enum err write_head(struct rewrite *rewrite)
{
    CLEANUP(buf_deinit) struct buf event;
    CLEANUP(buf_deinit) struct buf steps;
    buf_init(&event, RUN_LINE_BYTES_MAX);
    buf_init(&steps, RUN_LINE_BYTES_MAX);
    TRY(runbook_head_steps(rewrite->book, &steps));
    const struct run_record head = {.type = RUN_HEAD,
        .version = rewrite->book->version,
        .from = rewrite->book->forked_from,
        .at = rewrite->book->forked_at,
        .steps = buf_slice(&steps)};
    TRY(run_record_write(&head, &event));
    return write_event(rewrite, buf_slice(&event));
}

/* The book is as the events before the mark have made it. */
static enum err begin(struct rewrite *rewrite)
{
    struct hub *hub = stream_hub(rewrite->from);
    struct row row = {.content_type = stream_row(rewrite->from)->content_type,
        .ttl_s = RUN_REWRITE_TTL_S,
        .is_sliding = true};
    if (!append_is_open(rewrite->from))
        return ERR_CLOSED;
    TRY(append_admits(hub));
    TRY(append_create(hub, rewrite->project, &row, &rewrite->to));
    rewrite->mark = tail_events(stream_tail(rewrite->from));
    TRY(write_head(rewrite));
    return reader_new(stream_ref(rewrite->from), 0, true, reader_woken, rewrite, &rewrite->reader);
}

static void started(struct hub_barrier *barrier, enum err err)
{
    struct rewrite *rewrite = CONTAINER_OF(barrier, struct rewrite, barrier);
    if (!err)
        err = begin(rewrite);
    if (err)
        give_up(rewrite, err);
    else
        copy_on(rewrite);
}

enum err rewrite_new(struct stream *from, struct project *project, struct runbook *book,
    const struct rewrite_owner *owner, struct rewrite **out)
{
    struct rewrite *rewrite = calloc(1, sizeof *rewrite);
    if (!rewrite)
        return fault(ERR_NOMEM, "a run's journal, anew");
    rewrite->owner = *owner;
    rewrite->book = book;
    rewrite->project = project;
    rewrite->from = stream_ref(from);
    buf_init(&rewrite->event, RUN_LINE_BYTES_MAX + RUN_BLOB_BYTES_MAX);
    list_init(&rewrite->barrier.node);
    rewrite->barrier.done = started;
    hub_wait_stream(from, &rewrite->barrier);
    *out = rewrite;
    return ERR_OK;
}
