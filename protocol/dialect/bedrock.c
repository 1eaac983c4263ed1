/* bedrock — ConverseStream: binary messages, whose payloads are JSON.
 *
 *     messageStart, contentBlockStart, contentBlockDelta, contentBlockStop      passed on
 *     messageStop     {"stopReason"}    and
 *     metadata        {"usage"}         the end: both, in either order
 *     an exception    {"message"}       instead of one
 *
 * A stream that HTTP ends after messageStop is whole too; one that it ends before is not.
 *
 *   source  bedrock.h */
#include "protocol/dialect/bedrock.h"

#include "protocol/base/own.h"
#include "protocol/dialect/reading.h"
#include "protocol/dialect/walk.h"

/* ---- what both readers say ---- */

static int64_t sum(int64_t first, int64_t second)
{
    enum { COUNT_BITS = 61 }; /* a provider's count may be anything */
    if (first < 0 || second < 0)
        return first < 0 ? second : first;
    return first >> COUNT_BITS || second >> COUNT_BITS ? -1 : first + second;
}

struct neutral_usage bedrock_usage(struct json_span usage)
{
    static const char *const names[] = {"inputTokens", "outputTokens", "totalTokens",
        "cacheReadInputTokens", "cacheWriteInputTokens"};
    struct json_span spans[COUNT_OF(names)];
    struct neutral_usage counts = NEUTRAL_USAGE_UNKNOWN;
    codec_scan(usage, names, COUNT_OF(names), spans);
    counts.counts.output = codec_count(spans[1]);
    counts.counts.total = codec_count(spans[2]);
    counts.counts.cached = codec_count(spans[3]);
    counts.cache_write = codec_count(spans[4]);
    counts.counts.input = codec_count(spans[0]);
    if (counts.counts.input >= 0)
        counts.counts.input =
            sum(counts.counts.input, sum(counts.counts.cached, counts.cache_write));
    return counts;
}

int bedrock_status(struct slice exception)
{
    static const struct {
        const char *name;
        int status;
    } exceptions[] = {
        {"validationException", 400},
        {"throttlingException", 429},
        {"internalServerException", 500},
        {"modelStreamErrorException", 502},
        {"serviceUnavailableException", 503},
        {"modelTimeoutException", 504},
    };
    for (size_t i = 0; i < COUNT_OF(exceptions); i++)
        if (slice_equal(exception, slice_text(exceptions[i].name)))
            return exceptions[i].status;
    return 500;
}

/* ---- reading for the accounts ---- */

static bool bedrock_speaks(struct slice path)
{
    static const char *const calls[] = {"/converse", "/converse-stream"};
    for (size_t i = 0; i < COUNT_OF(calls); i++) {
        struct slice call = slice_text(calls[i]);
        if (path.size > call.size &&
            slice_equal(slice_sub(path, path.size - call.size, call.size), call))
            return true;
    }
    return false;
}

static void fail(struct dialect_reading *reading, const struct event_stream_message *message)
{
    CLEANUP(json_cleanup) struct json *error = NULL;
    struct slice said = message->text;
    if (json_parse(message->payload, &error) == ERR_OK)
        said = json_text(json_get(error, "message"));
    reading_fail_text(reading, said.size ? said : message->name);
}

static void read_usage(struct dialect_reading *reading, struct json_span span)
{
    reading->usage = bedrock_usage(span).counts;
    reading_total(&reading->usage);
}

static void read_named(struct dialect_reading *reading, const struct event_stream_message *message)
{
    static const char *const names[] = {"stopReason", "usage"};
    struct json_span spans[COUNT_OF(names)];
    bool is_stop = slice_equal(message->name, SLICE("messageStop"));
    bool is_metadata = slice_equal(message->name, SLICE("metadata"));
    if (!is_stop && !is_metadata) {
        reading->owes_finish |= reading->finish_reason[0] == '\0';
        return;
    }
    if (!codec_is_object(message->payload))
        return;
    codec_scan((struct json_span){JSON_OBJECT, message->payload}, names, COUNT_OF(names), spans);
    if (is_stop) {
        reading_finish_span(reading, spans[0]);
        reading->owes_finish = false;
    } else {
        read_usage(reading, spans[1]);
    }
    reading->is_terminated = reading->finish_reason[0] && reading->usage.output >= 0;
}

static enum dialect_verdict bedrock_read_event(struct dialect_reading *reading, struct slice frame)
{
    struct event_stream_message message;
    if (event_stream_read(frame, &message))
        reading_fail_text(reading, SLICE("a message of the stream is broken"));
    else if (event_stream_is_event(&message))
        read_named(reading, &message);
    else
        fail(reading, &message);
    return DIALECT_EVENT;
}

/* ---- bodies, and the rest ---- */

/* {"output", "stopReason", "usage"}; an error is {"message"}. */
static void bedrock_read_body(struct dialect_reading *reading, struct slice body)
{
    static const char *const names[] = {"stopReason", "usage", "message"};
    struct json_span spans[COUNT_OF(names)];
    if (!codec_is_object(body))
        return;
    codec_scan((struct json_span){JSON_OBJECT, body}, names, COUNT_OF(names), spans);
    reading_finish_span(reading, spans[0]);
    read_usage(reading, spans[1]);
    if (spans[2].type == JSON_STRING)
        reading_fail_span(reading, spans[2]);
}

/* A message is whole or it is none. */
static bool bedrock_is_terminator_residue(struct slice residue)
{
    (void)residue;
    return false;
}

static enum err bedrock_write_error(
    struct buf *out, int status, const char *code, struct slice message, const char *param)
{
    (void)status;
    (void)param;
    return codec_write_flat_error(out, "message", message, code);
}

const struct dialect dialect_bedrock = {
    .name = "bedrock",
    .framing = FRAMING_EVENT_STREAM,
    .speaks = bedrock_speaks,
    .has_terminator = false,
    .read_event = bedrock_read_event,
    .read_body = bedrock_read_body,
    .is_terminator_residue = bedrock_is_terminator_residue,
    .write_error = bedrock_write_error,
};
