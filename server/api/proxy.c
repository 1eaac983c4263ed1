/* proxy — see the header.
 *
 *   POST ─▶ whose URL it is ─▶ native.h ─▶ the stream, and its producer
 *                                           └▶ (its head is durable) ─▶ 2xx         201
 *                                                                    ─▶ 3xx         400
 *                                                                    ─▶ else        502, and its body */
#include "server/api/proxy.h"

#include <stdio.h>
#include <stdlib.h>

#include "protocol/base/own.h"
#include "server/api/ending.h"
#include "server/api/native.h"
#include "server/durable/call.h"
#include "server/policy/signed_url.h"
#include "server/stream/append.h"
#include "server/stream/duplicates.h"

enum {
    LOCATION_BYTES_MAX = 16 * 1024, /* a Host, an ID, a project's name percent-encoded */
    STATUS_BYTES = 24,
    SIGNED_URL_SECONDS = 24 * 3600, /* the protocol's own default */
};

static void refuse_memory(struct exchange *exchange)
{
    exchange_error(exchange, 503, "overloaded", NULL, "out of memory; try again");
}

/* ── the gate ───────────────────────────────────────────────────────────────────────────────── */

static bool is_stream_path(struct slice path)
{
    return path_segment_count(path) == 3 && slice_equal(path_segment(path, 0), SLICE("v1")) &&
           slice_equal(path_segment(path, 1), SLICE("proxy"));
}

static void refuse_signature(struct exchange *exchange, enum err err)
{
    static const char *const hint =
        "the URL is that of Location when the stream was made; POST "
        "/v1/proxy again, with the same Idempotency-Key, gives a new one";
    const char *code = err == ERR_NOTFOUND ? "MISSING_SIGNATURE"
                       : err == ERR_CLOSED ? "SIGNATURE_EXPIRED"
                                           : "SIGNATURE_INVALID";
    durable_secure(exchange);
    exchange_error(exchange, 401, code, "signature", "%s", hint);
}

enum err proxy_admit(struct api *api, struct exchange *exchange, struct buf *project)
{
    struct slice method = exchange_request(exchange)->method;
    struct target target = exchange_target(exchange);
    bool is_abort = slice_equal(method, SLICE("PATCH"));
    if (!is_stream_path(target.path) || (!is_abort && !slice_equal(method, SLICE("GET"))))
        return ERR_NOTFOUND;
    enum err err = signed_url_check(api->url_secret, path_segment(target.path, 2), target.query,
        loop_wall_ns(api->loop) / 1000000000, project);
    if (err == ERR_OK || (err == ERR_NOTFOUND && !is_abort))
        return err;
    refuse_signature(exchange, err);
    return ERR_DENIED;
}

/* ── POST: whom ─────────────────────────────────────────────────────────────────────────────── */

/* What is behind the provider's base URL. */
static bool is_below(struct slice url, const struct provider *provider, struct slice *rest)
{
    struct slice base = slice_text(provider->base_url);
    if (!slice_has_prefix(url, base))
        return false;
    *rest = slice_sub(url, base.size, url.size);
    return rest->size == 0 || rest->data[0] == '/' || rest->data[0] == '?';
}

/* The one whose base URL has most of it. */
static const struct provider *provider_of(
    const struct catalogue *catalogue, struct slice url, struct slice *rest)
{
    size_t count;
    const struct provider *providers = catalogue_providers(catalogue, &count), *found = NULL;
    for (size_t i = 0; i < count; i++) {
        struct slice behind;
        if (!is_below(url, &providers[i], &behind) || (found && behind.size >= rest->size))
            continue;
        found = &providers[i];
        *rest = behind;
    }
    return found;
}

static bool is_method(struct slice method)
{
    static const struct slice known[] = {
        SLICE("GET"), SLICE("POST"), SLICE("PUT"), SLICE("PATCH"), SLICE("DELETE")};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (slice_equal(method, known[i]))
            return true;
    return false;
}

