/* generation — see generation.h. */
#include "tests/sim/generation.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "tests/sim/caller.h"

const char *const generation_keys[KEYS] = {"a", "b", "c", "d", "e"};

/* ---- generations ----------------------------------------------------------------------------- */

static void produce(struct history *history, struct stream *stream, uint32_t tag, bool is_keyed)
{
    static struct headers headers; /* none */
    const struct dialect *dialect;
    char body[16];
    int size = snprintf(body, sizeof body, "%" PRIu32, tag);
    ASSERT(dialect_for_path(SLICE("/v1/chat/completions"), &dialect) == ERR_OK);
    struct producer_request request = {.dialect = dialect,
        .url = "http://provider/v1/chat/completions",
        .headers = &headers,
        .body = slice_of(body, (size_t)size),
        .is_keyed = is_keyed};
    ASSERT(producer_start(&history->producer, stream, &request) == ERR_OK);
}

void generation_begin(struct history *history, int key, const struct stream *before)
{
    static uint8_t body[300000];
    struct model *model = &history->model;
    uint8_t random[ID_RANDOM_BYTES] = {0};
    if (model->count == MODEL_STREAMS_MAX || hub_admits(history->hub) != ERR_OK)
        return;
    uint32_t tag = model->count;
    memcpy(random + 4, &tag, sizeof tag);
    size_t body_bytes = one_in(history, 8) ? (size_t)below(history, sizeof body) : 20;
    struct row row = {.id = id_make(loop_wall_ns(history->loop) / 1000000, random),
        .project = history->project.number,
        .project_name = slice_text(history->project.name),
        .attempt = before ? stream_row(before)->attempt + 1 : 1,
        .state = STREAM_ACCEPTED,
        .is_streamed = true,
        .key = key < 0 ? SLICE_NONE : slice_text(generation_keys[key]),
        .method = SLICE("POST"),
        .path = SLICE("/v1/chat/completions"),
        .dialect = SLICE("openai_chat"),
        .model = SLICE("m"),
        .accepted_ns = loop_wall_ns(history->loop),
        .ttl_s = one_in(history, 4) ? 1 + (int64_t)below(history, 100) : 0,
        .content_length = -1,
        .request_bytes = body_bytes,
        .usage = USAGE_UNKNOWN};
    struct stream *stream;
    enum err err =
        hub_create(history->hub, &history->project, &row, slice_of(body, body_bytes), &stream);
    if (err != ERR_OK)
        return;
    model->streams[tag] = (struct model_stream){.id = row.id,
        .number = row.number,
        .key = key,
        .ttl_s = row.ttl_s,
        .began_ns = row.accepted_ns};
    model->count++;
    produce(history, stream, tag, key >= 0);
    if (one_in(history, 2))
        (void)caller_attach(history, stream_ref(stream), 0, true);
    stream_unref(stream);
}

/* ---- providers ------------------------------------------------------------------------------- */

static void send_event(
    struct history *history, struct upstream *upstream, uint32_t tag, enum model_kind kind)
{
    static uint8_t bytes[MODEL_EVENT_BYTES_MAX];
    struct model_stream *stream = &history->model.streams[tag];
    if (stream->cut_bytes == 0)
        stream->kinds[stream->given] = kind;
    struct slice event = model_event(&history->model, tag, stream->given, bytes);
    size_t size = event.size - stream->cut_bytes;
    if (one_in(history, 4) && size > 1)
        size = 1 + (size_t)below(history, size - 1);
    struct slice part = slice_sub(event, stream->cut_bytes, size);
    stream->cut_bytes += size;
    if (stream->cut_bytes == event.size) {
        kind = stream->kinds[stream->given];
        stream->has_done |= kind == MODEL_DONE;
        stream->has_failed |= kind == MODEL_ERROR;
        stream->given++;
        stream->cut_bytes = 0;
    }
    (void)fake_data(upstream, part);
}

static enum model_kind next_kind(struct history *history, const struct model_stream *stream)
{
    if (stream->given == MODEL_EVENTS_MAX - 1 || one_in(history, 20))
        return MODEL_DONE;
    return one_in(history, 60) ? MODEL_ERROR : MODEL_CHUNK;
}

static void provide(struct history *history, struct upstream *upstream)
{
    uint64_t tag64 = 0;
    ASSERT(slice_u64(fake_body(upstream), &tag64) == ERR_OK);
    uint32_t tag = (uint32_t)tag64;
    struct model_stream *stream = &history->model.streams[tag];
    if (fake_is_canceled(upstream) || fake_is_paused(upstream))
        return;
    bool is_over = stream->has_done || stream->has_failed || stream->given == MODEL_EVENTS_MAX;
    /* A terminator without its blank line counts as one, too: that is the producer's own test. */
    bool is_in_terminator = stream->cut_bytes > 0 && stream->kinds[stream->given] == MODEL_DONE;
    if (is_over || (one_in(history, 60) && !is_in_terminator)) {
        bool is_reset = one_in(history, 3);
        stream->has_failed |= !stream->has_done; /* truncated, or reset */
        fake_end(upstream, is_reset || !stream->has_head ? UPSTREAM_RESET : UPSTREAM_COMPLETE);
        return;
    }
    if (!stream->has_head) {
        stream->has_head = true;
        fake_sse(upstream);
        return;
    }
    for (uint64_t events = 1 + below(history, 6);
         events > 0 && !fake_is_paused(upstream) && !stream->has_done && !stream->has_failed &&
         !fake_is_canceled(upstream);
         events--)
        send_event(history, upstream, tag, next_kind(history, stream));
}

void generation_provide(struct history *history)
{
    size_t open = fake_open(history->upstreams);
    for (uint64_t i = 0; open > 0 && i < 3; i++) {
        struct upstream *upstream = fake_at(history->upstreams, (size_t)below(history, open));
        provide(history, upstream);
        open = fake_open(history->upstreams);
    }
}
