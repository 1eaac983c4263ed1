/* ending — a generation stopped, a recording deleted: each is answered once it is durable. */
#include "server/api/ending.h"

#include <stdlib.h>

#include "server/durable/entry.h"
#include "server/stream/append.h"

/* ── stop: answered once the end is visible ──────────────────────────────────────────────────── */

static void stop_answer(struct visit *visit)
{
    stream_unwatch(visit->stream, &visit->watcher);
    if (stream_has_ended(visit->stream)) {
        visit->settled(visit);
        return;
    }
    exchange_error(visit->exchange, 503, "storage_full", NULL,
        "the stop could not be made durable: see the server's log");
    visit_free(visit);
}

static bool is_stop_settled(const struct visit *visit)
{
    return stream_has_ended(visit->stream) || hub_is_stuck(visit->api->hub);
}

static void stop_woken(struct stream_watcher *watcher)
{
    struct visit *visit = CONTAINER_OF(watcher, struct visit, watcher);
    watcher->is_parked = true;
    if (is_stop_settled(visit))
        stop_answer(visit);
}

static void stop_closed(void *context)
{
    struct visit *visit = context;
    stream_unwatch(visit->stream, &visit->watcher);
    visit_free(visit);
}

static const struct responder stop_responder = {NULL, stop_closed};

/* What a client writes has no generation that could be stopped. */
static void refuse_stop(struct visit *visit, struct stream *stream)
{
    exchange_error(visit->exchange, 409, "stream_appended", NULL,
        "a client writes this stream: close it by a POST with `Stream-Closed: true` where it is "
        "written, or delete it");
    stream_unref(stream);
    free(visit);
}

void ending_stop(struct visit *visit, struct stream *stream)
{
    if (stream_row(stream)->is_appended && !stream_has_ended(stream)) {
        refuse_stop(visit, stream);
        return;
    }
    visit->stream = stream;
    visit->watcher.wake = stop_woken;
    (void)stream_stop(stream, "stopped", "the stream was stopped on request");
    stream_watch(stream, &visit->watcher);
    exchange_hold(visit->exchange, &stop_responder, visit);
    stop_woken(&visit->watcher);
}

static void stop_settled(struct visit *visit)
{
    api_answer_stream(visit->exchange, visit->stream);
    visit_free(visit);
}

static void stop_found(struct visit *visit, struct stream *stream)
{
    visit->settled = stop_settled;
    ending_stop(visit, stream);
}

void stream_stop_post(struct api *api, struct exchange *exchange, struct slice id)
{
    visit_start(api, exchange, id, stop_found, NULL);
}

/* ── delete: answered once nothing brings it back ────────────────────────────────────────────── */

enum {
    REMOVED_CHECK_MS = 5,      /* between two looks at whether the store has the tombstone */
    REMOVED_CHECKS_MAX = 1000, /* then the disk is full, or the like: it is as good as deleted */
};

static void removed_answer(struct visit *visit, bool is_late)
{
    visit->is_late = is_late;
    if (visit->exchange)
        visit->settled(visit);
    else
        visit_free(visit);
}

static bool is_tombstone(struct storage_query *query)
{
    struct row row;
    bool is_deleted =
        row_decode(buf_slice(&query->bytes), &row) == ERR_OK && row.state == STREAM_DELETED;
    buf_deinit(&query->bytes);
    return is_deleted;
}

static void removed_checked(struct storage_query *query, enum err err)
{
    struct visit *visit = query->owner;
    struct loop *loop = visit->api->loop;
    (void)err; /* not found: it is not archived yet */
    bool is_removed = is_tombstone(query);
    if (!visit->exchange || is_removed)
        removed_answer(visit, false);
    else if (++visit->checks == REMOVED_CHECKS_MAX)
        removed_answer(visit, true);
    else
        timer_set(loop, &visit->timer, loop_now_ns(loop) + REMOVED_CHECK_MS * 1000000ll);
}

static void check_removed(struct timer *timer)
{
    struct visit *visit = CONTAINER_OF(timer, struct visit, timer);
    const struct row *row = stream_row(visit->stream);
    visit->query = (struct storage_query){.kind = STORAGE_ROW,
        .project = row->project,
        .id = row->id,
        .done = removed_checked,
        .owner = visit};
    if (!visit->exchange || storage_query(hub_storage(visit->api->hub), &visit->query))
        removed_answer(visit, true);
}

static void barrier_done(struct hub_barrier *barrier, enum err err)
{
    struct visit *visit = CONTAINER_OF(barrier, struct visit, barrier);
    if (!err) {
        check_removed(&visit->timer);
        return;
    }
    if (visit->exchange)
        exchange_error(visit->exchange, 503, "storage_full", NULL,
            "the delete could not be made durable: see the server's log");
    visit_free(visit);
}

/* A large event of it may wait, or the journal be full for a moment. */
static void refuse_remove(const struct visit *visit, enum err err)
{
    bool is_for_now = err != ERR_FULL || append_is_full_for_now(visit->api->hub);
    if (is_for_now)
        exchange_retry_after(visit->exchange, 1);
    exchange_error(visit->exchange, is_for_now ? 503 : 507, "storage_full", NULL,
        "the delete could not be recorded: %s%s", err_text(err),
        is_for_now ? "; try again in a moment" : "");
}

void ending_remove(struct visit *visit, struct stream *stream)
{
    enum err err = stream_is_held(stream) ? ERR_DENIED : stream_delete(stream, "deleted");
    if (!err) {
        visit->stream = stream;
        visit->barrier.done = barrier_done;
        visit->timer.fire = check_removed;
        exchange_hold(visit->exchange, &visit_responder, visit);
        hub_wait_durable(visit->api->hub, &visit->barrier);
        return;
    }
    if (err == ERR_BUSY)
        exchange_error(visit->exchange, 409, "stream_live", NULL,
            "the stream is still being written: stop it first (POST …/stop)");
    else if (err == ERR_DENIED)
        exchange_error(visit->exchange, 423, "stream_held", NULL,
            "the recording is under a legal hold: lift it first (DELETE …/hold)");
    else
        refuse_remove(visit, err);
    stream_unref(stream);
    free(visit);
}

static void remove_settled(struct visit *visit)
{
    exchange_reply(visit->exchange, visit->is_late ? 202 : 204, NULL, SLICE_NONE);
    visit_free(visit);
}

/* Its name, its source's and its forks' events hang on how it is deleted. */
static void refuse_kin(struct visit *visit, struct stream *stream)
{
    exchange_error(visit->exchange, 409, "stream_forked", NULL,
        "this stream is a fork, or has forks: DELETE /v1/stream/{name} deletes it");
    stream_unref(stream);
    free(visit);
}

static void remove_found(struct visit *visit, struct stream *stream)
{
    if (entry_has_kin(stream)) {
        refuse_kin(visit, stream);
        return;
    }
    visit->settled = remove_settled;
    ending_remove(visit, stream);
}

void stream_remove(struct api *api, struct exchange *exchange, struct slice id)
{
    visit_start(api, exchange, id, remove_found, NULL);
}
