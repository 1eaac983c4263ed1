/* inference — POST /v1/chat/completions and its kin: ask once, record, answer from the recording.
 *
 *   route ─▶ (a token, if the provider wants one and none is there) ─▶
 *   no key   create ─▶ dispatch ─▶ replay from 0; or, where the project wants it and the same request was cut
 *            off before, the recording of that one (duplicates.h)
 *   key      claim ─▶ free                                   create ─▶ durable ─▶ dispatch ─▶
 *   replay
 *                 ├─▶ nothing of it was delivered            the next attempt of the key: create…
 *                 ├─▶ another request's body                 422
 *                 ├─▶ interrupted, failed, stopped, and the caller says restart      likewise
 *                 ├─▶ …or says continue                      likewise, and it begins with what that one has
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
#include "server/stream/duplicates.h"

/* Of the attempt that comes before, if there is one. */
struct key_attempt {
    uint32_t number;
    struct id previous;
    struct stream *before; /* it is gone on with; NULL: the request is asked anew */
};

static void wait_to_start(struct call *call);

/* It was not begun with: what still comes of it is thrown away. */
static void drop_upload(struct call *call)
{
    if (call->upload)
        upload_close(call->upload);
    call->upload = upload_unref(call->upload);
}

static struct call *call_free(struct call *call)
{
    drop_upload(call);
    run_step_leave(&call->run_step);
    attempts_free(call->attempts);
    buf_deinit(&call->why);
    free(call);
    return NULL;
}

/* ── a new generation ───────────────────────────────────────────────────────────────────────── */

static void make_row(struct call *call, const struct key_attempt *attempt,
    const struct producer_request *request, struct slice path, struct row *row)
{
    struct api *api = call->api;
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
        .fingerprint = call->upload ? SLICE_NONE : slice_of(call->fingerprint, SHA256_BYTES),
        .method = exchange_request(call->exchange)->method,
        .path = path,
        .dialect = slice_text(call->dialect->name),
        .provider_dialect = request->provider_dialect,
        .model = request->model,
        .provider = request->provider,
        .metadata = call->metadata,
        .run = call->run_step.run,
        .step = call->run_step.step,
        .accepted_ns = exchange_accepted_ns(call->exchange),
        .ttl_s = call->ttl_s,
        .is_sliding = call->is_sliding,
        .content_length = -1,
        .request_bytes = call->upload ? 0 : exchange_body(call->exchange).size,
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
        .is_api = call->is_api,
        .body = call->upload ? SLICE_NONE : exchange_body(call->exchange),
        .upload = call->upload,
        .headers = &request->headers};
}

/* False: answered. */
static bool may_start(struct call *call)
{
    struct api *api = call->api;
    if (api->is_draining) {
        refuse_draining(call->exchange);
        return false;
    }
    if (call->plan_err) {
        refuse_route(call->exchange, call->plan_err, &call->why);
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
        .format = REPLAY_PROVIDER, .follow = true, .attached = attached, .is_caller = true};
    if (call->request.is_background)
        stream_outlive_callers(stream);
    if (call->answer)
        call->answer(call->api, call->exchange, stream, attached);
    else if (call->request.is_background && !call->request.is_streamed)
        responses_begin(call->exchange, stream, attached);
    else
        replay_start(call->exchange, stream, &replay);
}

static void refuse_attempt(struct call *call, enum err err, const struct sending *sending,
    const struct attempts_refusal *refusal)
{
    if (err_is_fault(err)) {
        refuse_outbound(call->exchange, err);
        return;
    }
    if (!refusal->is_unasked) {
        sending_refuse(
            sending, err, attempts_target(call->attempts)->choice.provider, call->exchange);
        return;
    }
    if (refusal->after_ms >= 0)
        exchange_retry_after(call->exchange, (int)(refusal->after_ms / 1000 + 1));
    exchange_error(
        call->exchange, 503, "no_target", "model", "%.*s", SLICE_PRINT(buf_slice(&refusal->why)));
}

