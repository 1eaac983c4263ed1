/* cloudflare_fields — see the header. */
#include "server/api/cloudflare_fields.h"

#include "protocol/data/json.h"
#include "server/api/cloudflare_path.h"

/* The gateway's own limits, but for the timeout's, which is that of a route. */
enum {
    ATTEMPTS_MAX = 5,          /* the first among them */
    RETRY_DELAY_MS_MAX = 5000, /* between two of them */
    REQUEST_TIMEOUT_MS_MAX = ROUTE_WAIT_MS_MAX,
    CACHE_TTL_S_MAX = 31 * 24 * 3600, /* a month */
};

/* ── what is asked ──────────────────────────────────────────────────────────────────────────── */

static enum err add(struct headers *out, struct slice name, struct slice value)
{
    if (out->count == HTTP_HEADER_COUNT_MAX)
        return ERR_LIMIT;
    out->items[out->count++] = (struct header){name, value};
    return ERR_OK;
}

static bool has(const struct headers *headers, struct slice name, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (slice_equal_nocase(headers->items[i].name, name))
            return true;
    return false;
}

static enum err take_lines(struct slice lines, struct headers *out)
{
    while (lines.size) {
        ptrdiff_t colon = slice_find_byte(lines, ':'), end = slice_find(lines, SLICE("\r\n"));
        ASSERT(colon > 0 && end > colon); /* we wrote them */
        struct slice name = slice_sub(lines, 0, (size_t)colon);
        struct slice value = slice_sub(lines, (size_t)colon + 1, (size_t)(end - colon) - 1);
        if (!has(out, name, out->count))
            TRY(add(out, name, slice_trim(value)));
        lines = slice_sub(lines, (size_t)end + 2, lines.size);
    }
    return ERR_OK;
}

static bool is_word(struct slice value, const char *word)
{
    return slice_equal_nocase(value, slice_text(word));
}

/* What the caller says in our words itself stands. */
static enum err add_ours(struct headers *out, const char *name, struct slice value)
{
    return value.size && !headers_count(out, name) ? add(out, slice_text(name), value) : ERR_OK;
}

/* The attempts after the first. */
static struct slice retries(struct slice attempts)
{
    static const struct slice counts[ATTEMPTS_MAX] = {
        SLICE("0"), SLICE("1"), SLICE("2"), SLICE("3"), SLICE("4")};
    uint64_t count;
    bool is_fit = slice_u64(attempts, &count) == ERR_OK && count >= 1 && count <= ATTEMPTS_MAX;
    return is_fit ? counts[count - 1] : SLICE_NONE; /* else it is refused by its rule */
}

static enum err translate(struct headers *out)
{
    static const char *const same[][2] = {{"cf-aig-metadata", "Tokenlog-Metadata"},
        {"cf-aig-retry-delay", "Tokenlog-Backoff-Ms"}, {"cf-aig-backoff", "Tokenlog-Backoff"},
        {"cf-aig-request-timeout", "Tokenlog-First-Byte-Timeout-Ms"}};
    bool is_logged = !is_word(headers_get(out, "cf-aig-collect-log"), "false");
    for (size_t i = 0; i < sizeof same / sizeof *same; i++)
        TRY(add_ours(out, same[i][1], headers_get(out, same[i][0])));
    TRY(add_ours(out, "Tokenlog-Retries", retries(headers_get(out, "cf-aig-max-attempts"))));
    return add_ours(out, "Tokenlog-TTL", is_logged ? SLICE_NONE : SLICE("330"));
}

enum err cloudflare_fields_make(
    struct slice lines, const struct headers *outer, struct headers *out)
{
    out->count = 0;
    TRY(take_lines(lines, out));
    size_t own = out->count;
    for (size_t i = 0; i < outer->count; i++)
        if (!has(out, outer->items[i].name, own))
            TRY(add(out, outer->items[i].name, outer->items[i].value));
    return translate(out);
}

/* Of each field that is a number or a word. */
static const struct rule {
    const char *name, *why;
    uint64_t min, max;
    const char *words[3]; /* if it is no number */
} rules[] = {
    {"cf-aig-max-attempts", "is a number from 1 to 5", 1, ATTEMPTS_MAX, {0}},
    {"cf-aig-retry-delay", "is a number of milliseconds up to 5000", 0, RETRY_DELAY_MS_MAX, {0}},
    {"cf-aig-backoff", "is constant, linear or exponential", 0, 0,
        {"constant", "linear", "exponential"}},
    {"cf-aig-request-timeout", "is a number of milliseconds up to an hour's", 1,
        REQUEST_TIMEOUT_MS_MAX, {0}},
    {"cf-aig-cache-ttl", "is a number of seconds up to a month's", 0, CACHE_TTL_S_MAX, {0}},
    {"cf-aig-skip-cache", "is true or false", 0, 0, {"true", "false"}},
    {"cf-aig-collect-log", "is true or false", 0, 0, {"true", "false"}},
};

