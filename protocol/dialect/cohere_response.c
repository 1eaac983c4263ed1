/* cohere_response — the events of Cohere's v2 chat, read; and the whole body.
 *
 *     message-start     {"id"}                                                        START
 *     content-start     {"delta":{"message":{"content":{"type":"text" | "thinking"}}}}  BEGIN
 *     content-delta     {"delta":{"message":{"content":{"text" | "thinking"}}}}       DELTA
 *     tool-plan-delta   {"delta":{"message":{"tool_plan"}}}                           of a TEXT
 *     tool-call-start   {"delta":{"message":{"tool_calls":{"id","function":{"name"}}}}}  BEGIN
 *     tool-call-delta   {"delta":{"message":{"tool_calls":{"function":{"arguments"}}}}}  DELTA
 *     content-end, tool-call-end                                                      END
 *     message-end       {"delta":{"finish_reason","usage","error"}}        FINISH USAGE DONE, ERROR
 *     citation-start, citation-end, debug                                             –
 *
 * A plan is what the model says before it calls tools: text. Thinking has no seal. Citations stand
 * beside the text, and are turned off in what is sent.
 *
 *   source  cohere-ai/cohere-python src/cohere/types and src/cohere/v2/types at bc495daa (2026-08-19);
 *           vercel/ai packages/cohere/src/__fixtures__ at ed857f50 (2026-08-22) */
#include "protocol/dialect/codec.h"
#include "protocol/dialect/walk.h"

extern const struct codec_response cohere_response;

enum { STATUS_ERROR = 500, STATUS_TIMEOUT = 504 };

/* ---- parts ---- */

/* Only what is said: a block as it begins, a piece of one, or a whole one. */
static void read_content(struct json_span block, bool is_begin, struct sequence *out)
{
    static const char *const names[] = {"type", "text", "thinking"};
    struct json_span spans[COUNT_OF(names)];
    codec_scan(block, names, COUNT_OF(names), spans);
    struct slice type = codec_text(spans[0], out);
    bool is_text = slice_equal(type, SLICE("text"));
    if (is_begin && !is_text && !slice_equal(type, SLICE("thinking"))) {
        sequence_cannot(out, "a content block of type", type);
        return;
    }
    if (is_begin)
        sequence_open(out, is_text ? NEUTRAL_TEXT : NEUTRAL_REASONING);
    sequence_text(out, NEUTRAL_TEXT, codec_text(spans[1], out));
    sequence_text(out, NEUTRAL_REASONING, codec_text(spans[2], out));
}

/* Arguments may be the word null, for none. */
static void read_arguments(struct json_span arguments, struct sequence *out)
{
    struct slice text = codec_text(arguments, out);
    bool is_first = !out->has_content;
    if (!is_first || !slice_equal(text, SLICE("null")))
        sequence_arguments(out, text);
}

static void read_call(struct json_span call, bool is_begin, struct sequence *out)
{
    static const char *const names[] = {"id", "function"};
    static const char *const function_names[] = {"name", "arguments"};
    struct json_span spans[COUNT_OF(names)], function[COUNT_OF(function_names)];
    codec_scan(call, names, COUNT_OF(names), spans);
    codec_scan(spans[1], function_names, COUNT_OF(function_names), function);
    bool is_open = out->is_open && out->open == NEUTRAL_TOOL_CALL;
    if (is_begin)
        sequence_tool_call(out, codec_text(spans[0], out), codec_text(function[0], out));
    else if (!is_open && codec_text(function[1], out).size)
        sequence_cannot(out, "pieces of a call", SLICE("that is over"));
    read_arguments(function[1], out);
}

/* ---- ends ---- */

static void read_usage(struct json_span usage, struct sequence *out)
{
    static const char *const names[] = {"tokens", "billed_units", "cached_tokens"};
    static const char *const count_names[] = {"input_tokens", "output_tokens"};
    struct json_span spans[COUNT_OF(names)], counts[COUNT_OF(count_names)];
    struct neutral_usage said = NEUTRAL_USAGE_UNKNOWN;
    codec_scan(usage, names, COUNT_OF(names), spans);
    codec_scan(spans[0].raw.size ? spans[0] : spans[1], count_names, COUNT_OF(count_names), counts);
    said.counts.input = codec_count(counts[0]);
    said.counts.output = codec_count(counts[1]);
    said.counts.cached = codec_count(spans[2]);
    sequence_usage(out, &said);
}

static const struct {
    const char *word;
    enum neutral_finish finish;
} finishes[] = {
    {"COMPLETE", NEUTRAL_STOP},
    {"STOP_SEQUENCE", NEUTRAL_STOP_SEQUENCE},
    {"MAX_TOKENS", NEUTRAL_LENGTH},
    {"TOOL_CALL", NEUTRAL_TOOL_CALLS},
};