/* The stream, and its producer. */
static void generate(struct call *call, const struct key_attempt *attempt,
    const struct asked *asked, const struct sending *sending)
{
    struct api *api = call->api;
    struct row row;
    struct stream *stream;
    struct producer_translate translate;
    CLEANUP(buf_deinit) struct buf first;
    buf_init(&first, ATTEMPT_BYTES_MAX);
    struct producer_request request = attempts_request(call->attempts, asked, sending, &translate);
    request.is_keyed = call->key.size > 0;
    if (attempt->before && !attempts_take_up(call->attempts, asked, attempt->before, &request)) {
        refuse_stream(call->exchange, ERR_AGAIN);
        return;
    }
    make_row(call, attempt, &request, buf_slice(&sending->path), &row);
    if (!attempt->before && !attempts_describe(call->attempts, loop_wall_ns(api->loop), &first))
        row.attempts = buf_slice(&first);
    enum err err =
        hub_create(api->hub, exchange_project(call->exchange), &row, asked->body, &stream);
    if (err) { /* admitted, and full all the same: the journal's buffers are, for a moment */
        refuse_stream(call->exchange, err == ERR_FULL ? ERR_AGAIN : err);
        return;
    }
    call->attempts = NULL;
    if (call->key.size == 0 && !call->upload)
        duplicates_note(stream);
    if (producer_start(&api->producer, stream, &request))
        LOG(api->log, LOG_ERROR, "dispatch", LOG_ID("stream", &row.id),
            LOG_TEXT("origin", fault_origin()));
    else
        call->upload = upload_unref(call->upload); /* the producer has it */
    answer(call, stream, NULL);
}

/* True: not yet. A claim is made anew when it is worth asking again: another call with the key may have
 * begun by then. */
static bool start(struct call *call, const struct key_attempt *attempt)
{
    if (!may_start(call))
        return false;
    const struct asked asked = asked_of(call);
    CLEANUP(sending_deinit) struct sending sending;
    struct attempts_refusal refusal = {0};
    sending_init(&sending, &asked);
    buf_init(&refusal.why, PLAN_WHY_BYTES);
    enum err err = attempts_first(call->attempts, &asked, &sending, &refusal);
    if (err == ERR_AGAIN)
        wait_to_start(call);
    else if (err)
        refuse_attempt(call, err, &sending, &refusal);
    else
        generate(call, attempt, &asked, &sending);
    buf_deinit(&refusal.why);
    return err == ERR_AGAIN;
}

/* ── a key that is known ─────────────────────────────────────────────────────────────────────── */

/* Nothing of it was delivered, so nothing is pinned: the provider could not be reached, or
 * answers with an error. The key is free, also for another request. */
static bool is_unpinned(const struct row *row)
{
    return (row->state == STREAM_FAILED && row->status == 0) ||
           ((row->state == STREAM_FAILED || row->state == STREAM_STREAMING) && row->status >= 400);
}

static bool is_same_request(const struct call *call, const struct row *row)
{
    return slice_equal(row->fingerprint, slice_of(call->fingerprint, SHA256_BYTES));
}

static bool wants_another(const struct call *call, const struct row *row)
{
    bool is_broken = row->state == STREAM_INTERRUPTED || row->state == STREAM_FAILED ||
                     row->state == STREAM_STOPPED;
    return is_broken && call->on_interrupted != ON_INTERRUPTED_REPLAY;
}

/* Where nothing of it was shown there is nothing to go on with: it is asked anew. */
static bool wants_more_of_it(const struct call *call, const struct row *row)
{
    return wants_another(call, row) && call->on_interrupted == ON_INTERRUPTED_CONTINUE &&
           row->status < 400 && row->events > 0;
}

/* True: answered. */
static bool refuse_to_go_on(struct call *call, const struct row *row)
{
    const struct codec *codec;
    if (row->is_sse && call->native_target.size == 0 &&
        continuation_codec(slice_text(call->dialect->name), &codec) == ERR_OK)
        return false;
    char url[STREAM_URL_BYTES];
    stream_url(&row->id, url);
    exchange_error(call->exchange, 409, "cannot_continue", "Tokenlog-On-Interrupted",
        "only a streamed chat can be gone on with, and none that a provider's own path was asked "
        "for; what was received is at %s/events, and Tokenlog-On-Interrupted: restart asks anew",
        url);
    return true;
}

/* As start. Takes the reference. */
static bool start_another(struct call *call, struct stream *stream)
{
    const struct row *row = stream_row(stream);
    struct key_attempt next = {row->attempt + 1, row->id, NULL};
    bool is_waiting = false;
    if (wants_more_of_it(call, row))
        next.before = stream;
    if (!next.before || !refuse_to_go_on(call, row))
        is_waiting = start(call, &next);
    stream_unref(stream);
    return is_waiting;
}

