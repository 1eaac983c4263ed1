/* anthropic — the Messages API: named events.
 *
 *     event: message_start          data.message.usage: input tokens, and the first output token
 *     event: content_block_start, _delta, _stop, ping        passed on unread
 *     event: message_delta          data.delta.stop_reason; data.usage: cumulative
 *     event: message_stop           the terminator
 *     event: error                  data.error {type, message}; may come at any time, under a 200
 *
 * Anthropic counts input that was read from or written to its cache apart from input_tokens; here
 * `input` is their sum, as it is with the other dialects. All counts are cumulative: of a count
 * that comes twice the larger one is the later one, and an absent one was said before.
 *
 *   source  https://docs.anthropic.com/en/docs/build-with-claude/streaming */
#include "protocol/dialect/reading.h"

static void read_usage(struct dialect_reading *reading, const struct json *usage)
{
    const struct json *output_details = json_get(usage, "output_tokens_details");
    struct usage *known = &reading->usage;
    int64_t fresh = json_int(json_get(usage, "input_tokens"), -1);
    int64_t read = json_int(json_get(usage, "cache_read_input_tokens"), 0);
    int64_t written = json_int(json_get(usage, "cache_creation_input_tokens"), 0);
    if (fresh >= 0)
        reading_raise(&known->input, fresh + read + written);
    reading_raise(&known->output, json_int(json_get(usage, "output_tokens"), -1));
    reading_raise(&known->cached, json_int(json_get(usage, "cache_read_input_tokens"), -1));
    reading_raise(&known->reasoning, json_int(json_get(output_details, "thinking_tokens"), -1));
    known->total = -1;
    reading_total(known);
}

static void read_event_data(
    struct dialect_reading *reading, struct slice name, const struct json *event)
{
    if (slice_equal(name, SLICE("message_start"))) {
        read_usage(reading, json_get(json_get(event, "message"), "usage"));
    } else if (slice_equal(name, SLICE("message_delta"))) {
        read_usage(reading, json_get(event, "usage"));
        reading_finish_reason(
            reading, json_text(json_get(json_get(event, "delta"), "stop_reason")));
    } else if (slice_equal(name, SLICE("message_stop"))) {
        reading->is_terminated = true;
    } else if (slice_equal(name, SLICE("error"))) {
        reading_error_event(reading, event);
    }
}

static bool name_matters(struct slice name)
{
    return slice_equal(name, SLICE("message_start")) || slice_equal(name, SLICE("message_delta")) ||
           slice_equal(name, SLICE("message_stop")) || slice_equal(name, SLICE("error"));
}

static enum dialect_verdict anthropic_read_event(
    struct dialect_reading *reading, struct slice block)
{
    return reading_named_event(reading, block, name_matters, read_event_data);
}

static void anthropic_read_body(struct dialect_reading *reading, struct slice body)
{
    static const char *const names[] = {"usage", "stop_reason", "error"};
    enum { COUNT = sizeof names / sizeof names[0] };
    struct json *members[COUNT];
    if (reading_body_members(body, names, COUNT, members)) {
        read_usage(reading, members[0]);
        reading_finish_reason(reading, json_text(members[1]));
        reading_fail(reading, members[2]);
    }
    reading_body_free(members, COUNT);
}

static bool anthropic_is_terminator_residue(struct slice residue)
{
    return reading_ends(anthropic_read_event, residue);
}

static const char *error_type(int status)
{
    switch (status) {
    case 401: return "authentication_error";
    case 403: return "permission_error";
    case 404: return "not_found_error";
    case 413: return "request_too_large";
    case 429: return "rate_limit_error";
    case 529: return "overloaded_error";
    default: return status >= 500 ? "api_error" : "invalid_request_error";
    }
}

static enum err anthropic_write_error(
    struct buf *out, int status, const char *code, struct slice message, const char *param)
{
    struct json_writer writer;
    (void)param; /* the shape has no place for it; the message names it */
    json_writer_init(&writer, out);
    json_open(&writer, '{');
    json_key(&writer, "type");
    json_string(&writer, SLICE("error"));
    json_key(&writer, "error");
    json_open(&writer, '{');
    json_key(&writer, "type");
    json_string(&writer, slice_text(error_type(status)));
    json_key(&writer, "message");
    json_string(&writer, message);
    json_key(&writer, "code");
    json_string(&writer, slice_text(code));
    json_close(&writer, '}');
    json_close(&writer, '}');
    return writer.err;
}

const struct dialect dialect_anthropic = {
    .name = "anthropic",
    .has_terminator = true,
    .read_event = anthropic_read_event,
    .read_body = anthropic_read_body,
    .is_terminator_residue = anthropic_is_terminator_residue,
    .write_error = anthropic_write_error,
};
