/* call_read — an inference call's request: its body, and what its header fields ask of us. */
#include "protocol/base/own.h"
#include "protocol/data/json.h"
#include "server/api/call.h"
#include "server/api/ttl.h"

enum {
    METADATA_BYTES_MAX = 4096, /* Tokenlog-Metadata: it stands in the row */
};

/* 1–255 visible ASCII characters, bare or as the quoted string of the draft. */
static enum err read_key(struct slice value, struct slice *key)
{
    bool is_quoted = value.size >= 2 && value.data[0] == '"' && value.data[value.size - 1] == '"';
    if (is_quoted)
        value = slice_sub(value, 1, value.size - 2);
    if (value.size == 0 || value.size > KEY_BYTES_MAX)
        return ERR_INVALID;
    for (size_t i = 0; i < value.size; i++)
        if (value.data[i] <= ' ' || value.data[i] > '~' || value.data[i] == '"')
            return ERR_INVALID;
    *key = value;
    return ERR_OK;
}

static bool read_ttl(struct call *call)
{
    char why[TTL_WHY_BYTES];
    if (ttl_read(call->api, call->exchange, &call->ttl_s, why) == ERR_OK)
        return true;
    exchange_error(call->exchange, 400, "invalid_ttl", "Tokenlog-TTL", "%s", why);
    return false;
}

static bool read_ttl_mode(struct call *call)
{
    struct slice mode = exchange_header(call->exchange, "Tokenlog-TTL-Mode");
    if (mode.size == 0)
        mode = slice_text(call->api->config->ttl_mode);
    call->is_sliding = slice_equal(mode, SLICE("sliding"));
    if (call->is_sliding || slice_equal(mode, SLICE("absolute")))
        return true;
    exchange_error(call->exchange, 400, "invalid_ttl_mode", "Tokenlog-TTL-Mode",
        "Tokenlog-TTL-Mode is absolute, or sliding: reading by ID or key makes it last longer");
    return false;
}

/* A field that is one word of a list, which `told` names for people: *out is its place there, and left as it is
 * where the field is absent. False: answered. */
struct words {
    const char *name, *code, *told;
    const char *const *list; /* NULL-terminated */
};
static bool read_word(struct call *call, const struct words *words, int *out)
{
    const struct headers *headers = &exchange_request(call->exchange)->headers;
    size_t count = headers_count(headers, words->name);
    for (int i = 0; count == 1 && words->list[i]; i++)
        if (slice_equal_nocase(headers_get(headers, words->name), slice_text(words->list[i]))) {
            *out = i;
            return true;
        }
    if (count > 0)
        exchange_error(call->exchange, 400, words->code, words->name, "%s is %s, and sent once",
            words->name, words->told);
    return count == 0;
}

/* A field that is a number of at most `max`: PLAN_UNSAID where it is absent. False: answered. */
static bool read_number(
    struct call *call, const char *name, const char *code, uint64_t max, int64_t *out)
{
    const struct headers *headers = &exchange_request(call->exchange)->headers;
    size_t count = headers_count(headers, name);
    uint64_t number;
    if (count == 0)
        return true;
    if (count == 1 && slice_u64(headers_get(headers, name), &number) == ERR_OK && number <= max) {
        *out = (int64_t)number;
        return true;
    }
    exchange_error(call->exchange, 400, code, name, "%s is a number from 0 to %llu, and sent once",
        name, (unsigned long long)max);
    return false;
}

static bool read_backoff(struct call *call, int *out)
{
    static const char *const list[] = {[BACKOFF_CONSTANT] = "constant",
        [BACKOFF_LINEAR] = "linear",
        [BACKOFF_EXPONENTIAL] = "exponential",
        [BACKOFF_EXPONENTIAL + 1] = NULL};
    static const struct words words = {
        "Tokenlog-Backoff", "invalid_backoff", "`constant`, `linear` or `exponential`", list};
    return read_word(call, &words, out);
}

static bool read_attach(struct call *call)
{
    static const char *const list[] = {"always", "never", NULL};
    static const struct words words = {
        "Tokenlog-Attach", "invalid_attach", "`always` (as without it) or `never`", list};
    int word = 0;
    bool is_read = read_word(call, &words, &word);
    call->never_attaches = word == 1;
    return is_read;
}

static bool read_on_interrupted(struct call *call)
{
    static const char *const list[] = {[ON_INTERRUPTED_REPLAY] = "replay",
        [ON_INTERRUPTED_RESTART] = "restart",
        [ON_INTERRUPTED_CONTINUE] = "continue",
        [ON_INTERRUPTED_CONTINUE + 1] = NULL};
    static const struct words words = {"Tokenlog-On-Interrupted", "invalid_on_interrupted",
        "`replay` (as without it), `restart` or `continue`", list};
    int word = ON_INTERRUPTED_REPLAY;
    bool is_read = read_word(call, &words, &word);
    call->on_interrupted = (enum on_interrupted)word;
    return is_read;
}

/* What the call asks of its attempts, over what its route says. */
static bool read_wish(struct call *call)
{
    struct plan_policy *wish = &call->wish;
    if (!read_backoff(call, &wish->backoff) ||
        !read_number(
            call, "Tokenlog-Retries", "invalid_retries", PLAN_RETRIES_MAX, &wish->retries) ||
        !read_number(
            call, "Tokenlog-Backoff-Ms", "invalid_backoff", ROUTE_WAIT_MS_MAX, &wish->backoff_ms) ||
        !read_number(call, "Tokenlog-First-Byte-Timeout-Ms", "invalid_first_byte_timeout",
            ROUTE_WAIT_MS_MAX, &wish->first_byte_timeout_ms))
        return false;
    if (wish->backoff_ms > route_policy_default.backoff_max_ms)
        wish->backoff_max_ms = wish->backoff_ms;
    return true;
}

