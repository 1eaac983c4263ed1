/* ollama — lines of JSON.
 *
 *     {"model", "created_at", "message": {…}, "done": false}                    passed on
 *     {…, "done": true, "done_reason": "stop" | "length", "prompt_eval_count", "eval_count"}
 *                                                                               the terminator
 *     {"error": "…"}                                                            instead of one
 *
 * Other calls of its API (a model being pulled) are streams of lines too, without that end: they are
 * not of the dialect. Tokens of the prompt that were cached are told by no number, and left out of
 * prompt_eval_count by some versions.
 *
 *   source  as ollama.h; server/routes.go, streamResponse */
#include "protocol/dialect/ollama.h"

#include "protocol/dialect/reading.h"
#include "protocol/dialect/walk.h"

bool ollama_read_line(struct slice text, struct ollama_line *out)
{
    static const char *const names[] = {
        "model", "message", "error", "done", "done_reason", "prompt_eval_count", "eval_count"};
    struct json_span spans[COUNT_OF(names)];
    if (!codec_is_object(text))
        return false;
    codec_scan((struct json_span){JSON_OBJECT, text}, names, COUNT_OF(names), spans);
    *out = (struct ollama_line){.model = spans[0],
        .message = spans[1],
        .error = spans[2],
        .done = spans[3],
        .done_reason = spans[4],
        .input = spans[5],
        .output = spans[6]};
    return true;
}

/* ---- reading for the accounts ---- */

static bool ollama_speaks(struct slice path)
{
    static const char *const calls[] = {"/api/chat", "/api/generate"};
    for (size_t i = 0; i < COUNT_OF(calls); i++)
        if (slice_equal(path, slice_text(calls[i])))
            return true;
    return false;
}

static enum dialect_verdict ollama_read_event(struct dialect_reading *reading, struct slice text)
{
    struct ollama_line line;
    if (!ollama_read_line(text, &line))
        return DIALECT_EVENT;
    reading_fail_span(reading, line.error);
    if (!json_span_is_true(line.done))
        return DIALECT_EVENT;
    reading_finish_span(reading, line.done_reason);
    reading->usage.input = codec_count(line.input);
    reading->usage.output = codec_count(line.output);
    reading_total(&reading->usage);
    reading->is_terminated = !reading->is_failed;
    return DIALECT_EVENT;
}

static void ollama_read_body(struct dialect_reading *reading, struct slice body)
{
    (void)ollama_read_event(reading, body);
}

static bool ollama_is_terminator_residue(struct slice residue)
{
    return reading_ends(ollama_read_event, residue);
}

static enum err ollama_write_error(
    struct buf *out, int status, const char *code, struct slice message, const char *param)
{
    (void)status;
    (void)param;
    return codec_write_flat_error(out, "error", message, code);
}

const struct dialect dialect_ollama = {
    .name = "ollama",
    .framing = FRAMING_LINES,
    .speaks = ollama_speaks,
    .has_terminator = true,
    .read_event = ollama_read_event,
    .read_body = ollama_read_body,
    .is_terminator_residue = ollama_is_terminator_residue,
    .write_error = ollama_write_error,
};
