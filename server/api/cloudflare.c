/* cloudflare — see the header.
 *
 *   path ─▶ RUN        {"inputs": …} ───────────────▶ /v1/chat/completions …     ─┐
 *        ─▶ COMPAT     the body as it is ───────────▶ /v1/…                       ├▶ inference
 *        ─▶ PROVIDER   likewise ────────────────────▶ /PROVIDER/…                 │
 *        ─▶ UNIVERSAL  [0] ─▶ (its provider or compat) ───────────────────────────┘
 *                       └ failed before its first byte ─▶ [1] ─▶ …
 *        ─▶ RESUME     cloudflare_resume.c */
#include "server/api/cloudflare.h"

#include <stdlib.h>

#include "protocol/base/own.h"
#include "server/api/cloudflare_body.h"
#include "server/api/cloudflare_fields.h"
#include "server/api/cloudflare_path.h"
#include "server/api/native.h"

enum {
    /* Of what is made around a body: a target, fields, and a model's name, escaped at the worst. */
    WRAPPING_BYTES_MAX = HTTP_TARGET_BYTES_MAX + HTTP_HEAD_BYTES_MAX + DIALECT_MODEL_BYTES * 6 + 64,
    PROVIDER_NAME_BYTES = 128, /* of a provider in a universal call: no configured one is longer */
};

/* The call inside, while it is put together: what is made, one after the other, in one text. */
struct inside {
    struct buf text;
    size_t target_end, body_end; /* a body that is made; else both are the same */
    struct slice body;           /* one that lies in the outer one */
    struct slice method;
    bool is_native; /* a provider's path; else one of ours */
};

static void inside_init(struct inside *inside, struct exchange *exchange)
{
    *inside = (struct inside){
        .method = exchange_outer_request(exchange)->method, .body = exchange_outer_body(exchange)};
    buf_init(&inside->text, exchange_outer_body(exchange).size + WRAPPING_BYTES_MAX);
}

static void inside_deinit(struct inside *inside)
{
    buf_deinit(&inside->text);
}

static void refuse_body(struct exchange *exchange, const char *why)
{
    exchange_error(exchange, 400, "invalid_body", NULL, "%s", why);
}

static void refuse_size(struct exchange *exchange)
{
    exchange_error(exchange, 431, "request_too_long", NULL,
        "the call's target or its fields are too long, or one of them is malformed");
}

/* ── providers ──────────────────────────────────────────────────────────────────────────────── */

static bool is_named(const struct provider_spec *spec, struct slice name)
{
    if (!spec)
        return false;
    for (const char *const *alias = spec->aliases; alias && *alias; alias++)
        if (slice_equal_nocase(name, slice_text(*alias)))
            return true;
    return slice_equal_nocase(name, slice_text(spec->name));
}

/* By the name it has here, or by one that the catalogue has for what it is like.
 *   answers  ERR_NOTFOUND */
static enum err find_provider(
    const struct catalogue *catalogue, struct slice name, const struct provider **out)
{
    static const struct slice custom = SLICE("custom-");
    size_t count;
    const struct provider *providers = catalogue_providers(catalogue, &count);
    if (catalogue_native(catalogue, name, out) == ERR_OK)
        return ERR_OK;
    for (size_t i = 0; i < count; i++)
        if (is_named(providers[i].spec, name)) {
            *out = &providers[i];
            return ERR_OK;
        }
    return slice_has_prefix(name, custom)
               ? catalogue_native(catalogue, slice_sub(name, custom.size, name.size), out)
               : ERR_NOTFOUND;
}

static bool has_provider(struct api *api, struct slice name)
{
    CLEANUP(catalogue_cleanup) struct catalogue *catalogue = catalogues_get(api->catalogues);
    const struct provider *provider;
    return api->config->native_paths && find_provider(catalogue, name, &provider) == ERR_OK;
}

