/* continuation — the caller's own reader tells what was said; its writer is told what it would have
 * written:
 *
 *     event ─▶ caller.read_event ─▶ seen (a sequence) ─▶ fold
 *                                      └▶ caller.told ─▶ the writer's state
 *
 * Both then go to a translation, whose reader is the next provider's. */
#include "protocol/dialect/continuation.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "protocol/base/own.h"
#include "protocol/dialect/codec.h"
#include "protocol/dialect/walk.h"

enum {
    FIRST_BYTES_MAX = 64 << 20, /* what ends an open item repeats its text, escaped */
    NUMBER_BYTES = 24,
};

/* Where a message to people would name a path of the caller's body. */
static const char said_so_far[] = "(the answer so far)";

struct continuation {
    const struct codec *caller;
    struct sequence_context context; /* its slices are in `names` */
    struct buf names;
    struct sequence seen;
    struct fold fold;
    void *reader, *writer;
    struct buf why; /* why it cannot be gone on with, from an event; NUL-terminated if not empty */
};

static bool is_spoken(const struct codec *codec)
{
    return translate_takes_calls(codec) && translate_asks(codec) && codec->response->told;
}

enum err continuation_codec(struct slice dialect, const struct codec **out)
{
    const struct codec *codec;
    TRY(translate_codec(dialect, &codec));
    if (!is_spoken(codec))
        return ERR_NOTFOUND;
    *out = codec;
    return ERR_OK;
}

/* ---- what was said ---- */

enum err continuation_new(
    const struct codec *caller, const struct sequence_context *context, struct continuation **out)
{
    ASSERT(is_spoken(caller));
    struct continuation *continuation = calloc(1, sizeof *continuation);
    if (!continuation)
        return fault(ERR_NOMEM, "a continuation");
    continuation->caller = caller;
    sequence_init(&continuation->seen, &continuation->context);
    fold_init(&continuation->fold, FOLD_EVERYTHING);
    buf_init(&continuation->why, NEUTRAL_FRAME_BYTES_MAX);
    continuation->reader = calloc(1, caller->response->reader_bytes + 1);
    continuation->writer = calloc(1, caller->response->writer_bytes + 1);
    enum err err = codec_copy_context(context, &continuation->names, &continuation->context);
    if (err == ERR_OK && (!continuation->reader || !continuation->writer))
        err = fault(ERR_NOMEM, "the states of a continuation");
    if (err != ERR_OK)
        continuation = continuation_free(continuation);
    *out = continuation;
    return err;
}

struct continuation *continuation_free(struct continuation *continuation)
{
    if (!continuation)
        return NULL;
    sequence_deinit(&continuation->seen);
    fold_deinit(&continuation->fold);
    buf_deinit(&continuation->names);
    buf_deinit(&continuation->why);
    free(continuation->reader);
    free(continuation->writer);
    free(continuation);
    return NULL;
}

static enum err note_error(struct continuation *continuation, const struct neutral_event *event)
{
    buf_clear(&continuation->why);
    TRY(buf_append(&continuation->why, event->error.message));
    return buf_append_byte(&continuation->why, '\0');
}

enum err continuation_take(struct continuation *continuation, struct slice event)
{
    const struct codec_response *response = continuation->caller->response;
    struct sequence *seen = &continuation->seen;
    if (seen->is_over)
        return ERR_OK;
    sequence_clear(seen);
    response->read_event(continuation->reader, event, seen);
    TRY(seen->err);
    for (size_t i = 0; i < seen->count; i++) {
        TRY(fold_event(&continuation->fold, &seen->events[i]));
        if (seen->events[i].kind == NEUTRAL_ERROR)
            TRY(note_error(continuation, &seen->events[i]));
    }
    return response->told(
        continuation->writer, continuation->reader, event, seen, &continuation->fold);
}

/* ---- whether it can be gone on with ---- */

static bool has_part(const struct continuation *continuation, enum neutral_part_kind kind)
{
    for (size_t i = 0; i < continuation->fold.count; i++)
        if (continuation->fold.parts[i].kind == kind)
            return true;
    return false;
}