/* Whether the provider is there, and takes keys that calls bring. */
static bool takes_callers_keys(struct api *api, struct slice name)
{
    CLEANUP(catalogue_cleanup) struct catalogue *catalogue = catalogues_get(api->catalogues);
    size_t count;
    const struct provider *providers = catalogue_providers(catalogue, &count);
    for (size_t i = 0; i < count; i++)
        if (slice_equal(name, slice_text(providers[i].name)))
            return providers[i].takes_callers_keys;
    return false;
}

/* A key that would not be used is refused: the call would be asked for with ours. False: answered. */
static bool read_provider_keys(struct call *call)
{
    const struct headers *headers = &exchange_request(call->exchange)->headers;
    for (size_t i = 0; i < headers->count; i++) {
        struct slice name, key;
        if (!slice_equal_nocase(headers->items[i].name, SLICE(PROVIDER_KEY_FIELD)))
            continue;
        if (provider_key_parts(headers->items[i].value, &name, &key)) {
            exchange_error(call->exchange, 400, "invalid_provider_key", PROVIDER_KEY_FIELD,
                PROVIDER_KEY_FIELD " is NAME=KEY: a provider's name, and a key of visible ASCII "
                                   "characters; one field for each provider");
            return false;
        }
        if (!takes_callers_keys(call->api, name)) {
            exchange_error(call->exchange, 403, "provider_key_not_taken", PROVIDER_KEY_FIELD,
                "no provider `%.*s` here takes keys of callers: `callers_keys: true` in the "
                "configuration lets them",
                SLICE_PRINT(slice_sub(name, 0, 64)));
            return false;
        }
    }
    return true;
}

/* False: answered. */
static bool read_fields(struct call *call)
{
    struct exchange *exchange = call->exchange;
    const struct headers *headers = &exchange_request(exchange)->headers;
    size_t keys = headers_count(headers, "Idempotency-Key");
    if (keys > 1 || (keys == 1 && read_key(headers_get(headers, "Idempotency-Key"), &call->key))) {
        exchange_error(exchange, 400, "invalid_idempotency_key", "Idempotency-Key",
            "send one Idempotency-Key of 1 to %d visible ASCII characters without quotes inside",
            KEY_BYTES_MAX);
        return false;
    }
    const char *why;
    size_t at;
    call->metadata = headers_get(headers, "Tokenlog-Metadata");
    if (call->metadata.size && (call->metadata.size > METADATA_BYTES_MAX ||
                                   json_object_check(call->metadata, &why, &at))) {
        exchange_error(exchange, 400, "invalid_metadata", "Tokenlog-Metadata",
            "Tokenlog-Metadata is to be one JSON object of at most %d bytes", METADATA_BYTES_MAX);
        return false;
    }
    return read_ttl(call) && read_ttl_mode(call) && read_wish(call) && read_attach(call) &&
           read_on_interrupted(call) && read_provider_keys(call);
}

static bool read_body(struct call *call)
{
    const char *why = "the body could not be read", *param = NULL;
    if (call->native_target.size ||
        dialect_read_request(
            call->dialect, exchange_body(call->exchange), &call->request, &why, &param) == ERR_OK)
        return true;
    exchange_error(call->exchange, 400, "invalid_body", param, "%s", why);
    return false;
}

bool call_read(struct call *call)
{
    struct exchange *exchange = call->exchange;
    if (!read_body(call) || !read_fields(call) || !run_step_read(exchange, &call->run_step))
        return false;
    const struct http1_request *request = exchange_request(exchange);
    struct slice parts[] = {request->method, request->target, exchange_body(exchange)};
    sha256_parts(parts, 3, call->fingerprint);
    return true;
}

/* ── what it needs ──────────────────────────────────────────────────────────────────────────── */

static bool is_filled(struct json_span span)
{
    return span.type == JSON_ARRAY && span.raw.size > 2;
}

/* A string of JSON is found by its quotes: inside of another one they would be escaped. */
static bool has_word(struct json_span span, const char *quoted)
{
    return span.raw.size && slice_find(span.raw, slice_text(quoted)) >= 0;
}

uint32_t call_needs(struct slice body)
{
    enum { TOOLS, FUNCTIONS, FORMAT, TEXT, OUTPUT, MESSAGES, INPUT, COUNT };
    static const char *const names[COUNT] = {
        "tools", "functions", "response_format", "text", "output_format", "messages", "input"};
    static const struct {
        const char *word;
        enum capability capability;
    } parts[] = {{"\"image_url\"", CAPABILITY_vision}, {"\"input_image\"", CAPABILITY_vision},
        {"\"image\"", CAPABILITY_vision}, {"\"document\"", CAPABILITY_documents},
        {"\"input_file\"", CAPABILITY_documents}, {"\"input_audio\"", CAPABILITY_audio}};
    struct json_span spans[COUNT];
    uint32_t needs = 0;
    json_scan_all(body, names, COUNT, spans);
    if (is_filled(spans[TOOLS]) || is_filled(spans[FUNCTIONS]))
        needs |= 1u << CAPABILITY_tools;
    for (size_t i = FORMAT; i <= OUTPUT; i++)
        if (has_word(spans[i], "\"json_schema\""))
            needs |= 1u << CAPABILITY_json_schema;
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        if (has_word(spans[MESSAGES], parts[i].word) || has_word(spans[INPUT], parts[i].word))
            needs |= 1u << parts[i].capability;
    return needs;
}
