/* cloudflare_body — see the header. */
#include "server/api/cloudflare_body.h"

#include "protocol/base/own.h"
#include "protocol/data/json_scanner.h"
#include "protocol/http/header.h"
#include "protocol/http/http1.h"

enum {
    FIELD_BYTES_MAX = 16 * 1024, /* of a field's value, unescaped: all fields are to fit a head */
    NAME_BYTES_MAX = 256,        /* of its name, likewise: the longest known has 60 */
};

static bool is_absent(struct json_span span)
{
    return span.raw.size == 0 || span.type == JSON_NULL;
}

/* A member that is an object, or absent. */
static enum err take_object(struct json_span span, struct slice *out)
{
    *out = is_absent(span) ? SLICE_NONE : span.raw;
    return is_absent(span) || span.type == JSON_OBJECT ? ERR_OK : ERR_INVALID;
}

/* ── run ────────────────────────────────────────────────────────────────────────────────────── */

static enum err read_options(struct json_span options, struct cloudflare_run *out, const char **why)
{
    struct slice object;
    struct json_span gateway;
    size_t at;
    *why = "\"options\" must be an object, and so must its \"gateway\"";
    TRY(take_object(options, &object));
    if (object.size == 0)
        return ERR_OK;
    TRY(json_object_check(object, why, &at));
    if (json_scan(object, "gateway", &gateway))
        return ERR_OK;
    TRY(take_object(gateway, &out->options));
    return out->options.size ? json_object_check(out->options, why, &at) : ERR_OK;
}

enum err cloudflare_run_read(struct slice body, struct cloudflare_run *out, const char **why)
{
    enum { INPUTS, INPUT, MODEL, OPTIONS, COUNT };
    static const char *const names[COUNT] = {"inputs", "input", "model", "options"};
    struct json_span spans[COUNT];
    struct cloudflare_run run = {.inputs = body};
    size_t at;
    TRY(json_object_check(body, why, &at));
    json_scan_all(body, names, COUNT, spans);
    if (spans[INPUTS].type == JSON_OBJECT)
        run.inputs = spans[INPUTS].raw;
    else if (spans[INPUT].type == JSON_OBJECT)
        run.inputs = spans[INPUT].raw;
    bool is_wrapped = run.inputs.data != body.data;
    if (is_wrapped) {
        TRY(json_object_check(run.inputs, why, &at));
        TRY(read_options(spans[OPTIONS], &run, why));
    }
    run.model = spans[MODEL];
    if (is_absent(run.model) && json_scan(run.inputs, "model", &run.model))
        run.model = (struct json_span){0};
    *out = run;
    return ERR_OK;
}

/* A body may stand between line ends. */
static struct slice without_space(struct slice object)
{
    while (object.data[0] != '{')
        object = slice_sub(object, 1, object.size);
    while (object.data[object.size - 1] != '}')
        object.size--;
    return object;
}

static bool is_empty_object(struct slice object)
{
    for (size_t i = 1; i + 1 < object.size; i++)
        if (slice_find_byte(SLICE(" \t\r\n"), object.data[i]) < 0)
            return false;
    return true;
}

enum err cloudflare_run_write(const struct cloudflare_run *run, struct slice model, struct buf *out)
{
    struct json_span old;
    struct slice inputs = without_space(run->inputs);
    if (json_scan(inputs, "model", &old) == ERR_OK) {
        size_t from = (size_t)(old.raw.data - inputs.data);
        TRY(buf_append(out, slice_sub(inputs, 0, from)));
        TRY(json_write_text(out, model));
        return buf_append(out, slice_sub(inputs, from + old.raw.size, inputs.size));
    }
    TRY(buf_append_text(out, "{\"model\":"));
    TRY(json_write_text(out, model));
    if (!is_empty_object(inputs))
        TRY(buf_append_byte(out, ','));
    return buf_append(out, slice_sub(inputs, 1, inputs.size));
}

/* ── universal ──────────────────────────────────────────────────────────────────────────────── */

/* The next byte that is no white space; 0: there is none. */
static uint8_t look(struct json_scanner *scanner)
{
    while (scanner->at < scanner->text.size &&
           slice_find_byte(SLICE(" \t\r\n"), scanner->text.data[scanner->at]) >= 0)
        scanner->at++;
    return scanner->at < scanner->text.size ? scanner->text.data[scanner->at] : 0;
}

/* Enters the array, or goes on behind an element; then the element.
 *   answers  ERR_CLOSED the array is over · ERR_INVALID */
static enum err next_element(struct json_scanner *scanner, struct json_span *out)
{
    bool is_first = scanner->at == 0;
    uint8_t byte = look(scanner);
    if (!is_first && byte == ']') {
        scanner->at++;
        return ERR_CLOSED;
    }
    if (byte != (is_first ? '[' : ','))
        return ERR_INVALID;
    scanner->at++;
    if (is_first && look(scanner) == ']') {
        scanner->at++;
        return ERR_CLOSED;
    }
    return json_scanner_value(scanner, out);
}

bool cloudflare_is_universal(struct slice body)
{
    struct json_scanner scanner;
    json_scanner_init(&scanner, body);
    return look(&scanner) == '[';
}