static bool keeps(const struct rule *rule, struct slice value)
{
    uint64_t number;
    if (!rule->words[0])
        return slice_u64(value, &number) == ERR_OK && number >= rule->min && number <= rule->max;
    for (size_t i = 0; i < sizeof rule->words / sizeof *rule->words && rule->words[i]; i++)
        if (is_word(value, rule->words[i]))
            return true;
    return false;
}

enum err cloudflare_fields_check(const struct headers *headers, const char **name, const char **why)
{
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
        size_t count = headers_count(headers, rules[i].name);
        if (count == 0 || (count == 1 && keeps(&rules[i], headers_get(headers, rules[i].name))))
            continue;
        *name = rules[i].name;
        *why = rules[i].why;
        return ERR_INVALID;
    }
    return ERR_OK;
}

/* ── what is answered ───────────────────────────────────────────────────────────────────────── */

/* Names come from callers and may hold what no header can; then it goes without. */
static enum err tell(struct exchange *exchange, const char *name, struct slice value)
{
    const struct header header = {slice_text(name), value};
    if (value.size == 0 || !header_is_clean(header))
        return ERR_OK;
    return exchange_add_header(exchange, header.name, header.value);
}

enum err cloudflare_announce(struct exchange *exchange, const struct row *row)
{
    char id[ID_TEXT_BYTES], run[CLOUDFLARE_RUN_BYTES];
    struct slice event = exchange_header(exchange, "cf-aig-event-id");
    id_format(&row->id, id);
    cloudflare_run_format(&row->id, run);
    if (row->is_sse)
        TRY(tell(exchange, "cf-aig-run-id", slice_text(run)));
    TRY(tell(exchange, "cf-aig-event-id", event.size ? event : slice_text(id)));
    TRY(tell(exchange, "cf-aig-log-id", slice_text(id)));
    TRY(tell(exchange, "cf-aig-request-id", slice_text(id)));
    TRY(tell(exchange, "cf-ai-req-id", slice_text(id)));
    TRY(tell(exchange, "cf-aig-step", exchange_header(exchange, "cf-aig-step")));
    TRY(tell(exchange, "cf-aig-provider", row->provider));
    TRY(tell(exchange, "cf-aig-model", row->model));
    return tell(exchange, "cf-aig-cache-status", SLICE("BYPASS"));
}

/* source  cloudflare/ai 917c0243 packages/ai-gateway-provider/src/index.ts (2009), packages/gateway-core/
 *         src/gateway-providers.ts (7003); 2002 is what the gateway itself says where it can't go on */
static int number_of(int status, struct slice code)
{
    if (status == 401)
        return 2009;
    bool is_unknown = slice_equal(code, SLICE("model_not_found")) ||
                      slice_equal(code, SLICE("provider_not_found"));
    return is_unknown ? 7003 : 2002;
}

static void write_list(struct json_writer *json, const char *name, int status, struct slice code,
    struct slice message, const char *param)
{
    json_key(json, name);
    json_open(json, '[');
    json_open(json, '{');
    json_key(json, "code");
    json_integer(json, number_of(status, code));
    json_key(json, "name");
    json_string(json, code);
    json_key(json, "message");
    json_string(json, message);
    json_key(json, "param");
    if (param)
        json_string(json, slice_text(param));
    else
        json_null(json);
    json_close(json, '}');
    json_close(json, ']');
}

/* The gateway says "error", the API "errors". */
static enum err write_error(
    struct buf *out, int status, const char *code, struct slice message, const char *param)
{
    struct json_writer json;
    json_writer_init(&json, out);
    json_open(&json, '{');
    json_key(&json, "success");
    json_boolean(&json, false);
    json_key(&json, "result");
    json_null(&json);
    write_list(&json, "error", status, slice_text(code), message, param);
    write_list(&json, "errors", status, slice_text(code), message, param);
    json_key(&json, "messages");
    json_open(&json, '[');
    json_close(&json, ']');
    json_close(&json, '}');
    return json.err;
}

const struct dialect cloudflare_errors = {.name = "cloudflare", .write_error = write_error};
