/* dialect — the table, and requests: read by spans, rewritten by splices.
 *
 *     body     { "model": "fast", "stream": true, … }
 *                         └────┘ model_raw
 *     sent     {"stream_options":{"include_usage":true}, "model": "gpt-4o", "stream": true, … }
 *               └ inserted after the opening brace               └──────┘ replaced
 *
 * A splice is (offset, bytes to leave out, bytes to put in); between splices bytes are copied. */
#include "protocol/dialect/dialect.h"

#include <string.h>

#include "protocol/base/own.h"
#include "protocol/dialect/reading.h"

/* ---- the table ---- */

static const struct dialect *const dialects[] = {
    &dialect_openai_chat,
    &dialect_openai_responses,
    &dialect_anthropic,
    &dialect_gemini,
    &dialect_gemini_interactions,
    &dialect_cohere,
    &dialect_ollama,
    &dialect_bedrock,
    &dialect_replicate,
    &dialect_cog,
    &dialect_opaque,
};

static const struct {
    const char *path;
    const struct dialect *dialect;
} paths[] = {
    {"/v1/chat/completions", &dialect_openai_chat},
    {"/v1/completions", &dialect_openai_chat},
    {"/v1/responses", &dialect_openai_responses},
    {"/v1/messages", &dialect_anthropic},
    {"/v1/embeddings", &dialect_opaque},
    {"/v1/moderations", &dialect_opaque},
    {"/v1/images/generations", &dialect_opaque},
    {"/v1/audio/speech", &dialect_opaque},
    {"/v1/rerank", &dialect_opaque},
};

enum err dialect_for_path(struct slice path, const struct dialect **out)
{
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++)
        if (slice_equal(path, slice_text(paths[i].path))) {
            *out = paths[i].dialect;
            return ERR_OK;
        }
    return ERR_NOTFOUND;
}

enum err dialect_by_name(struct slice name, const struct dialect **out)
{
    for (size_t i = 0; i < sizeof dialects / sizeof dialects[0]; i++)
        if (slice_equal(name, slice_text(dialects[i]->name))) {
            *out = dialects[i];
            return ERR_OK;
        }
    return ERR_NOTFOUND;
}

enum err dialect_of_native(struct slice name, struct slice path, const struct dialect **out)
{
    for (size_t i = 0; i < sizeof dialects / sizeof dialects[0]; i++)
        if (dialects[i]->beside && slice_equal(name, slice_text(dialects[i]->beside)) &&
            dialects[i]->speaks(path)) {
            *out = dialects[i];
            return ERR_OK;
        }
    const struct dialect *own;
    TRY(dialect_by_name(name, &own));
    if (own->speaks && !own->speaks(path))
        return ERR_NOTFOUND;
    *out = own;
    return ERR_OK;
}

enum err dialect_write_error(const struct dialect *dialect, struct buf *out, int status,
    const char *code, struct slice message, const char *param)
{
    if (!dialect)
        return reading_openai_error(out, status, code, message, param);
    return dialect->write_error(out, status, code, message, param);
}

/* ---- reading a request ---- */

/* Where an ERR_INVALID is explained. */
struct blame {
    const char **why;
    const char **param;
};

static enum err refuse(struct blame blame, const char *why, const char *param)
{
    *blame.why = why;
    *blame.param = param;
    return ERR_INVALID;
}

static bool is_printable(struct slice text)
{
    for (size_t i = 0; i < text.size; i++)
        if (text.data[i] < 0x20 || text.data[i] == 0x7f)
            return false;
    return true;
}

static enum err read_model(
    struct json_span span, struct dialect_request *request, struct blame blame)
{
    CLEANUP(buf_deinit) struct buf name = {0};
    if (span.raw.size == 0)
        return ERR_OK;
    if (span.type != JSON_STRING)
        return refuse(blame, "\"model\" must be a string", "model");
    buf_init(&name, sizeof request->model - 1);
    enum err err = json_span_text(span, &name);
    if (err == ERR_LIMIT)
        return refuse(blame, "\"model\" must be at most 255 bytes long", "model");
    TRY(err);
    if (name.size == 0 || !is_printable(buf_slice(&name)))
        return refuse(blame, "\"model\" must be a name, without control characters", "model");
    memcpy(request->model, name.data, name.size);
    request->model_raw = span.raw;
    return ERR_OK;
}