/* The target of a provider's own path: /NATIVE/…. False: answered. */
static bool write_native_target(struct api *api, struct exchange *exchange, struct slice name,
    struct slice account, struct slice rest, struct inside *inside)
{
    CLEANUP(catalogue_cleanup) struct catalogue *catalogue = catalogues_get(api->catalogues);
    const struct provider *provider;
    if (!api->config->native_paths || find_provider(catalogue, name, &provider)) {
        exchange_error(exchange, 404, "provider_not_found", "provider",
            "%.*s is no provider that can be asked here%s", SLICE_PRINT(slice_sub(name, 0, 100)),
            api->config->native_paths ? "" : ": native_paths is off");
        return false;
    }
    struct slice like = provider->spec ? slice_text(provider->spec->name) : SLICE_NONE;
    if (buf_printf(&inside->text, "/%s", provider->native) ||
        cloudflare_native_path(like, account, rest, &inside->text)) {
        refuse_size(exchange);
        return false;
    }
    inside->is_native = true;
    return true;
}

static enum err write_query(struct exchange *exchange, struct inside *inside)
{
    struct slice target = exchange_outer_request(exchange)->target;
    ptrdiff_t mark = slice_find_byte(target, '?');
    return mark < 0 ? ERR_OK
                    : buf_append(&inside->text, slice_sub(target, (size_t)mark, target.size));
}

static void end_target(struct inside *inside)
{
    inside->target_end = inside->body_end = inside->text.size;
}

/* ── the call inside ────────────────────────────────────────────────────────────────────────── */

/* The fields in the text, and those that the call came with. False: answered. */
static bool make_fields(struct exchange *exchange, const struct inside *inside, struct headers *out)
{
    const char *name, *why;
    struct slice lines = slice_sub(buf_slice(&inside->text), inside->body_end, inside->text.size);
    if (cloudflare_fields_make(lines, &exchange_outer_request(exchange)->headers, out)) {
        refuse_size(exchange);
        return false;
    }
    if (cloudflare_fields_check(out, &name, &why)) {
        exchange_error(exchange, 400, "invalid_header", name, "%s %s, and sent once", name, why);
        return false;
    }
    return true;
}

static void handle_inside(struct api *api, struct exchange *exchange, bool is_native)
{
    const struct dialect *dialect;
    struct slice path = exchange_target(exchange).path;
    if (is_native && native_handle(api, exchange))
        return;
    if (!is_native && dialect_for_path(path, &dialect) == ERR_OK)
        inference_post(api, exchange, SLICE_NONE);
    else
        exchange_error(exchange, 404, "not_found", NULL, "%.*s is no call that is served here",
            SLICE_PRINT(slice_sub(path, 0, 100)));
}

/* What was put together goes on as a call of its own. */
static void unwrap(struct api *api, struct exchange *exchange, struct inside *inside)
{
    struct headers headers;
    if (!make_fields(exchange, inside, &headers))
        return;
    struct slice text = buf_slice(&inside->text);
    size_t made = inside->body_end - inside->target_end;
    const struct exchange_inner inner = {.method = inside->method,
        .target = slice_sub(text, 0, inside->target_end),
        .body = made ? slice_sub(text, inside->target_end, made) : inside->body,
        .headers = &headers};
    enum err err = exchange_unwrap(exchange, &inner, &inside->text);
    if (err == ERR_INVALID) {
        exchange_error(exchange, 400, "bad_request", "endpoint",
            "the call's path is malformed: check its percent escapes and remove dot segments");
    } else if (err) {
        exchange_error(exchange, 503, "overloaded", NULL, "out of memory; try again");
    } else {
        exchange_set_announcer(exchange, cloudflare_announce);
        handle_inside(api, exchange, inside->is_native);
    }
}

/* ── run ────────────────────────────────────────────────────────────────────────────────────── */

