/* codec — the table, and what the codecs have in common. */
#include "protocol/dialect/codec.h"

#include <stdio.h>
#include <string.h>

#include "protocol/data/json_scanner.h"
#include "protocol/dialect/walk.h"
#include "protocol/http/sse.h"

/* ---- the table ---- */

/* What each dialect's files provide. */
extern codec_read_request openai_chat_read_request, openai_responses_read_request,
    anthropic_read_request;
extern codec_write_request openai_chat_write_request, openai_responses_write_request,
    anthropic_write_request, gemini_write_request, cohere_write_request, ollama_write_request,
    bedrock_write_request, replicate_write_request, cog_write_request;
extern const struct codec_response openai_chat_response, openai_responses_response,
    anthropic_response, gemini_response, cohere_response, ollama_response, bedrock_response,
    replicate_response;

static const struct codec codecs[] = {
    {"openai_chat", openai_chat_read_request, openai_chat_write_request, &openai_chat_response,
        NULL},
    {"openai_responses", openai_responses_read_request, openai_responses_write_request,
        &openai_responses_response, NULL},
    {"anthropic", anthropic_read_request, anthropic_write_request, &anthropic_response, NULL},
    {"gemini", NULL, gemini_write_request, &gemini_response, "/v1beta"},
    {"cohere", NULL, cohere_write_request, &cohere_response, "/v2"},
    {"ollama", NULL, ollama_write_request, &ollama_response, "/api"},
    {"bedrock", NULL, bedrock_write_request, &bedrock_response, "/model"},
    {"replicate", NULL, replicate_write_request, &replicate_response, "/v1"},
    {"cog", NULL, cog_write_request, &replicate_response, ""},
};

enum err translate_codec(struct slice dialect, const struct codec **out)
{
    for (size_t i = 0; i < COUNT_OF(codecs); i++)
        if (slice_equal(dialect, slice_text(codecs[i].name))) {
            *out = &codecs[i];
            return ERR_OK;
        }
    return ERR_NOTFOUND;
}

bool translate_takes_calls(const struct codec *codec)
{
    return codec->read_request && codec->response->write_event;
}

bool translate_asks(const struct codec *codec)
{
    return codec->write_request && codec->response->read_event;
}

const char *translate_prefix(const struct codec *codec)
{
    return codec->prefix;
}

enum framing translate_framing_of(const struct codec *codec)
{
    return codec->response->framing;
}

const char *translate_content_type(const struct codec *codec)
{
    return codec->response->content_type;
}

/* ---- writing ---- */

static void put(struct json_writer *writer, struct slice bytes)
{
    if (writer->err == ERR_OK)
        writer->err = buf_append(writer->out, bytes);
}

void codec_open_event(struct json_writer *writer, struct buf *out, const char *event)
{
    json_writer_init(writer, out);
    if (event) {
        put(writer, SLICE("event: "));
        put(writer, slice_text(event));
        put(writer, SLICE("\n"));
    }
    put(writer, SLICE("data: "));
    json_open(writer, '{');
}

void codec_open_typed_event(struct json_writer *writer, struct buf *out, const char *event)
{
    codec_open_event(writer, out, event);
    codec_member(writer, "type", slice_text(event));
}

void codec_close_event(struct json_writer *writer)
{
    json_close(writer, '}');
    put(writer, SLICE("\n\n"));
}

void codec_member(struct json_writer *writer, const char *name, struct slice text)
{
    json_key(writer, name);
    json_string(writer, text);
}

enum err codec_write_flat_error(
    struct buf *out, const char *name, struct slice message, const char *code)
{
    struct json_writer writer;
    json_writer_init(&writer, out);
    json_open(&writer, '{');
    codec_member(&writer, name, message);
    codec_member(&writer, "code", slice_text(code));
    json_close(&writer, '}');
    return writer.err;
}

void codec_raw_member(struct json_writer *writer, const char *name, struct slice raw)
{
    if (raw.size == 0)
        return;
    json_key(writer, name);
    json_raw(writer, raw);
}

void codec_count_member(struct json_writer *writer, const char *name, int64_t count)
{
    json_key(writer, name);
    json_integer(writer, count > 0 ? count : 0);
}

