/* reading — small steps from JSON to struct dialect_reading, each of which takes absence for
 * "nothing was said": a provider's frame is never a reason to fail. */
#include "protocol/dialect/reading.h"

#include <string.h>

#include "protocol/base/own.h"
#include "protocol/data/json_scanner.h"

void dialect_reading_init(struct dialect_reading *reading)
{
    *reading = (struct dialect_reading){.usage = USAGE_UNKNOWN};
}

/* Text that stands alone in an event has not been checked as JSON has: bytes that are no UTF-8 become '?'. */
static void blot(char *text, size_t size)
{
    for (size_t at = 0; at < size;) {
        size_t step = json_utf8_size(slice_of(text, size), at);
        if (step == 0)
            text[at] = '?';
        at += step ? step : 1;
    }
}

static void copy_text(char *out, size_t capacity, struct slice text)
{
    size_t size = text.size < capacity - 1 ? text.size : capacity - 1;
    if (size == 0)
        return;
    if (size < text.size) /* not in the middle of a UTF-8 sequence: 10xxxxxx continues one */
        while (size > 0 && (text.data[size] & 0xC0) == 0x80)
            size--;
    memcpy(out, text.data, size);
    out[size] = '\0';
    blot(out, size);
}

void reading_id(struct dialect_reading *reading, const struct json *id)
{
    struct slice text = json_text(id);
    if (!reading->id[0] && text.size && text.size < sizeof reading->id)
        memcpy(reading->id, text.data, text.size); /* the rest is 0 */
}

void reading_finish_reason(struct dialect_reading *reading, struct slice text)
{
    copy_text(reading->finish_reason, sizeof reading->finish_reason, text);
}

static struct slice first_text(const struct json *object, const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct slice text = json_text(json_get(object, names[i]));
        if (text.size)
            return text;
    }
    return SLICE_NONE;
}

void reading_fail(struct dialect_reading *reading, const struct json *error)
{
    static const char *const names[] = {"message", "code", "type"};
    if (json_type(error) == JSON_NULL)
        return;
    struct slice text = json_text(error);
    if (text.size == 0)
        text = first_text(error, names, sizeof names / sizeof names[0]);
    reading_fail_text(reading, text);
}

void reading_fail_text(struct dialect_reading *reading, struct slice text)
{
    if (text.size == 0)
        text = SLICE("the provider reported an error without a message");
    copy_text(reading->error, sizeof reading->error, text);
    reading->is_failed = true;
}

void reading_finish_span(struct dialect_reading *reading, struct json_span reason)
{
    CLEANUP(json_cleanup) struct json *tree = NULL;
    if (reason.raw.size && json_parse(reason.raw, &tree) == ERR_OK)
        reading_finish_reason(reading, json_text(tree));
}

void reading_fail_span(struct dialect_reading *reading, struct json_span error)
{
    CLEANUP(json_cleanup) struct json *tree = NULL;
    if (error.raw.size && json_parse(error.raw, &tree) == ERR_OK)
        reading_fail(reading, tree);
}

void reading_error_event(struct dialect_reading *reading, const struct json *event)
{
    const struct json *error = json_get(event, "error");
    reading_fail(reading, error ? error : event);
    reading->is_failed = true;
}

void reading_raise(int64_t *count, int64_t value)
{
    if (value > *count)
        *count = value;
}

void reading_total(struct usage *usage)
{
    if (usage->total < 0 && usage->input >= 0 && usage->output >= 0)
        usage->total = usage->input + usage->output;
}

static int64_t count_of(const struct json *usage, const char *name, const char *other_name)
{
    int64_t count = json_int(json_get(usage, name), -1);
    if (count < 0)
        count = json_int(json_get(usage, other_name), -1);
    return count < 0 ? -1 : count;
}

static const struct json *details_of(
    const struct json *usage, const char *name, const char *other_name)
{
    const struct json *details = json_get(usage, name);
    return details ? details : json_get(usage, other_name);
}