/* What `[prefix:]author/model` and @cf/… are called here.  answers ERR_INVALID · buf_append's */
static enum err write_model(struct slice name, struct buf *out)
{
    ptrdiff_t colon = slice_find_byte(name, ':'), slash = slice_find_byte(name, '/');
    if (colon >= 0 && slash > colon)
        name = slice_sub(name, (size_t)colon + 1, name.size);
    if (name.size == 0)
        return ERR_INVALID;
    if (name.data[0] == '@')
        TRY(buf_append_text(out, "workers-ai/"));
    return buf_append(out, name);
}

/* The model's name: in the path, the binding's header, or the body. */
static enum err read_model(struct exchange *exchange, const struct cloudflare_path *path,
    const struct cloudflare_run *run, struct buf *out)
{
    CLEANUP(buf_deinit) struct buf text;
    buf_init(&text, DIALECT_MODEL_BYTES);
    struct slice told =
        headers_get(&exchange_outer_request(exchange)->headers, "cf-consn-model-id");
    if (path->rest.size)
        TRY(percent_decode(path->rest, false, &text));
    else if (told.size)
        TRY(buf_append(&text, told));
    else
        TRY(json_span_text(run->model, &text));
    return write_model(buf_slice(&text), out);
}

/* Anthropic's models are asked and answer in its own words, all others in OpenAI's. */
static const char *run_target(struct api *api, struct slice model, struct slice inputs)
{
    CLEANUP(catalogue_cleanup) struct catalogue *catalogue = catalogues_get(api->catalogues);
    CLEANUP(buf_deinit) struct buf why;
    struct route_choice choice = {0};
    struct json_span span;
    buf_init(&why, REPLY_BYTES_MAX);
    bool is_known = catalogue_pick(catalogue, model, &choice, &why) == ERR_OK;
    if (is_known && slice_equal(slice_text(choice.provider->dialect), SLICE("anthropic")))
        return "/v1/messages";
    if (json_scan(inputs, "messages", &span) == ERR_OK)
        return "/v1/chat/completions";
    if (json_scan(inputs, "prompt", &span) == ERR_OK)
        return "/v1/completions";
    bool embeds =
        is_known && choice.known && (choice.known->capabilities & 1u << CAPABILITY_embeddings);
    return embeds ? "/v1/embeddings" : "/v1/responses";
}

static void handle_run(
    struct api *api, struct exchange *exchange, const struct cloudflare_path *path)
{
    CLEANUP(inside_deinit) struct inside inside;
    CLEANUP(buf_deinit) struct buf model;
    struct cloudflare_run run;
    const char *why = "the body must be a JSON object";
    inside_init(&inside, exchange);
    buf_init(&model, DIALECT_MODEL_BYTES + sizeof "workers-ai/");
    if (cloudflare_run_read(inside.body, &run, &why)) {
        refuse_body(exchange, why);
        return;
    }
    if (read_model(exchange, path, &run, &model)) {
        refuse_body(exchange, "name the model: in the path, as cf-consn-model-id, or as \"model\"");
        return;
    }
    enum err err = buf_append_text(&inside.text, run_target(api, buf_slice(&model), run.inputs));
    end_target(&inside);
    if (!err)
        err = cloudflare_run_write(&run, buf_slice(&model), &inside.text);
    inside.body_end = inside.text.size;
    if (!err)
        err = cloudflare_write_options(run.options, &inside.text);
    if (err)
        refuse_size(exchange);
    else
        unwrap(api, exchange, &inside);
}

/* ── compat, and providers' paths ───────────────────────────────────────────────────────────── */

static void handle_compat(
    struct api *api, struct exchange *exchange, const struct cloudflare_path *path)
{
    CLEANUP(inside_deinit) struct inside inside;
    inside_init(&inside, exchange);
    enum err err = buf_printf(&inside.text, "/v1/%.*s", SLICE_PRINT(path->rest));
    if (!err)
        err = write_query(exchange, &inside);
    end_target(&inside);
    if (err)
        refuse_size(exchange);
    else
        unwrap(api, exchange, &inside);
}