/* False: answered. */
static bool check_fields(struct exchange *exchange, struct slice url, struct slice method)
{
    if (url.size == 0)
        exchange_error(exchange, 400, "MISSING_UPSTREAM_URL", "Upstream-URL",
            "say by Upstream-URL what is to be asked: a URL of a provider of this server");
    else if (method.size == 0)
        exchange_error(exchange, 400, "MISSING_UPSTREAM_METHOD", "Upstream-Method",
            "say by Upstream-Method how it is to be asked");
    else if (!is_method(method))
        exchange_error(exchange, 400, "INVALID_UPSTREAM_METHOD", "Upstream-Method",
            "Upstream-Method is GET, POST, PUT, PATCH or DELETE");
    else
        return true;
    return false;
}

/* NULL: answered. */
static const struct provider *find_provider(struct api *api, const struct catalogue *catalogue,
    struct exchange *exchange, struct slice url, struct slice *rest)
{
    const struct provider *provider =
        api->config->native_paths ? provider_of(catalogue, url, rest) : NULL;
    if (!provider)
        exchange_error(exchange, 403, "UPSTREAM_NOT_ALLOWED", "Upstream-URL",
            "only what is below the base_url of a configured provider may be asked%s",
            api->config->native_paths ? "" : ", and native_paths is off");
    return provider;
}

/* ── POST: the call inside ──────────────────────────────────────────────────────────────────── */

/* Its parts, in one text: /NATIVE/…, and behind it the caller's own key as the field that says it here. */
struct inside {
    struct buf text;
    size_t target_end;
    struct headers headers;
};

static enum err write_target(
    struct inside *inside, const struct provider *provider, struct slice rest)
{
    bool has_path = rest.size && rest.data[0] == '/';
    TRY(buf_printf(
        &inside->text, "/%s%s%.*s", provider->native, has_path ? "" : "/", SLICE_PRINT(rest)));
    inside->target_end = inside->text.size;
    return ERR_OK;
}

/* What is behind the scheme's name, if there is one: how it is sent is the provider's to say. */
static enum err write_key(struct inside *inside, const struct provider *provider)
{
    struct slice value = headers_get(&inside->headers, "Upstream-Authorization");
    ptrdiff_t space = slice_find_byte(value, ' ');
    struct slice key = slice_trim(slice_sub(value, space < 0 ? 0 : (size_t)space, value.size));
    if (key.size == 0)
        return ERR_OK;
    if (inside->headers.count == HTTP_HEADER_COUNT_MAX)
        return ERR_LIMIT;
    TRY(buf_printf(&inside->text, "%s=%.*s", provider->name, SLICE_PRINT(key)));
    inside->headers.items[inside->headers.count++] = (struct header){SLICE(PROVIDER_KEY_FIELD),
        slice_sub(buf_slice(&inside->text), inside->target_end, inside->text.size)};
    return ERR_OK;
}

/* It takes the place of the one that came. False: answered. */
static bool go_inside(struct exchange *exchange, struct slice method, struct inside *inside)
{
    const struct exchange_inner inner = {.method = method,
        .target = slice_sub(buf_slice(&inside->text), 0, inside->target_end),
        .body = exchange_outer_body(exchange),
        .headers = &inside->headers};
    enum err err = exchange_unwrap(exchange, &inner, &inside->text);
    if (err == ERR_INVALID)
        exchange_error(exchange, 400, "bad_request", "Upstream-URL",
            "the URL is malformed: check its percent escapes and remove dot segments");
    else if (err)
        refuse_memory(exchange);
    return !err;
}

/* False: answered. */
static bool unwrap(struct api *api, struct exchange *exchange)
{
    CLEANUP(catalogue_cleanup) struct catalogue *catalogue = catalogues_get(api->catalogues);
    struct slice url = exchange_header(exchange, "Upstream-URL"), rest;
    struct slice method = exchange_header(exchange, "Upstream-Method");
    if (!check_fields(exchange, url, method))
        return false;
    const struct provider *provider = find_provider(api, catalogue, exchange, url, &rest);
    if (!provider)
        return false;
    struct inside inside = {.headers = exchange_outer_request(exchange)->headers};
    buf_init(&inside.text, HTTP_HEAD_BYTES_MAX);
    enum err err = write_target(&inside, provider, rest);
    if (!err)
        err = write_key(&inside, provider);
    if (!err)
        return go_inside(exchange, method, &inside);
    buf_deinit(&inside.text);
    exchange_error(
        exchange, 431, "request_too_long", NULL, "the call's URL or its fields are too long");
    return false;
}