void reading_openai_usage(struct dialect_reading *reading, const struct json *usage)
{
    if (json_type(usage) != JSON_OBJECT)
        return;
    const struct json *input = details_of(usage, "prompt_tokens_details", "input_tokens_details");
    const struct json *output =
        details_of(usage, "completion_tokens_details", "output_tokens_details");
    reading->usage = (struct usage){
        .input = count_of(usage, "prompt_tokens", "input_tokens"),
        .output = count_of(usage, "completion_tokens", "output_tokens"),
        .cached = json_int(json_get(input, "cached_tokens"), -1),
        .reasoning = json_int(json_get(output, "reasoning_tokens"), -1),
        .total = json_int(json_get(usage, "total_tokens"), -1),
    };
    reading_total(&reading->usage);
}

bool reading_body_members(
    struct slice body, const char *const *names, size_t count, struct json **out)
{
    struct json_span spans[8];
    const struct json_wanted wanted = {names, count, spans};
    const char *why;
    size_t at;
    ASSERT(count <= sizeof spans / sizeof spans[0]);
    memset(out, 0, count * sizeof(struct json *));
    if (json_object_read(body, &wanted, &why, &at) != ERR_OK)
        return false;
    for (size_t i = 0; i < count; i++)
        if (spans[i].raw.size && json_parse(spans[i].raw, &out[i]) != ERR_OK)
            out[i] = NULL; /* no memory for it: as if it were absent */
    return true;
}

void reading_body_free(struct json **members, size_t count)
{
    for (size_t i = 0; i < count; i++)
        members[i] = json_free(members[i]);
}

/* Borrowed from `fields`, `data` or *tree, which the caller frees. */
static struct slice event_name(
    const struct sse_fields *fields, struct slice data, struct json **tree)
{
    const struct slice usual = SLICE("{\"type\":\"");
    if (fields->event.size)
        return fields->event;
    if (slice_has_prefix(data, usual)) {
        struct slice rest = slice_sub(data, usual.size, data.size);
        ptrdiff_t quote = slice_find_byte(rest, '"');
        return quote < 0 ? SLICE_NONE : slice_sub(rest, 0, (size_t)quote);
    }
    if (json_parse(data, tree) != ERR_OK)
        return SLICE_NONE;
    return json_text(json_get(*tree, "type"));
}

enum dialect_verdict reading_named_event(struct dialect_reading *reading, struct slice block,
    reading_matters *matters, reading_read_named *read)
{
    CLEANUP(buf_deinit) struct buf joined;
    CLEANUP(json_cleanup) struct json *event = NULL;
    struct sse_fields fields;
    buf_init(&joined, block.size);
    if (sse_fields(block, &joined, &fields) != ERR_OK || !fields.has_data)
        return DIALECT_EVENT;
    struct slice data = sse_data(&fields, &joined);
    struct slice name = event_name(&fields, data, &event);
    if (matters(name) && (event || json_parse(data, &event) == ERR_OK))
        read(reading, name, event);
    return DIALECT_EVENT;
}

bool reading_ends(enum dialect_verdict (*read_event)(struct dialect_reading *, struct slice),
    struct slice residue)
{
    struct dialect_reading reading;
    dialect_reading_init(&reading);
    (void)read_event(&reading, residue);
    return reading.is_terminated;
}

static const char *openai_type(int status)
{
    switch (status) {
    case 401: return "authentication_error";
    case 403: return "permission_error";
    case 404: return "not_found_error";
    case 429: return "rate_limit_error";
    default: return status >= 500 ? "server_error" : "invalid_request_error";
    }
}

enum err reading_openai_error(
    struct buf *out, int status, const char *code, struct slice message, const char *param)
{
    struct json_writer writer;
    json_writer_init(&writer, out);
    json_open(&writer, '{');
    json_key(&writer, "error");
    json_open(&writer, '{');
    json_key(&writer, "message");
    json_string(&writer, message);
    json_key(&writer, "type");
    json_string(&writer, slice_text(openai_type(status)));
    json_key(&writer, "param");
    if (param)
        json_string(&writer, slice_text(param));
    else
        json_null(&writer);
    json_key(&writer, "code");
    json_string(&writer, slice_text(code));
    json_close(&writer, '}');
    json_close(&writer, '}');
    return writer.err;
}
