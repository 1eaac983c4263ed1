/* entry — see entry.h. */
#include "server/durable/entry.h"

#include <stdlib.h>

#include "protocol/base/own.h"
#include "server/durable/bounds.h"

enum err entry_state(const struct stream *stream, struct writer_state *out)
{
    return writer_state_decode(stream_row(stream)->writer_state, out);
}

enum err entry_state_visible(const struct stream *stream, struct writer_state *out)
{
    const struct row *row = stream_visible_row(stream);
    return row ? writer_state_decode(row->writer_state, out) : ERR_NOTFOUND;
}

enum standing entry_standing(
    const struct stream *stream, const struct writer_state *state, int64_t now_ns)
{
    if (stream_is_deleted(stream))
        return ENTRY_ABSENT;
    int64_t expires_ns = state->has_ttl ? append_expires_ns(stream) : state->expires_ns;
    if (!state->is_begun || (state->is_deleted && state->forks == 0))
        return ENTRY_OVER;
    if (state->is_deleted)
        return ENTRY_KEPT;
    bool is_over = expires_ns && now_ns >= expires_ns && !stream_is_held(stream);
    return is_over ? ENTRY_OVER : ENTRY_HERE;
}

enum err entry_origin(const struct stream *stream, struct id *source, uint64_t *inherited)
{
    struct writer_state state;
    *inherited = 0;
    if (!append_is_appended(stream))
        return ERR_OK;
    TRY(entry_state(stream, &state));
    *source = state.source;
    *inherited = state.inherited;
    return ERR_OK;
}

static uint64_t inherited_by(const struct stream *stream)
{
    struct id source;
    uint64_t inherited;
    return entry_origin(stream, &source, &inherited) ? 0 : inherited;
}

uint64_t entry_tail(const struct stream *stream)
{
    struct tail *tail = stream_tail(stream);
    return inherited_by(stream) + (tail ? tail_events(tail) : stream_row(stream)->events);
}

uint64_t entry_tail_visible(const struct stream *stream)
{
    return inherited_by(stream) + stream_watermark(stream);
}

/* ── writing ────────────────────────────────────────────────────────────────────────────────── */

static enum err write_state(struct stream *stream, struct slice event, struct writer_state *state)
{
    CLEANUP(buf_deinit) struct buf encoded;
    buf_init(&encoded, WRITER_STATE_BYTES_MAX);
    TRY(writer_state_encode(state, &encoded));
    return append_event(stream, event, buf_slice(&encoded));
}

enum err entry_write(struct stream *stream, struct slice event, struct writer_state *state)
{
    stream_touch(stream);
    return write_state(stream, event, state);
}

/* ── taking away ────────────────────────────────────────────────────────────────────────────── */

static void removal_end(struct removal *removal, enum err err)
{
    removal->stream = stream_unref(removal->stream);
    removal->done(removal, err);
}

/* Its own deletion, with its source at hand: what belongs together goes to the journal in one turn. */
static void source_opened(struct hub_lookup *lookup, enum err err, struct stream *source)
{
    struct removal *removal = CONTAINER_OF(lookup, struct removal, lookup);
    struct writer_state state;
    if (err == ERR_NOTFOUND)
        err = ERR_OK;
    if (!err && !stream_is_deleted(removal->stream))
        err = entry_state(removal->stream, &state);
    if (!err && !stream_is_deleted(removal->stream) && state.forks == 0) {
        err = append_admits(stream_hub(removal->stream)); /* room for both records, and more */
        if (!err)
            err = append_delete(removal->stream, removal->reason);
        if (!err && source)
            entry_release(source);
    }
    stream_unref(source);
    removal_end(removal, err);
}

void entry_remove(struct stream *stream, const char *reason, struct removal *removal)
{
    struct writer_state state = {0};
    bool is_gone = stream_is_deleted(stream);
    enum err err = is_gone ? ERR_OK : entry_state(stream, &state);
    removal->stream = stream_ref(stream);
    removal->reason = reason;
    removal->lookup.done = source_opened;
    if (!err && !is_gone && stream_is_held(stream))
        err = ERR_BUSY;
    if (err || is_gone) {
        removal_end(removal, err);
    } else if (state.forks) {
        state.is_deleted = true;
        removal_end(removal, write_state(stream, SLICE_NONE, &state));
    } else if (state.depth == 0) {
        removal_end(removal, append_delete(stream, reason));
    } else {
        hub_open(stream_hub(stream), stream_project(stream), &state.source, &removal->lookup);
    }
}

