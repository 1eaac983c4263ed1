/* replicate_write — the body of a prediction of text, written.
 *
 *     {"input": {"prompt": "…", "system_prompt": "…", "max_tokens", "temperature", "top_p", "top_k",
 *                "seed", "presence_penalty", "frequency_penalty", "stop_sequences": "a,b"},
 *      "stream": true}
 *
 *     POST /models/OWNER/NAME/predictions    Replicate, or /predictions with "version", where the model is
 *                                            OWNER/NAME:VERSION; the answer is at the places that it names, unless
 *                                            it ends within the time that Prefer: wait gives it
 *     POST /predictions                      a Cog container, which has one model; the answer is its own,
 *                                            a stream if it is asked for one
 *
 * What a model takes for its input is its own business; the names are those that the language models of
 * Replicate have in common. There is no conversation: one of several turns becomes a text, with the names
 * of who speaks, and that the roles were left out is said.
 *
 *   source  replicate.h; the inputs of meta/meta-llama-3-70b-instruct at
 *           https://replicate.com/meta/meta-llama-3-70b-instruct/api/schema (2026-08)             */
#include "protocol/base/own.h"
#include "protocol/dialect/replicate.h"
#include "protocol/dialect/sending.h"
#include "protocol/dialect/walk.h"
#include "protocol/http/url.h"

codec_write_request replicate_write_request, cog_write_request;

/* ---- texts ---- */

static enum err refuse_part(struct sending *sending, const struct neutral_part *part)
{
    return neutral_refuse(
        sending->report, part->path, "a prediction's prompt is text, and nothing else");
}

/* The texts of a message, one behind the other. */
static enum err add_texts(struct sending *sending, const struct neutral_part *part, struct buf *out)
{
    for (; part; part = part->next) {
        codec_leave_out_cache(sending->report, part->path, part->cache);
        if (part->kind == NEUTRAL_REASONING)
            neutral_leave_out(sending->report, part->path);
        else if (part->kind == NEUTRAL_TEXT || part->kind == NEUTRAL_REFUSAL)
            TRY(buf_append(out, part->text));
        else
            return refuse_part(sending, part);
    }
    return ERR_OK;
}

static enum err write_system(struct sending *sending, const struct neutral_message **messages)
{
    CLEANUP(buf_deinit) struct buf text;
    buf_init(&text, NEUTRAL_REQUEST_BYTES_MAX);
    for (; neutral_is_system(*messages); *messages = (*messages)->next) {
        if (text.size)
            TRY(buf_append_text(&text, "\n\n"));
        TRY(add_texts(sending, (*messages)->parts, &text));
    }
    if (text.size)
        codec_member(&sending->writer, "system_prompt", buf_slice(&text));
    return ERR_OK;
}

static enum err add_turn(
    struct sending *sending, const struct neutral_message *message, struct buf *out)
{
    if (out->size)
        TRY(buf_append_text(out, "\n\n"));
    TRY(buf_append_text(out, message->role == NEUTRAL_USER ? "User: " : "Assistant: "));
    codec_leave_out(sending->report, message->path, "role");
    return add_texts(sending, message->parts, out);
}

static enum err add_turns(
    struct sending *sending, const struct neutral_message *message, struct buf *out)
{
    for (; message; message = message->next) {
        if (neutral_is_system(message))
            return neutral_refuse(sending->report, message->path,
                "the system prompt of a prediction comes before the conversation");
        TRY(add_turn(sending, message, out));
    }
    return buf_append_text(out, "\n\nAssistant:");
}

static enum err write_prompt(struct sending *sending)
{
    CLEANUP(buf_deinit) struct buf prompt;
    const struct neutral_message *message = sending->request->messages;
    buf_init(&prompt, NEUTRAL_REQUEST_BYTES_MAX);
    TRY(write_system(sending, &message));
    bool is_single = message && !message->next && message->role == NEUTRAL_USER;
    if (is_single)
        TRY(add_texts(sending, message->parts, &prompt));
    else if (message)
        TRY(add_turns(sending, message, &prompt));
    codec_member(&sending->writer, "prompt", buf_slice(&prompt));
    return ERR_OK;
}

/* ---- the rest ---- */

static enum err check_rest(struct sending *sending)
{
    const struct neutral_request *request = sending->request;
    const struct neutral_value *user = &request->options[NEUTRAL_USER_ID];
    if (request->tools)
        return neutral_refuse(sending->report, request->tools->path, "a prediction calls no tools");
    if (request->format.kind != NEUTRAL_FORMAT_TEXT)
        return neutral_refuse(
            sending->report, request->format.path, "a prediction has no format of its answer");
    if (codec_effort(request).size || request->reasoning.is_adaptive)
        neutral_leave_out(sending->report, request->reasoning.path);
    if (user->raw.size)
        neutral_leave_out(sending->report, user->path);
    return ERR_OK;
}

