/* replicate — predictions, streamed as named events; the dialects of Replicate and of a Cog container,
 * which differ in how they are asked.
 *
 *     event: done, event: completed     the end, unless it tells of a failure
 *     event: error                      passed on; "done" follows
 *
 *   source  replicate.h */
#include "protocol/dialect/replicate.h"

#include "protocol/base/own.h"
#include "protocol/dialect/reading.h"
#include "protocol/dialect/walk.h"

/* ---- what both readers say ---- */

static struct slice word_of(struct json_span span)
{
    return span.type == JSON_STRING && span.raw.size >= 2
               ? slice_sub(span.raw, 1, span.raw.size - 2)
               : SLICE_NONE;
}

static void read_metrics(struct json_span metrics, struct usage *out)
{
    static const char *const names[] = {"input_token_count", "output_token_count"};
    struct json_span spans[COUNT_OF(names)];
    codec_scan(metrics, names, COUNT_OF(names), spans);
    *out = USAGE_UNKNOWN;
    out->input = codec_count(spans[0]);
    out->output = codec_count(spans[1]);
    reading_total(out);
}

void replicate_read(struct slice text, struct replicate_prediction *out)
{
    static const char *const names[] = {"id", "status", "output", "error", "metrics"};
    struct json_span spans[COUNT_OF(names)];
    codec_scan((struct json_span){JSON_OBJECT, text}, names, COUNT_OF(names), spans);
    struct slice status = word_of(spans[1]);
    *out = (struct replicate_prediction){.id = spans[0], .output = spans[2], .error = spans[3]};
    out->is_canceled =
        slice_equal(status, SLICE("canceled")) || slice_equal(status, SLICE("aborted"));
    if (out->is_canceled || slice_equal(status, SLICE("failed")))
        out->status = REPLICATE_FAILED;
    else if (slice_equal(status, SLICE("succeeded")))
        out->status = REPLICATE_SUCCEEDED;
    read_metrics(spans[4], &out->usage);
}

enum replicate_status replicate_reason(struct slice text, bool *is_canceled)
{
    static const char *const names[] = {"reason"};
    struct json_span span = {0};
    if (codec_is_object(text))
        codec_scan((struct json_span){JSON_OBJECT, text}, names, 1, &span);
    struct slice reason = word_of(span);
    *is_canceled = slice_equal(reason, SLICE("canceled"));
    return reason.size == 0 ? REPLICATE_SUCCEEDED : REPLICATE_FAILED;
}

/* ---- reading for the accounts ---- */

static bool replicate_speaks(struct slice path)
{
    return slice_find(path, SLICE("/predictions")) >= 0;
}

/* The first error that was told stands. */
static void fail(struct dialect_reading *reading, bool is_canceled)
{
    if (reading->error[0] == '\0')
        reading_fail_text(reading,
            is_canceled ? SLICE("the prediction was canceled") : SLICE("the prediction failed"));
    reading->is_failed = true;
}

static void read_prediction(struct dialect_reading *reading, struct slice text)
{
    struct replicate_prediction prediction;
    if (!codec_is_object(text))
        return;
    replicate_read(text, &prediction);
    reading_raise(&reading->usage.input, prediction.usage.input);
    reading_raise(&reading->usage.output, prediction.usage.output);
    reading_total(&reading->usage);
    if (prediction.status == REPLICATE_SUCCEEDED)
        reading_finish_reason(reading, SLICE("succeeded"));
    if (prediction.status != REPLICATE_FAILED)
        return;
    reading_fail_span(reading, prediction.error);
    fail(reading, prediction.is_canceled);
}

static void read_done(struct dialect_reading *reading, struct slice data)
{
    bool is_canceled;
    if (replicate_reason(data, &is_canceled) == REPLICATE_FAILED)
        fail(reading, is_canceled);
    else
        reading_finish_reason(reading, SLICE("succeeded"));
}

static enum dialect_verdict replicate_read_event(
    struct dialect_reading *reading, struct slice block)
{
    CLEANUP(buf_deinit) struct buf joined;
    struct sse_fields fields;
    buf_init(&joined, block.size);
    if (sse_fields(block, &joined, &fields) != ERR_OK || !fields.has_data)
        return DIALECT_EVENT;
    struct slice data = sse_data(&fields, &joined);
    bool is_done = slice_equal(fields.event, SLICE("done"));
    bool is_completed = slice_equal(fields.event, SLICE("completed"));
    if (is_done)
        read_done(reading, data);
    else if (is_completed)
        read_prediction(reading, data);
    else if (slice_equal(fields.event, SLICE("error")))
        reading_fail_text(reading, data);
    reading->is_terminated =
        (is_done || (is_completed && codec_is_object(data))) && !reading->is_failed;
    return DIALECT_EVENT;
}

/* The object; refusals are {"title", "detail", "status": 422}. */
static void replicate_read_body(struct dialect_reading *reading, struct slice body)
{
    static const char *const names[] = {"detail"};
    struct json_span detail;
    if (!codec_is_object(body))
        return;
    read_prediction(reading, body);
    codec_scan((struct json_span){JSON_OBJECT, body}, names, 1, &detail);
    if (detail.type == JSON_STRING)
        reading_fail_span(reading, detail);
}

static bool replicate_is_terminator_residue(struct slice residue)
{
    return reading_ends(replicate_read_event, residue);
}

static enum err replicate_write_error(
    struct buf *out, int status, const char *code, struct slice message, const char *param)
{
    struct json_writer writer;
    (void)param; /* the message names it */
    json_writer_init(&writer, out);
    json_open(&writer, '{');
    codec_member(&writer, "title", slice_text(code));
    codec_member(&writer, "detail", message);
    json_key(&writer, "status");
    json_integer(&writer, status);
    json_close(&writer, '}');
    return writer.err;
}

#define PREDICTIONS                                                                                \
    .speaks = replicate_speaks, .has_terminator = true, .read_event = replicate_read_event,        \
    .read_body = replicate_read_body, .is_terminator_residue = replicate_is_terminator_residue,    \
    .write_error = replicate_write_error

const struct dialect dialect_replicate = {.name = "replicate", PREDICTIONS};
const struct dialect dialect_cog = {.name = "cog", PREDICTIONS};
