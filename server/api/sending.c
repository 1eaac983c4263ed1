/* sending — see the header. */
#include "server/api/sending.h"

#include <string.h>

#include "protocol/base/own.h"
#include "protocol/data/json.h"
#include "server/api/refusal.h"

void sending_init(struct sending *sending, const struct asked *asked)
{
    *sending = (struct sending){.headers = asked->headers};
    buf_init(&sending->body, asked->body.size + DIALECT_MODEL_BYTES * 6 + 1024);
    buf_init(&sending->target, HTTP_TARGET_BYTES_MAX * 2);
    buf_init(&sending->path, HTTP_TARGET_BYTES_MAX);
    translated_init(&sending->translated);
}

void sending_deinit(struct sending *sending)
{
    buf_deinit(&sending->body);
    buf_deinit(&sending->target);
    buf_deinit(&sending->path);
    outbound_deinit(&sending->outbound);
    translated_deinit(&sending->translated);
}

static enum err copy_text(struct slice text, char *out, size_t size_max)
{
    if (text.size >= size_max)
        return ERR_LIMIT;
    if (text.size)
        memcpy(out, text.data, text.size);
    out[text.size] = '\0';
    return ERR_OK;
}

static bool is_native(const struct asked *asked)
{
    return asked->native_target.size > 0;
}

/* What is passed on as it is may ask the provider to go on without us. */
static bool asks_to_keep(const struct asked *asked)
{
    static const char *const names[] = {"background", "stream", "store"};
    struct json_span spans[3];
    const struct json_wanted wanted = {names, 3, spans};
    const char *why;
    size_t at;
    if (!asked->dialect->again || json_object_read(asked->body, &wanted, &why, &at))
        return false;
    bool refuses_store = spans[2].raw.size && !json_span_is_true(spans[2]);
    return json_span_is_true(spans[0]) && json_span_is_true(spans[1]) && !refuses_store;
}

static enum err write_native(
    struct sending *out, const struct asked *asked, const struct route_choice *choice)
{
    TRY(buf_append(&out->body, asked->body));
    out->is_kept = asks_to_keep(asked);
    TRY(asked->is_api
            ? outbound_api_target(choice->provider, asked->native_target, &out->target)
            : outbound_native_target(choice->provider, asked->native_target, &out->target));
    return copy_text(
        headers_get(asked->headers, "Content-Type"), out->content_type, sizeof out->content_type);
}

/* A provider that goes on without us if we die, and gives the response out again, is asked as the caller
 * asks, but where it is to keep nothing; or, where it is configured so, even if the caller did not ask. Of
 * others we are what goes on. */
static bool keeps_background(const struct provider *provider, const struct dialect_request *request)
{
    bool is_known = provider->spec && provider->spec->keeps_background;
    bool is_asked = request->is_background || (provider->resumes && request->is_streamed);
    return (is_known || provider->resumes) && is_asked && !request->refuses_store;
}

static enum err write_inference(struct sending *out, const struct api *api,
    const struct asked *asked, const struct route_choice *choice)
{
    struct dialect_request request = *asked->request;
    request.keeps_background =
        asked->dialect->has_background && keeps_background(choice->provider, &request);
    out->is_kept = request.keeps_background;
    TRY(copy_text(SLICE("application/json"), out->content_type, sizeof out->content_type));
    TRY(outbound_api_target(choice->provider, buf_slice(&out->path), &out->target));
    return dialect_write_request(asked->dialect, asked->body, &request, choice->model,
        api->config->ask_usage, &out->body, &out->hides_usage);
}

/* A call of another dialect, that becomes a streamed one of Responses. */
static enum err keep_translated(struct sending *out, const struct route_choice *choice)
{
    enum { ADDED_BYTES = 64 };
    const struct dialect *dialect = translate_dialect(out->translated.provider);
    struct buf *body = &out->translated.sent.body, kept;
    struct dialect_request request;
    const char *why, *param;
    bool hides_usage;
    if (!choice->provider->resumes || !dialect->has_background)
        return ERR_OK;
    TRY(dialect_read_request(dialect, buf_slice(body), &request, &why, &param));
    request.keeps_background = out->is_kept = request.is_streamed;
    buf_init(&kept, body->size + ADDED_BYTES);
    enum err err = dialect_write_request(
        dialect, buf_slice(body), &request, SLICE_NONE, false, &kept, &hides_usage);
    if (err) {
        buf_deinit(&kept);
        return err;
    }
    buf_deinit(body);
    *body = kept;
    return ERR_OK;
}

static enum err write_translated(
    struct sending *out, const struct asked *asked, const struct route_choice *choice)
{
    if (!asked->going_on)
        TRY(keep_translated(out, choice));
    out->headers = &out->translated.headers;
    out->hides_usage = !out->translated.sent.includes_usage;
    TRY(copy_text(SLICE("application/json"), out->content_type, sizeof out->content_type));
    struct slice path = buf_slice(&out->translated.sent.path);
    if (!out->translated.prefix)
        return outbound_api_target(choice->provider, path, &out->target);
    TRY(buf_append_text(&out->target, out->translated.prefix));
    return buf_append(&out->target, path);
}