static bool is_absent(struct json_span span)
{
    return span.raw.size == 0 || span.type == JSON_NULL;
}

/* A member that must be true, false, or absent. */
static enum err read_flag(
    struct json_span span, const char *name, const char *why, struct blame blame)
{
    if (!is_absent(span) && span.type != JSON_BOOL)
        return refuse(blame, why, name);
    return ERR_OK;
}

static enum err read_stream(
    struct json_span span, struct dialect_request *request, struct blame blame)
{
    TRY(read_flag(span, "stream", "\"stream\" must be true or false", blame));
    request->is_streamed = json_span_is_true(span);
    return ERR_OK;
}

static enum err read_stream_options(
    struct json_span span, struct dialect_request *request, struct blame blame)
{
    struct json_span include_usage;
    const char *why;
    size_t at;
    if (is_absent(span))
        return ERR_OK;
    if (span.type != JSON_OBJECT)
        return refuse(blame, "\"stream_options\" must be an object", "stream_options");
    if (json_object_check(span.raw, &why, &at) != ERR_OK)
        return refuse(blame, why, "stream_options");
    if (json_scan(span.raw, "include_usage", &include_usage) == ERR_OK)
        request->has_usage_asked = json_span_is_true(include_usage);
    return ERR_OK;
}

static enum err read_background(
    const struct json_span *spans, struct dialect_request *request, struct blame blame)
{
    TRY(read_flag(spans[0], "background", "\"background\" must be true or false", blame));
    TRY(read_flag(spans[1], "store", "\"store\" must be true or false", blame));
    request->is_background = json_span_is_true(spans[0]);
    request->refuses_store = !is_absent(spans[1]) && !json_span_is_true(spans[1]);
    return ERR_OK;
}

enum err dialect_read_request(const struct dialect *dialect, struct slice body,
    struct dialect_request *out, const char **why, const char **param)
{
    static const char *const names[] = {"model", "stream", "stream_options", "background", "store"};
    struct json_span spans[sizeof names / sizeof names[0]];
    const struct json_wanted wanted = {names, sizeof names / sizeof names[0], spans};
    struct dialect_request request = {0};
    struct blame blame = {why, param};
    const char *broken;
    size_t at;
    if (json_object_read(body, &wanted, &broken, &at) != ERR_OK)
        return refuse(blame, broken, NULL);
    TRY(read_model(spans[0], &request, blame));
    TRY(read_stream(spans[1], &request, blame));
    if (dialect->asks_usage)
        TRY(read_stream_options(spans[2], &request, blame));
    if (dialect->has_background)
        TRY(read_background(&spans[3], &request, blame));
    *out = request;
    return ERR_OK;
}

/* ---- rewriting it ---- */

struct splice {
    size_t at;
    size_t removed;
    struct slice inserted;
};

enum { SPLICES_MAX = 4 };

struct splices {
    struct splice items[SPLICES_MAX]; /* by rising offset */
    size_t count;
};

static void add_splice(struct splices *splices, struct splice splice)
{
    ASSERT(splices->count < SPLICES_MAX);
    size_t i = splices->count++;
    for (; i > 0 && splices->items[i - 1].at > splice.at; i--)
        splices->items[i] = splices->items[i - 1];
    splices->items[i] = splice;
}

static enum err write_spliced(struct slice body, const struct splices *splices, struct buf *out)
{
    size_t done = 0;
    for (size_t i = 0; i < splices->count; i++) {
        const struct splice *splice = &splices->items[i];
        ASSERT(splice->at >= done && splice->at + splice->removed <= body.size);
        TRY(buf_append(out, slice_sub(body, done, splice->at - done)));
        TRY(buf_append(out, splice->inserted));
        done = splice->at + splice->removed;
    }
    return buf_append(out, slice_sub(body, done, body.size - done));
}

static size_t offset_in(struct slice body, struct slice part)
{
    ASSERT(part.data >= body.data && part.data + part.size <= body.data + body.size);
    return (size_t)(part.data - body.data);
}

/* The object without the white space before it. */
static struct slice from_brace(struct slice text)
{
    ptrdiff_t brace = slice_find_byte(text, '{');
    ASSERT(brace >= 0);
    return slice_sub(text, (size_t)brace, text.size);
}

