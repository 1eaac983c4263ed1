/* gemini_interactions — Google's Interactions API: named events, and a response that Google keeps, if it was
 * asked for in the background.
 *
 *     event: interaction.created       data.interaction.id (before 2026-05: interaction.start)
 *     event: step.start, step.delta …  passed on unread; some have data.event_id, by which the rest is asked for
 *     event: interaction.completed     data.interaction.usage, .status (before: interaction.complete)
 *     event: done                      data: [DONE]; not everywhere
 *     event: error                     data.error
 *
 * HTTP's framing is the end, once the interaction has completed.
 *
 *   source  google-genai 3.4.0 (Python): google/genai/_gaos/interactions.py, models/getinteractionbyid.py,
 *           types/interactions/usage.py; https://ai.google.dev/gemini-api/docs/interactions/streaming */
#include "protocol/base/own.h"
#include "protocol/dialect/gemini.h"
#include "protocol/dialect/reading.h"

static bool begins(struct slice name)
{
    return slice_equal(name, SLICE("interaction.created")) ||
           slice_equal(name, SLICE("interaction.start"));
}

static bool completes(struct slice name)
{
    return slice_equal(name, SLICE("interaction.completed")) ||
           slice_equal(name, SLICE("interaction.complete"));
}

static bool matters(struct slice name)
{
    return begins(name) || completes(name) || slice_equal(name, SLICE("error"));
}

/* Thoughts are output, and what tools are told is input. */
static void read_usage(struct dialect_reading *reading, const struct json *usage)
{
    if (json_type(usage) != JSON_OBJECT)
        return;
    int64_t thoughts = json_int(json_get(usage, "total_thought_tokens"), -1);
    int64_t told = json_int(json_get(usage, "total_tool_use_tokens"), -1);
    int64_t input = json_int(json_get(usage, "total_input_tokens"), -1);
    int64_t output = json_int(json_get(usage, "total_output_tokens"), -1);
    reading->usage = (struct usage){
        .input = input < 0 ? told : input + (told > 0 ? told : 0),
        .output = output < 0 ? thoughts : output + (thoughts > 0 ? thoughts : 0),
        .cached = json_int(json_get(usage, "total_cached_tokens"), -1),
        .reasoning = thoughts,
        .total = json_int(json_get(usage, "total_tokens"), -1),
    };
    reading_total(&reading->usage);
}

static void read_interaction(struct dialect_reading *reading, const struct json *interaction)
{
    reading_id(reading, json_get(interaction, "id"));
    read_usage(reading, json_get(interaction, "usage"));
}

static void read_named(struct dialect_reading *reading, struct slice name, const struct json *event)
{
    const struct json *interaction = json_get(event, "interaction");
    if (!begins(name) && !completes(name)) {
        reading_error_event(reading, event);
        return;
    }
    read_interaction(reading, interaction);
    reading->owes_finish = begins(name);
    if (completes(name))
        reading_finish_reason(reading, json_text(json_get(interaction, "status")));
}

static enum dialect_verdict interactions_read_event(
    struct dialect_reading *reading, struct slice block)
{
    return reading_named_event(reading, block, matters, read_named);
}

static void interactions_read_body(struct dialect_reading *reading, struct slice body)
{
    static const char *const names[] = {"id", "usage", "status", "error"};
    enum { COUNT = sizeof names / sizeof names[0] };
    struct json *members[COUNT];
    if (reading_body_members(body, names, COUNT, members)) {
        reading_id(reading, members[0]);
        read_usage(reading, members[1]);
        reading_finish_reason(reading, json_text(members[2]));
        reading_fail(reading, members[3]);
    }
    reading_body_free(members, COUNT);
}

/* The last event, without its blank line. */
static bool interactions_is_terminator_residue(struct slice residue)
{
    struct dialect_reading reading;
    dialect_reading_init(&reading);
    (void)interactions_read_event(&reading, residue);
    return reading.finish_reason[0] != '\0';
}

static bool interactions_speaks(struct slice path)
{
    struct slice end = SLICE("/interactions");
    return path.size >= end.size &&
           slice_equal(slice_sub(path, path.size - end.size, path.size), end);
}

static enum err interactions_cursor(struct slice block, struct buf *out)
{
    CLEANUP(buf_deinit) struct buf joined;
    struct sse_fields fields;
    struct json_span id;
    const char *why;
    size_t at;
    buf_init(&joined, block.size);
    if (sse_fields(block, &joined, &fields) != ERR_OK || !fields.has_data)
        return ERR_NOTFOUND;
    struct slice data = sse_data(&fields, &joined);
    if (json_object_check(data, &why, &at) || json_scan(data, "event_id", &id))
        return ERR_NOTFOUND;
    return id.type == JSON_STRING && id.raw.size > 2 ? json_span_text(id, out) : ERR_NOTFOUND;
}

static const struct dialect_again again = {
    .after = "&last_event_id=", .cursor = interactions_cursor};

const struct dialect dialect_gemini_interactions = {
    .name = "gemini_interactions",
    .beside = "gemini",
    .speaks = interactions_speaks,
    .has_terminator = false,
    .again = &again,
    .read_event = interactions_read_event,
    .read_body = interactions_read_body,
    .is_terminator_residue = interactions_is_terminator_residue,
    .write_error = gemini_write_error,
};