static void handle_provider(
    struct api *api, struct exchange *exchange, const struct cloudflare_path *path)
{
    CLEANUP(inside_deinit) struct inside inside;
    inside_init(&inside, exchange);
    if (!write_native_target(api, exchange, path->provider, path->account, path->rest, &inside))
        return;
    if (write_query(exchange, &inside)) {
        refuse_size(exchange);
        return;
    }
    end_target(&inside);
    unwrap(api, exchange, &inside);
}

/* ── universal ──────────────────────────────────────────────────────────────────────────────── */

/* Between two of the calls: a turn of the loop, so that who gave the first up is done with it. */
struct next_call {
    struct api *api;
    struct exchange *exchange;
    struct timer timer;
    size_t index;
};

static void universal_start(struct api *api, struct exchange *exchange, size_t index);

static void next_closed(void *context)
{
    struct next_call *next = context;
    timer_cancel(next->api->loop, &next->timer);
    free(next);
}

static void next_fired(struct timer *timer)
{
    struct next_call *next = CONTAINER_OF(timer, struct next_call, timer);
    struct next_call call = *next;
    free(next);
    exchange_release(call.exchange);
    universal_start(call.api, call.exchange, call.index);
}

static const struct responder next_responder = {NULL, next_closed};

static void fall_back(void *context, struct exchange *exchange, size_t index)
{
    struct api *api = context;
    struct next_call *next = calloc(1, sizeof *next);
    if (!next) {
        exchange_error(exchange, 503, "overloaded", NULL, "out of memory; try again");
        return;
    }
    *next = (struct next_call){.api = api, .exchange = exchange, .index = index};
    next->timer.fire = next_fired;
    exchange_hold(exchange, &next_responder, next);
    timer_set(api->loop, &next->timer, loop_now_ns(api->loop));
}

/* False: answered. */
static bool write_entry(struct api *api, struct exchange *exchange,
    const struct cloudflare_entry *entry, struct inside *inside)
{
    CLEANUP(buf_deinit) struct buf provider;
    CLEANUP(buf_deinit) struct buf endpoint;
    struct target outer;
    enum err err = target_parse(exchange_outer_request(exchange)->target, &outer);
    ASSERT(!err); /* it was, when it came */
    struct cloudflare_path path = cloudflare_path_read(outer.path);
    buf_init(&provider, PROVIDER_NAME_BYTES);
    buf_init(&endpoint, HTTP_TARGET_BYTES_MAX);
    if (json_span_text(entry->provider, &provider) || json_span_text(entry->endpoint, &endpoint)) {
        refuse_size(exchange);
        return false;
    }
    if (!slice_equal(buf_slice(&provider), SLICE("compat")))
        return write_native_target(
            api, exchange, buf_slice(&provider), path.account, buf_slice(&endpoint), inside);
    if (buf_printf(&inside->text, "/v1/%.*s", SLICE_PRINT(buf_slice(&endpoint)))) {
        refuse_size(exchange);
        return false;
    }
    return true;
}

static void universal_start(struct api *api, struct exchange *exchange, size_t index)
{
    CLEANUP(inside_deinit) struct inside inside;
    size_t count;
    const char *why;
    struct slice body = exchange_outer_body(exchange);
    exchange_set_dialect(exchange, &cloudflare_errors); /* the call before had its own */
    inside_init(&inside, exchange);
    if (cloudflare_universal_check(body, &count, &why)) {
        refuse_body(exchange, why);
        return;
    }
    struct cloudflare_entry entry = cloudflare_universal_at(body, index);
    if (index + 1 < count)
        exchange_set_fallback(exchange, fall_back, api, index + 1);
    inside.body = entry.query;
    if (!write_entry(api, exchange, &entry, &inside))
        return;
    end_target(&inside);
    enum err err = buf_printf(&inside.text, "cf-aig-step: %zu\r\n", index);
    if (!err)
        err = cloudflare_write_headers(entry.headers, &inside.text);
    if (!err)
        err = cloudflare_write_options(entry.config, &inside.text);
    if (err)
        refuse_size(exchange);
    else
        unwrap(api, exchange, &inside);
}