/* ── POST: the answer ───────────────────────────────────────────────────────────────────────── */

struct beginning {
    struct api *api;
    struct exchange *exchange;
    struct stream *stream;
    struct stream_watcher watcher;
    const char *attached;
};

static void beginning_free(struct beginning *beginning)
{
    stream_unwatch(beginning->stream, &beginning->watcher);
    stream_unref(beginning->stream);
    free(beginning);
}

static enum err write_location(
    const struct beginning *beginning, const struct row *row, struct buf *out)
{
    const struct api *api = beginning->api;
    char id[ID_TEXT_BYTES];
    id_format(&row->id, id);
    TRY(durable_write_origin(api, beginning->exchange, out));
    TRY(buf_printf(out, "/v1/proxy/%s?", id));
    return signed_url_write(api->url_secret, slice_text(id),
        slice_text(exchange_project(beginning->exchange)->name),
        loop_wall_ns(api->loop) / 1000000000 + SIGNED_URL_SECONDS, out);
}

static void answer_created(const struct beginning *beginning, const struct row *row)
{
    CLEANUP(buf_deinit) struct buf url;
    struct exchange *exchange = beginning->exchange;
    buf_init(&url, LOCATION_BYTES_MAX);
    enum err err = write_location(beginning, row, &url);
    if (!err)
        err = exchange_add_header(exchange, SLICE("Location"), buf_slice(&url));
    if (!err && row->content_type.size)
        err = exchange_add_header(exchange, SLICE("Upstream-Content-Type"), row->content_type);
    if (!err)
        err = replay_add_headers(exchange, beginning->stream, beginning->attached);
    if (err)
        refuse_memory(exchange);
    else
        exchange_reply(exchange, 201, NULL, SLICE_NONE);
}

static void answer_redirect(struct exchange *exchange)
{
    exchange_error(exchange, 400, "REDIRECT_NOT_ALLOWED", "Upstream-URL",
        "the provider answered with another place, and is not followed there");
}

/* Also where there is no status: it says why. */
static void answer_error(const struct beginning *beginning, uint32_t status)
{
    const struct replay_request whole = {.format = REPLAY_PROVIDER,
        .follow = true,
        .status = 502,
        .attached = beginning->attached,
        .is_caller = true};
    char text[STATUS_BYTES];
    (void)snprintf(text, sizeof text, "%u", (unsigned)status);
    if (status &&
        exchange_add_header(beginning->exchange, SLICE("Upstream-Status"), slice_text(text)))
        refuse_memory(beginning->exchange);
    else
        replay_start(beginning->exchange, stream_ref(beginning->stream), &whole);
}

static void answer(struct beginning *beginning)
{
    const struct row *row = stream_visible_row(beginning->stream);
    exchange_release(beginning->exchange);
    if (row->status >= 200 && row->status < 300)
        answer_created(beginning, row);
    else if (row->status >= 300 && row->status < 400)
        answer_redirect(beginning->exchange);
    else
        answer_error(beginning, row->status);
    beginning_free(beginning);
}

static void woken(struct stream_watcher *watcher)
{
    struct beginning *beginning = CONTAINER_OF(watcher, struct beginning, watcher);
    const struct row *row = stream_visible_row(beginning->stream);
    watcher->is_parked = true;
    if (row && (stream_head_is_visible(beginning->stream) || stream_has_ended(beginning->stream))) {
        answer(beginning);
    } else if (hub_is_stuck(stream_hub(beginning->stream))) {
        exchange_error(beginning->exchange, 503, "storage_full", NULL,
            "the answer can not be recorded, so it is not shown: see the server's log");
        beginning_free(beginning);
    }
}

static void closed(void *context)
{
    struct beginning *beginning = context;
    duplicates_left(beginning->stream, !beginning->attached);
    beginning_free(beginning);
}

static const struct responder responder = {NULL, closed};

