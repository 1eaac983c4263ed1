/* runs — PUT, GET, DELETE /v1/runs/{run} and its forks; server/run/README.md has what they answer. GET looks up
 * the stream of one step after another, by its key. */
#include <stdlib.h>

#include "protocol/base/own.h"
#include "protocol/data/attempt.h"
#include "protocol/data/member.h"
#include "protocol/http/url.h"
#include "server/api/replay.h"
#include "server/api/run_call.h"
#include "server/api/ttl.h"
#include "server/route/cost.h"

/* ── a run as JSON ──────────────────────────────────────────────────────────────────────────── */

static void put_fork(struct json_writer *json, const struct runbook *book)
{
    json_key(json, "forked_from");
    if (!book->forked_from.size) {
        json_null(json);
        return;
    }
    json_open(json, '{');
    member_text(json, "run", book->forked_from);
    member_text(json, "at", book->forked_at);
    json_close(json, '}');
}

/* All but the closing bracket. */
static void put_run(struct json_writer *json, const struct run *run)
{
    char id[ID_TEXT_BYTES];
    const struct row *row = stream_row(run_stream(run));
    const struct runbook *book = run_book(run);
    id_format(&row->id, id);
    json_open(json, '{');
    member_text(json, "object", SLICE("run"));
    member_text(json, "run", run_name(run));
    member_text(json, "id", slice_text(id));
    member_time(json, "created_at", row->accepted_ns);
    member_time(json, "expires_at", append_expires_ns(run_stream(run)));
    json_key(json, "metadata");
    if (row->metadata.size)
        json_raw(json, row->metadata);
    else
        json_null(json);
    put_fork(json, book);
    member_number(json, "step_count", book->steps_by_name.count);
    member_number(json, "checkpoint_count", book->checkpoints_by_name.count);
}

static void answer_run(struct run_call *call, const struct run *run, int status)
{
    CLEANUP(buf_deinit) struct buf text;
    struct json_writer json;
    buf_init(&text, REPLY_BYTES_MAX);
    json_writer_init(&json, &text);
    put_run(&json, run);
    json_close(&json, '}');
    if (json.err)
        run_call_refuse_err(call, ERR_AGAIN);
    else
        run_call_reply(call, status, "application/json", buf_slice(&text));
}

/* ── PUT ────────────────────────────────────────────────────────────────────────────────────── */

static void is_put(struct run_call *call)
{
    answer_run(call, call->visit.run, call->visit.is_new ? 201 : 200);
}

static void put_metadata(struct run_call *call)
{
    enum err err = ERR_OK;
    if (!call->visit.is_new && call->visit.metadata.size)
        err = append_describe(run_stream(call->visit.run), call->visit.metadata);
    if (err)
        run_call_refuse_err(call, err);
    else
        run_call_wait(call, call->visit.run, is_put);
}

/* False: answered. */
static bool read_ttl(struct run_call *call)
{
    char why[TTL_WHY_BYTES];
    if (ttl_read(call->api, call->exchange, &call->visit.ttl_s, why) == ERR_OK)
        return true;
    run_call_refuse(call, 400, "invalid_ttl", "Tokenlog-TTL", "%s", why);
    return false;
}

static bool read_metadata(struct run_call *call)
{
    const char *why = "it is too long";
    size_t at;
    struct slice body = exchange_body(call->exchange);
    bool is_valid = body.size == 0 || (body.size <= RUN_METADATA_BYTES_MAX &&
                                          json_object_check(body, &why, &at) == ERR_OK);
    if (is_valid && buf_append(&call->kept, body) == ERR_OK) {
        call->visit.metadata = buf_slice(&call->kept);
        return true;
    }
    run_call_refuse(call, 400, "invalid_metadata", NULL,
        "the body is a run's metadata, one JSON object of at most %d bytes: %s",
        RUN_METADATA_BYTES_MAX, why);
    return false;
}

void run_put(struct api *api, struct exchange *exchange, struct slice id)
{
    (void)id;
    struct run_call *call = run_call_new(api, exchange, sizeof *call, NULL);
    if (!call || !read_ttl(call) || !read_metadata(call))
        return;
    call->visit.begins = true;
    run_call_visit(call, put_metadata);
}