static enum err read_entry(struct json_span element, struct cloudflare_entry *out, const char **why)
{
    enum { PROVIDER, ENDPOINT, QUERY, HEADERS, CONFIG, COUNT };
    static const char *const names[COUNT] = {"provider", "endpoint", "query", "headers", "config"};
    struct json_span spans[COUNT];
    struct cloudflare_entry entry;
    size_t at;
    *why = "each call must be an object with \"provider\" and \"endpoint\", which are strings, and "
           "\"query\", an object; its \"headers\" and \"config\" are objects";
    if (element.type != JSON_OBJECT)
        return ERR_INVALID;
    TRY(json_object_check(element.raw, why, &at));
    json_scan_all(element.raw, names, COUNT, spans);
    if (spans[PROVIDER].type != JSON_STRING || spans[ENDPOINT].type != JSON_STRING ||
        spans[QUERY].type != JSON_OBJECT)
        return ERR_INVALID;
    entry = (struct cloudflare_entry){
        .provider = spans[PROVIDER], .endpoint = spans[ENDPOINT], .query = spans[QUERY].raw};
    TRY(take_object(spans[HEADERS], &entry.headers));
    TRY(take_object(spans[CONFIG], &entry.config));
    *out = entry;
    return ERR_OK;
}

enum err cloudflare_universal_check(struct slice body, size_t *count, const char **why)
{
    struct json_scanner scanner;
    struct json_span element;
    struct cloudflare_entry entry;
    size_t seen = 0;
    enum err err;
    *why = "the body must be an array of calls in JSON";
    if (!slice_is_utf8(body))
        return ERR_INVALID;
    json_scanner_init(&scanner, body);
    while ((err = next_element(&scanner, &element)) == ERR_OK) {
        TRY(read_entry(element, &entry, why));
        *why = "the body must be an array of at most 16 calls in JSON";
        if (++seen > CLOUDFLARE_ENTRIES_MAX)
            return ERR_INVALID;
    }
    if (err != ERR_CLOSED || look(&scanner) != 0 || seen == 0)
        return ERR_INVALID;
    *count = seen;
    return ERR_OK;
}

static_assert(CLOUDFLARE_ENTRIES_MAX == 16, "the sentence above says 16");

struct cloudflare_entry cloudflare_universal_at(struct slice body, size_t index)
{
    struct json_scanner scanner;
    struct json_span element;
    struct cloudflare_entry entry;
    const char *why;
    json_scanner_init(&scanner, body);
    for (size_t i = 0; i <= index; i++) {
        enum err err = next_element(&scanner, &element);
        ASSERT(!err); /* it was checked */
    }
    enum err err = read_entry(element, &entry, &why);
    ASSERT(!err);
    return entry;
}

/* ── fields ─────────────────────────────────────────────────────────────────────────────────── */

/* A string's text; of anything else, its JSON. */
static enum err write_field(struct slice name, struct json_span value, struct buf *out)
{
    CLEANUP(buf_deinit) struct buf text;
    buf_init(&text, FIELD_BYTES_MAX);
    if (value.type == JSON_NULL)
        return ERR_OK;
    TRY(value.type == JSON_STRING ? json_span_text(value, &text) : buf_append(&text, value.raw));
    return http1_write_header(out, name, slice_trim(buf_slice(&text)));
}

/* Of the entry's own message, which there is none of. */
static bool is_framing(struct slice name)
{
    static const char *const names[] = {
        "Content-Length", "Transfer-Encoding", "Host", "Connection"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (slice_equal_nocase(name, slice_text(names[i])))
            return true;
    return false;
}

enum err cloudflare_write_headers(struct slice headers, struct buf *out)
{
    CLEANUP(buf_deinit) struct buf text;
    struct json_scanner scanner;
    struct slice name;
    struct json_span value;
    enum err err;
    buf_init(&text, NAME_BYTES_MAX);
    if (headers.size == 0)
        return ERR_OK;
    json_scanner_init(&scanner, headers);
    TRY(json_scanner_open(&scanner));
    while ((err = json_scanner_member(&scanner, &name, &value)) == ERR_OK) {
        buf_clear(&text);
        TRY(json_span_text((struct json_span){JSON_STRING, name}, &text));
        if (!is_framing(buf_slice(&text)))
            TRY(write_field(buf_slice(&text), value, out));
    }
    return err == ERR_CLOSED ? ERR_OK : err;
}

/* Names in options.gateway and its `retries`, and in an entry's config. */
static const struct option {
    const char *name, *field;
} options_known[] = {
    {"cacheKey", "cf-aig-cache-key"},
    {"cacheTtl", "cf-aig-cache-ttl"},
    {"skipCache", "cf-aig-skip-cache"},
    {"metadata", "cf-aig-metadata"},
    {"collectLog", "cf-aig-collect-log"},
    {"eventId", "cf-aig-event-id"},
    {"requestTimeoutMs", "cf-aig-request-timeout"},
    {"requestTimeout", "cf-aig-request-timeout"},
    {"maxAttempts", "cf-aig-max-attempts"},
    {"retryDelayMs", "cf-aig-retry-delay"},
    {"retryDelay", "cf-aig-retry-delay"},
    {"backoff", "cf-aig-backoff"},
};

static enum err write_known(struct slice options, struct buf *out)
{
    for (size_t i = 0; i < sizeof options_known / sizeof *options_known; i++) {
        struct json_span value;
        if (json_scan(options, options_known[i].name, &value) == ERR_OK)
            TRY(write_field(slice_text(options_known[i].field), value, out));
    }
    return ERR_OK;
}

enum err cloudflare_write_options(struct slice options, struct buf *out)
{
    struct json_span retries;
    if (options.size == 0)
        return ERR_OK;
    TRY(write_known(options, out));
    if (json_scan(options, "retries", &retries) || retries.type != JSON_OBJECT)
        return ERR_OK;
    return write_known(retries.raw, out);
}
