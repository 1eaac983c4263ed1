#include "tests/sim/model.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "tests/sim/random.h"

struct slice model_event(
    const struct model *model, uint32_t tag, uint64_t seq, uint8_t out[MODEL_EVENT_BYTES_MAX])
{
    static const char done[] = "data: [DONE]\n\n";
    static const char error[] =
        "data: {\"error\":{\"message\":\"no\",\"type\":\"server_error\"}}\n\n";
    enum model_kind kind = model->streams[tag].kinds[seq];
    if (kind != MODEL_CHUNK)
        return kind == MODEL_DONE ? SLICE(done) : SLICE(error);
    struct sim_random random = sim_random_new(model->seed * 1000003 + ((uint64_t)tag << 20) + seq);
    uint64_t what = sim_random_below(&random, 100);
    uint64_t size_max = what == 0 ? MODEL_EVENT_BYTES_MAX - 200 : what < 4 ? 30000 : 300;
    size_t pad = (size_t)sim_random_below(&random, size_max);
    int size =
        snprintf((char *)out, 100, "data: {\"t\":%" PRIu32 ",\"n\":%" PRIu64 ",\"x\":\"", tag, seq);
    for (size_t i = 0; i < pad; i++)
        out[size++] = (uint8_t)('a' + (i % 9 ? i % 26 : sim_random_below(&random, 26)));
    memcpy(out + size, "\"}\n\n", 4);
    return slice_of(out, (size_t)size + 4);
}

uint32_t model_tag(const struct id *id)
{
    uint32_t tag;
    memcpy(&tag, id->bytes + 10, sizeof tag);
    return tag;
}

void model_problem(struct model *model, uint32_t tag, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    fprintf(stderr, "seed %" PRIu64 ", step %" PRIu64 ", stream %" PRIu32 ": ", model->seed,
        model->step, tag);
    vfprintf(stderr, format, list);
    fputc('\n', stderr);
    va_end(list);
    model->problems++;
}

void model_note(struct model *model, uint64_t what)
{
    model->trace = (model->trace ^ what) * 0x9e3779b97f4a7c15u;
    model->trace ^= model->trace >> 31;
}

void model_saw_event(struct model *model, uint32_t tag, uint64_t seq, struct slice bytes)
{
    static uint8_t expected[MODEL_EVENT_BYTES_MAX];
    struct model_stream *stream = &model->streams[tag];
    model_note(model, ((uint64_t)tag << 32) + seq);
    if (seq >= stream->given)
        model_problem(
            model, tag, "event %" PRIu64 " of %" PRIu64 " that were given", seq, stream->given);
    else if (!slice_equal(bytes, model_event(model, tag, seq, expected)))
        model_problem(model, tag, "event %" PRIu64 " has other bytes", seq);
    if (seq >= stream->visible)
        stream->visible = seq + 1;
}

static bool is_end_honest(
    const struct model *model, const struct model_stream *stream, const struct row *row)
{
    bool is_terminated = row->events > 0 && row->events <= stream->given &&
                         stream->kinds[row->events - 1] == MODEL_DONE;
    switch (row->state) {
    case STREAM_COMPLETED: return is_terminated;
    case STREAM_FAILED:
        return stream->has_failed || model->was_stuck ||
               (model->is_rotten && slice_equal(row->reason, SLICE("corrupt")));
    case STREAM_STOPPED: return stream->is_stop_asked;
    case STREAM_INTERRUPTED: return model->was_interrupted && !is_terminated;
    case STREAM_DELETED: return true; /* model_gone */
    case STREAM_ACCEPTED:
    case STREAM_STREAMING: return false;
    }
    return false;
}

static void saw_end(struct model *model, uint32_t tag, const struct row *row)
{
    struct model_stream *stream = &model->streams[tag];
    if (!is_end_honest(model, stream, row))
        model_problem(model, tag, "%s after %" PRIu64 " of %" PRIu64 " events (%.*s)",
            stream_state_name(row->state), row->events, stream->given, SLICE_PRINT(row->reason));
    if (stream->ended != STREAM_ACCEPTED && !model->is_rotten &&
        (stream->ended != row->state || stream->ended_events != row->events))
        model_problem(model, tag, "%s with %" PRIu64 " events, was %s with %" PRIu64,
            stream_state_name(row->state), row->events, stream_state_name(stream->ended),
            stream->ended_events);
    stream->ended = row->state;
    stream->ended_events = row->events;
    stream->ended_ns = row->ended_ns;
}

void model_saw(struct model *model, uint32_t tag, uint64_t watermark, const struct row *row)
{
    struct model_stream *stream = &model->streams[tag];
    if (row && row->state == STREAM_DELETED)
        return;
    if (watermark < stream->visible && !model->is_rotten)
        model_problem(model, tag, "%" PRIu64 " events are visible, there were %" PRIu64, watermark,
            stream->visible);
    if (stream->is_delete_durable && !model->is_rotten)
        model_problem(model, tag, "it was deleted, and is shown");
    stream->visible = watermark;
    if (!row)
        return;
    stream->is_row_visible = true;
    if (!stream_state_is_live(row->state))
        saw_end(model, tag, row);
    else if (stream->ended != STREAM_ACCEPTED && !model->is_rotten)
        model_problem(model, tag, "it had ended, and is live");
}

void model_gone(struct model *model, uint32_t tag, bool is_deleted, int64_t wall_ns)
{
    struct model_stream *stream = &model->streams[tag];
    /* Its end may have become durable in a crash, at any time after it was given: nobody saw it. */
    int64_t since_ns = stream->ended == STREAM_ACCEPTED ? stream->began_ns : stream->ended_ns;
    bool has_expired = stream->ttl_s > 0 && wall_ns >= since_ns + stream->ttl_s * 1000000000;
    if (stream->is_held && !stream->is_delete_asked && !model->is_rotten)
        model_problem(model, tag, "it is held, and gone");
    if (stream->is_delete_asked || has_expired || model->is_rotten || model->may_evict)
        return;
    if (is_deleted || stream->is_row_visible)
        model_problem(model, tag, "%s (ttl %" PRId64 " s, %s)",
            is_deleted ? "nobody deleted it" : "it is lost", stream->ttl_s,
            stream_state_name(stream->ended));
}

void model_key(struct model *model, int key, const struct id *found)
{
    for (uint32_t tag = model->count; tag-- > 0;) {
        const struct model_stream *stream = &model->streams[tag];
        if (stream->key != key)
            continue;
        if (found && model_tag(found) == tag)
            return;
        if (stream->is_row_visible && !model->is_rotten) {
            model_problem(
                model, tag, found ? "its key leads to an older attempt" : "its key is free");
            return;
        }
    }
    if (found)
        model_problem(model, model_tag(found), "found by a key that is not its own");
}
