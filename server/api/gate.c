/* gate — what every request passes before its body is received.
 *
 * Without keys any website could spend the user's money through the user's own browser, by a plain
 * cross-origin POST or by DNS rebinding: so in open mode a foreign Origin and a Host that is not
 * this machine are refused, and so is a provider's call by a foreign page that has no Origin, as an
 * image's GET. With keys the key decides. CORS is off unless configured. */
#include "protocol/base/own.h"
#include "server/api/cloudflare.h"
#include "server/api/native.h"
#include "server/api/passed.h"
#include "server/api/proxy.h"

#define EXPOSED_HEADERS                                                                            \
    "Tokenlog-Stream-Id, Tokenlog-Stream-Url, Tokenlog-Stream-State, Tokenlog-Provider, "          \
    "Tokenlog-Model, Tokenlog-Target, Tokenlog-Attempt, Tokenlog-Attached, "                       \
    "Tokenlog-Durability, Tokenlog-Left-Out, Idempotent-Replayed, Retry-After, "                   \
    "Stream-Next-Offset, Stream-Cursor, Stream-Up-To-Date, Stream-Closed, Stream-TTL, "            \
    "Stream-Expires-At, Stream-SSE-Data-Encoding, Producer-Epoch, Producer-Seq, "                  \
    "Producer-Expected-Seq, Producer-Received-Seq, ETag, Location, Tokenlog-Checkpoint, "          \
    "Tokenlog-Checkpoint-At, Tokenlog-Offsets, cf-aig-run-id, cf-aig-step, cf-aig-event-id, "      \
    "cf-aig-log-id, cf-aig-request-id, cf-ai-req-id, cf-aig-provider, cf-aig-model, "              \
    "cf-aig-cache-status, Upstream-Content-Type, Upstream-Status"

static bool is_listed(const char *list, struct slice origin)
{
    struct slice rest = slice_text(list);
    while (rest.size) {
        ptrdiff_t comma = slice_find_byte(rest, ',');
        struct slice item = slice_trim(comma < 0 ? rest : slice_sub(rest, 0, (size_t)comma));
        if (item.size && (slice_equal_nocase(item, origin) || slice_equal(item, SLICE("*"))))
            return true;
        rest = comma < 0 ? SLICE_NONE : slice_sub(rest, (size_t)comma + 1, rest.size);
    }
    return false;
}

static bool is_same_machine(struct slice origin)
{
    struct slice authority;
    return origin_authority(origin, &authority) == ERR_OK && host_is_loopback(authority);
}

/* Browsers say so of every request to this machine.
 * source  W3C Fetch Metadata Request Headers, §2.3 */
static bool is_of_foreign_page(struct api *api, struct exchange *exchange)
{
    return slice_equal(exchange_header(exchange, "Sec-Fetch-Site"), SLICE("cross-site")) &&
           (native_serves(api, exchange_target(exchange).path) ||
               passed_serves(exchange_target(exchange).path) ||
               cloudflare_serves(api, exchange_target(exchange).path));
}

/* True: answered, it goes no further. */
static bool check_origin(
    struct api *api, struct exchange *exchange, struct slice origin, bool is_allowed)
{
    if (!auth_is_open(api->auth))
        return false;
    const struct http1_request *request = exchange_request(exchange);
    if (request->host.size && !host_is_loopback(request->host)) {
        exchange_error(exchange, 403, "foreign_host", "Host",
            "without API keys only this machine may call, by a loopback name: make a key with "
            "`tokenlog key new PROJECT`");
        return true;
    }
    if (origin.size ? !is_allowed && !is_same_machine(origin) : is_of_foreign_page(api, exchange)) {
        exchange_error(exchange, 403, "foreign_origin", "Origin",
            "a page of another origin may not call: list it in cors_origins, or make a key with "
            "`tokenlog key new PROJECT`");
        return true;
    }
    return false;
}

