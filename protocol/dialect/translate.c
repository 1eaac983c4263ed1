/* translate — a request: read, then written. A response: a sequence between a reader and a writer,
 * and a fold beside the writer.
 *
 *     frame ─▶ provider.read_event ─▶ sequence ─┬▶ fold
 *                                               └▶ caller.write_event ─▶ bytes */
#include "protocol/dialect/translate.h"

#include <stdlib.h>

#include "protocol/base/own.h"
#include "protocol/dialect/codec.h"
#include "protocol/dialect/walk.h"

enum {
    PATH_BYTES_MAX = 1024, /* of a request to a provider; the model's name is at most 255 long */
    STATUS_BAD_GATEWAY = 502,
};

/* ---- dialects ---- */

const struct dialect *translate_dialect(const struct codec *codec)
{
    const struct dialect *dialect;
    enum err err = dialect_by_name(slice_text(codec->name), &dialect);
    ASSERT(!err); /* both tables have it */
    return dialect;
}

bool translate_is_spoken(struct slice dialect)
{
    const struct codec *codec;
    return translate_codec(dialect, &codec) == ERR_OK && translate_takes_calls(codec) &&
           translate_asks(codec);
}

/* ---- requests ---- */

void translated_request_init(struct translated_request *request, size_t body_bytes_max)
{
    *request = (struct translated_request){.headers = ""};
    buf_init(&request->body, body_bytes_max);
    buf_init(&request->path, PATH_BYTES_MAX);
}

void translated_request_deinit(struct translated_request *request)
{
    buf_deinit(&request->body);
    buf_deinit(&request->path);
}

enum err translate_request(const struct codec *caller, const struct codec *provider,
    struct slice body, const struct translate_target *target, struct translated_request *out,
    struct neutral_report *report)
{
    CLEANUP(neutral_request_deinit) struct neutral_request request;
    ASSERT(translate_takes_calls(caller) && translate_asks(provider));
    neutral_request_init(&request);
    TRY(caller->read_request(body, &request, report));
    TRY(provider->write_request(&request, target, out, report));
    ASSERT(out->path.size > 0 && out->body.size > 0);
    out->is_streamed = request.is_streamed;
    out->includes_usage = request.includes_usage;
    return ERR_OK;
}

/* ---- responses ---- */

struct translation {
    const struct codec *provider, *caller;
    struct sequence_context context; /* its slices are in `names` */
    struct buf names;
    struct buf first;    /* written before what is written next: of a response that goes on */
    struct buf repeated; /* sequence_resume's */
    struct sequence sequence;
    struct fold fold;
    void *reader, *writer;
};

enum err codec_copy_context(
    const struct sequence_context *context, struct buf *names, struct sequence_context *out)
{
    buf_init(names, context->stream_id.size + context->model.size + context->response_id.size);
    for (size_t i = 0; i < context->stream_id.size; i++)
        if (context->stream_id.data[i] != '-')
            TRY(buf_append_byte(names, context->stream_id.data[i]));
    size_t id_size = names->size;
    TRY(buf_append(names, context->model));
    TRY(buf_append(names, context->response_id));
    struct slice text = buf_slice(names);
    *out = *context;
    out->stream_id = slice_sub(text, 0, id_size);
    out->model = slice_sub(text, id_size, context->model.size);
    out->response_id = slice_sub(text, id_size + context->model.size, context->response_id.size);
    return ERR_OK;
}

enum err translation_new(const struct codec *provider, const struct codec *caller,
    const struct sequence_context *context, struct translation **out)
{
    ASSERT(translate_takes_calls(caller) && translate_asks(provider));
    struct translation *translation = calloc(1, sizeof *translation);
    if (!translation)
        return fault(ERR_NOMEM, "a translation");
    translation->provider = provider;
    translation->caller = caller;
    sequence_init(&translation->sequence, &translation->context);
    fold_init(&translation->fold, caller->response->fold);
    translation->reader = calloc(1, provider->response->reader_bytes + 1);
    translation->writer = calloc(1, caller->response->writer_bytes + 1);
    enum err err = codec_copy_context(context, &translation->names, &translation->context);
    if (err == ERR_OK && (!translation->reader || !translation->writer))
        err = fault(ERR_NOMEM, "the states of a translation");
    if (err != ERR_OK)
        translation = translation_free(translation);
    *out = translation;
    return err;
}

static enum err copy_resumption(
    struct translation *translation, const struct codec_resumption *resumption)
{
    buf_init(&translation->first, resumption->first.size);
    buf_init(&translation->repeated, resumption->repeated.size);
    TRY(buf_append(&translation->first, resumption->first));
    return buf_append(&translation->repeated, resumption->repeated);
}

enum err translation_resume(const struct codec *provider, const struct codec_resumption *resumption,
    struct translation **out)
{
    struct translation *translation;
    TRY(translation_new(provider, resumption->caller, resumption->context, &translation));
    enum err err = copy_resumption(translation, resumption);
    if (err != ERR_OK) {
        *out = translation_free(translation);
        return err;
    }
    sequence_resume(&translation->sequence, resumption->seen, buf_slice(&translation->repeated));
    fold_deinit(&translation->fold);
    translation->fold = *resumption->fold;
    fold_init(resumption->fold, FOLD_EVERYTHING);
    free(translation->writer);
    translation->writer = MOVE(*resumption->writer);
    *out = translation;
    return ERR_OK;
}

struct translation *translation_free(struct translation *translation)
{
    if (!translation)
        return NULL;
    sequence_deinit(&translation->sequence);
    fold_deinit(&translation->fold);
    buf_deinit(&translation->names);
    buf_deinit(&translation->first);
    buf_deinit(&translation->repeated);
    free(translation->reader);
    free(translation->writer);
    free(translation);
    return NULL;
}