/* ── GET ────────────────────────────────────────────────────────────────────────────────────── */

/* A call that looks at one step after another. */
struct showing {
    struct run_call call;
    struct hub_lookup lookup;
    struct list *at; /* the step that is looked at */
    uint64_t limit, shown;
    bool is_looping, is_waiting;
    struct buf text;
    struct json_writer json;
    struct catalogue *catalogue;
    uint64_t saved_calls;
    int64_t saved_input, saved_output, saved_cost; /* cost: -1, not known of one */
};

static void showing_end(struct run_call *call)
{
    struct showing *showing = CONTAINER_OF(call, struct showing, call);
    buf_deinit(&showing->text);
    catalogue_unref(showing->catalogue);
}

static int64_t step_cost(const struct showing *showing, const struct row *row)
{
    const struct provider *provider;
    int64_t cost = attempts_cost(row->attempts);
    if (cost >= 0 || catalogue_native(showing->catalogue, row->provider, &provider))
        return cost;
    return cost_of(catalogue_model_of(showing->catalogue, provider, row->model), &row->usage);
}

/* What a provider says it counted may be anything: it stays at the most there is. */
static void add_times(int64_t *sum, int64_t count, uint64_t times)
{
    int64_t product;
    if (__builtin_mul_overflow(count, times, &product) ||
        __builtin_add_overflow(*sum, product, sum))
        *sum = INT64_MAX;
}

static void save(struct showing *showing, const struct row *row, uint64_t replays, int64_t cost)
{
    if (replays == 0 || stream_state_is_live(row->state))
        return;
    showing->saved_calls += replays;
    if (row->usage.input > 0)
        add_times(&showing->saved_input, row->usage.input, replays);
    if (row->usage.output > 0)
        add_times(&showing->saved_output, row->usage.output, replays);
    if (cost < 0)
        showing->saved_cost = -1;
    else if (showing->saved_cost >= 0)
        add_times(&showing->saved_cost, cost, replays);
}

static void put_stream(struct showing *showing, const struct run_step *step, struct stream *stream)
{
    struct json_writer *json = &showing->json;
    const struct row none = {.usage = USAGE_UNKNOWN};
    const struct row *row = stream ? stream_visible_row(stream) : NULL;
    char id[ID_TEXT_BYTES] = "", url[STREAM_URL_BYTES] = "";
    const char *state = "";
    int64_t cost = -1;
    if (row) {
        id_format(&row->id, id);
        stream_url(&row->id, url);
        state = stream_is_deleted(stream) ? "deleted" : stream_state_name(row->state);
        cost = step_cost(showing, row);
        save(showing, row, step->replays, cost);
    }
    member_text(json, "stream_id", slice_text(id));
    member_text(json, "state", slice_text(state));
    member_number(json, "offset", row ? stream_watermark(stream) : 0);
    member_usage(json, "usage", row ? &row->usage : &none.usage);
    json_key(json, "cost_usd");
    cost_json(cost, json);
    member_text(json, "url", slice_text(url));
}

static void put_step(struct showing *showing, const struct run_step *step, struct stream *stream)
{
    struct json_writer *json = &showing->json;
    json_open(json, '{');
    member_text(json, "step", step->name);
    member_text(json, "idempotency_key", step->key);
    member_flag(json, "inherited", step->is_inherited);
    member_number(json, "replays", step->replays);
    put_stream(showing, step, stream);
    json_close(json, '}');
}

static void is_shown(struct run_call *call)
{
    struct showing *showing = CONTAINER_OF(call, struct showing, call);
    run_call_reply(call, 200, "application/json", buf_slice(&showing->text));
}