void codec_true_member(struct json_writer *writer, const char *name)
{
    json_key(writer, name);
    json_boolean(writer, true);
}

void codec_id(struct json_writer *writer, const char *prefix,
    const struct sequence_context *context, int64_t n)
{
    char text[128];
    if (n < 0 && context->response_id.size) {
        json_string(writer, context->response_id);
        return;
    }
    int size = snprintf(text, sizeof text, "%s%.*s", prefix, SLICE_PRINT(context->stream_id));
    if (n >= 0 && size > 0 && (size_t)size < sizeof text)
        size += snprintf(text + size, sizeof text - (size_t)size, "_%lld", (long long)n);
    ASSERT(size > 0 && (size_t)size < sizeof text); /* the stream's ID is ours, and short */
    json_string(writer, slice_of(text, (size_t)size));
}

void codec_image_address(struct json_writer *writer, const struct neutral_part *image)
{
    struct buf url;
    if (image->url.size) {
        json_string(writer, image->url);
        return;
    }
    buf_init(&url, NEUTRAL_REQUEST_BYTES_MAX);
    enum err err = buf_append(&url, SLICE("data:"));
    if (err == ERR_OK)
        err = buf_append(&url, image->media_type);
    if (err == ERR_OK)
        err = buf_append(&url, SLICE(";base64,"));
    if (err == ERR_OK)
        err = buf_append(&url, image->data);
    json_string(writer, buf_slice(&url));
    if (writer->err == ERR_OK)
        writer->err = err;
    buf_deinit(&url);
}

void codec_stops(
    struct json_writer *writer, const char *name, const struct neutral_request *request)
{
    if (!request->stops)
        return;
    json_key(writer, name);
    json_open(writer, '[');
    for (const struct neutral_stop *stop = request->stops; stop; stop = stop->next)
        json_string(writer, stop->text);
    json_close(writer, ']');
}

enum err codec_write_error(const char *dialect, struct buf *out, const struct neutral_error *error)
{
    const struct dialect *known;
    char code[64] = "upstream_error";
    TRY(dialect_by_name(slice_text(dialect), &known));
    if (error->code.size > 0 && error->code.size < sizeof code) {
        memcpy(code, error->code.data, error->code.size);
        code[error->code.size] = '\0';
    }
    return dialect_write_error(known, out, error->status, code, error->message, NULL);
}

void codec_leave_out(struct neutral_report *report, struct slice path, const char *member)
{
    char text[NEUTRAL_PATH_BYTES];
    int size = snprintf(text, sizeof text, "%.*s.%s", SLICE_PRINT(path), member);
    if (size > 0)
        neutral_leave_out(
            report, slice_of(text, (size_t)size < sizeof text ? (size_t)size : sizeof text - 1));
}

void codec_leave_out_cache(struct neutral_report *report, struct slice path, struct slice cache)
{
    if (cache.size)
        codec_leave_out(report, path, "cache_control");
}

struct slice codec_schema(const struct neutral_tool *tool)
{
    return tool->schema.size ? tool->schema : SLICE("{\"type\":\"object\",\"properties\":{}}");
}

/* ---- effort and budget ---- */

static const struct {
    const char *effort;
    int64_t budget;
} budgets[] = {
    {"minimal", 1024}, /* Anthropic takes no less */
    {"low", 1024},
    {"medium", 4096},
    {"high", 16384},
    {"xhigh", 32768},
    {"max", 32768},
};

struct slice codec_effort(const struct neutral_request *request)
{
    enum { LOW_MAX = 2048, MEDIUM_MAX = 8192 };
    int64_t budget = request->reasoning.budget;
    if (request->reasoning.effort.size || budget < 0)
        return request->reasoning.effort;
    return budget <= LOW_MAX      ? SLICE("low")
           : budget <= MEDIUM_MAX ? SLICE("medium")
                                  : SLICE("high");
}