static struct slice body_of(const struct sending *sending)
{
    return buf_slice(
        sending->translated.provider ? &sending->translated.sent.body : &sending->body);
}

static enum err translate(
    struct sending *out, const struct asked *asked, const struct route_choice *choice)
{
    const struct going_on *going_on = asked->going_on;
    bool is_found =
        !is_native(asked) &&
        (going_on ? translated_find_next(&out->translated, asked->path, choice->provider)
                  : translated_find(&out->translated, asked->path, choice->provider));
    if (!is_found)
        return going_on ? ERR_INVALID : ERR_OK;
    struct slice body = asked->body, model = slice_text(asked->request->model);
    if (asked->request->is_background) {
        bool hides_usage;
        TRY(dialect_write_request(
            asked->dialect, body, asked->request, SLICE_NONE, false, &out->body, &hides_usage));
        body = buf_slice(&out->body);
    }
    return going_on ? translated_make_next(
                          &out->translated, body, asked->headers, choice, model, going_on)
                    : translated_make(&out->translated, body, asked->headers, choice, model);
}

static enum err prepare(struct sending *out, struct api *api, const struct asked *asked,
    const struct route_choice *choice, size_t key, struct slice token)
{
    TRY(copy_text(asked->method, out->method, sizeof out->method));
    TRY(outbound_native_target(choice->provider, asked->target, &out->path));
    TRY(out->translated.provider ? write_translated(out, asked, choice)
        : is_native(asked)       ? write_native(out, asked, choice)
                                 : write_inference(out, api, asked, choice));
    struct slice callers_key = provider_callers_key(choice->provider, asked->headers);
    const struct outbound_request outbound = {.provider = choice->provider,
        .key = key,
        .callers_key = callers_key,
        .method = out->method,
        .target = buf_slice(&out->target),
        .body = body_of(out),
        .headers = out->headers,
        .token = token,
        .wall_s = loop_wall_ns(api->loop) / 1000000000};
    return outbound_prepare(&outbound, &out->outbound);
}

enum err sending_make(struct sending *sending, struct api *api, const struct asked *asked,
    const struct route_choice *choice, size_t key)
{
    struct slice token;
    sending->step = SENDING_ROUTE;
    if (!choice->provider->api_prefix && (!is_native(asked) || asked->is_api))
        return ERR_NOTFOUND;
    sending->step = SENDING_TOKEN;
    TRY(tokens_get(api->tokens, choice->provider, &token, &sending->why));
    sending->step = SENDING_TRANSLATION;
    TRY(translate(sending, asked, choice));
    sending->step = SENDING_OUTBOUND;
    return prepare(sending, api, asked, choice, key, token);
}

static void refuse_translation(const struct sending *sending, enum err err,
    const struct provider *provider, struct exchange *exchange)
{
    const struct neutral_report *report = &sending->translated.report;
    if (err == ERR_INVALID)
        exchange_error(exchange, 400, "untranslatable", report->path,
            "%s cannot be asked this: %s: %s", provider->name, report->path, report->why);
    else if (err == ERR_LIMIT)
        exchange_error(exchange, 413, "request_too_large", NULL,
            "the request is too large to be translated for %s", provider->name);
    else
        refuse_outbound(exchange, err);
}

void sending_refuse(const struct sending *sending, enum err err, const struct provider *provider,
    struct exchange *exchange)
{
    switch (sending->step) {
    case SENDING_ROUTE:
        exchange_error(exchange, 400, "unsupported_call", "model",
            "%s has no calls of this kind; its own are passed on under /%s/…", provider->name,
            provider->native);
        return;
    case SENDING_TOKEN: refuse_token(exchange, provider, sending->why ? sending->why : ""); return;
    case SENDING_TRANSLATION: refuse_translation(sending, err, provider, exchange); return;
    case SENDING_OUTBOUND: refuse_outbound(exchange, err); return;
    }
}

struct producer_request sending_request(const struct sending *sending, const struct asked *asked,
    const struct route_choice *choice, struct producer_translate *translate)
{
    const struct translated *translated = &sending->translated;
    *translate = (struct producer_translate){.provider = translated->provider,
        .caller = translated->caller,
        .model = slice_text(asked->request->model),
        .includes_usage = translated->sent.includes_usage,
        .left_out = buf_slice(&translated->report.left_out)};
    return (struct producer_request){.dialect = asked->dialect,
        .provider = slice_text(choice->provider->name),
        .model = choice->model.size ? choice->model : slice_text(asked->request->model),
        .provider_dialect = translated->provider
                                ? slice_text(translate_dialect(translated->provider)->name)
                                : SLICE_NONE,
        .translate = translated->provider ? translate : NULL,
        .method = sending->method,
        .url = (const char *)sending->outbound.url.data,
        .content_type = sending->content_type,
        .credentials = sending->outbound.headers,
        .ca_file = choice->provider->ca_file,
        .headers = sending->headers,
        .body = body_of(sending),
        .upload = asked->upload,
        .hides_usage = sending->hides_usage,
        .is_kept = sending->is_kept};
}