static void finish(struct showing *showing, bool has_more)
{
    struct json_writer *json = &showing->json;
    json_close(json, ']');
    member_flag(json, "has_more", has_more);
    json_key(json, "saved");
    json_open(json, '{');
    member_number(json, "calls", showing->saved_calls);
    member_count(json, "input_tokens", showing->saved_input);
    member_count(json, "output_tokens", showing->saved_output);
    json_key(json, "cost_usd");
    cost_json(showing->saved_cost, json);
    json_close(json, '}');
    json_close(json, '}');
    if (json->err)
        run_call_refuse(
            &showing->call, 500, "internal", "limit", "the page does not fit; ask for less");
    else
        run_call_settle(&showing->call, is_shown);
}

/* An answer may come before the question returns: many in memory are a loop and no recursion. */
static void look(struct showing *showing)
{
    const struct runbook *book = run_book(showing->call.visit.run);
    showing->is_looping = true;
    while (!showing->is_waiting && showing->at != &book->steps && showing->shown < showing->limit &&
           showing->call.exchange) {
        const struct run_step *step = CONTAINER_OF(showing->at, struct run_step, node);
        showing->is_waiting = true;
        hub_claim(showing->call.api->hub, showing->call.visit.project, step->key, &showing->lookup);
    }
    showing->is_looping = false;
    if (showing->is_waiting)
        return;
    if (showing->call.exchange)
        finish(showing, showing->at != &book->steps);
    else
        run_call_end(&showing->call);
}

static void step_found(struct hub_lookup *lookup, enum err err, struct stream *stream)
{
    struct showing *showing = CONTAINER_OF(lookup, struct showing, lookup);
    put_step(showing, CONTAINER_OF(showing->at, struct run_step, node), err ? NULL : stream);
    stream_unref(stream);
    showing->at = showing->at->next;
    showing->shown++;
    showing->is_waiting = false;
    if (!showing->is_looping)
        look(showing);
}

/* False: answered. */
static bool find_first(struct showing *showing)
{
    CLEANUP(buf_deinit) struct buf after;
    struct slice raw;
    const struct runbook *book = run_book(showing->call.visit.run);
    buf_init(&after, RUN_NAME_BYTES_MAX);
    showing->at = book->steps.next;
    enum err err = query_get(exchange_target(showing->call.exchange).query, "after", &raw);
    if (err == ERR_NOTFOUND)
        return true;
    if (!err)
        err = percent_decode(raw, true, &after);
    struct run_step *step = err ? NULL : runbook_step(book, buf_slice(&after));
    if (step)
        showing->at = step->node.next;
    else
        run_call_refuse(&showing->call, 400, "invalid_parameter", "after",
            "`after` is a step of this run, once");
    return step;
}

static void show(struct run_call *call)
{
    struct showing *showing = CONTAINER_OF(call, struct showing, call);
    if (!run_call_page(call, &showing->limit) || !find_first(showing))
        return;
    showing->catalogue = catalogues_get(call->api->catalogues);
    showing->lookup.done = step_found;
    buf_init(&showing->text, REPLY_BYTES_MAX);
    json_writer_init(&showing->json, &showing->text);
    put_run(&showing->json, call->visit.run);
    json_key(&showing->json, "steps");
    json_open(&showing->json, '[');
    look(showing);
}

void run_show(struct api *api, struct exchange *exchange, struct slice id)
{
    (void)id;
    struct showing *showing = run_call_new(api, exchange, sizeof *showing, showing_end);
    if (showing)
        run_call_visit(&showing->call, show);
}

/* ── DELETE ─────────────────────────────────────────────────────────────────────────────────── */

static void is_removed(struct run_call *call)
{
    run_call_reply(call, 204, NULL, SLICE_NONE);
}

static void remove_run(struct run_call *call)
{
    struct stream *stream = run_stream(call->visit.run);
    if (stream_is_held(stream)) {
        run_call_refuse(call, 423, "stream_held", NULL,
            "a legal hold lies on the run's stream: it cannot be deleted before that is lifted");
        return;
    }
    enum err err = append_delete(stream, "deleted");
    if (err)
        run_call_refuse_err(call, err);
    else
        run_call_wait(call, call->visit.run, is_removed);
}

void run_remove(struct api *api, struct exchange *exchange, struct slice id)
{
    (void)id;
    struct run_call *call = run_call_new(api, exchange, sizeof *call, NULL);
    if (call)
        run_call_visit(call, remove_run);
}