/* ── forks ──────────────────────────────────────────────────────────────────────────────────── */

/* One fork less, and what was kept for it alone is taken away: again, where the journal had no room. */
struct release {
    struct stream *source;
    struct removal removal;
    struct timer timer;
    bool is_dropped; /* the count is down: it is to be taken away */
};

/* What would wait behind a large event would come to the journal after the fork's own row. */
enum err entry_add_fork(struct stream *source)
{
    struct writer_state state;
    if (stream_tail(source) && tail_has_queue(stream_tail(source)))
        return ERR_FULL;
    TRY(entry_state(source, &state));
    state.forks++;
    return entry_write(source, SLICE_NONE, &state);
}

static enum err drop_fork(struct stream *source, bool *is_unwanted)
{
    struct writer_state state;
    *is_unwanted = false;
    if (stream_is_deleted(source))
        return ERR_OK;
    TRY(entry_state(source, &state));
    if (state.forks == 0)
        return fault(ERR_CORRUPT, "a source has fewer forks than there are");
    state.forks--;
    *is_unwanted = state.is_deleted && state.forks == 0;
    return write_state(source, SLICE_NONE, &state);
}

static void release_end(struct release *release, enum err err)
{
    struct stream *source = release->source;
    if (err)
        LOG(hub_log(stream_hub(source)), LOG_ERROR, "fork_not_released",
            LOG_ID("source", &stream_row(source)->id), LOG_TEXT("error", err_text(err)));
    stream_unref(source);
    free(release);
}

/* False: it is to be tried again. */
static bool release_settles(struct release *release, enum err err)
{
    struct hub *hub = stream_hub(release->source);
    struct loop *loop = hub_loop(hub);
    if ((err != ERR_FULL && err != ERR_LIMIT) || hub_is_stuck(hub) || !hub_storage(hub))
        return true;
    timer_set(loop, &release->timer, loop_now_ns(loop) + RELEASE_RETRY_MS * INT64_C(1000000));
    return false;
}

static void source_removed(struct removal *removal, enum err err)
{
    struct release *release = CONTAINER_OF(removal, struct release, removal);
    if (release_settles(release, err))
        release_end(release, err);
}

static void release_try(struct timer *timer)
{
    struct release *release = CONTAINER_OF(timer, struct release, timer);
    enum err err = release->is_dropped ? ERR_OK : drop_fork(release->source, &release->is_dropped);
    if (err)
        release->is_dropped = false;
    if (!err && release->is_dropped)
        entry_remove(release->source, "deleted", &release->removal);
    else if (release_settles(release, err))
        release_end(release, err);
}

void entry_release(struct stream *source)
{
    struct release *release = calloc(1, sizeof *release);
    if (!release) {
        LOG(hub_log(stream_hub(source)), LOG_ERROR, "fork_not_released",
            LOG_ID("source", &stream_row(source)->id), LOG_TEXT("error", err_text(ERR_NOMEM)));
        return;
    }
    release->source = stream_ref(source);
    release->timer.fire = release_try;
    release->removal.done = source_removed;
    release_try(&release->timer);
}

/* ── over ───────────────────────────────────────────────────────────────────────────────────── */

static void is_removed(struct removal *removal, enum err err)
{
    (void)err; /* what is still there is found again */
    free(removal);
}

bool entry_has_kin(const struct stream *stream)
{
    struct slice key = stream_row(stream)->key;
    struct writer_state state;
    return key.size && key.data[0] == APPEND_DURABLE && entry_state(stream, &state) == ERR_OK &&
           (state.depth || state.forks);
}

bool entry_is_over(void *context, struct stream *stream)
{
    struct slice key = stream_row(stream)->key;
    struct writer_state state;
    (void)context;
    if (key.size == 0 || key.data[0] != APPEND_DURABLE || entry_state(stream, &state))
        return false;
    if (state.depth == 0 && state.forks == 0)
        return false;
    struct removal *removal = NULL;
    if (!state.is_deleted && (state.forks || stream_project(stream)))
        removal = calloc(1, sizeof *removal);
    if (!removal)
        return true;
    removal->done = is_removed;
    entry_remove(stream, "expired", removal);
    return true;
}
