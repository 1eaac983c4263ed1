/* append — see append.h. An event without news of the writer's is a plain one; with it, the row goes along
 * in the same batch (tail_step). The row that is changed is the newest one given, durable or not: what
 * several calls append before a commit comes one after another. */
#include "server/stream/append.h"

#include "protocol/base/own.h"
#include "server/stream/hub_state.h"

enum err append_admits(struct hub *hub)
{
    struct storage_status status;
    if (hub->appended_count >= APPENDED_OPEN_MAX)
        return ERR_LIMIT;
    storage_status(hub->storage, &status);
    if (status.tail_bytes >= (uint64_t)hub->config.tail_bytes_max)
        return ERR_AGAIN;
    return storage_admits(hub->storage);
}

bool append_is_full_for_now(struct hub *hub)
{
    return !hub_is_stuck(hub) && append_admits(hub) != ERR_FULL;
}

enum err append_create(
    struct hub *hub, struct project *project, struct row *row, struct stream **out)
{
    uint8_t random[ID_RANDOM_BYTES];
    struct loop *loop = hub->config.loop;
    if (row->writer_state.size > ROW_STATE_BYTES_MAX)
        return ERR_LIMIT;
    loop_random(loop, random, sizeof random);
    row->project = project->number;
    row->project_name = slice_text(project->name);
    row->id = id_make(loop_wall_ns(loop) / 1000000, random);
    row->is_appended = true;
    row->state = STREAM_STREAMING;
    row->accepted_ns = loop_wall_ns(loop);
    row->content_length = -1;
    row->usage = USAGE_UNKNOWN;
    if (row->attempt == 0)
        row->attempt = 1;
    return hub_create(hub, project, row, SLICE_NONE, out);
}

bool append_is_appended(const struct stream *stream)
{
    return stream_row(stream)->is_appended;
}

bool append_is_open(const struct stream *stream)
{
    return stream->tail && append_is_appended(stream) && !stream_is_deleted(stream) &&
           stream_state_is_live(stream_row(stream)->state);
}

/* The newest row as it is to be after this call. */
static enum err next_row(
    const struct stream *stream, bool has_event, struct slice state, struct row *out)
{
    if (!append_is_open(stream))
        return ERR_CLOSED;
    if (state.size > ROW_STATE_BYTES_MAX)
        return ERR_LIMIT;
    *out = *stream_row(stream);
    if (state.data)
        out->writer_state = state;
    if (has_event && out->first_event_ns == 0)
        out->first_event_ns = loop_wall_ns(stream->hub->config.loop);
    return ERR_OK;
}

enum err append_event(struct stream *stream, struct slice event, struct slice state)
{
    struct row row;
    int64_t now_ns = loop_wall_ns(stream->hub->config.loop);
    bool is_news = state.data || stream_row(stream)->first_event_ns == 0;
    TRY(next_row(stream, event.size > 0, state, &row));
    return is_news ? tail_step(stream->tail, event, now_ns, &row)
                   : tail_append(stream->tail, event, now_ns);
}

enum err append_close(struct stream *stream, struct slice event, struct slice state)
{
    struct row row;
    TRY(next_row(stream, event.size > 0, state, &row));
    row.state = STREAM_COMPLETED;
    row.ended_ns = loop_wall_ns(stream->hub->config.loop);
    return tail_end(stream->tail, event, row.ended_ns, &row);
}

enum err append_describe(struct stream *stream, struct slice metadata)
{
    struct row row;
    TRY(next_row(stream, false, SLICE_NONE, &row));
    row.metadata = metadata;
    return tail_update(stream->tail, &row);
}

int64_t append_expires_ns(const struct stream *stream)
{
    struct row row = *stream_row(stream);
    if (stream->tail) /* its newest event may have come without a row */
        row.last_event_ns = tail_last_event_ns(stream->tail);
    if (stream->touched_ns > row.touched_ns)
        row.touched_ns = stream->touched_ns;
    return row_expires_ns(&row);
}

enum err append_replace(struct stream *stream, struct stream *before, const char *reason)
{
    if (!append_is_open(stream) || !append_is_open(before) || !before->is_keyed)
        return ERR_CLOSED;
    ASSERT(stream_row(stream)->key.size == 0);
    if (stream_is_held(before))
        return ERR_DENIED;
    const struct row *old = stream_row(before);
    struct row row = *stream_row(stream);
    row.key = old->key;
    row.attempt = old->attempt + 1;
    row.previous = old->id;
    row.metadata = old->metadata;
    row.writer_state = old->writer_state;
    row.accepted_ns = old->accepted_ns;
    row.ttl_s = old->ttl_s;
    row.is_sliding = old->is_sliding;
    TRY(storage_replace(
        stream->hub->storage, stream->tail, &row, before->tail, slice_text(reason)));
    before->is_deleted = true;
    enum err err = stream_index_key(stream, stream_row(stream));
    ASSERT(err == ERR_OK); /* the table has room, as `before` was in it */
    return ERR_OK;
}

enum err append_delete(struct stream *stream, const char *reason)
{
    ASSERT(append_is_appended(stream));
    return stream_delete(stream, reason);
}
