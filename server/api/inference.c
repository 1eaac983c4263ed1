/* inference — POST /v1/chat/completions and its kin: ask once, record, answer from the recording.
 *
 *   route ─▶ (a token, if the provider wants one and none is there) ─▶
 *   no key   create ─▶ dispatch ─▶ replay from 0
 *   key      claim ─▶ free                                   create ─▶ durable ─▶ dispatch ─▶
 *   replay
 *                 ├─▶ another request's body                 422
 *                 ├─▶ nothing of it was delivered            the next attempt of the key: create…
 *                 ├─▶ interrupted, failed, stopped, and the caller says restart      likewise
 *                 └─▶ else                                   replay from 0, and follow
 *
 * source  draft-ietf-httpapi-idempotency-key-header-07; where it asks for 409 while the first
 * request is running, we attach instead:
 *         that is what a recording is for. `Tokenlog-Attach: never` gives its 409. */
#include <stdlib.h>
#include <string.h>

#include "protocol/base/own.h"
#include "protocol/data/json.h"
#include "server/api/inference.h"
#include "server/api/replay.h"
#include "server/api/refusal.h"
#include "server/api/translated.h"
#include "server/route/outbound.h"
#include "server/stream/bounds.h"

enum {
    METADATA_BYTES_MAX = 4096,
    DAY_S = 86400,
    TTL_DAYS_MAX = 36500, /* as keep_days */
    WHY_BYTES_MAX = 4096, /* why a model is not to be had */
};

/* One request that is being answered: lives until its look-up is done. */
struct call {
    struct api *api;
    struct exchange *exchange; /* NULL: the caller is gone */
    struct hub_lookup lookup;
    const struct dialect *dialect;
    struct dialect_request request;
    struct slice native_target; /* behind the provider's base URL, if it is passed on as it is */
    struct slice key, metadata;
    int64_t ttl_s; /* 0: for ever */
    bool is_sliding;
    bool never_attaches; /* Tokenlog-Attach: never */
    bool restarts;       /* Tokenlog-On-Interrupted: restart */
    uint8_t fingerprint[SHA256_BYTES];
    /* Where it goes, by the catalogue as it was when the request came. */
    struct catalogue *catalogue;
    struct route_choice choice;
    enum err choice_err; /* catalogue_pick's */
    struct buf why;
    struct token_wait wait;
};

/* Of the attempt that comes before, if there is one. */
struct attempt {
    uint32_t number;
    struct id previous;
};

static struct call *call_free(struct call *call)
{
    tokens_forget(&call->wait);
    catalogue_unref(call->catalogue);
    buf_deinit(&call->why);
    free(call);
    return NULL;
}

/* ── reading the request ─────────────────────────────────────────────────────────────────────── */

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