/* Of message-end, or of a body. */
static void read_finish(struct json_span object, struct sequence *out)
{
    static const char *const names[] = {"finish_reason", "usage", "error"};
    struct json_span spans[COUNT_OF(names)];
    codec_scan(object, names, COUNT_OF(names), spans);
    struct slice word = codec_text(spans[0], out), error = codec_text(spans[2], out);
    read_usage(spans[1], out);
    for (size_t i = 0; i < COUNT_OF(finishes); i++)
        if (slice_equal(word, slice_text(finishes[i].word)) && error.size == 0) {
            sequence_finish(out, finishes[i].finish, SLICE_NONE);
            sequence_done(out);
            return;
        }
    if (error.size || slice_equal(word, SLICE("ERROR")))
        sequence_error(out, STATUS_ERROR, word, error);
    else if (slice_equal(word, SLICE("TIMEOUT")))
        sequence_error(out, STATUS_TIMEOUT, word, SLICE("the provider's generation timed out"));
    else
        sequence_cannot(out, "an end for the reason", word);
}

/* ---- events ---- */

struct event {
    struct json_span id, delta, content, plan, calls;
};

static void read_message(struct json_span message, struct event *event)
{
    static const char *const names[] = {"content", "tool_plan", "tool_calls"};
    struct json_span spans[COUNT_OF(names)];
    codec_scan(message, names, COUNT_OF(names), spans);
    event->content = spans[0];
    event->plan = spans[1];
    event->calls = spans[2];
}

static void read_named(struct slice type, const struct event *event, struct sequence *out)
{
    if (slice_equal(type, SLICE("message-start")))
        sequence_start(out, codec_text(event->id, out), SLICE_NONE, 0);
    else if (slice_equal(type, SLICE("content-start")))
        read_content(event->content, true, out);
    else if (slice_equal(type, SLICE("content-delta")))
        read_content(event->content, false, out);
    else if (slice_equal(type, SLICE("tool-plan-delta")))
        sequence_text(out, NEUTRAL_TEXT, codec_text(event->plan, out));
    else if (slice_equal(type, SLICE("tool-call-start")))
        read_call(event->calls, true, out);
    else if (slice_equal(type, SLICE("tool-call-delta")))
        read_call(event->calls, false, out);
    else if (slice_equal(type, SLICE("content-end")) || slice_equal(type, SLICE("tool-call-end")))
        sequence_close(out);
    else if (slice_equal(type, SLICE("message-end")))
        read_finish(event->delta, out);
    else if (!slice_has_prefix(type, SLICE("citation-")) && !slice_equal(type, SLICE("debug")))
        sequence_cannot(out, "an event of type", type);
}

static void cohere_read_event(void *state, struct slice frame, struct sequence *out)
{
    static const char *const names[] = {"type", "id", "delta"};
    static const char *const delta_names[] = {"message"};
    struct json_span spans[COUNT_OF(names)], message;
    struct event event;
    struct slice name, data;
    (void)state;
    if (!codec_frame(frame, &name, &data, out))
        return;
    codec_scan((struct json_span){JSON_OBJECT, data}, names, COUNT_OF(names), spans);
    codec_scan(spans[2], delta_names, 1, &message);
    read_message(message, &event);
    event.id = spans[1];
    event.delta = spans[2];
    struct slice type = codec_text(spans[0], out);
    read_named(type.size ? type : name, &event, out);
}

/* ---- a whole body ---- */

static void read_body_block(struct json_span item, size_t position, void *into)
{
    (void)position;
    read_content(item, true, into);
}

static void read_body_call(struct json_span item, size_t position, void *into)
{
    (void)position;
    read_call(item, true, into);
}

static void cohere_read_body(struct slice body, struct sequence *out)
{
    static const char *const names[] = {"id", "message"};
    const struct json_span whole = {JSON_OBJECT, body};
    struct json_span spans[COUNT_OF(names)];
    struct event event;
    codec_scan(whole, names, COUNT_OF(names), spans);
    if (spans[1].type != JSON_OBJECT || spans[1].raw.size == 0)
        return;
    read_message(spans[1], &event);
    sequence_start(out, codec_text(spans[0], out), SLICE_NONE, 0);
    codec_each(event.content, read_body_block, out);
    sequence_text(out, NEUTRAL_TEXT, codec_text(event.plan, out));
    codec_each(event.calls, read_body_call, out);
    read_finish(whole, out);
}

const struct codec_response cohere_response = {
    .framing = FRAMING_SSE,
    .content_type = "text/event-stream",
    .read_event = cohere_read_event,
    .read_body = cohere_read_body,
};
