/* entry — see entry.h. */
#include "server/durable/entry.h"

#include <stdlib.h>

#include "protocol/base/own.h"

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

static void remove_step(struct removal *removal);

static void removal_end(struct removal *removal, enum err err)
{
    removal->stream = stream_unref(removal->stream);
    removal->done(removal, err);
}

enum err entry_add_fork(struct stream *source)
{
    struct writer_state state;
    TRY(entry_state(source, &state));
    state.forks++;
    return entry_write(source, SLICE_NONE, &state);
}

bool entry_drop_fork(struct stream *source)
{
    struct writer_state state;
    if (stream_is_deleted(source) || entry_state(source, &state) || state.forks == 0)
        return false;
    state.forks--;
    enum err err = write_state(source, SLICE_NONE, &state);
    if (err)
        LOG(hub_log(stream_hub(source)), LOG_WARNING, "fork_not_released",
            LOG_ID("source", &stream_row(source)->id), LOG_TEXT("error", err_text(err)));
    return !err && state.is_deleted && state.forks == 0;
}

/* Its own deletion, with its source at hand: what belongs together goes to the journal in one turn. */
static void source_opened(struct hub_lookup *lookup, enum err err, struct stream *source)
{
    struct removal *removal = CONTAINER_OF(lookup, struct removal, lookup);
    struct writer_state state;
    if (err && err != ERR_NOTFOUND) {
        removal_end(removal, err);
        return;
    }
    bool is_here = !stream_is_deleted(removal->stream);
    err = entry_state(removal->stream, &state);
    if (!err && is_here && state.forks == 0)
        err = append_delete(removal->stream, removal->reason);
    if (!err && is_here && state.forks == 0 && source && entry_drop_fork(source)) {
        stream_unref(removal->stream);
        removal->stream = source;
        remove_step(removal);
        return;
    }
    stream_unref(source);
    removal_end(removal, err);
}

static void remove_step(struct removal *removal)
{
    struct stream *stream = removal->stream;
    struct writer_state state;
    enum err err = stream_is_deleted(stream) ? ERR_OK : entry_state(stream, &state);
    if (!err && !stream_is_deleted(stream) && stream_is_held(stream))
        err = ERR_BUSY;
    if (err || stream_is_deleted(stream)) {
        removal_end(removal, err);
    } else if (state.forks) {
        state.is_deleted = true;
        removal_end(removal, entry_write(stream, SLICE_NONE, &state));
    } else if (state.depth == 0) {
        removal_end(removal, append_delete(stream, removal->reason));
    } else {
        hub_open(stream_hub(stream), stream_project(stream), &state.source, &removal->lookup);
    }
}

void entry_remove(struct stream *stream, const char *reason, struct removal *removal)
{
    removal->stream = stream_ref(stream);
    removal->reason = reason;
    removal->lookup.done = source_opened;
    remove_step(removal);
}

/* ── over ───────────────────────────────────────────────────────────────────────────────────── */

static void is_removed(struct removal *removal, enum err err)
{
    (void)err; /* what is still there is found again */
    free(removal);
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