/* ── forks ──────────────────────────────────────────────────────────────────────────────────── */

/* The call's own visit is of the run that is forked. */
struct forking {
    struct run_call call;
    struct buf at, to, steps;
    struct run_visit visit; /* of the new one */
};

static void forking_end(struct run_call *call)
{
    struct forking *forking = CONTAINER_OF(call, struct forking, call);
    runs_leave(call->api->runs, &forking->visit);
    buf_deinit(&forking->at);
    buf_deinit(&forking->to);
    buf_deinit(&forking->steps);
}

static void is_forked(struct run_call *call)
{
    struct forking *forking = CONTAINER_OF(call, struct forking, call);
    answer_run(call, forking->visit.run, 201);
}

/* One that a fork began and did not come to write in is as good as none. */
static bool is_empty(const struct runbook *book)
{
    return list_is_empty(&book->steps) && list_is_empty(&book->checkpoints);
}

static void new_visited(struct run_visit *visit, enum err err)
{
    struct forking *forking = CONTAINER_OF(visit, struct forking, visit);
    struct run_call *call = &forking->call;
    if (!call->exchange) {
        run_call_end(call);
        return;
    }
    if (err == ERR_LIMIT) /* too many streams are open: the run's own limit comes below */
        err = ERR_AGAIN;
    if (!err && !is_empty(run_book(visit->run))) {
        run_call_refuse(call, 409, "run_exists", "run",
            "there is a run of this name, with steps or checkpoints: fork into another");
        return;
    }
    struct run_record record = {.type = RUN_FORK,
        .from = run_name(call->visit.run),
        .at = buf_slice(&forking->at),
        .steps = buf_slice(&forking->steps)};
    if (!err)
        err = run_write(visit->run, &record);
    if (err)
        run_call_refuse_err(call, err);
    else
        run_call_wait(call, visit->run, is_forked);
}

static void fork_run(struct run_call *call)
{
    struct forking *forking = CONTAINER_OF(call, struct forking, call);
    const struct row *row = stream_row(run_stream(call->visit.run));
    enum err err =
        runbook_fork_steps(run_book(call->visit.run), buf_slice(&forking->at), &forking->steps);
    if (err == ERR_NOTFOUND) {
        run_call_refuse(
            call, 404, "step_not_found", "at", "the run has no such step: GET it for those it has");
        return;
    }
    if (err) {
        run_call_refuse_err(call, err);
        return;
    }
    err = buf_append(&call->kept, row->metadata);
    if (err) {
        run_call_refuse_err(call, ERR_AGAIN);
        return;
    }
    forking->visit = (struct run_visit){.project = call->visit.project,
        .name = buf_slice(&forking->to),
        .begins = true,
        .ttl_s = row->ttl_s,
        .metadata = buf_slice(&call->kept),
        .done = new_visited};
    runs_visit(call->api->runs, &forking->visit);
}

static bool read_fork(struct forking *forking)
{
    CLEANUP(json_cleanup) struct json *tree = NULL;
    if (json_parse(exchange_body(forking->call.exchange), &tree))
        return false;
    struct slice at = json_text(json_get(tree, "at")), to = json_text(json_get(tree, "run"));
    return run_name_is_valid(at) && run_name_is_valid(to) && !buf_append(&forking->at, at) &&
           !buf_append(&forking->to, to);
}

void run_fork_post(struct api *api, struct exchange *exchange, struct slice id)
{
    (void)id;
    struct forking *forking = run_call_new(api, exchange, sizeof *forking, forking_end);
    if (!forking)
        return;
    buf_init(&forking->at, RUN_NAME_BYTES_MAX);
    buf_init(&forking->to, RUN_NAME_BYTES_MAX);
    buf_init(&forking->steps, RUN_LINE_BYTES_MAX);
    if (read_fork(forking))
        run_call_visit(&forking->call, fork_run);
    else
        run_call_refuse(&forking->call, 400, "invalid_body", NULL,
            "the body is {\"at\": a step, \"run\": the new run's name}");
}
