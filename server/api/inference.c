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
#include "server/api/call.h"
#include "server/api/inference.h"
#include "server/api/refusal.h"
#include "server/api/replay.h"
#include "server/api/responses.h"

enum { WHY_BYTES_MAX = 4096 /* why a model is not to be had */ };

/* Of the attempt that comes before, if there is one. */
struct key_attempt {
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

/* ── a new generation ───────────────────────────────────────────────────────────────────────── */

static void make_row(struct call *call, const struct key_attempt *attempt,
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

static struct asked asked_of(const struct call *call)
{
    const struct http1_request *request = exchange_request(call->exchange);
    return (struct asked){.dialect = call->dialect,
        .request = &call->request,
        .method = request->method,
        .target = request->target,
        .path = exchange_target(call->exchange).path,
        .native_target = call->native_target,
        .body = exchange_body(call->exchange),
        .headers = &request->headers};
}

static enum err dispatch(struct call *call, struct stream *stream, const struct sending *sending,
    const struct asked *asked)
{
    struct producer_translate translate;
    struct producer_request request = sending_request(sending, asked, &call->choice, &translate);
    request.is_keyed = call->key.size > 0;
    return producer_start(&call->api->producer, stream, &request);
}

/* False: answered. */
static bool may_start(struct call *call)
{
    struct api *api = call->api;
    if (api->is_draining) {
        refuse_draining(call->exchange);
        return false;
    }
    if (call->choice_err) {
        refuse_route(call->exchange, call->choice_err, &call->why);
        return false;
    }
    enum err err = api->is_stuck ? ERR_FULL : hub_admits(api->hub);
    if (err)
        refuse_stream(call->exchange, err);
    return !err;
}

/* From the recording. Who asked in the background does not wait for the end, and takes nothing with him. */
static void answer(struct call *call, struct stream *stream, const char *attached)
{
    const struct replay_request replay = {
        .format = REPLAY_PROVIDER, .follow = true, .attached = attached};
    if (call->request.is_background)
        stream_outlive_callers(stream);
    if (call->request.is_background && !call->request.is_streamed)
        responses_begin(call->exchange, stream, attached);
    else
        replay_start(call->exchange, stream, &replay);
}

static void start(struct call *call, const struct key_attempt *attempt)
{
    struct api *api = call->api;
    struct exchange *exchange = call->exchange;
    struct row row;
    struct stream *stream;
    if (!may_start(call))
        return;
    const struct asked asked = asked_of(call);
    CLEANUP(sending_deinit) struct sending sending;
    sending_init(&sending, &asked);
    enum err err = sending_make(&sending, api, &asked, &call->choice);
    if (err) {
        sending_refuse(&sending, err, call->choice.provider, exchange);
        return;
    }
    make_row(call, attempt, &sending.translated, buf_slice(&sending.path), &row);
    err = hub_create(api->hub, exchange_project(exchange), &row, asked.body, &stream);
    if (err) { /* admitted, and full all the same: the journal's buffers are, for a moment */
        refuse_stream(exchange, err == ERR_FULL ? ERR_AGAIN : err);
        return;
    }
    if (dispatch(call, stream, &sending, &asked))
        LOG(api->log, LOG_ERROR, "dispatch", LOG_ID("stream", &row.id),
            LOG_TEXT("origin", fault_origin()));
    answer(call, stream, NULL);
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
        struct key_attempt next = {row->attempt + 1, row->id};
        stream_unref(stream);
        start(call, &next);
    } else {
        metrics_add_label(call->api->metrics, METRIC_streams_attached_total,
            has_ended ? "key_finished" : "key_live", 1);
        stream_touch(stream);
        answer(call, stream, has_ended ? "finished" : "live");
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
        start(call, &(struct key_attempt){.number = 1});
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
        start(call, &(struct key_attempt){.number = 1});
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
    if (!call_read(call)) {
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
    if (call_read(call))
        await_token(call);
    else
        call_free(call);
}