/* The call that is open: more of it could not follow. */
static bool is_whole_call(const struct fold_part *part, bool holds_tools)
{
    return part->text.size ? codec_is_object(buf_slice(&part->text)) : holds_tools;
}

/* A dialect whose reasoning is not sealed: to go on with it forges nothing. */
static bool has_plain_reasoning(const struct codec *caller)
{
    return slice_equal(slice_text(caller->name), SLICE("openai_chat"));
}

static const char *why_open(const struct continuation *continuation, bool holds_tools)
{
    const struct codec_response *response = continuation->caller->response;
    const char *why = response->cannot ? response->cannot(continuation->writer, &continuation->seen,
                                             &continuation->fold)
                                       : NULL;
    if (why || !continuation->seen.is_open)
        return why;
    switch (continuation->seen.open) {
    case NEUTRAL_REASONING:
        return has_plain_reasoning(continuation->caller)
                   ? NULL
                   : "reasoning was under way, whose seal only its own model can make";
    case NEUTRAL_TOOL_CALL:
        return is_whole_call(fold_last(&continuation->fold), holds_tools)
                   ? NULL
                   : "a tool call was under way, and was shown already: routes with `hold: tools` "
                     "show calls once they are whole";
    case NEUTRAL_TEXT:
    case NEUTRAL_REFUSAL:
    case NEUTRAL_IMAGE:
    case NEUTRAL_TOOL_RESULT: return NULL;
    }
    return NULL;
}

enum continuation_way continuation_can(
    const struct continuation *continuation, bool holds_tools, const char **why)
{
    const struct sequence *seen = &continuation->seen;
    if (continuation->why.size)
        *why = (const char *)continuation->why.data;
    else if (seen->is_over)
        *why = "the response had its end";
    else if (seen->is_finished)
        return CONTINUATION_ENDS;
    else if (has_part(continuation, NEUTRAL_REFUSAL))
        *why = "the model refused to answer";
    else if (!(*why = why_open(continuation, holds_tools)))
        return CONTINUATION_ASKS;
    return CONTINUATION_CANNOT;
}

enum err continuation_end(struct continuation *continuation, struct buf *out)
{
    struct sequence *seen = &continuation->seen;
    struct sequence_context context = continuation->context;
    ASSERT(seen->is_finished && !seen->is_over);
    context.response_id = buf_slice(&continuation->fold.id);
    sequence_clear(seen);
    sequence_done(seen);
    TRY(seen->err);
    for (size_t i = 0; i < seen->count; i++)
        TRY(continuation->caller->response->write_event(
            continuation->writer, &seen->events[i], &context, &continuation->fold, out));
    return ERR_OK;
}

/* ---- what to ask ---- */

/* The caller's request, as it becomes that of a continuation. */
struct asking {
    const struct continuation *continuation;
    const struct continuation_ask *ask;
    struct neutral_request *request;
    struct walk walk; /* what is added is made with it */
    bool has_text, has_calls, has_reasoning;
};

