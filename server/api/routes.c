/* routes — the table of what is served. A pattern's segments match literally; `*` is a stream's
 * ID, `**` what is left of the path. Inference calls come from the dialects'
 * allow-list (dialect_for_path), so that each path is written once. */
#include "server/api/cloudflare.h"
#include "server/api/native.h"
#include "server/api/passed.h"
#include "server/api/proxy.h"

#include <stdio.h>
#include <string.h>

#include "server/durable/durable.h"

static const struct route {
    const char *method;
    const char *pattern;
    api_handler *handler;
} routes[] = {
    {"GET", "/v1/streams", streams_list},
    {"GET", "/v1/streams/*", stream_show},
    {"DELETE", "/v1/streams/*", stream_remove},
    {"GET", "/v1/streams/*/events", stream_events},
    {"GET", "/v1/streams/*/request", stream_request},
    {"POST", "/v1/streams/*/stop", stream_stop_post},
    {"PUT", "/v1/streams/*/hold", hold_put},
    {"DELETE", "/v1/streams/*/hold", hold_delete},
    {"GET", "/v1/streams/*/proof", stream_proof},
    {"GET", "/v1/audit/head", audit_head_get},
    {"GET", "/v1/audit/consistency", audit_consistency_get},
    {"GET", "/threads/*/runs/*/stream", stream_join},
    {"GET", "/runs/*/stream", stream_join},
    {"GET", "/v1/responses/*", response_show},
    {"DELETE", "/v1/responses/*", response_remove},
    {"POST", "/v1/responses/*/cancel", response_cancel},
    {"GET", "/v1/stream/**", durable_get},
    {"PUT", "/v1/stream/**", durable_put},
    {"POST", "/v1/stream/**", durable_post},
    {"DELETE", "/v1/stream/**", durable_delete},
    {"POST", "/v1/proxy", proxy_post},
    {"GET", "/v1/proxy/*", proxy_get},
    {"PATCH", "/v1/proxy/*", proxy_patch},
    {"DELETE", "/v1/proxy/*", proxy_delete},
    {"GET", "/v1/runs", runs_list},
    {"PUT", "/v1/runs/*", run_put},
    {"GET", "/v1/runs/*", run_show},
    {"DELETE", "/v1/runs/*", run_remove},
    {"POST", "/v1/runs/*/fork", run_fork_post},
    {"GET", "/v1/runs/*/checkpoints", checkpoints_list},
    {"PUT", "/v1/runs/*/checkpoints/*", checkpoint_put},
    {"GET", "/v1/runs/*/checkpoints/*", checkpoint_get},
    {"DELETE", "/v1/runs/*/checkpoints/*", checkpoint_remove},
    {"GET", "/v1/models", models_list},
    {"GET", "/v1/models/**", model_show},
    {"GET", "/v1/routes", routes_list},
    {"GET", "/healthz", health_get},
    {"GET", "/readyz", ready_get},
    {"GET", "/metrics", metrics_get},
};
enum {
    ROUTE_COUNT = sizeof routes / sizeof *routes,
    ALLOWED_BYTES = 48, /* "GET, HEAD, POST, PUT, PATCH, DELETE" */
};

static bool matches(const char *pattern, struct slice path, struct slice *id)
{
    struct slice wanted = slice_text(pattern);
    size_t count = path_segment_count(wanted), got_count = path_segment_count(path);
    bool is_open = slice_equal(path_segment(wanted, count - 1), SLICE("**"));
    if (is_open ? got_count < count : got_count != count)
        return false;
    for (size_t i = 0; i < count; i++) {
        struct slice want = path_segment(wanted, i), got = path_segment(path, i);
        if (slice_equal(want, SLICE("**")))
            *id = slice_of(got.data, (size_t)(path.data + path.size - got.data));
        else if (slice_equal(want, SLICE("*")))
            *id = got;
        else if (!slice_equal(want, got))
            return false;
    }
    return true;
}

static bool method_fits(const char *method, struct slice asked)
{
    return slice_equal(asked, slice_text(method)) ||
           (slice_equal(asked, SLICE("HEAD")) && slice_equal(slice_text(method), SLICE("GET")));
}

static void refuse_method(struct exchange *exchange, const char *allowed)
{
    if (exchange_add_header(exchange, SLICE("Allow"), slice_text(allowed)))
        exchange_error(exchange, 503, "overloaded", NULL, "out of memory; try again");
    else
        exchange_error(exchange, 405, "method_not_allowed", NULL, "this path takes %s", allowed);
}