/* The error of a live one is followed to its end by who asks the same. */
static bool needs_another(const struct call *call, const struct stream *stream)
{
    const struct row *row = stream_row(stream);
    if (stream_has_ended(stream))
        return is_unpinned(row) || wants_another(call, row);
    return is_unpinned(row) && (call->never_attaches || !is_same_request(call, row));
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
    if (is_unpinned(row))
        return false;
    if (!is_same_request(call, row)) {
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

/* As start. */
static bool answer_known(struct call *call, struct stream *stream)
{
    bool has_ended = stream_has_ended(stream);
    if (refuse_attach(call, stream)) {
        stream_unref(stream);
    } else if (needs_another(call, stream)) {
        return start_another(call, stream);
    } else {
        metrics_add_label(call->api->metrics, METRIC_streams_attached_total,
            has_ended ? "key_finished" : "key_live", 1);
        run_step_note_replay(&call->run_step);
        stream_touch(stream);
        answer(call, stream, has_ended ? "finished" : "live");
    }
    return false;
}

static void call_closed(void *context)
{
    struct call *call = context;
    call->exchange = NULL; /* the look-up still holds the call */
}

static const struct responder call_responder = {NULL, call_closed};

static void step_closed(void *context)
{
    struct call *call = context;
    call->exchange = call->run_step.exchange = NULL; /* the visit still holds the call */
}

static const struct responder step_responder = {NULL, step_closed};

static void go_on(struct call *call);

/* Its key is known: from here on it is a call with that key. */
static void step_taken(struct run_step_call *step, bool is_taken, struct slice key)
{
    struct call *call = CONTAINER_OF(step, struct call, run_step);
    if (!is_taken) {
        call_free(call);
        return;
    }
    exchange_release(call->exchange);
    call->key = key;
    go_on(call);
}

static void take_step(struct call *call)
{
    exchange_hold(call->exchange, &step_responder, call);
    run_step_take(call->api, call->exchange, call->key, &call->run_step, step_taken);
}

static void claimed(struct hub_lookup *lookup, enum err err, struct stream *stream)
{
    struct call *call = CONTAINER_OF(lookup, struct call, lookup);
    if (!call->exchange) {
        stream_unref(stream);
        call_free(call);
        return;
    }
    bool is_waiting = false;
    exchange_release(call->exchange);
    if (!err)
        is_waiting = answer_known(call, stream);
    else if (err == ERR_NOTFOUND)
        is_waiting = start(call, &(struct key_attempt){.number = 1});
    else if (err == ERR_LIMIT)
        refuse_stream(call->exchange, ERR_LIMIT);
    else
        exchange_error(call->exchange, 500, "storage_fault", NULL,
            "the key could not be looked up, so nothing was asked: %s", err_text(err));
    if (!is_waiting)
        call_free(call);
}

/* ── a duplicate without a key ───────────────────────────────────────────────────────────────── */

/* The official SDKs count how often they have sent a request (x-stainless-retry-count). */
static bool is_retry(const struct exchange *exchange)
{
    uint64_t count;
    return slice_u64(exchange_header(exchange, "x-stainless-retry-count"), &count) == ERR_OK &&
           count > 0;
}

/* True: answered from the recording of the first. */
static bool attach_duplicate(struct call *call)
{
    struct exchange *exchange = call->exchange;
    if (call->never_attaches || call->upload)
        return false;
    struct stream *stream = duplicates_find(call->api->hub, exchange_project(exchange),
        slice_of(call->fingerprint, SHA256_BYTES), is_retry(exchange));
    if (!stream)
        return false;
    bool has_ended = stream_has_ended(stream);
    metrics_add_label(call->api->metrics, METRIC_streams_attached_total,
        has_ended ? "duplicate_finished" : "duplicate_live", 1);
    answer(call, stream, has_ended ? "finished" : "live");
    return true;
}

/* ── the handler ────────────────────────────────────────────────────────────────────────────── */

static void go_on(struct call *call)
{
    if (call->run_step.step.size && !call->run_step.visit.run) {
        take_step(call);
        return;
    }
    if (call->key.size == 0) {
        if (attach_duplicate(call) || !start(call, &(struct key_attempt){.number = 1}))
            call_free(call);
        return;
    }
    call->lookup.done = claimed;
    exchange_hold(call->exchange, &call_responder, call);
    hub_claim(call->api->hub, exchange_project(call->exchange), call->key, &call->lookup);
}

static void time_to_start(void *context)
{
    struct call *call = context;
    exchange_release(call->exchange);
    go_on(call);
}

static void waiter_closed(void *context)
{
    call_free(context); /* its wait is forgotten */
}

static const struct responder waiter = {NULL, waiter_closed};

/* A provider may want a token that has to be fetched first; a target may rest. */
static void wait_to_start(struct call *call)
{
    exchange_hold(call->exchange, &waiter, call);
    attempts_wait(call->attempts, time_to_start, call);
}

static struct call *call_new(struct api *api, struct exchange *exchange)
{
    struct call *call = calloc(1, sizeof *call);
    if (!call) {
        refuse_stream(exchange, ERR_LIMIT);
        return NULL;
    }
    call->api = api;
    call->exchange = exchange;
    call->wish = plan_policy_unsaid;
    buf_init(&call->why, PLAN_WHY_BYTES);
    return call;
}

/* What conditions of a route ask of a call; nobody else does. */
static void describe_needs(
    const struct call *call, const struct catalogue *catalogue, struct plan_ask *ask)
{
    const struct route *route;
    if (catalogue_route(catalogue, ask->model, &route) == ERR_OK)
        ask->needs = call_needs(exchange_body(call->exchange));
}

static enum err make_plan(struct call *call)
{
    struct api *api = call->api;
    CLEANUP(catalogue_cleanup) struct catalogue *catalogue = catalogues_get(api->catalogues);
    struct plan_ask ask = {.model = slice_text(call->request.model),
        .project = slice_text(exchange_project(call->exchange)->name),
        .headers = &exchange_request(call->exchange)->headers,
        .metadata = call->metadata,
        .prompt_bytes = exchange_body(call->exchange).size,
        .session = exchange_header(call->exchange, "Tokenlog-Session"),
        .wish = &call->wish,
        .now_ns = loop_now_ns(api->loop)};
    struct plan *plan;
    loop_random(api->loop, &ask.random, sizeof ask.random);
    describe_needs(call, catalogue, &ask);
    TRY(plan_make(catalogue, api->health, &ask, &plan, &call->why));
    return attempts_new(api, plan, &call->attempts);
}

static enum err make_plan_of_choice(
    struct call *call, struct catalogue *catalogue, const struct route_choice *choice)
{
    struct api *api = call->api;
    struct plan_ask ask = {
        .headers = &exchange_request(call->exchange)->headers, .wish = &call->wish};
    struct plan *plan;
    loop_random(api->loop, &ask.random, sizeof ask.random);
    TRY(plan_of_choice(catalogue, api->health, &ask, choice, &plan));
    return attempts_new(api, plan, &call->attempts);
}

void inference_post(struct api *api, struct exchange *exchange, struct slice id)
{
    (void)id;
    struct call *call = call_new(api, exchange);
    if (!call)
        return;
    enum err err = dialect_for_path(exchange_target(exchange).path, &call->dialect);
    ASSERT(!err); /* the router asked the same table */
    if (!call_read(call)) {
        call_free(call);
        return;
    }
    call->plan_err = make_plan(call);
    go_on(call);
}

/* The body, if only its beginning is here. False: answered. */
static bool take_upload(struct call *call)
{
    if (!exchange_is_partial(call->exchange))
        return true;
    enum err err = exchange_upload(call->exchange, &call->upload);
    if (err)
        refuse_stream(call->exchange, ERR_AGAIN);
    return !err;
}

void inference_native(struct api *api, struct exchange *exchange, const struct native_call *native)
{
    CLEANUP(catalogue_cleanup) struct catalogue *catalogue = native->catalogue;
    struct call *call = call_new(api, exchange);
    if (!call)
        return;
    const struct route_choice choice = {.provider = native->provider,
        .known = catalogue_model_of(catalogue, native->provider, native->model),
        .model = slice_sub(native->model, 0, DIALECT_MODEL_BYTES - 1)};
    call->dialect = native->dialect;
    call->native_target = native->target;
    call->is_api = native->is_api;
    call->answer = native->answer;
    call->request.is_streamed = native->is_streamed;
    if (!call_read(call) || !take_upload(call)) {
        call_free(call);
        return;
    }
    call->plan_err = make_plan_of_choice(call, catalogue, &choice);
    go_on(call);
}
