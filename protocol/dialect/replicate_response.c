/* replicate_response — predictions, read: the events of either stream, and the object.
 *
 *     start                                   START; what follows is Cog's
 *     output      TEXT, or {"chunk"}          TEXT
 *     done        {}                          FINISH DONE
 *     completed   the object                  USAGE FINISH DONE, ERROR
 *     error       TEXT                        ERROR
 *     logs, log, metric                       –
 *
 * A prediction of text only: no calls, no reasons to end but its end.
 *
 *   source  replicate.h */
#include "protocol/dialect/replicate.h"
#include "protocol/dialect/walk.h"

extern const struct codec_response replicate_response;

enum { STATUS_FAILED = 500, STATUS_CANCELED = 499, STATUS_RUNNING = 504 };

struct replicate_reader {
    bool is_cog;
    bool has_output; /* pieces of it came */
};

/* ---- ends ---- */

static void read_failure(bool is_canceled, struct slice message, struct sequence *out)
{
    if (message.size == 0)
        message =
            is_canceled ? SLICE("the prediction was canceled") : SLICE("the prediction failed");
    sequence_error(out, is_canceled ? STATUS_CANCELED : STATUS_FAILED, SLICE_NONE, message);
}

static void finish(struct sequence *out)
{
    sequence_finish(out, NEUTRAL_STOP, SLICE_NONE);
    sequence_done(out);
}

static void read_status(const struct replicate_prediction *prediction, struct sequence *out)
{
    struct neutral_usage usage = {.counts = prediction->usage, .cache_write = -1};
    sequence_usage(out, &usage);
    switch (prediction->status) {
    case REPLICATE_SUCCEEDED: finish(out); break;
    case REPLICATE_FAILED:
        read_failure(prediction->is_canceled, codec_text(prediction->error, out), out);
        break;
    case REPLICATE_RUNNING:
        sequence_error(out, STATUS_RUNNING, SLICE("prediction_running"),
            SLICE("the prediction did not end in time: ask for a stream"));
        break;
    }
}

/* ---- output ---- */

static void read_piece(struct json_span piece, struct sequence *out)
{
    if (piece.type == JSON_STRING)
        sequence_text(out, NEUTRAL_TEXT, codec_text(piece, out));
    else
        sequence_cannot(out, "output that is no text:", piece.raw);
}

/* A list of pieces, which may be a hundred thousand, as one text. */
struct joining {
    struct sequence *out;
    struct buf text;
};

static enum err add_text(struct json_span piece, struct buf *text)
{
    struct slice inner = slice_sub(piece.raw, 1, piece.raw.size - 2);
    return slice_find_byte(inner, '\\') < 0 ? buf_append(text, inner) : json_span_text(piece, text);
}

static void join_piece(struct json_span piece, size_t position, void *into)
{
    struct joining *joining = into;
    (void)position;
    if (piece.type != JSON_STRING)
        read_piece(piece, joining->out);
    else if (joining->out->err == ERR_OK)
        joining->out->err = add_text(piece, &joining->text);
}

static void read_pieces(struct json_span pieces, struct sequence *out)
{
    struct joining joining = {.out = out};
    struct slice text;
    buf_init(&joining.text, NEUTRAL_FRAME_BYTES_MAX);
    codec_each(pieces, join_piece, &joining);
    if (out->err == ERR_OK)
        out->err = arena_copy(&out->arena, buf_slice(&joining.text), &text);
    if (out->err == ERR_OK)
        sequence_text(out, NEUTRAL_TEXT, text);
    buf_deinit(&joining.text);
}

static void read_chunk(struct slice data, struct sequence *out)
{
    static const char *const names[] = {"chunk"};
    struct json_span chunk;
    if (!codec_is_object(data)) {
        sequence_cannot(out, "an event that is", SLICE("broken JSON"));
        return;
    }
    codec_scan((struct json_span){JSON_OBJECT, data}, names, 1, &chunk);
    read_piece(chunk, out);
}

/* ---- events ---- */

