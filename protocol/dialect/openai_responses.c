/* openai_responses — the Responses API: named events, of which five end a response.
 *
 *     event: response.created | .queued      data.response.id: by it callers ask for the response again
 *     event: response.output_text.delta      and some fifty others, passed on unread
 *     event: response.completed              the terminator; data.response.usage
 *     event: response.incomplete             the terminator; response.incomplete_details.reason
 *     event: response.failed                 data.response.error
 *     event: error                           data.message, or data.error.message
 *
 *   source  https://platform.openai.com/docs/api-reference/responses-streaming */
#include <inttypes.h>

#include "protocol/dialect/reading.h"
#include "protocol/dialect/responses_object.h"

enum ending { ENDING_NONE, ENDING_COMPLETED, ENDING_INCOMPLETE, ENDING_FAILED, ENDING_ERROR };

static enum ending ending_of(struct slice event)
{
    if (slice_equal(event, SLICE("response.completed")))
        return ENDING_COMPLETED;
    if (slice_equal(event, SLICE("response.incomplete")))
        return ENDING_INCOMPLETE;
    if (slice_equal(event, SLICE("response.failed")))
        return ENDING_FAILED;
    return slice_equal(event, SLICE("error")) ? ENDING_ERROR : ENDING_NONE;
}

/* The object that response.* events carry and a body is: why it ended, from its three members. */
static void read_status(struct dialect_reading *reading, const struct json *status,
    const struct json *incomplete_details, const struct json *error)
{
    struct slice reason = json_text(json_get(incomplete_details, "reason"));
    reading_finish_reason(reading, reason.size ? reason : json_text(status));
    reading_fail(reading, error);
}

static void read_response(struct dialect_reading *reading, const struct json *response)
{
    reading_openai_usage(reading, json_get(response, "usage"));
    read_status(reading, json_get(response, "status"), json_get(response, "incomplete_details"),
        json_get(response, "error"));
}

static bool begins(struct slice name)
{
    return slice_equal(name, SLICE("response.created")) ||
           slice_equal(name, SLICE("response.queued"));
}

static bool matters(struct slice name)
{
    return begins(name) || ending_of(name) != ENDING_NONE;
}

static void read_named(struct dialect_reading *reading, struct slice name, const struct json *event)
{
    const struct json *response = json_get(event, "response");
    reading_id(reading, json_get(response, "id"));
    switch (ending_of(name)) {
    case ENDING_NONE: break;
    case ENDING_COMPLETED:
    case ENDING_INCOMPLETE:
        read_response(reading, response);
        reading->is_terminated = true;
        break;
    case ENDING_FAILED:
        read_response(reading, response);
        reading->is_failed = true;
        break;
    case ENDING_ERROR: reading_error_event(reading, event); break;
    }
}

static enum dialect_verdict responses_read_event(
    struct dialect_reading *reading, struct slice block)
{
    return reading_named_event(reading, block, matters, read_named);
}

static void responses_read_body(struct dialect_reading *reading, struct slice body)
{
    static const char *const names[] = {"status", "incomplete_details", "error", "usage", "id"};
    enum { COUNT = sizeof names / sizeof names[0] };
    struct json *members[COUNT];
    if (reading_body_members(body, names, COUNT, members)) {
        read_status(reading, members[0], members[1], members[2]);
        reading_openai_usage(reading, members[3]);
        reading_id(reading, members[4]);
    }
    reading_body_free(members, COUNT);
}

static bool responses_is_terminator_residue(struct slice residue)
{
    return reading_ends(responses_read_event, residue);
}

static enum err responses_cursor(struct slice block, struct buf *out)
{
    uint64_t number;
    TRY(responses_sequence_number(block, &number));
    return buf_printf(out, "%" PRIu64, number);
}

static const struct dialect_again again = {
    .after = "&starting_after=", .cursor = responses_cursor, .is_numbered = true};

const struct dialect dialect_openai_responses = {
    .name = "openai_responses",
    .has_terminator = true,
    .has_background = true,
    .again = &again,
    .read_event = responses_read_event,
    .read_body = responses_read_body,
    .is_terminator_residue = responses_is_terminator_residue,
    .write_error = reading_openai_error,
};
