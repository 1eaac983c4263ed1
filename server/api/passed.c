/* passed — see the header. */
#include "server/api/passed.h"

#include <string.h>

#include "protocol/base/own.h"
#include "protocol/data/json.h"
#include "protocol/http/multipart.h"
#include "server/api/inference.h"
#include "server/api/native.h"
#include "server/api/refusal.h"
#include "server/route/plan.h"

/* The first segment behind /v1, and whether its calls name a model.
 * source  https://platform.openai.com/docs/api-reference (2026-10) */
static const struct family {
    const char *name;
    bool has_model;
} families[] = {
    {"audio", true},
    {"images", true},
    {"videos", true},
    {"files", false},
    {"uploads", false},
    {"batches", false},
    {"fine_tuning", false},
    {"vector_stores", false},
    {"containers", false},
    {"evals", false},
};

static const struct family *family_of(struct slice path)
{
    if (path_segment_count(path) < 2 || !slice_equal(path_segment(path, 0), SLICE("v1")))
        return NULL;
    for (size_t i = 0; i < sizeof families / sizeof families[0]; i++)
        if (slice_equal(path_segment(path, 1), slice_text(families[i].name)))
            return &families[i];
    return NULL;
}

bool passed_serves(struct slice path)
{
    return family_of(path) != NULL;
}

/* ── a body that may be streamed ────────────────────────────────────────────────────────────── */

/* What curl calls a form when it is told nothing is JSON, mostly. */
static bool is_read(struct slice type)
{
    static const struct slice types[] = {
        SLICE("application/json"), SLICE("application/x-www-form-urlencoded")};
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        if (slice_equal_nocase(slice_sub(type, 0, types[i].size), types[i]))
            return true;
    return type.size == 0;
}

static bool is_told_by_its_body(const struct headers *headers)
{
    return headers_count(headers, "Idempotency-Key") || headers_count(headers, "Tokenlog-Step") ||
           headers_count(headers, "Tokenlog-Run");
}

void passed_admit(struct api *api, struct exchange *exchange)
{
    const struct http1_request *request = exchange_request(exchange);
    struct slice path = exchange_target(exchange).path;
    if (!request->has_body || is_told_by_its_body(&request->headers))
        return;
    bool is_long = request->content_length > (uint64_t)api->config->body_bytes_max;
    bool may_stream = is_read(headers_get(&request->headers, "Content-Type"))
                          ? is_long && native_serves(api, path)
                          : passed_serves(path) || native_serves(api, path);
    if (may_stream)
        exchange_offer_stream(exchange);
}

/* ── whom ───────────────────────────────────────────────────────────────────────────────────── */

static const struct provider *named(const struct catalogue *catalogue, struct slice name)
{
    size_t count;
    const struct provider *providers = catalogue_providers(catalogue, &count), *native;
    for (size_t i = 0; i < count; i++)
        if (slice_equal_nocase(slice_text(providers[i].name), name))
            return &providers[i];
    return catalogue_native(catalogue, name, &native) == ERR_OK ? native : NULL;
}

static const struct provider *first(const struct catalogue *catalogue)
{
    size_t count;
    const struct provider *providers = catalogue_providers(catalogue, &count);
    for (size_t i = 0; i < count; i++)
        if (providers[i].api_prefix && provider_speaks(&providers[i], "openai_chat"))
            return &providers[i];
    return NULL;
}

/* The model's name as it stands in the body, to be replaced there. */
struct name {
    struct slice raw, text;
    bool is_json;
};

/* ERR_AGAIN: what is here of the body does not tell. */
static enum err find_name(const struct exchange *exchange, struct name *out)
{
    struct slice body = exchange_body(exchange);
    struct slice type = exchange_header(exchange, "Content-Type");
    struct json_span span;
    const char *why;
    size_t at;
    *out = (struct name){0};
    if (multipart_is_form(type)) {
        enum err err = multipart_field(type, body, "model", &out->raw);
        out->text = out->raw;
        return err == ERR_AGAIN && exchange_is_partial(exchange) ? ERR_AGAIN : ERR_OK;
    }
    bool has_name = is_read(type) && json_object_check(body, &why, &at) == ERR_OK &&
                    json_scan(body, "model", &span) == ERR_OK && span.type == JSON_STRING;
    if (!has_name)
        return ERR_OK;
    out->is_json = true;
    out->raw = span.raw;
    out->text = slice_sub(span.raw, 1, span.raw.size - 2);
    return ERR_OK;
}