static void read_output(const struct replicate_prediction *prediction, struct sequence *out)
{
    sequence_start(out, SLICE_NONE, SLICE_NONE, 0);
    if (prediction->output.type == JSON_ARRAY)
        read_pieces(prediction->output, out);
    else if (prediction->output.raw.size && prediction->output.type != JSON_NULL)
        read_piece(prediction->output, out);
}

/* Its output is the pieces once more; where none came, it is all there is. */
static void read_completed(
    const struct replicate_reader *reader, struct slice data, struct sequence *out)
{
    struct replicate_prediction prediction;
    if (!codec_is_object(data)) {
        sequence_cannot(out, "an event that is", SLICE("broken JSON"));
        return;
    }
    replicate_read(data, &prediction);
    if (!reader->has_output)
        read_output(&prediction, out);
    read_status(&prediction, out);
}

static void read_done(struct slice data, struct sequence *out)
{
    bool is_canceled;
    sequence_start(out, SLICE_NONE, SLICE_NONE, 0);
    if (replicate_reason(data, &is_canceled) == REPLICATE_SUCCEEDED)
        finish(out);
    else
        read_failure(is_canceled, SLICE_NONE, out);
}

static bool says_nothing(struct slice event)
{
    return slice_equal(event, SLICE("logs")) || slice_equal(event, SLICE("log")) ||
           slice_equal(event, SLICE("metric"));
}

static void replicate_read_event(void *state, struct slice frame, struct sequence *out)
{
    struct replicate_reader *reader = state;
    struct slice event, data;
    if (!codec_event(frame, &event, &data, out))
        return;
    if (slice_equal(event, SLICE("start"))) {
        reader->is_cog = true;
        sequence_start(out, SLICE_NONE, SLICE_NONE, 0);
    } else if (slice_equal(event, SLICE("output"))) {
        sequence_start(out, SLICE_NONE, SLICE_NONE, 0);
        reader->has_output = true;
        if (reader->is_cog)
            read_chunk(data, out);
        else
            sequence_text(out, NEUTRAL_TEXT, data);
    } else if (slice_equal(event, SLICE("done"))) {
        read_done(data, out);
    } else if (slice_equal(event, SLICE("completed"))) {
        read_completed(reader, data, out);
    } else if (slice_equal(event, SLICE("error"))) {
        read_failure(false, data, out);
    } else if (!says_nothing(event)) {
        sequence_cannot(out, "an event of type", event);
    }
}

static void replicate_read_body(struct slice body, struct sequence *out)
{
    struct replicate_prediction prediction;
    replicate_read(body, &prediction);
    read_output(&prediction, out);
    read_status(&prediction, out);
}

/* A stream has a place of its own, if the model can stream. */
static enum err replicate_follow(
    struct slice body, bool is_streamed, struct buf *url, struct buf *cancel)
{
    static const char *const names[] = {"urls"}, *const place_names[] = {"stream", "get", "cancel"};
    struct replicate_prediction prediction;
    struct json_span urls, places[COUNT_OF(place_names)];
    replicate_read(body, &prediction);
    codec_scan((struct json_span){JSON_OBJECT, body}, names, 1, &urls);
    codec_scan(urls, place_names, COUNT_OF(place_names), places);
    bool has_stream = is_streamed && places[0].type == JSON_STRING && places[0].raw.size;
    if (prediction.status != REPLICATE_RUNNING || !(has_stream || places[1].raw.size))
        return ERR_NOTFOUND;
    if (places[2].raw.size && json_span_text(places[2], cancel))
        buf_clear(cancel);
    enum err err = json_span_text(has_stream ? places[0] : places[1], url);
    return err == ERR_INVALID ? ERR_NOTFOUND : err ? err : has_stream ? ERR_OK : ERR_AGAIN;
}

const struct codec_response replicate_response = {
    .framing = FRAMING_SSE,
    .content_type = "text/event-stream",
    .reader_bytes = sizeof(struct replicate_reader),
    .read_event = replicate_read_event,
    .read_body = replicate_read_body,
    .follow = replicate_follow,
    .whole_event = "completed",
};
