/* openai_responses_response — the events of the Responses API, read; and the whole body. (Written:
 * openai_responses_tell.)
 *
 *     response.created, .in_progress         {"response": {"id","model","created_at",…}}      START
 *     response.output_item.added             {"output_index","item": {"type": "message" |
 *                                             "function_call" | "reasoning", …}}              BEGIN
 *     response.content_part.added            {"item_id","content_index","part"}   of a message
 *     response.output_text.delta, .refusal.delta, .function_call_arguments.delta,
 *       .reasoning_summary_text.delta        {"item_id","output_index","delta"}               DELTA
 *     ….done, response.content_part.done     the same texts in full
 *     response.output_item.done              {"item": …} in full; reasoning: encrypted     SEAL END
 *     response.completed | .incomplete       {"response": {…,"output","usage"}} FINISH USAGE DONE
 *     response.failed | error                {"response": {"error"}} | {"message","code"}     ERROR
 *
 * Each event is numbered from 0 (`sequence_number`).
 *
 *   source  vercel/ai packages/openai/src/responses/__fixtures__: issue-19493-gpt-5.1-tool-call at
 *           81a6ad70, openai-reasoning-encrypted-content.1 at c07b5706; openai-python
 *           src/openai/types/responses at e43b4224 (2026-08-21) */
#include "protocol/dialect/codec.h"

#include "protocol/dialect/walk.h"

extern const struct codec_response openai_responses_response;
extern codec_write_event openai_responses_write_event;
extern codec_write_body openai_responses_write_body;
extern codec_told openai_responses_told;
extern codec_cannot openai_responses_cannot;
extern codec_go_on openai_responses_go_on;

/* ---- reading ---- */

static void read_start(struct json_span response, struct sequence *out)
{
    static const char *const names[] = {"id", "model", "created_at"};
    struct json_span spans[COUNT_OF(names)];
    codec_scan(response, names, COUNT_OF(names), spans);
    sequence_start(
        out, codec_text(spans[0], out), codec_text(spans[1], out), codec_count(spans[2]));
}

static void read_seal(struct json_span encrypted, struct json_span id, struct sequence *out)
{
    struct slice format, seal_id, opaque, item_id = codec_text(id, out);
    neutral_seal_read(
        codec_text(encrypted, out), NEUTRAL_FORMAT_RESPONSES, &format, &seal_id, &opaque);
    if (slice_equal(format, SLICE(NEUTRAL_FORMAT_RESPONSES)))
        seal_id = item_id;
    if (opaque.size == 0)
        return;
    if (out->is_open && out->open == NEUTRAL_REASONING)
        sequence_seal(out, format, seal_id, opaque);
    else
        sequence_redacted(out, format, seal_id, opaque);
}

/* The item as it begins in a stream. A message's parts are announced one by one; reasoning may have
 * no text at all, which its end tells. */
static void read_item_added(struct json_span item, struct sequence *out)
{
    static const char *const names[] = {"type", "call_id", "name"};
    struct json_span spans[COUNT_OF(names)];
    codec_scan(item, names, COUNT_OF(names), spans);
    struct slice type = codec_text(spans[0], out);
    if (slice_equal(type, SLICE("function_call")))
        sequence_tool_call(out, codec_text(spans[1], out), codec_text(spans[2], out));
    else if (slice_equal(type, SLICE("message")) || slice_equal(type, SLICE("reasoning")))
        sequence_close(out);
    else
        sequence_cannot(out, "an output item of type", type);
}

static void read_item_done(struct json_span item, struct sequence *out)
{
    static const char *const names[] = {"type", "arguments", "encrypted_content", "id"};
    struct json_span spans[COUNT_OF(names)];
    codec_scan(item, names, COUNT_OF(names), spans);
    struct slice type = codec_text(spans[0], out);
    if (slice_equal(type, SLICE("function_call")) && !out->has_content)
        sequence_arguments(out, codec_text(spans[1], out));
    else if (slice_equal(type, SLICE("reasoning")))
        read_seal(spans[2], spans[3], out);
    sequence_close(out);
}

