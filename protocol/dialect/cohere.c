/* cohere — v2 chat: named events.
 *
 *     event: message-start, content-start, -delta, -end, tool-plan-delta,
 *            tool-call-start, -delta, -end, citation-start, -end          passed on unread
 *     event: message-end     data.delta {finish_reason, usage, error}: the terminator
 *
 * The older v1 API, where it is streamed as events, ends by stream-end.
 *
 * Tokens are counted twice: `tokens`, all that the model read and wrote, and `billed_units`, without
 * Cohere's own prompt. cached_tokens is a part of the former, so those are the ones noted here.
 *
 *   source  https://docs.cohere.com/v2/docs/streaming
 *           cohere-ai/cohere-python src/cohere/types at bc495daa (2026-08-19) */
#include "protocol/dialect/codec.h"
#include "protocol/dialect/reading.h"

static void read_usage(struct dialect_reading *reading, const struct json *usage)
{
    const struct json *tokens = json_get(usage, "tokens");
    if (!tokens)
        tokens = json_get(usage, "billed_units");
    if (!tokens)
        return;
    reading->usage = (struct usage){
        .input = json_int(json_get(tokens, "input_tokens"), -1),
        .output = json_int(json_get(tokens, "output_tokens"), -1),
        .cached = json_int(json_get(usage, "cached_tokens"), -1),
        .reasoning = -1,
        .total = -1,
    };
    reading_total(&reading->usage);
}

static bool is_failure(struct slice finish)
{
    return slice_equal(finish, SLICE("ERROR")) || slice_equal(finish, SLICE("TIMEOUT"));
}

/* What ends a response: the delta of message-end, or a whole body. */
static void read_finish(struct dialect_reading *reading, struct slice finish,
    const struct json *usage, const struct json *error)
{
    read_usage(reading, usage);
    reading_finish_reason(reading, finish);
    reading_fail(reading, error);
    reading->is_failed |= is_failure(finish);
}

static bool is_end(struct slice name)
{
    return slice_equal(name, SLICE("message-end"));
}

static bool ends(struct slice name)
{
    return is_end(name) || slice_equal(name, SLICE("stream-end"));
}

static void read_end(struct dialect_reading *reading, struct slice name, const struct json *event)
{
    const struct json *delta = json_get(event, "delta");
    if (is_end(name)) {
        read_finish(reading, json_text(json_get(delta, "finish_reason")), json_get(delta, "usage"),
            json_get(delta, "error"));
        reading->is_terminated = !reading->is_failed;
    } else {
        reading_finish_reason(reading, json_text(json_get(event, "finish_reason")));
        reading->is_terminated = true;
    }
}

static enum dialect_verdict cohere_read_event(struct dialect_reading *reading, struct slice block)
{
    return reading_named_event(reading, block, ends, read_end);
}

/* An error is {"message": "…"}, an answer has a message that is an object. */
static void cohere_read_body(struct dialect_reading *reading, struct slice body)
{
    static const char *const names[] = {"finish_reason", "usage", "message"};
    enum { COUNT = sizeof names / sizeof names[0] };
    struct json *members[COUNT];
    if (reading_body_members(body, names, COUNT, members)) {
        read_finish(reading, json_text(members[0]), members[1], NULL);
        if (json_type(members[2]) == JSON_STRING)
            reading_fail(reading, members[2]);
    }
    reading_body_free(members, COUNT);
}

static bool cohere_is_terminator_residue(struct slice residue)
{
    return reading_ends(cohere_read_event, residue);
}

static enum err cohere_write_error(
    struct buf *out, int status, const char *code, struct slice message, const char *param)
{
    (void)status;
    (void)param;
    return codec_write_flat_error(out, "message", message, code);
}

const struct dialect dialect_cohere = {
    .name = "cohere",
    .has_terminator = true,
    .read_event = cohere_read_event,
    .read_body = cohere_read_body,
    .is_terminator_residue = cohere_is_terminator_residue,
    .write_error = cohere_write_error,
};