static void begin(
    struct api *api, struct exchange *exchange, struct stream *stream, const char *attached)
{
    struct beginning *beginning = calloc(1, sizeof *beginning);
    if (!beginning) {
        stream_unref(stream);
        refuse_memory(exchange);
        return;
    }
    stream_outlive_callers(stream);
    *beginning = (struct beginning){
        .api = api, .exchange = exchange, .stream = stream, .attached = attached};
    beginning->watcher.wake = woken;
    stream_watch(stream, &beginning->watcher);
    exchange_hold(exchange, &responder, beginning);
    woken(&beginning->watcher);
}

void proxy_post(struct api *api, struct exchange *exchange, struct slice id)
{
    (void)id;
    durable_secure(exchange);
    if (unwrap(api, exchange) && !native_handle_for(api, exchange, begin))
        exchange_error(exchange, 403, "UPSTREAM_NOT_ALLOWED", "Upstream-URL",
            "the provider is not configured any more");
}

/* ── GET, HEAD ──────────────────────────────────────────────────────────────────────────────── */

void proxy_get(struct api *api, struct exchange *exchange, struct slice id)
{
    char name[sizeof "-/streams/" + ID_TEXT_BYTES];
    (void)snprintf(name, sizeof name, "-/streams/%.*s", SLICE_PRINT(id)); /* a longer one is none */
    durable_get(api, exchange, slice_text(name));
}

/* ── PATCH, DELETE ──────────────────────────────────────────────────────────────────────────── */

static void answer_done(struct visit *visit)
{
    exchange_reply(visit->exchange, visit->is_late ? 202 : 204, NULL, SLICE_NONE);
    visit_free(visit);
}

/* False: answered. Nobody generates it. */
static bool check_generated(struct visit *visit, struct stream *stream)
{
    if (!append_is_appended(stream))
        return true;
    api_answer_lookup_error(visit->exchange, ERR_NOTFOUND);
    stream_unref(stream);
    visit_free(visit);
    return false;
}

static void abort_found(struct visit *visit, struct stream *stream)
{
    visit->settled = answer_done;
    if (check_generated(visit, stream))
        ending_stop(visit, stream);
}

void proxy_patch(struct api *api, struct exchange *exchange, struct slice id)
{
    struct slice action;
    durable_secure(exchange);
    bool is_abort = query_get(exchange_target(exchange).query, "action", &action) == ERR_OK &&
                    slice_equal(action, SLICE("abort"));
    if (is_abort)
        visit_start(api, exchange, id, abort_found, NULL);
    else
        exchange_error(
            exchange, 400, "INVALID_ACTION", "action", "action is abort, and nothing else");
}

static void remove_stopped(struct visit *visit)
{
    struct stream *stream = MOVE(visit->stream);
    exchange_release(visit->exchange);
    visit->settled = answer_done;
    ending_remove(visit, stream);
}

static void remove_found(struct visit *visit, struct stream *stream)
{
    if (!check_generated(visit, stream))
        return;
    visit->settled = remove_stopped;
    ending_stop(visit, stream);
}

/* What is not there is deleted. */
static void remove_looked_up(struct hub_lookup *lookup, enum err err, struct stream *stream)
{
    struct visit *visit = CONTAINER_OF(lookup, struct visit, lookup);
    bool is_gone = err == ERR_NOTFOUND || (!err && stream_is_deleted(stream));
    if (!visit->exchange || !is_gone) {
        visit_found(lookup, err, stream);
        return;
    }
    exchange_reply(visit->exchange, 204, NULL, SLICE_NONE);
    stream_unref(stream);
    visit_free(visit);
}

void proxy_delete(struct api *api, struct exchange *exchange, struct slice text)
{
    struct id id;
    durable_secure(exchange);
    if (id_parse(text, &id)) {
        exchange_reply(exchange, 204, NULL, SLICE_NONE);
        return;
    }
    struct visit *visit = visit_new(api, exchange, remove_found, NULL);
    if (!visit)
        return;
    visit->lookup.done = remove_looked_up;
    hub_open(api->hub, exchange_project(exchange), &id, &visit->lookup);
}