int64_t codec_budget(const struct neutral_request *request, int64_t limit)
{
    const int64_t least = budgets[0].budget;
    if (request->reasoning.budget >= 0)
        return request->reasoning.budget;
    for (size_t i = 0; i < COUNT_OF(budgets); i++) {
        if (!slice_equal(request->reasoning.effort, slice_text(budgets[i].effort)))
            continue;
        int64_t budget = budgets[i].budget < limit / 2 ? budgets[i].budget : limit / 2;
        return budget > least ? budget : least;
    }
    return -1;
}

int64_t codec_output_limit(
    const struct neutral_request *request, const struct translate_target *target, int64_t otherwise)
{
    const struct neutral_value *said = &request->options[NEUTRAL_OUTPUT_TOKENS];
    uint64_t tokens;
    if (slice_u64(said->raw, &tokens) == ERR_OK && tokens <= INT64_MAX)
        return (int64_t)tokens;
    return target->output_tokens_max > 0 ? target->output_tokens_max : otherwise;
}

/* ---- options ---- */

enum err codec_options(struct json_writer *writer, const struct neutral_request *request,
    const struct codec_option *options, size_t count, struct neutral_report *report)
{
    for (size_t i = 0; i < count; i++) {
        const struct codec_option *option = &options[i];
        const struct neutral_value *value = &request->options[option->option];
        bool says_nothing = option->unless && slice_equal(value->raw, slice_text(option->unless));
        if (value->raw.size == 0 || (!option->name && says_nothing))
            continue;
        if (!option->name)
            return neutral_refuse(report, value->path, "%s", option->why);
        json_key(writer, option->name);
        json_raw(writer, value->raw);
    }
    return ERR_OK;
}

/* ---- reading frames ---- */

bool codec_event(struct slice block, struct slice *event, struct slice *data, struct sequence *out)
{
    struct sse_fields fields;
    struct buf joined;
    buf_init(&joined, block.size);
    enum err err = sse_fields(sse_without_bom(block), &joined, &fields);
    bool has_data = err == ERR_OK && fields.has_data;
    if (has_data) {
        *event = fields.event;
        *data = sse_data(&fields, &joined);
    }
    if (has_data && fields.is_joined)
        err = arena_copy(&out->arena, *data, data);
    buf_deinit(&joined);
    if (err != ERR_OK)
        out->err = err;
    return has_data && err == ERR_OK;
}

bool codec_is_object(struct slice text)
{
    struct json_scanner scanner;
    struct json_span span;
    json_scanner_init(&scanner, text);
    return slice_is_utf8(text) && json_scanner_value(&scanner, &span) == ERR_OK &&
           span.type == JSON_OBJECT && json_scanner_end(&scanner) == ERR_OK;
}

bool codec_frame(struct slice block, struct slice *event, struct slice *data, struct sequence *out)
{
    if (!codec_event(block, event, data, out))
        return false;
    if (codec_is_object(*data))
        return true;
    if (slice_trim(*data).size && slice_trim(*data).data[0] == '{')
        sequence_cannot(out, "an event that is", SLICE("broken JSON"));
    return false;
}

/* Which of the names a raw one is, quotes included; `count` if none. No provider writes the names of
 * its members with escapes: one that does is not known. */
static size_t find_name(struct slice raw, const char *const *names, size_t count)
{
    size_t size = raw.size - 2;
    for (size_t i = 0; i < count; i++)
        if (strlen(names[i]) == size && memcmp(names[i], raw.data + 1, size) == 0)
            return i;
    return count;
}

void codec_scan(
    struct json_span object, const char *const *names, size_t count, struct json_span *out)
{
    struct json_scanner scanner;
    struct json_span value;
    struct slice name;
    memset(out, 0, count * sizeof *out);
    if (object.type != JSON_OBJECT || object.raw.size == 0)
        return;
    json_scanner_init(&scanner, object.raw);
    if (json_scanner_open(&scanner) != ERR_OK)
        return;
    while (json_scanner_member(&scanner, &name, &value) == ERR_OK) {
        size_t i = find_name(name, names, count);
        if (i < count)
            out[i] = value;
    }
}

struct slice codec_text(struct json_span span, struct sequence *sequence)
{
    struct slice text = SLICE_NONE;
    if (span.type != JSON_STRING || span.raw.size < 2 || sequence->err != ERR_OK)
        return SLICE_NONE;
    sequence->err = json_decode(span, &sequence->arena, &text);
    return text;
}