static void add_cors(struct exchange *exchange, struct slice origin, bool is_preflight)
{
    enum err err = exchange_add_header(exchange, SLICE("Access-Control-Allow-Origin"), origin);
    if (!err)
        err = exchange_add_header(exchange, SLICE("Vary"), SLICE("Origin"));
    if (!err && !is_preflight)
        err = exchange_add_header(
            exchange, SLICE("Access-Control-Expose-Headers"), SLICE(EXPOSED_HEADERS));
    if (!err && is_preflight)
        err = exchange_add_header(exchange, SLICE("Access-Control-Allow-Methods"),
            SLICE("GET, POST, PUT, PATCH, DELETE"));
    struct slice asked = exchange_header(exchange, "Access-Control-Request-Headers");
    if (!err && is_preflight && asked.size)
        err = exchange_add_header(exchange, SLICE("Access-Control-Allow-Headers"), asked);
    if (!err && is_preflight)
        err = exchange_add_header(exchange, SLICE("Access-Control-Max-Age"), SLICE("600"));
    if (err)
        exchange_error(
            exchange, 400, "bad_request", "Origin", "the request's CORS fields are malformed");
}

/* A caller that speaks a provider's own language names its key as it would there. */
static struct slice presented_key(const struct exchange *exchange)
{
    static const struct slice schemes[] = {SLICE("Bearer "), SLICE("Token "), SLICE("Key ")};
    static const char *const names[] = {"x-api-key", "api-key", "x-goog-api-key", "xi-api-key"};
    struct slice value = exchange_header(exchange, "cf-aig-authorization");
    if (value.size ==
        0) /* beside it, Authorization is the provider's, which gets its own from us */
        value = exchange_header(exchange, "Authorization");
    for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++)
        if (slice_equal_nocase(slice_sub(value, 0, schemes[i].size), schemes[i]))
            return slice_trim(slice_sub(value, schemes[i].size, value.size));
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if ((value = exchange_header(exchange, names[i])).size)
            return value;
    return SLICE_NONE;
}

static bool is_probe(struct slice path)
{
    return slice_equal(path, SLICE("/healthz")) || slice_equal(path, SLICE("/readyz"));
}

/* By a URL that stands for a key, or by a key.  answers ERR_DENIED: it was refused */
static enum err find_project(struct api *api, struct exchange *exchange, struct project **out)
{
    CLEANUP(buf_deinit) struct buf name;
    struct slice key = presented_key(exchange);
    buf_init(&name, HTTP_TARGET_BYTES_MAX);
    enum err err = proxy_admit(api, exchange, &name);
    if (err == ERR_DENIED)
        return err;
    if (!err && auth_project(api->auth, buf_slice(&name), out) == ERR_OK)
        return ERR_OK;
    if (auth_check(api->auth, key, out) == ERR_OK)
        return ERR_OK;
    exchange_error(exchange, 401, key.size ? "invalid_api_key" : "missing_api_key", NULL,
        "%s an API key of this server as `Authorization: Bearer KEY`; `tokenlog key new "
        "PROJECT` makes one",
        key.size ? "this key is not known here: send" : "send");
    return ERR_DENIED;
}

static void check_key(struct api *api, struct exchange *exchange)
{
    struct project *project;
    if (find_project(api, exchange, &project))
        return;
    if (project->number == 0 &&
        storage_project(hub_storage(api->hub), slice_text(project->name), &project->number)) {
        exchange_error(
            exchange, 503, "overloaded", NULL, "the project cannot be opened; try again");
        return;
    }
    exchange_set_project(exchange, project);
}

/* Errors are told in the language of the call, also where it begins with a provider's name. */
static void set_dialect(struct exchange *exchange, struct slice path)
{
    const struct dialect *dialect;
    size_t first = path_segment(path, 0).size + 1;
    if (dialect_for_path(path, &dialect) == ERR_OK ||
        dialect_for_path(slice_sub(path, first, path.size), &dialect) == ERR_OK)
        exchange_set_dialect(exchange, dialect);
}

void api_admit(void *context, struct exchange *exchange)
{
    struct api *api = context;
    const struct http1_request *request = exchange_request(exchange);
    struct slice path = exchange_target(exchange).path;
    set_dialect(exchange, path);
    cloudflare_admit(api, exchange);
    struct slice origin = headers_get(&request->headers, "Origin");
    bool is_allowed = origin.size && is_listed(api->config->cors_origins, origin);
    if (check_origin(api, exchange, origin, is_allowed))
        return;
    bool is_preflight = slice_equal(request->method, SLICE("OPTIONS"));
    if (is_allowed)
        add_cors(exchange, origin, is_preflight);
    if (!is_preflight && !is_probe(path))
        check_key(api, exchange);
    passed_admit(api, exchange);
}