static struct splice replace(struct slice body, struct slice part, struct slice inserted)
{
    return (struct splice){offset_in(body, part), part.size, inserted};
}

/* As the first member of an object that begins with its brace. */
static struct splice insert_first(struct slice body, struct slice object, struct slice member)
{
    return (struct splice){offset_in(body, object) + 1, 0, member};
}

/* `object` begins with its brace. */
static bool is_empty_object(struct slice object)
{
    for (size_t i = 1; i < object.size; i++)
        if (!memchr(" \t\r\n", object.data[i], 4))
            return object.data[i] == '}';
    return false;
}

/* "model": as a member with its comma where there is none yet. `quoted` holds what is put in. */
static enum err splice_model(struct slice body, const struct dialect_request *request,
    struct slice model, struct buf *quoted, struct splices *splices)
{
    if (model.size == 0 || slice_equal(model, slice_text(request->model)))
        return ERR_OK;
    if (request->model_raw.size) {
        TRY(json_write_text(quoted, model));
        add_splice(splices, replace(body, request->model_raw, buf_slice(quoted)));
        return ERR_OK;
    }
    TRY(buf_append(quoted, SLICE("\"model\":")));
    TRY(json_write_text(quoted, model));
    if (!is_empty_object(from_brace(body)))
        TRY(buf_append_byte(quoted, ','));
    add_splice(splices, insert_first(body, from_brace(body), buf_slice(quoted)));
    return ERR_OK;
}

/* Of the four shapes that a request without include_usage: true can have, one each. */
static void splice_usage(struct slice body, struct splices *splices)
{
    struct json_span options, include_usage;
    if (json_scan(body, "stream_options", &options) != ERR_OK)
        add_splice(splices, insert_first(body, from_brace(body),
                                SLICE("\"stream_options\":{\"include_usage\":true},")));
    else if (options.type != JSON_OBJECT)
        add_splice(splices, replace(body, options.raw, SLICE("{\"include_usage\":true}")));
    else if (json_scan(options.raw, "include_usage", &include_usage) == ERR_OK)
        add_splice(splices, replace(body, include_usage.raw, SLICE("true")));
    else if (is_empty_object(options.raw))
        add_splice(splices, insert_first(body, options.raw, SLICE("\"include_usage\":true")));
    else
        add_splice(splices, insert_first(body, options.raw, SLICE("\"include_usage\":true,")));
}

/* The provider streams, so that there is something of it before its end; whether the caller waits is
 * our business. */
static void splice_background(
    struct slice body, const struct dialect_request *request, struct splices *splices)
{
    struct json_span background, store, stream;
    struct slice asks = request->keeps_background ? SLICE("true") : SLICE("false");
    if (json_scan(body, "background", &background) != ERR_OK)
        add_splice(splices, insert_first(body, from_brace(body), SLICE("\"background\":true,")));
    else if (request->is_background != request->keeps_background)
        add_splice(splices, replace(body, background.raw, asks));
    if (request->keeps_background && request->refuses_store &&
        json_scan(body, "store", &store) == ERR_OK)
        add_splice(splices, replace(body, store.raw, SLICE("true")));
    if (request->is_streamed)
        return;
    if (json_scan(body, "stream", &stream) == ERR_OK)
        add_splice(splices, replace(body, stream.raw, SLICE("true")));
    else
        add_splice(splices, insert_first(body, from_brace(body), SLICE("\"stream\":true,")));
}

enum err dialect_write_request(const struct dialect *dialect, struct slice body,
    const struct dialect_request *request, struct slice model, bool ask_usage, struct buf *out,
    bool *hides_usage)
{
    CLEANUP(buf_deinit) struct buf quoted;
    struct splices splices = {.count = 0};
    bool asks =
        ask_usage && dialect->asks_usage && request->is_streamed && !request->has_usage_asked;
    buf_init(&quoted, out->size_max);
    TRY(splice_model(body, request, model, &quoted, &splices));
    if (asks)
        splice_usage(body, &splices);
    if (request->is_background || request->keeps_background)
        splice_background(body, request, &splices);
    TRY(write_spliced(body, &splices, out));
    *hides_usage = asks;
    return ERR_OK;
}
