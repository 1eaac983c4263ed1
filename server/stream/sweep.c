/* sweep — see sweep.h.
 *
 *   timer ─▶ what the store says is over ─▶ one after another: in memory, or its row ─▶ still over? ─▶
 *     ▲                                      stream_delete                                          │
 *     └─────────────────────────────────────────────────────────────────────────────────────────────┘ */
#include "server/stream/sweep.h"

#include <stdlib.h>

#include "protocol/base/own.h"
#include "server/stream/append.h"
#include "server/stream/hub_state.h"

struct over {
    struct id id;
    uint32_t project;
};

struct sweep {
    struct hub *hub;
    struct timer timer;
    struct storage_query query; /* one at a time */
    struct over over[SWEEP_STREAMS_MAX];
    size_t count, next;
};

static void rest(struct sweep *sweep)
{
    bool has_more = sweep->count == SWEEP_STREAMS_MAX;
    struct loop *loop = sweep->hub->config.loop;
    int64_t after_ns = (has_more ? SWEEP_AGAIN_MS : SWEEP_MS) * INT64_C(1000000);
    timer_set(loop, &sweep->timer, loop_now_ns(loop) + after_ns);
}

/* What cannot be deleted now is found again. */
static void delete_if_over(struct stream *stream)
{
    int64_t expires_ns = append_expires_ns(stream);
    bool is_over = expires_ns && expires_ns <= loop_wall_ns(stream->hub->config.loop);
    struct hub *hub = stream->hub;
    if (!append_is_open(stream) || !is_over || stream_is_held(stream) ||
        (hub->over && hub->over(hub->over_context, stream)))
        return;
    enum err err = append_delete(stream, "expired");
    if (err)
        LOG(stream->hub->config.log, LOG_WARNING, "expiry", LOG_ID("stream", &stream->id),
            LOG_TEXT("error", err_text(err)));
}

static void look_at_next(struct sweep *sweep);

static void row_done(struct storage_query *query, enum err err)
{
    struct sweep *sweep = query->owner;
    const struct over *over = &sweep->over[sweep->next++];
    struct stream *stream = NULL;
    if (!err && !sweep->hub->storage)
        err = ERR_CANCELED;
    if (!err)
        err =
            stream_adopt(sweep->hub, NULL, over->project, query, buf_slice(&query->bytes), &stream);
    buf_deinit(&query->bytes);
    if (!err) {
        delete_if_over(stream);
        stream_unref(stream);
    }
    look_at_next(sweep);
}

/* True: it is in memory. */
static bool look_in_memory(struct sweep *sweep, const struct over *over)
{
    struct stream *stream = hub_find(sweep->hub, over->project, &over->id);
    if (!stream)
        return false;
    stream_ref(stream);
    delete_if_over(stream);
    stream_unref(stream);
    return true;
}

static void look_at_next(struct sweep *sweep)
{
    struct hub *hub = sweep->hub;
    while (hub->storage && sweep->next < sweep->count) {
        const struct over *over = &sweep->over[sweep->next];
        if (look_in_memory(sweep, over)) {
            sweep->next++;
            continue;
        }
        sweep->query = (struct storage_query){.kind = STORAGE_ROW,
            .project = over->project,
            .id = over->id,
            .done = row_done,
            .owner = sweep};
        if (storage_query(hub->storage, &sweep->query) == ERR_OK)
            return;
        sweep->next = sweep->count;
    }
    if (hub->storage)
        rest(sweep);
}

/* On a reader thread. */
static enum err note_over(void *context, const struct row *row)
{
    struct sweep *sweep = context;
    sweep->over[sweep->count++] = (struct over){row->id, row->project};
    return ERR_OK;
}

static void list_done(struct storage_query *query, enum err err)
{
    struct sweep *sweep = query->owner;
    (void)err; /* what was found counts; the rest is found again */
    buf_deinit(&query->bytes);
    look_at_next(sweep);
}

/* A wall clock that has been set forward says nothing about what is over: retention pauses then. */
static void timer_fired(struct timer *timer)
{
    struct sweep *sweep = CONTAINER_OF(timer, struct sweep, timer);
    struct storage *storage = sweep->hub->storage;
    struct storage_status status;
    storage_status(storage, &status);
    sweep->count = sweep->next = 0;
    sweep->query = (struct storage_query){.kind = STORAGE_OVER,
        .seq = (uint64_t)loop_wall_ns(sweep->hub->config.loop),
        .rows_max = SWEEP_STREAMS_MAX,
        .visit = note_over,
        .context = sweep,
        .done = list_done,
        .owner = sweep};
    if (status.archive.is_retention_paused || storage_query(storage, &sweep->query) != ERR_OK)
        rest(sweep);
}

enum err sweep_new(struct hub *hub, struct sweep **out)
{
    struct sweep *sweep = calloc(1, sizeof *sweep);
    if (!sweep)
        return fault(ERR_NOMEM, "sweep");
    sweep->hub = hub;
    sweep->timer.fire = timer_fired;
    *out = sweep;
    return ERR_OK;
}

void sweep_start(struct sweep *sweep)
{
    sweep->count = 0;
    rest(sweep);
}

void sweep_stop(struct sweep *sweep)
{
    timer_cancel(sweep->hub->config.loop, &sweep->timer);
}

struct sweep *sweep_free(struct sweep *sweep)
{
    free(sweep);
    return NULL;
}