/* How long the recording is to be kept: the caller's wish within what the server allows. */
static bool read_ttl(struct call *call)
{
    struct exchange *exchange = call->exchange;
    const struct config *config = call->api->config;
    const struct headers *headers = &exchange_request(exchange)->headers;
    uint64_t max_s = (uint64_t)(config->ttl_max_days ? config->ttl_max_days : TTL_DAYS_MAX) * DAY_S;
    uint64_t ttl_s = (uint64_t)exchange_project(exchange)->keep_s;
    size_t count = headers_count(headers, "Tokenlog-TTL");
    bool is_valid = count == 0;
    if (count == 1 && slice_u64(headers_get(headers, "Tokenlog-TTL"), &ttl_s) == ERR_OK)
        is_valid = ttl_s ? ttl_s <= max_s : config->ttl_max_days == 0;
    if (!is_valid)
        exchange_error(exchange, 400, "invalid_ttl", "Tokenlog-TTL",
            "Tokenlog-TTL is a number of seconds up to %llu%s; ttl_max_days sets that",
            (unsigned long long)max_s, config->ttl_max_days ? "" : ", or 0: for ever");
    call->ttl_s = (int64_t)ttl_s;
    return is_valid;
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

/* A field with one of two words: *is_second is whether it has the second, false where it is absent.
 * False: answered. */
static bool read_word(struct call *call, const char *name, const char *code, const char *first,
    const char *second, bool *is_second)
{
    struct exchange *exchange = call->exchange;
    struct slice word = exchange_header(exchange, name);
    size_t count = headers_count(&exchange_request(exchange)->headers, name);
    *is_second = slice_equal_nocase(word, slice_text(second));
    if (count == 0 || (count == 1 && (*is_second || slice_equal_nocase(word, slice_text(first)))))
        return true;
    exchange_error(exchange, 400, code, name, "%s is `%s` (as without it) or `%s`, and sent once",
        name, first, second);
    return false;
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
    return read_ttl(call) && read_ttl_mode(call) &&
           read_word(call, "Tokenlog-Attach", "invalid_attach", "always", "never",
               &call->never_attaches) &&
           read_word(call, "Tokenlog-On-Interrupted", "invalid_on_interrupted", "replay", "restart",
               &call->restarts);
}

static bool is_native(const struct call *call)
{
    return call->native_target.size > 0;
}

static bool read_body(struct call *call)
{
    const char *why = "the body could not be read", *param = NULL;
    if (is_native(call) || dialect_read_request(call->dialect, exchange_body(call->exchange),
                               &call->request, &why, &param) == ERR_OK)
        return true;
    exchange_error(call->exchange, 400, "invalid_body", param, "%s", why);
    return false;
}

static bool read_request(struct call *call)
{
    struct exchange *exchange = call->exchange;
    if (!read_body(call) || !read_fields(call))
        return false;
    const struct http1_request *request = exchange_request(exchange);
    struct slice parts[] = {request->method, request->target, exchange_body(exchange)};
    sha256_parts(parts, 3, call->fingerprint);
    return true;
}

/* ── a new generation ───────────────────────────────────────────────────────────────────────── */

static void make_row(struct call *call, const struct attempt *attempt,
    const struct translated *translated, struct slice path, struct row *row)
{
    struct api *api = call->api;
    const struct route_choice *choice = &call->choice;
    struct project *project = exchange_project(call->exchange);
    uint8_t random[ID_RANDOM_BYTES];
    loop_random(api->loop, random, sizeof random);
    *row = (struct row){
        .id = id_make(loop_wall_ns(api->loop) / 1000000, random),
        .project = project->number,
        .project_name = slice_text(project->name),
        .attempt = attempt->number,
        .previous = attempt->previous,
        .state = STREAM_ACCEPTED,
        .is_streamed = call->request.is_streamed,
        .key = call->key,
        .fingerprint = slice_of(call->fingerprint, SHA256_BYTES),
        .method = exchange_request(call->exchange)->method,
        .path = path,
        .dialect = slice_text(call->dialect->name),
        .provider_dialect = translated->provider
                                ? slice_text(translate_dialect(translated->provider)->name)
                                : SLICE_NONE,
        .model = choice->model.size ? choice->model : slice_text(call->request.model),
        .provider = slice_text(choice->provider->name),
        .metadata = call->metadata,
        .accepted_ns = exchange_accepted_ns(call->exchange),
        .ttl_s = call->ttl_s,
        .is_sliding = call->is_sliding,
        .content_length = -1,
        .request_bytes = exchange_body(call->exchange).size,
        .usage = USAGE_UNKNOWN,
    };
}

/* What is to be sent. */
struct sending {
    struct buf body, target;
    struct buf path; /* as it is recorded: a key in it is not */
    struct outbound outbound;
    char method[PRODUCER_METHOD_BYTES], content_type[CONTENT_TYPE_BYTES_MAX];
    bool hides_usage;
    const struct headers *headers;
    struct translated translated;
};

static void sending_deinit(struct sending *sending)
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

static enum err write_native(struct call *call, struct sending *out)
{
    TRY(buf_append(&out->body, exchange_body(call->exchange)));
    TRY(outbound_native_target(call->choice.provider, call->native_target, &out->target));
    return copy_text(exchange_header(call->exchange, "Content-Type"), out->content_type,
        sizeof out->content_type);
}

static enum err write_inference(struct call *call, struct sending *out)
{
    struct slice target = buf_slice(&out->path);
    TRY(copy_text(SLICE("application/json"), out->content_type, sizeof out->content_type));
    TRY(outbound_api_target(call->choice.provider, target, &out->target));
    return dialect_write_request(call->dialect, exchange_body(call->exchange), &call->request,
        call->choice.model, call->api->config->ask_usage, &out->body, &out->hides_usage);
}

static enum err write_translated(struct call *call, struct sending *out)
{
    out->headers = &out->translated.headers;
    out->hides_usage = !out->translated.sent.includes_usage;
    TRY(copy_text(SLICE("application/json"), out->content_type, sizeof out->content_type));
    struct slice path = buf_slice(&out->translated.sent.path);
    if (!out->translated.prefix)
        return outbound_api_target(call->choice.provider, path, &out->target);
    TRY(buf_append_text(&out->target, out->translated.prefix));
    return buf_append(&out->target, path);
}

static void sending_init(struct call *call, struct sending *out)
{
    *out = (struct sending){.headers = &exchange_request(call->exchange)->headers};
    buf_init(&out->body, exchange_body(call->exchange).size + DIALECT_MODEL_BYTES * 6 + 1024);
    buf_init(&out->target, HTTP_TARGET_BYTES_MAX * 2);
    buf_init(&out->path, HTTP_TARGET_BYTES_MAX);
    translated_init(&out->translated);
}

static struct slice body_of(const struct sending *sending)
{
    return buf_slice(
        sending->translated.provider ? &sending->translated.sent.body : &sending->body);
}

static enum err prepare(struct call *call, struct sending *out)
{
    const struct http1_request *request = exchange_request(call->exchange);
    const char *why;
    TRY(copy_text(request->method, out->method, sizeof out->method));
    TRY(outbound_native_target(call->choice.provider, request->target, &out->path));
    TRY(out->translated.provider ? write_translated(call, out)
        : is_native(call)        ? write_native(call, out)
                                 : write_inference(call, out));
    struct outbound_request outbound = {.provider = call->choice.provider,
        .method = out->method,
        .target = buf_slice(&out->target),
        .body = body_of(out),
        .headers = out->headers,
        .wall_s = loop_wall_ns(call->api->loop) / 1000000000};
    TRY(tokens_get(call->api->tokens, call->choice.provider, &outbound.token, &why));
    return outbound_prepare(&outbound, &out->outbound);
}

static enum err dispatch(struct call *call, struct stream *stream, const struct sending *sending)
{
    const struct translated *translated = &sending->translated;
    const struct producer_translate translate = {.provider = translated->provider,
        .caller = translated->caller,
        .model = slice_text(call->request.model),
        .includes_usage = translated->sent.includes_usage,
        .left_out = buf_slice(&translated->report.left_out)};
    return producer_start(&call->api->producer, stream,
        &(struct producer_request){.dialect = call->dialect,
            .translate = translated->provider ? &translate : NULL,
            .method = sending->method,
            .url = (const char *)sending->outbound.url.data,
            .content_type = sending->content_type,
            .credentials = sending->outbound.headers,
            .ca_file = call->choice.provider->ca_file,
            .headers = sending->headers,
            .body = body_of(sending),
            .hides_usage = sending->hides_usage,
            .is_keyed = call->key.size > 0});
}

/* False: answered. */
static bool check_route(struct call *call)
{
    struct slice token;
    const char *why = "";
    const struct provider *provider = call->choice.provider;
    if (call->choice_err) {
        refuse_route(call->exchange, call->choice_err, &call->why);
        return false;
    }
    if (!provider->api_prefix && !is_native(call)) {
        exchange_error(call->exchange, 400, "unsupported_call", "model",
            "%s has no calls of this kind; its own are passed on under /%s/…", provider->name,
            provider->native);
        return false;
    }
    enum err err = tokens_get(call->api->tokens, provider, &token, &why);
    if (!err)
        return true;
    refuse_token(call->exchange, provider, why);
    return false;
}

/* False: answered. */
static bool translate(struct call *call, struct translated *translated)
{
    struct exchange *exchange = call->exchange;
    if (is_native(call) ||
        !translated_find(translated, exchange_target(exchange).path, call->choice.provider))
        return true;
    enum err err =
        translated_make(translated, exchange, &call->choice, slice_text(call->request.model));
    if (err_is_fault(err))
        refuse_outbound(exchange, err);
    return !err;
}

static void start(struct call *call, const struct attempt *attempt)
{
    struct api *api = call->api;
    struct exchange *exchange = call->exchange;
    if (api->is_draining) {
        refuse_draining(exchange);
        return;
    }
    if (!check_route(call))
        return;
    enum err err = api->is_stuck ? ERR_FULL : hub_admits(api->hub);
    if (err) {
        refuse_stream(exchange, err);
        return;
    }
    struct row row;
    struct stream *stream;
    CLEANUP(sending_deinit) struct sending sending;
    sending_init(call, &sending);
    if (!translate(call, &sending.translated))
        return;
    err = prepare(call, &sending);
    if (err) {
        refuse_outbound(exchange, err);
        return;
    }
    make_row(call, attempt, &sending.translated, buf_slice(&sending.path), &row);
    err = hub_create(api->hub, exchange_project(exchange), &row, exchange_body(exchange), &stream);
    if (err) { /* admitted, and full all the same: the journal's buffers are, for a moment */
        refuse_stream(exchange, err == ERR_FULL ? ERR_AGAIN : err);
        return;
    }
    if (dispatch(call, stream, &sending))
        LOG(api->log, LOG_ERROR, "dispatch", LOG_ID("stream", &row.id),
            LOG_TEXT("origin", fault_origin()));
    replay_start(
        exchange, stream, &(struct replay_request){.format = REPLAY_PROVIDER, .follow = true});
}

/* ── a key that is known ─────────────────────────────────────────────────────────────────────── */

/* Nothing of it was delivered, so nothing is pinned: the provider could not be reached, or
 * answered with an error. */
static bool was_nothing_delivered(const struct row *row)
{
    return row->state == STREAM_FAILED && (row->status == 0 || row->status >= 400);
}

static bool wants_restart(const struct call *call, const struct row *row)
{
    bool is_broken = row->state == STREAM_INTERRUPTED || row->state == STREAM_FAILED ||
                     row->state == STREAM_STOPPED;
    return is_broken && call->restarts;
}

/* True: answered. */
static bool refuse_attach(struct call *call, const struct stream *stream)
{
    struct exchange *exchange = call->exchange;
    const struct row *row = stream_row(stream);
    char url[STREAM_URL_BYTES];
    stream_url(&row->id, url);
    if (api_answer_gone(exchange, stream))
        return true;
    if (!slice_equal(row->fingerprint, slice_of(call->fingerprint, SHA256_BYTES))) {
        exchange_error(exchange, 422, "idempotency_key_reused", "Idempotency-Key",
            "this key was used for another request (%s): use a new key for a new request", url);
        return true;
    }
    if (call->never_attaches) {
        exchange_error(exchange, 409, "stream_exists", "Idempotency-Key",
            "this key was used before (%s), and Tokenlog-Attach: never asks not to attach", url);
        return true;
    }
    return false;
}

static void answer_known(struct call *call, struct stream *stream)
{
    const struct row *row = stream_row(stream);
    bool has_ended = stream_has_ended(stream);
    if (refuse_attach(call, stream)) {
        stream_unref(stream);
    } else if (has_ended && (was_nothing_delivered(row) || wants_restart(call, row))) {
        struct attempt next = {row->attempt + 1, row->id};
        stream_unref(stream);
        start(call, &next);
    } else {
        metrics_add_label(call->api->metrics, METRIC_streams_attached_total,
            has_ended ? "key_finished" : "key_live", 1);
        stream_touch(stream);
        replay_start(call->exchange, stream,
            &(struct replay_request){.format = REPLAY_PROVIDER,
                .follow = true,
                .attached = has_ended ? "finished" : "live"});
    }
}

static void call_closed(void *context)
{
    struct call *call = context;
    call->exchange = NULL; /* the look-up still holds the call */
}

static const struct responder call_responder = {NULL, call_closed};

static void claimed(struct hub_lookup *lookup, enum err err, struct stream *stream)
{
    struct call *call = CONTAINER_OF(lookup, struct call, lookup);
    if (!call->exchange) {
        stream_unref(stream);
        call_free(call);
        return;
    }
    exchange_release(call->exchange);
    if (!err)
        answer_known(call, stream);
    else if (err == ERR_NOTFOUND)
        start(call, &(struct attempt){.number = 1});
    else if (err == ERR_LIMIT)
        refuse_stream(call->exchange, ERR_LIMIT);
    else
        exchange_error(call->exchange, 500, "storage_fault", NULL,
            "the key could not be looked up, so nothing was asked: %s", err_text(err));
    call_free(call);
}

/* ── the handler ────────────────────────────────────────────────────────────────────────────── */

/* The route is known, and what it needs is there or never will be. */
static void go_on(struct call *call)
{
    if (call->key.size == 0) {
        start(call, &(struct attempt){.number = 1});
        call_free(call);
        return;
    }
    call->lookup.done = claimed;
    exchange_hold(call->exchange, &call_responder, call);
    hub_claim(call->api->hub, exchange_project(call->exchange), call->key, &call->lookup);
}

static void token_came(struct token_wait *wait)
{
    struct call *call = CONTAINER_OF(wait, struct call, wait);
    exchange_release(call->exchange);
    go_on(call);
}

static void waiter_closed(void *context)
{
    call_free(context); /* its wait is forgotten */
}

static const struct responder waiter = {NULL, waiter_closed};

/* A provider may want a token that has to be fetched first. */
static void await_token(struct call *call)
{
    struct slice token;
    const char *why;
    if (call->choice_err ||
        tokens_get(call->api->tokens, call->choice.provider, &token, &why) != ERR_AGAIN) {
        go_on(call);
        return;
    }
    call->wait.done = token_came;
    exchange_hold(call->exchange, &waiter, call);
    tokens_wait(call->api->tokens, call->choice.provider, &call->wait);
}

static struct call *call_new(
    struct api *api, struct exchange *exchange, struct catalogue *catalogue)
{
    struct call *call = calloc(1, sizeof *call);
    if (!call) {
        refuse_stream(exchange, ERR_LIMIT);
        catalogue_unref(catalogue);
        return NULL;
    }
    call->api = api;
    call->exchange = exchange;
    call->catalogue = catalogue;
    list_init(&call->wait.node);
    buf_init(&call->why, WHY_BYTES_MAX);
    return call;
}

void inference_post(struct api *api, struct exchange *exchange, struct slice id)
{
    (void)id;
    struct call *call = call_new(api, exchange, catalogues_get(api->catalogues));
    if (!call)
        return;
    enum err err = dialect_for_path(exchange_target(exchange).path, &call->dialect);
    ASSERT(!err); /* the router asked the same table */
    if (!read_request(call)) {
        call_free(call);
        return;
    }
    call->choice_err =
        catalogue_pick(call->catalogue, slice_text(call->request.model), &call->choice, &call->why);
    await_token(call);
}

void inference_native(struct api *api, struct exchange *exchange, const struct native_call *native)
{
    struct call *call = call_new(api, exchange, native->catalogue);
    if (!call)
        return;
    call->dialect = native->dialect;
    call->native_target = native->target;
    call->choice.provider = native->provider;
    call->choice.model = slice_sub(native->model, 0, DIALECT_MODEL_BYTES - 1);
    call->choice.known = catalogue_model_of(call->catalogue, native->provider, native->model);
    call->request.is_streamed = native->is_streamed;
    if (read_request(call))
        await_token(call);
    else
        call_free(call);
}