/* ── the handler ────────────────────────────────────────────────────────────────────────────── */

/* False: answered. */
static bool check_method(struct exchange *exchange, const struct cloudflare_path *path)
{
    struct slice method = exchange_request(exchange)->method;
    const char *wanted = path->kind == CLOUDFLARE_RESUME ? "GET" : "POST";
    bool is_fit = path->kind == CLOUDFLARE_PROVIDER ? !slice_equal(method, SLICE("TRACE"))
                                                    : slice_equal(method, slice_text(wanted));
    if (is_fit)
        return true;
    if (exchange_add_header(exchange, SLICE("Allow"), slice_text(wanted)))
        exchange_error(exchange, 503, "overloaded", NULL, "out of memory; try again");
    else
        exchange_error(exchange, 405, "method_not_allowed", NULL, "this path takes %s", wanted);
    return false;
}

bool cloudflare_serves(struct api *api, struct slice path)
{
    struct cloudflare_path read = cloudflare_path_read(path);
    if (!api->config->cloudflare_paths || read.kind == CLOUDFLARE_NONE)
        return false;
    return read.kind == CLOUDFLARE_PROVIDER ? has_provider(api, read.provider)
                                            : cloudflare_path_is_certain(&read);
}

/* A call that only Cloudflare has: its errors look as there. */
static bool is_own(const struct cloudflare_path *path)
{
    return path->kind == CLOUDFLARE_RUN || path->kind == CLOUDFLARE_UNIVERSAL ||
           path->kind == CLOUDFLARE_RESUME;
}

void cloudflare_admit(struct api *api, struct exchange *exchange)
{
    const struct dialect *dialect;
    struct slice target = exchange_target(exchange).path;
    if (!api->config->cloudflare_paths || dialect_for_path(target, &dialect) == ERR_OK)
        return;
    struct cloudflare_path path = cloudflare_path_read(target);
    if (is_own(&path) && cloudflare_path_is_certain(&path))
        exchange_set_dialect(exchange, &cloudflare_errors);
}

/* A path under /v1 that could be another's is taken for a call of this kind by what else speaks for it. */
static bool is_meant(struct api *api, struct exchange *exchange, const struct cloudflare_path *path)
{
    switch (path->kind) {
    case CLOUDFLARE_NONE: return false;
    case CLOUDFLARE_PROVIDER: return has_provider(api, path->provider);
    case CLOUDFLARE_UNIVERSAL:
        return cloudflare_path_is_certain(path) || cloudflare_is_universal(exchange_body(exchange));
    case CLOUDFLARE_RUN:
    case CLOUDFLARE_COMPAT:
    case CLOUDFLARE_RESUME: break;
    }
    return true;
}

bool cloudflare_handle(struct api *api, struct exchange *exchange)
{
    struct cloudflare_path path = cloudflare_path_read(exchange_target(exchange).path);
    if (!api->config->cloudflare_paths || !is_meant(api, exchange, &path))
        return false;
    if (is_own(&path))
        exchange_set_dialect(exchange, &cloudflare_errors);
    if (!check_method(exchange, &path))
        return true;
    switch (path.kind) {
    case CLOUDFLARE_RUN: handle_run(api, exchange, &path); break;
    case CLOUDFLARE_COMPAT: handle_compat(api, exchange, &path); break;
    case CLOUDFLARE_PROVIDER: handle_provider(api, exchange, &path); break;
    case CLOUDFLARE_UNIVERSAL: universal_start(api, exchange, 0); break;
    case CLOUDFLARE_RESUME: cloudflare_resume(api, exchange, path.run); break;
    case CLOUDFLARE_NONE: break;
    }
    return true;
}