/* What the sequence holds, to the fold and the writer. */
static enum err write_events(struct translation *translation, struct buf *out)
{
    struct sequence *sequence = &translation->sequence;
    for (size_t i = 0; i < sequence->count; i++) {
        const struct neutral_event *event = &sequence->events[i];
        if (translation->first.size > 0 && event->kind != NEUTRAL_USAGE) {
            TRY(buf_append(out, buf_slice(&translation->first)));
            buf_clear(&translation->first);
        }
        TRY(fold_event(&translation->fold, event));
        TRY(translation->caller->response->write_event(
            translation->writer, event, &translation->context, &translation->fold, out));
    }
    return ERR_OK;
}

enum err translation_event(struct translation *translation, struct slice frame, struct buf *out)
{
    struct sequence *sequence = &translation->sequence;
    if (sequence->is_over)
        return ERR_OK;
    sequence_clear(sequence);
    translation->provider->response->read_event(translation->reader, frame, sequence);
    TRY(sequence->err);
    return write_events(translation, out);
}

enum err translation_end(struct translation *translation, struct buf *out)
{
    struct sequence *sequence = &translation->sequence;
    if (sequence->is_over || !translation->provider->response->read_end)
        return ERR_OK;
    sequence_clear(sequence);
    translation->provider->response->read_end(translation->reader, sequence);
    TRY(sequence->err);
    return write_events(translation, out);
}

static enum err write_failure(struct translation *translation, int status, struct slice code,
    struct slice message, struct buf *out)
{
    const struct neutral_error error = {status, code, message};
    return codec_write_error(translation->caller->name, out, &error);
}

static enum err write_whole(struct translation *translation, struct buf *out, int *status)
{
    CLEANUP(buf_deinit) struct buf body;
    buf_init(&body, out->size_max);
    enum err err =
        translation->caller->response->write_body(&translation->context, &translation->fold, &body);
    if (err == ERR_OK)
        return buf_append(out, buf_slice(&body));
    if (err != ERR_INVALID)
        return err;
    *status = STATUS_BAD_GATEWAY;
    return write_failure(translation, *status, SLICE("untranslatable"),
        SLICE("the model gave arguments to a tool that are no JSON object"), out);
}

enum err translation_body(
    struct translation *translation, struct slice body, struct buf *out, int *status)
{
    struct sequence *sequence = &translation->sequence;
    struct fold *fold = &translation->fold;
    const char *why;
    size_t at;
    ASSERT(!sequence->is_started && !sequence->is_over);
    fold->depth = FOLD_EVERYTHING;
    if (json_object_check(body, &why, &at) == ERR_OK)
        translation->provider->response->read_body(body, sequence);
    TRY(sequence->err);
    for (size_t i = 0; i < sequence->count; i++)
        TRY(fold_event(fold, &sequence->events[i]));
    *status = fold->is_failed ? fold->status : fold->is_done ? 200 : STATUS_BAD_GATEWAY;
    if (fold->is_failed)
        return write_failure(translation, *status, buf_slice(&fold->error_code),
            buf_slice(&fold->error_message), out);
    if (!fold->is_done)
        return write_failure(translation, *status, SLICE("upstream_malformed"),
            SLICE("the provider's answer is not of its API"), out);
    return write_whole(translation, out, status);
}

bool translate_follows(const struct codec *provider)
{
    return provider->response->follow;
}

enum err translate_follow(const struct codec *provider, struct slice body, bool is_streamed,
    struct buf *url, struct buf *cancel)
{
    const char *why;
    size_t at;
    if (json_object_check(body, &why, &at) != ERR_OK)
        return ERR_NOTFOUND;
    return provider->response->follow(body, is_streamed, url, cancel);
}

/* Line ends in JSON are white space; in a block they would begin a field. */
enum err translate_whole_event(const struct codec *provider, struct slice body, struct buf *out)
{
    TRY(buf_printf(out, "event: %s\ndata: ", provider->response->whole_event));
    for (size_t i = 0; i < body.size; i++) {
        bool is_end = body.data[i] == '\n' || body.data[i] == '\r';
        TRY(buf_append_byte(out, is_end ? ' ' : body.data[i]));
    }
    return buf_append_text(out, "\n\n");
}

/* The places where providers put the message: {"error":{"message","code","type"}}, {"error":"…"},
 * {"message":"…"}, {"detail":"…"}. */
static void read_failure(struct slice body, struct sequence *sequence)
{
    static const char *const names[] = {"error", "message", "detail"};
    struct json_span spans[COUNT_OF(names)] = {0};
    const char *why;
    size_t at;
    if (json_object_check(body, &why, &at) == ERR_OK)
        json_scan_all(body, names, COUNT_OF(names), spans);
    for (size_t i = 0; i < COUNT_OF(names); i++)
        if (spans[i].raw.size && spans[i].type != JSON_NULL) {
            codec_error(spans[i], sequence);
            return;
        }
    sequence_error(sequence, STATUS_BAD_GATEWAY, SLICE_NONE, SLICE_NONE);
}

enum err translation_failure(
    struct translation *translation, int status, struct slice body, struct buf *out)
{
    struct sequence *sequence = &translation->sequence;
    ASSERT(status >= 400);
    sequence_clear(sequence);
    sequence->is_over = false;
    read_failure(body, sequence);
    TRY(sequence->err);
    ASSERT(sequence->count == 1 && sequence->events[0].kind == NEUTRAL_ERROR);
    const struct neutral_error *error = &sequence->events[0].error;
    return write_failure(translation, status, error->code, error->message, out);
}

const struct neutral_usage *translation_usage(const struct translation *translation)
{
    return &translation->sequence.usage;
}
