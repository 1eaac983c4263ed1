/* ollama_response — the lines of /api/chat, read; a whole body is the last line.
 *
 *     {"model", "message": {"role", "content": "…", "thinking": "…",               TEXT, REASONING
 *        "tool_calls": [{"id", "function": {"name", "arguments": {…}}}]},          TOOL_CALL
 *      "done": true, "done_reason": "stop" | "length",                             FINISH DONE
 *      "prompt_eval_count", "eval_count"}                                          USAGE
 *     {"error": "…"}                                                               ERROR
 *
 * A call is always whole. Older versions give no reason at the end: they had stopped; newer ones
 * leave it out only when the caller was gone.
 *
 *   source  as ollama.h */
#include "protocol/dialect/ollama.h"
#include "protocol/dialect/walk.h"

extern const struct codec_response ollama_response;

enum { STATUS_ERROR = 500 /* what the server itself takes for an error without a status */ };

/* ---- parts ---- */

static void read_call(struct json_span call, size_t position, void *into)
{
    static const char *const names[] = {"id", "function"};
    static const char *const function_names[] = {"name", "arguments"};
    struct json_span spans[COUNT_OF(names)], function[COUNT_OF(function_names)];
    struct sequence *out = into;
    (void)position;
    codec_scan(call, names, COUNT_OF(names), spans);
    codec_scan(spans[1], function_names, COUNT_OF(function_names), function);
    struct slice name = codec_text(function[0], out);
    if (name.size == 0) {
        sequence_cannot(out, "a call without a", SLICE("name"));
        return;
    }
    sequence_tool_call(out, codec_text(spans[0], out), name);
    if (function[1].type == JSON_OBJECT)
        sequence_arguments(out, function[1].raw);
    sequence_close(out);
}

static void read_message(struct json_span message, struct sequence *out)
{
    static const char *const names[] = {"thinking", "content", "tool_calls", "images"};
    struct json_span spans[COUNT_OF(names)];
    codec_scan(message, names, COUNT_OF(names), spans);
    sequence_text(out, NEUTRAL_REASONING, codec_text(spans[0], out));
    sequence_text(out, NEUTRAL_TEXT, codec_text(spans[1], out));
    codec_each(spans[2], read_call, out);
    if (codec_has_items(spans[3]))
        sequence_cannot(out, "a message with", SLICE("images"));
}

/* ---- ends ---- */

static const struct {
    const char *word;
    enum neutral_finish finish;
} finishes[] = {
    {"", NEUTRAL_STOP},
    {"stop", NEUTRAL_STOP}, /* also by a stop sequence, which is not said */
    {"load", NEUTRAL_STOP}, /* the answer to a chat without messages */
    {"unload", NEUTRAL_STOP},
    {"length", NEUTRAL_LENGTH},
};

static void read_end(const struct ollama_line *line, struct sequence *out)
{
    struct neutral_usage usage = NEUTRAL_USAGE_UNKNOWN;
    struct slice word = codec_text(line->done_reason, out);
    usage.counts.input = codec_count(line->input);
    usage.counts.output = codec_count(line->output);
    sequence_usage(out, &usage);
    for (size_t i = 0; i < COUNT_OF(finishes); i++)
        if (slice_equal(word, slice_text(finishes[i].word))) {
            sequence_finish(out, finishes[i].finish, SLICE_NONE);
            sequence_done(out);
            return;
        }
    sequence_cannot(out, "an end for the reason", word);
}

/* ---- lines ---- */

static void read_line(const struct ollama_line *line, struct sequence *out)
{
    if (line->error.raw.size && line->error.type != JSON_NULL) {
        sequence_error(out, STATUS_ERROR, SLICE_NONE, codec_text(line->error, out));
        return;
    }
    if (line->message.raw.size || line->done.raw.size)
        sequence_start(out, SLICE_NONE, codec_text(line->model, out), 0);
    read_message(line->message, out);
    if (json_span_is_true(line->done))
        read_end(line, out);
}

static void ollama_read_event(void *state, struct slice frame, struct sequence *out)
{
    struct ollama_line line;
    (void)state;
    if (ollama_read_line(frame, &line))
        read_line(&line, out);
    else if (slice_find_byte(frame, '{') >= 0)
        sequence_cannot(out, "a line that is", SLICE("broken JSON"));
}

static void ollama_read_body(struct slice body, struct sequence *out)
{
    struct ollama_line line;
    if (ollama_read_line(body, &line))
        read_line(&line, out);
}

const struct codec_response ollama_response = {
    .framing = FRAMING_LINES,
    .content_type = "application/x-ndjson",
    .read_event = ollama_read_event,
    .read_body = ollama_read_body,
};