static void read_part_added(struct json_span part, struct sequence *out)
{
    static const char *const names[] = {"type"};
    struct json_span spans[1];
    codec_scan(part, names, 1, spans);
    struct slice type = codec_text(spans[0], out);
    if (slice_equal(type, SLICE("output_text")))
        sequence_open(out, NEUTRAL_TEXT);
    else if (slice_equal(type, SLICE("refusal")))
        sequence_open(out, NEUTRAL_REFUSAL);
    else if (!slice_equal(type, SLICE("reasoning_text")))
        sequence_cannot(out, "a content part of type", type);
}

static void read_end(struct json_span response, struct sequence *out)
{
    static const char *const names[] = {"status", "incomplete_details", "usage"};
    static const char *const detail_names[] = {"reason"};
    struct json_span spans[COUNT_OF(names)], details[1];
    codec_scan(response, names, COUNT_OF(names), spans);
    codec_scan(spans[1], detail_names, 1, details);
    struct slice reason = codec_text(details[0], out);
    bool is_filtered = slice_equal(reason, SLICE("content_filter"));
    bool is_cut = slice_equal(codec_text(spans[0], out), SLICE("incomplete"));
    sequence_finish(out,
        is_filtered ? NEUTRAL_CONTENT_FILTER
        : is_cut    ? NEUTRAL_LENGTH
                    : NEUTRAL_STOP,
        SLICE_NONE);
    codec_openai_usage(spans[2], out);
    sequence_done(out);
}

static void read_failed(struct json_span response, struct sequence *out)
{
    static const char *const names[] = {"error"};
    struct json_span spans[1];
    codec_scan(response, names, 1, spans);
    codec_error(spans[0], out);
}

/* The error event holds its members itself, or an object of them. */
static void read_error_event(struct json_span event, struct json_span error, struct sequence *out)
{
    codec_error(error.type == JSON_OBJECT && error.raw.size ? error : event, out);
}

static const struct {
    const char *name;
    enum neutral_part_kind part;
} deltas[] = {
    {"response.output_text.delta", NEUTRAL_TEXT},
    {"response.refusal.delta", NEUTRAL_REFUSAL},
    {"response.reasoning_summary_text.delta", NEUTRAL_REASONING},
    {"response.reasoning_text.delta", NEUTRAL_REASONING},
};

static bool read_delta(struct slice type, struct json_span delta, struct sequence *out)
{
    for (size_t i = 0; i < COUNT_OF(deltas); i++)
        if (slice_equal(type, slice_text(deltas[i].name))) {
            sequence_text(out, deltas[i].part, codec_text(delta, out));
            return true;
        }
    if (!slice_equal(type, SLICE("response.function_call_arguments.delta")))
        return false;
    sequence_arguments(out, codec_text(delta, out));
    return true;
}

/* The text in full: it counts where no piece of it came before. */
static void read_done(enum neutral_part_kind kind, struct json_span text, struct sequence *out)
{
    if (out->is_open && out->open == kind && !out->has_content)
        sequence_text(out, kind, codec_text(text, out));
}