static bool is_space(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static size_t trimmed_size(struct slice text)
{
    size_t size = text.size;
    while (size > 0 && is_space(text.data[size - 1]))
        size--;
    return size;
}

/* The white space that the last text ends in, if it is what was said last. */
static struct slice trailing_space(const struct fold *fold)
{
    const struct fold_part *part = fold_last(fold);
    if (!part || part->kind != NEUTRAL_TEXT)
        return SLICE_NONE;
    struct slice text = buf_slice(&part->text);
    size_t size = trimmed_size(text);
    return slice_sub(text, size, text.size - size);
}

static void look(struct asking *asking)
{
    const struct fold *fold = &asking->continuation->fold;
    for (size_t i = 0; i < fold->count; i++) {
        const struct fold_part *part = &fold->parts[i];
        asking->has_calls |= part->kind == NEUTRAL_TOOL_CALL;
        asking->has_reasoning |= part->kind == NEUTRAL_REASONING;
        asking->has_text |= part->kind == NEUTRAL_TEXT && trimmed_size(buf_slice(&part->text)) > 0;
    }
}

static bool is_asked_to_reason(const struct neutral_request *request)
{
    struct slice effort = request->reasoning.effort;
    return request->reasoning.is_adaptive || request->reasoning.budget > 0 ||
           (effort.size && !slice_equal(effort, SLICE("none")));
}

static bool must_call(const struct neutral_request *request)
{
    return request->choice.kind == NEUTRAL_CHOICE_ANY ||
           request->choice.kind == NEUTRAL_CHOICE_NAMED;
}

static bool is_by_prefill(const struct asking *asking)
{
    const struct continuation_ask *ask = asking->ask;
    const struct fold_part *last = fold_last(&asking->continuation->fold);
    bool is_wanted =
        ask->by == CONTINUATION_PREFILL || (ask->by == CONTINUATION_AUTO && ask->takes_prefill);
    bool ends_in_text = last->kind == NEUTRAL_TEXT && trimmed_size(buf_slice(&last->text)) > 0;
    return is_wanted && ends_in_text && !asking->has_calls && !asking->has_reasoning &&
           !is_asked_to_reason(asking->request) && !must_call(asking->request);
}

static enum err add_said_part(
    struct asking *asking, struct walk_parts *parts, const struct fold_part *said, bool is_last)
{
    struct slice text = buf_slice(&said->text);
    if (said->kind == NEUTRAL_TEXT && trimmed_size(text) == 0)
        return ERR_OK;
    TRY(walk_add_part(&asking->walk, parts, said->kind));
    struct neutral_part *part = parts->last;
    part->path = slice_text(said_so_far);
    part->text =
        said->kind == NEUTRAL_TEXT && is_last ? slice_sub(text, 0, trimmed_size(text)) : text;
    part->id = buf_slice(&said->id);
    part->name = buf_slice(&said->name);
    part->format = buf_slice(&said->format);
    part->opaque = buf_slice(&said->opaque);
    part->is_redacted = said->is_redacted;
    return ERR_OK;
}

static enum err add_said(struct asking *asking)
{
    const struct fold *fold = &asking->continuation->fold;
    struct neutral_part *list = NULL;
    struct walk_parts parts = walk_parts(&list);
    for (size_t i = 0; i < fold->count; i++)
        TRY(add_said_part(asking, &parts, &fold->parts[i], i + 1 == fold->count));
    return walk_add_message(&asking->walk, asking->request, NEUTRAL_ASSISTANT, list);
}

/* Every call must have its result, in all dialects. */
static enum err add_result(struct asking *asking, struct walk_parts *parts, struct slice call_id)
{
    TRY(walk_add_part(&asking->walk, parts, NEUTRAL_TOOL_RESULT));
    struct neutral_part *result = parts->last;
    struct walk_parts content = walk_parts(&result->content);
    result->path = slice_text(said_so_far);
    result->id = call_id;
    TRY(walk_add_part(&asking->walk, &content, NEUTRAL_TEXT));
    content.last->text =
        SLICE("The call was received. It will be run when your answer is complete.");
    return ERR_OK;
}

static enum err add_prompt(struct asking *asking)
{
    const struct fold *fold = &asking->continuation->fold;
    struct neutral_part *list = NULL;
    struct walk_parts parts = walk_parts(&list);
    for (size_t i = 0; i < fold->count; i++)
        if (fold->parts[i].kind == NEUTRAL_TOOL_CALL)
            TRY(add_result(asking, &parts, buf_slice(&fold->parts[i].id)));
    TRY(walk_add_part(&asking->walk, &parts, NEUTRAL_TEXT));
    parts.last->path = SLICE("(the message that asks to go on)");
    parts.last->text =
        asking->ask->message.size ? asking->ask->message : SLICE(CONTINUATION_MESSAGE);
    return walk_add_message(&asking->walk, asking->request, NEUTRAL_USER, list);
}

static void change_choice(struct asking *asking)
{
    struct neutral_request *request = asking->request;
    if (!asking->has_calls)
        return;
    if (slice_equal(request->choice.parallel.raw, SLICE("false")))
        request->choice.kind = NEUTRAL_CHOICE_NONE;
    else if (must_call(request))
        request->choice.kind = NEUTRAL_CHOICE_AUTO;
}

/* What is left of the caller's limit. */
static enum err change_limit(struct asking *asking)
{
    struct neutral_request *request = asking->request;
    struct neutral_value *value = &request->options[NEUTRAL_OUTPUT_TOKENS];
    int64_t used = asking->continuation->fold.usage.counts.output;
    int64_t least = request->reasoning.budget > 0 ? request->reasoning.budget + 1 : 1;
    char text[NUMBER_BYTES];
    uint64_t limit;
    if (used <= 0 || slice_u64(value->raw, &limit) != ERR_OK || limit > INT64_MAX ||
        (int64_t)limit <= least)
        return ERR_OK;
    int64_t rest = (int64_t)limit - used > least ? (int64_t)limit - used : least;
    int size = snprintf(text, sizeof text, "%" PRId64, rest);
    return arena_copy(&request->arena, slice_of(text, (size_t)size), &value->raw);
}

static enum err change_request(struct asking *asking, struct neutral_report *report)
{
    const struct neutral_request *request = asking->request;
    look(asking);
    if (!asking->has_text && !asking->has_calls)
        return ERR_OK;
    if (asking->has_text && request->format.kind != NEUTRAL_FORMAT_TEXT)
        return neutral_refuse(report, request->format.path,
            "an answer that has to be JSON cannot be gone on with by another model");
    bool is_prefilled = is_by_prefill(asking);
    TRY(add_said(asking));
    if (!is_prefilled)
        TRY(add_prompt(asking));
    change_choice(asking);
    return change_limit(asking);
}

enum err continuation_request(const struct continuation *continuation, const struct codec *provider,
    const struct continuation_ask *ask, struct translated_request *out,
    struct neutral_report *report)
{
    CLEANUP(neutral_request_deinit) struct neutral_request request;
    struct asking asking = {.continuation = continuation, .ask = ask, .request = &request};
    ASSERT(translate_asks(provider) && !continuation->seen.is_over);
    neutral_request_init(&request);
    TRY(continuation->caller->read_request(ask->body, &request, report));
    walk_init(&asking.walk, &request.arena, report);
    TRY(change_request(&asking, report));
    TRY(provider->write_request(&request, ask->target, out, report));
    out->is_streamed = request.is_streamed;
    out->includes_usage = request.includes_usage;
    return ERR_OK;
}

/* ---- going on ---- */

/* What is open and cannot go on is ended: a whole call, plain reasoning. */
static enum err end_open(
    struct continuation *continuation, const struct sequence_context *context, struct buf *first)
{
    struct sequence *seen = &continuation->seen;
    sequence_clear(seen);
    if (seen->is_open && seen->open != NEUTRAL_TEXT)
        sequence_close(seen);
    TRY(seen->err);
    for (size_t i = 0; i < seen->count; i++) {
        TRY(fold_event(&continuation->fold, &seen->events[i]));
        TRY(continuation->caller->response->write_event(
            continuation->writer, &seen->events[i], context, &continuation->fold, first));
    }
    sequence_clear(seen);
    return ERR_OK;
}

static enum err write_first(
    struct continuation *continuation, const struct sequence_context *context, struct buf *first)
{
    const struct codec_response *response = continuation->caller->response;
    if (response->go_on)
        TRY(response->go_on(
            continuation->writer, context, &continuation->seen, &continuation->fold, first));
    return end_open(continuation, context, first);
}

enum err continuation_begin(
    struct continuation *continuation, const struct codec *provider, struct translation **out)
{
    CLEANUP(buf_deinit) struct buf first, id, repeated;
    struct sequence_context context = continuation->context;
    buf_init(&first, FIRST_BYTES_MAX);
    buf_init(&id, continuation->fold.id.size_max);
    buf_init(&repeated, FOLD_BYTES_MAX);
    TRY(buf_append(&id, buf_slice(&continuation->fold.id)));
    TRY(buf_append(&repeated, trailing_space(&continuation->fold)));
    context.response_id = buf_slice(&id);
    TRY(write_first(continuation, &context, &first));
    return translation_resume(provider,
        &(struct codec_resumption){.caller = continuation->caller,
            .context = &context,
            .seen = &continuation->seen,
            .repeated = buf_slice(&repeated),
            .first = buf_slice(&first),
            .fold = &continuation->fold,
            .writer = &continuation->writer},
        out);
}
