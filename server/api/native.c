/* native — see the header. The first segment is the provider's; what follows it, query included, is
 * the target behind its base URL. */
#include "server/api/native.h"

#include "protocol/base/own.h"
#include "protocol/data/json.h"
#include "protocol/http/multipart.h"

static enum err find(
    struct api *api, struct catalogue *catalogue, struct slice path, const struct provider **out)
{
    if (!api->config->native_paths || path_segment_count(path) < 2)
        return ERR_NOTFOUND;
    return catalogue_native(catalogue, path_segment(path, 0), out);
}

bool native_serves(struct api *api, struct slice path)
{
    CLEANUP(catalogue_cleanup) struct catalogue *catalogue = catalogues_get(api->catalogues);
    const struct provider *provider;
    return find(api, catalogue, path, &provider) == ERR_OK;
}

/* Its calls in a dialect that callers speak to us, by their paths; else its own dialect. */
static const struct dialect *dialect_of(const struct provider *provider, struct slice path)
{
    CLEANUP(buf_deinit) struct buf ours;
    const struct dialect *dialect;
    struct slice prefix = slice_text(provider->api_prefix);
    buf_init(&ours, HTTP_TARGET_BYTES_MAX + 8);
    if (dialect_for_path(path, &dialect) == ERR_OK)
        return dialect;
    if (slice_has_prefix(path, prefix) && buf_append_text(&ours, "/v1") == ERR_OK &&
        buf_append(&ours, slice_sub(path, prefix.size, path.size)) == ERR_OK &&
        dialect_for_path(buf_slice(&ours), &dialect) == ERR_OK)
        return dialect;
    bool is_ours = slice_has_prefix(slice_text(provider->dialect), SLICE("openai")) ||
                   slice_equal(slice_text(provider->dialect), SLICE("anthropic"));
    if (!is_ours && dialect_of_native(slice_text(provider->dialect), path, &dialect) == ERR_OK)
        return dialect;
    enum err err = dialect_by_name(SLICE("opaque"), &dialect);
    ASSERT(!err);
    return dialect;
}

/* "…/models/NAME:generateContent", "/model/NAME/converse": the name, percent-encoded as it is. */
static struct slice model_in_path(struct slice path)
{
    for (size_t i = 0; i + 1 < path_segment_count(path); i++) {
        struct slice segment = path_segment(path, i);
        if (!slice_equal(segment, SLICE("models")) && !slice_equal(segment, SLICE("model")))
            continue;
        struct slice name = path_segment(path, i + 1);
        ptrdiff_t colon = slice_find_byte(name, ':');
        return slice_sub(name, 0, colon < 0 ? name.size : (size_t)colon);
    }
    return SLICE_NONE;
}

/* What the row says of the request; nothing is refused for it. */
static void read_body(const struct exchange *exchange, struct native_call *call)
{
    struct slice body = exchange_body(exchange), name;
    struct slice type = exchange_header(exchange, "Content-Type");
    struct json_span span;
    const char *why;
    size_t at;
    if (multipart_field(type, body, "model", &name) == ERR_OK)
        call->model = name;
    if (exchange_is_partial(exchange) || json_object_check(body, &why, &at))
        return;
    call->is_streamed = json_scan(body, "stream", &span) == ERR_OK && json_span_is_true(span);
    if (json_scan(body, "model", &span) == ERR_OK && span.type == JSON_STRING)
        call->model = slice_sub(span.raw, 1, span.raw.size - 2);
}

bool native_handle(struct api *api, struct exchange *exchange)
{
    return native_handle_for(api, exchange, NULL);
}

bool native_handle_for(struct api *api, struct exchange *exchange, inference_answer *answer)
{
    CLEANUP(catalogue_cleanup) struct catalogue *catalogue = catalogues_get(api->catalogues);
    struct slice path = exchange_target(exchange).path;
    struct native_call call = {.answer = answer};
    if (find(api, catalogue, path, &call.provider))
        return false;
    if (exchange_is_partial(exchange) && call.provider->auth.kind == AUTH_AWS_SIGV4) {
        exchange_collect(exchange); /* it is signed with its body */
        return true;
    }
    size_t size = path_segment(path, 0).size + 1;
    struct slice rest = slice_sub(path, size, path.size);
    struct slice target = exchange_request(exchange)->target;
    call.target = slice_sub(target, size, target.size);
    call.dialect = dialect_of(call.provider, rest);
    call.model = model_in_path(rest);
    read_body(exchange, &call);
    exchange_set_dialect(exchange, call.dialect);
    call.catalogue = MOVE(catalogue);
    inference_native(api, exchange, &call);
    return true;
}