/* The body with another name in it. */
static enum err rename_model(struct exchange *exchange, const struct name *name, struct slice model)
{
    const struct http1_request *request = exchange_request(exchange);
    struct slice body = exchange_body(exchange);
    size_t before = (size_t)(name->raw.data - body.data);
    struct buf text;
    buf_init(&text, body.size + 6 * model.size + 2);
    enum err err = buf_append(&text, slice_sub(body, 0, before));
    if (!err)
        err = name->is_json ? json_write_text(&text, model) : buf_append(&text, model);
    if (!err)
        err = buf_append(&text, slice_sub(body, before + name->raw.size, body.size));
    if (err) {
        buf_deinit(&text);
        return err;
    }
    const struct exchange_inner inner = {.method = request->method,
        .target = request->target,
        .body = buf_slice(&text),
        .headers = &request->headers};
    return exchange_unwrap(exchange, &inner, &text);
}

/* ── the call ───────────────────────────────────────────────────────────────────────────────── */

/* It has to be whole to be signed, or for its model to be found. False: it is not here, and cannot be kept. */
static bool may_collect(const struct api *api, const struct exchange *exchange)
{
    const struct http1_request *request = exchange_request(exchange);
    return request->is_chunked || request->content_length <= (uint64_t)api->config->body_bytes_max;
}

/* Fills in provider and model. False: answered, or collected. */
static bool choose(struct api *api, struct exchange *exchange, struct catalogue *catalogue,
    struct native_call *call)
{
    CLEANUP(buf_deinit) struct buf why;
    struct slice wanted = exchange_header(exchange, "Tokenlog-Provider");
    const struct family *family = family_of(exchange_target(exchange).path);
    struct route_choice choice;
    struct name name;
    buf_init(&why, PLAN_WHY_BYTES);
    bool is_unknown = find_name(exchange, &name) == ERR_AGAIN;
    call->model = name.text;
    if (wanted.size) {
        call->provider = named(catalogue, wanted);
        if (!call->provider)
            exchange_error(exchange, 400, "unknown_provider", "Tokenlog-Provider",
                "no provider of this name can be asked here: GET /v1/models lists their models");
        return call->provider != NULL;
    }
    if (is_unknown && family->has_model && may_collect(api, exchange)) {
        exchange_collect(exchange);
        return false;
    }
    if (name.text.size == 0) {
        call->provider = first(catalogue);
        if (!call->provider)
            refuse_route(exchange, ERR_CLOSED, &why);
        return call->provider != NULL;
    }
    enum err err = catalogue_pick(catalogue, name.text, &choice, &why);
    if (!err && choice.model.size) {
        call->model = choice.model;
        err = rename_model(exchange, &name, choice.model);
    }
    if (err)
        refuse_route(exchange, err, &why);
    else
        call->provider = choice.provider;
    return !err;
}

bool passed_handle(struct api *api, struct exchange *exchange)
{
    CLEANUP(catalogue_cleanup) struct catalogue *catalogue = catalogues_get(api->catalogues);
    struct native_call call = {.is_api = true};
    if (!passed_serves(exchange_target(exchange).path))
        return false;
    enum err err = dialect_by_name(SLICE("opaque"), &call.dialect);
    ASSERT(!err);
    exchange_set_dialect(exchange, call.dialect);
    if (!choose(api, exchange, catalogue, &call))
        return true;
    call.target = exchange_request(exchange)->target;
    call.catalogue = MOVE(catalogue);
    inference_native(api, exchange, &call);
    return true;
}