/* With commas between them. */
static enum err write_stops(struct sending *sending)
{
    CLEANUP(buf_deinit) struct buf text;
    const struct neutral_request *request = sending->request;
    buf_init(&text, NEUTRAL_REQUEST_BYTES_MAX);
    for (const struct neutral_stop *stop = request->stops; stop; stop = stop->next) {
        if (slice_find_byte(stop->text, ',') >= 0)
            return neutral_refuse(sending->report, request->stops_path,
                "a prediction takes stop sequences without commas only");
        if (stop != request->stops)
            TRY(buf_append_byte(&text, ','));
        TRY(buf_append(&text, stop->text));
    }
    if (request->stops)
        codec_member(&sending->writer, "stop_sequences", buf_slice(&text));
    return ERR_OK;
}

static enum err write_input(struct sending *sending)
{
    static const struct codec_option options[] = {
        {NEUTRAL_OUTPUT_TOKENS, .name = "max_tokens"},
        {NEUTRAL_TEMPERATURE, .name = "temperature"},
        {NEUTRAL_TOP_P, .name = "top_p"},
        {NEUTRAL_TOP_K, .name = "top_k"},
        {NEUTRAL_SEED, .name = "seed"},
        {NEUTRAL_FREQUENCY_PENALTY, .name = "frequency_penalty"},
        {NEUTRAL_PRESENCE_PENALTY, .name = "presence_penalty"},
        {NEUTRAL_VERBOSITY, .why = "a prediction has no verbosity", .unless = "\"medium\""},
    };
    struct json_writer *writer = &sending->writer;
    json_key(writer, "input");
    json_open(writer, '{');
    TRY(write_prompt(sending));
    TRY(codec_options(writer, sending->request, options, COUNT_OF(options), sending->report));
    TRY(write_stops(sending));
    json_close(writer, '}');
    return writer->err;
}

static enum err write_body(struct sending *sending, struct translated_request *out)
{
    json_writer_init(&sending->writer, &out->body);
    json_open(&sending->writer, '{');
    TRY(check_rest(sending));
    return write_input(sending);
}

static enum err close_body(struct sending *sending)
{
    json_close(&sending->writer, '}');
    return sending->writer.err;
}

enum err cog_write_request(const struct neutral_request *request,
    const struct translate_target *target, struct translated_request *out,
    struct neutral_report *report)
{
    struct sending sending = {.request = request, .target = target, .report = report};
    TRY(write_body(&sending, out));
    TRY(close_body(&sending));
    out->headers = request->is_streamed ? "accept: text/event-stream\r\n" : "";
    return buf_append_text(&out->path, "/predictions");
}

static bool is_segment(struct slice text)
{
    return text.size && !slice_equal(text, SLICE(".")) && !slice_equal(text, SLICE("..")) &&
           slice_find_byte(text, '/') < 0;
}

static enum err write_place(struct sending *sending, struct buf *path)
{
    struct slice model = sending->target->model;
    ptrdiff_t slash = slice_find_byte(model, '/');
    struct slice owner = slice_sub(model, 0, slash < 0 ? 0 : (size_t)slash);
    struct slice name = slice_sub(model, owner.size + 1, model.size);
    if (slice_find_byte(model, ':') >= 0) {
        codec_member(&sending->writer, "version", model);
        return buf_append_text(path, "/predictions");
    }
    if (!is_segment(owner) || !is_segment(name))
        return neutral_refuse(sending->report, SLICE("model"),
            "Replicate's models are OWNER/NAME or OWNER/NAME:VERSION");
    TRY(buf_append_text(path, "/models/"));
    TRY(percent_encode(owner, path));
    TRY(buf_append_byte(path, '/'));
    TRY(percent_encode(name, path));
    return buf_append_text(path, "/predictions");
}

enum err replicate_write_request(const struct neutral_request *request,
    const struct translate_target *target, struct translated_request *out,
    struct neutral_report *report)
{
    struct sending sending = {.request = request, .target = target, .report = report};
    TRY(write_body(&sending, out));
    TRY(write_place(&sending, &out->path));
    sending_stream(&sending);
    TRY(close_body(&sending));
    out->headers = request->is_streamed ? "" : "prefer: wait\r\n";
    return ERR_OK;
}