int64_t codec_count(struct json_span span)
{
    uint64_t count;
    if (span.type != JSON_NUMBER || slice_u64(span.raw, &count) != ERR_OK ||
        count > 1ull << JSON_INTEGER_MAX_BITS)
        return -1;
    return (int64_t)count;
}

bool codec_has_items(struct json_span span)
{
    if (span.raw.size < 2 || (span.type != JSON_ARRAY && span.type != JSON_OBJECT))
        return false;
    for (size_t i = 1; i < span.raw.size - 1; i++)
        if (!memchr(" \t\r\n", span.raw.data[i], 4))
            return true;
    return false;
}

void codec_each(struct json_span array, codec_read_item *read, void *into)
{
    struct json_scanner scanner;
    struct json_span item;
    if (array.type != JSON_ARRAY || array.raw.size == 0)
        return;
    json_scanner_init(&scanner, array.raw);
    for (size_t i = 0; walk_has_item(&scanner) && json_scanner_value(&scanner, &item) == ERR_OK;
         i++)
        read(item, i, into);
}

/* ---- what several dialects say in one way ---- */

static int64_t first_count(struct json_span first, struct json_span second)
{
    int64_t count = codec_count(first);
    return count >= 0 ? count : codec_count(second);
}

static struct json_span first_span(struct json_span first, struct json_span second)
{
    return first.type == JSON_OBJECT && first.raw.size ? first : second;
}

void codec_openai_usage(struct json_span usage, struct sequence *out)
{
    static const char *const names[] = {"prompt_tokens", "input_tokens", "completion_tokens",
        "output_tokens", "total_tokens", "prompt_tokens_details", "input_tokens_details",
        "completion_tokens_details", "output_tokens_details"};
    static const char *const input_names[] = {"cached_tokens", "cache_write_tokens"};
    static const char *const output_names[] = {"reasoning_tokens"};
    struct json_span spans[COUNT_OF(names)], input[2], output[1];
    if (usage.type != JSON_OBJECT || usage.raw.size == 0)
        return;
    codec_scan(usage, names, COUNT_OF(names), spans);
    codec_scan(first_span(spans[5], spans[6]), input_names, 2, input);
    codec_scan(first_span(spans[7], spans[8]), output_names, 1, output);
    struct neutral_usage counts = {
        .counts = {.input = first_count(spans[0], spans[1]),
            .output = first_count(spans[2], spans[3]),
            .cached = codec_count(input[0]),
            .reasoning = codec_count(output[0]),
            .total = codec_count(spans[4])},
        .cache_write = codec_count(input[1]),
    };
    sequence_usage(out, &counts);
}

static const struct {
    const char *word;
    int status;
} error_words[] = {
    {"invalid_request_error", 400},
    {"invalid_prompt", 400},
    {"context_length_exceeded", 400},
    {"authentication_error", 401},
    {"invalid_api_key", 401},
    {"billing_error", 402},
    {"permission_error", 403},
    {"not_found_error", 404},
    {"model_not_found", 404},
    {"request_too_large", 413},
    {"rate_limit_error", 429},
    {"rate_limit_exceeded", 429},
    {"tokens", 429},
    {"requests", 429},
    {"insufficient_quota", 429},
    {"api_error", 500},
    {"server_error", 500},
    {"timeout_error", 504},
    {"overloaded_error", 529},
};

int codec_status_of(struct slice word)
{
    for (size_t i = 0; i < COUNT_OF(error_words); i++)
        if (slice_equal(word, slice_text(error_words[i].word)))
            return error_words[i].status;
    return 500;
}

void codec_error(struct json_span error, struct sequence *out)
{
    static const char *const names[] = {"message", "code", "type"};
    struct json_span spans[COUNT_OF(names)];
    codec_scan(error, names, COUNT_OF(names), spans);
    struct slice message = codec_text(error.type == JSON_STRING ? error : spans[0], out);
    struct slice code = codec_text(spans[1], out), type = codec_text(spans[2], out);
    int status = codec_status_of(code);
    if (status == 500)
        status = codec_status_of(type);
    sequence_error(out, status, code.size ? code : type, message);
}