/* The methods that a path takes, as Allow has them; empty: it is no path of ours. */
static void list_methods(struct slice path, char out[ALLOWED_BYTES])
{
    const struct dialect *dialect;
    struct slice id;
    size_t size = 0;
    out[0] = '\0';
    if (slice_equal(path, SLICE("*")))
        (void)snprintf(out, ALLOWED_BYTES, "GET, HEAD, POST, PUT, PATCH, DELETE");
    else if (dialect_for_path(path, &dialect) == ERR_OK)
        (void)snprintf(out, ALLOWED_BYTES, "POST");
    for (size_t i = 0; i < ROUTE_COUNT; i++) {
        if (!matches(routes[i].pattern, path, &id))
            continue;
        bool is_get = slice_equal(slice_text(routes[i].method), SLICE("GET"));
        size += (size_t)snprintf(out + size, ALLOWED_BYTES - size, "%s%s", size ? ", " : "",
            is_get ? "GET, HEAD" : routes[i].method);
        ASSERT(size < ALLOWED_BYTES);
    }
}

/* What begins as a path of ours is none of Cloudflare's /v1/{account}/…. */
static bool is_ours(struct slice path)
{
    for (size_t i = 0; i < ROUTE_COUNT; i++) {
        struct slice pattern = slice_text(routes[i].pattern);
        if (path_segment_count(pattern) > 1 &&
            slice_equal(path_segment(pattern, 0), path_segment(path, 0)) &&
            slice_equal(path_segment(pattern, 1), path_segment(path, 1)))
            return true;
    }
    return false;
}

static void refuse_path(struct exchange *exchange)
{
    exchange_error(exchange, 404, "not_found", NULL,
        "nothing is served at this path; inference calls are at /v1/…, recordings at "
        "/v1/streams");
}

static void answer_options(struct api *api, struct exchange *exchange, struct slice path)
{
    char methods[ALLOWED_BYTES], allowed[ALLOWED_BYTES + sizeof ", OPTIONS"];
    list_methods(path, methods);
    if (!methods[0] && (native_serves(api, path) || passed_serves(path) ||
                           (!is_ours(path) && cloudflare_serves(api, path))))
        list_methods(SLICE("*"), methods);
    (void)snprintf(allowed, sizeof allowed, "%s, OPTIONS", methods);
    if (!methods[0])
        refuse_path(exchange);
    else if (exchange_add_header(exchange, SLICE("Allow"), slice_text(allowed)))
        exchange_error(exchange, 503, "overloaded", NULL, "out of memory; try again");
    else
        exchange_reply(exchange, 204, NULL, SLICE_NONE);
}

static void handle_inference(struct api *api, struct exchange *exchange)
{
    if (!slice_equal(exchange_request(exchange)->method, SLICE("POST")))
        refuse_method(exchange, "POST");
    else
        inference_post(api, exchange, SLICE_NONE);
}

void api_handle(void *context, struct exchange *exchange)
{
    struct api *api = context;
    struct slice method = exchange_request(exchange)->method;
    struct slice path = exchange_target(exchange).path;
    const struct dialect *dialect;
    if (slice_equal(method, SLICE("OPTIONS"))) {
        answer_options(api, exchange, path);
        return;
    }
    if (dialect_for_path(path, &dialect) == ERR_OK) {
        handle_inference(api, exchange);
        return;
    }
    for (size_t i = 0; i < ROUTE_COUNT; i++) {
        struct slice id = SLICE_NONE;
        if (matches(routes[i].pattern, path, &id) && method_fits(routes[i].method, method)) {
            routes[i].handler(api, exchange, id);
            return;
        }
    }
    char allowed[ALLOWED_BYTES];
    list_methods(path, allowed);
    /* Who answers a TRACE shows what it was sent, a provider's key included (RFC 9110 §9.3.8). */
    if (!allowed[0] && slice_equal(method, SLICE("TRACE")) &&
        (native_serves(api, path) || passed_serves(path)))
        list_methods(SLICE("*"), allowed);
    if (allowed[0])
        refuse_method(exchange, allowed);
    else if (!native_handle(api, exchange) && !passed_handle(api, exchange) &&
             (is_ours(path) || !cloudflare_handle(api, exchange)))
        refuse_path(exchange);
}
