/* gemini_config — the generationConfig of a request, written.
 *
 *     {"maxOutputTokens", "temperature", "topP", "topK", "seed", "frequencyPenalty",
 *      "presencePenalty", "stopSequences", "responseMimeType", "responseJsonSchema",
 *      "thinkingConfig": {"includeThoughts", "thinkingBudget" | "thinkingLevel"}}
 *
 * Gemini 3 takes a level of thinking, models before it a budget of tokens, where 0 is none and -1
 * is the model's choice. Every answer of a schema keeps to it: there is no word for "strict".
 *
 *   source  googleapis/js-genai src/types.ts at 6e9b35c4 (2026-08-21)
 *           https://ai.google.dev/gemini-api/docs/thinking */
#include "protocol/dialect/gemini.h"
#include "protocol/dialect/sending.h"
#include "protocol/dialect/walk.h"

enum {
    BUDGET_MAX = 24576, /* thinking tokens that every model with a budget takes; Flash's most */
    BUDGET_DYNAMIC = -1,
};

static int64_t budget_of(const struct sending *sending)
{
    const struct neutral_request *request = sending->request;
    if (request->reasoning.budget >= 0)
        return request->reasoning.budget;
    int64_t budget = codec_budget(request, codec_output_limit(request, sending->target, INT64_MAX));
    return budget > BUDGET_MAX ? BUDGET_MAX : budget;
}

/* Gemini 3 has levels: no "minimal" with Pro, and nothing above "high". */
static struct slice level_of(struct slice effort)
{
    if (slice_equal(effort, SLICE("minimal")))
        return SLICE("low");
    if (slice_equal(effort, SLICE("xhigh")) || slice_equal(effort, SLICE("max")))
        return SLICE("high");
    return effort;
}

static void write_depth(struct sending *sending)
{
    struct json_writer *writer = &sending->writer;
    const struct neutral_request *request = sending->request;
    struct slice effort = codec_effort(request);
    if (slice_equal(effort, SLICE("none"))) {
        json_key(writer, "thinkingBudget");
        json_integer(writer, 0);
    } else if (effort.size && sending->target->takes_effort) {
        codec_member(writer, "thinkingLevel", level_of(effort));
    } else if (effort.size) {
        json_key(writer, "thinkingBudget");
        json_integer(writer, budget_of(sending));
    } else if (request->reasoning.is_adaptive && !sending->target->takes_effort) {
        json_key(writer, "thinkingBudget");
        json_integer(writer, BUDGET_DYNAMIC);
    }
}

/* Who asks for reasoning wants to see it. */
static void write_thinking(struct sending *sending)
{
    struct json_writer *writer = &sending->writer;
    const struct neutral_request *request = sending->request;
    struct slice effort = codec_effort(request), summary = request->reasoning.summary;
    if (effort.size == 0 && !request->reasoning.is_adaptive && summary.size == 0)
        return;
    json_key(writer, "thinkingConfig");
    json_open(writer, '{');
    if (!slice_equal(effort, SLICE("none")))
        codec_true_member(writer, "includeThoughts");
    write_depth(sending);
    json_close(writer, '}');
    if (summary.size && !slice_equal(summary, SLICE("auto")))
        codec_leave_out(sending->report, request->reasoning.path, "summary");
}

static void write_format(struct sending *sending)
{
    struct json_writer *writer = &sending->writer;
    const struct neutral_request *request = sending->request;
    if (request->format.kind == NEUTRAL_FORMAT_TEXT)
        return;
    codec_member(writer, "responseMimeType", SLICE("application/json"));
    if (request->format.kind == NEUTRAL_FORMAT_SCHEMA)
        codec_raw_member(writer, "responseJsonSchema", request->format.schema);
    if (request->format.description.size)
        codec_leave_out(sending->report, request->format.path, "description");
}

enum err gemini_write_config(struct sending *sending)
{
    static const struct codec_option options[] = {
        {NEUTRAL_OUTPUT_TOKENS, .name = "maxOutputTokens"},
        {NEUTRAL_TEMPERATURE, .name = "temperature"},
        {NEUTRAL_TOP_P, .name = "topP"},
        {NEUTRAL_TOP_K, .name = "topK"},
        {NEUTRAL_SEED, .name = "seed"},
        {NEUTRAL_FREQUENCY_PENALTY, .name = "frequencyPenalty"},
        {NEUTRAL_PRESENCE_PENALTY, .name = "presencePenalty"},
        {NEUTRAL_VERBOSITY, .why = "Gemini's API has no verbosity", .unless = "\"medium\""},
    };
    struct json_writer *writer = &sending->writer;
    const struct neutral_request *request = sending->request;
    const struct neutral_value *user = &request->options[NEUTRAL_USER_ID];
    json_key(writer, "generationConfig");
    json_open(writer, '{');
    TRY(codec_options(writer, request, options, COUNT_OF(options), sending->report));
    codec_stops(writer, "stopSequences", request);
    write_format(sending);
    write_thinking(sending);
    json_close(writer, '}');
    if (user->raw.size)
        neutral_leave_out(sending->report, user->path);
    return writer->err;
}