static void responses_read_event(void *state, struct slice frame, struct sequence *out)
{
    static const char *const names[] = {
        "type", "response", "item", "part", "delta", "error", "summary_index", "text", "refusal"};
    struct json_span spans[COUNT_OF(names)];
    struct slice event, data;
    (void)state;
    if (!codec_frame(frame, &event, &data, out))
        return;
    struct json_span whole = {JSON_OBJECT, data};
    codec_scan(whole, names, COUNT_OF(names), spans);
    struct slice type = codec_text(spans[0], out);
    if (type.size == 0)
        type = event;
    if (read_delta(type, spans[4], out))
        return;
    if (slice_equal(type, SLICE("response.created")) ||
        slice_equal(type, SLICE("response.in_progress")))
        read_start(spans[1], out);
    else if (slice_equal(type, SLICE("response.output_text.done")))
        read_done(NEUTRAL_TEXT, spans[7], out);
    else if (slice_equal(type, SLICE("response.refusal.done")))
        read_done(NEUTRAL_REFUSAL, spans[8], out);
    else if (slice_equal(type, SLICE("response.output_item.added")))
        read_item_added(spans[2], out);
    else if (slice_equal(type, SLICE("response.output_item.done")))
        read_item_done(spans[2], out);
    else if (slice_equal(type, SLICE("response.content_part.added")))
        read_part_added(spans[3], out);
    else if (slice_equal(type, SLICE("response.content_part.done")) && out->is_open &&
             out->open != NEUTRAL_REASONING)
        sequence_close(out);
    else if (slice_equal(type, SLICE("response.reasoning_summary_part.added")) &&
             codec_count(spans[6]) > 0)
        sequence_text(out, NEUTRAL_REASONING, SLICE("\n\n"));
    else if (slice_equal(type, SLICE("response.output_text.annotation.added")))
        sequence_cannot(out, "the event", type);
    else if (slice_equal(type, SLICE("response.completed")) ||
             slice_equal(type, SLICE("response.incomplete")))
        read_end(spans[1], out);
    else if (slice_equal(type, SLICE("response.failed")))
        read_failed(spans[1], out);
    else if (slice_equal(type, SLICE("error")))
        read_error_event(whole, spans[5], out);
}

/* ---- reading a body ---- */

static void read_body_part(struct json_span item, size_t position, void *into)
{
    static const char *const names[] = {"type", "text", "refusal"};
    struct sequence *out = into;
    struct json_span spans[COUNT_OF(names)];
    (void)position;
    codec_scan(item, names, COUNT_OF(names), spans);
    read_part_added(item, out);
    bool is_refusal = slice_equal(codec_text(spans[0], out), SLICE("refusal"));
    sequence_text(out, is_refusal ? NEUTRAL_REFUSAL : NEUTRAL_TEXT,
        codec_text(spans[is_refusal ? 2 : 1], out));
    sequence_close(out);
}

static void read_body_summary(struct json_span item, size_t position, void *into)
{
    static const char *const names[] = {"text"};
    struct sequence *out = into;
    struct json_span spans[1];
    codec_scan(item, names, 1, spans);
    if (position > 0)
        sequence_text(out, NEUTRAL_REASONING, SLICE("\n\n"));
    sequence_text(out, NEUTRAL_REASONING, codec_text(spans[0], out));
}

static void read_body_item(struct json_span item, size_t position, void *into)
{
    static const char *const names[] = {"type", "content", "summary"};
    struct sequence *out = into;
    struct json_span spans[COUNT_OF(names)];
    (void)position;
    codec_scan(item, names, COUNT_OF(names), spans);
    read_item_added(item, out);
    if (slice_equal(codec_text(spans[0], out), SLICE("message"))) {
        codec_each(spans[1], read_body_part, out);
    } else if (slice_equal(codec_text(spans[0], out), SLICE("reasoning"))) {
        codec_each(spans[2], read_body_summary, out);
        codec_each(spans[1], read_body_summary, out);
    }
    read_item_done(item, out);
}

static void responses_read_body(struct slice body, struct sequence *out)
{
    static const char *const names[] = {"output", "status", "error"};
    struct json_span whole = {JSON_OBJECT, body};
    struct json_span spans[COUNT_OF(names)];
    codec_scan(whole, names, COUNT_OF(names), spans);
    if (spans[2].raw.size && spans[2].type != JSON_NULL) {
        codec_error(spans[2], out);
        return;
    }
    if (spans[0].type != JSON_ARRAY || spans[0].raw.size == 0)
        return;
    read_start(whole, out);
    codec_each(spans[0], read_body_item, out);
    read_end(whole, out);
}

const struct codec_response openai_responses_response = {
    .framing = FRAMING_SSE,
    .content_type = "text/event-stream",
    .reader_bytes = 0,
    .writer_bytes = CODEC_WRITER_BYTES,
    .read_event = responses_read_event,
    .read_body = responses_read_body,
    .fold = FOLD_EVERYTHING,
    .write_event = openai_responses_write_event,
    .write_body = openai_responses_write_body,
    .told = openai_responses_told,
    .cannot = openai_responses_cannot,
    .go_on = openai_responses_go_on,
};
