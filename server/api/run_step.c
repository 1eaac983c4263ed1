#include "server/api/run_step.h"

#include "protocol/base/own.h"
#include "server/api/refusal.h"
#include "server/api/run_call.h"

/* One field of the two. False: answered. */
static bool read_field(
    struct exchange *exchange, const char *name, const char *code, struct slice *out)
{
    const struct headers *headers = &exchange_request(exchange)->headers;
    size_t count = headers_count(headers, name);
    struct slice value = headers_get(headers, name);
    if (count == 0 || (count == 1 && run_name_is_valid(value))) {
        *out = count ? value : SLICE_NONE;
        return true;
    }
    exchange_error(exchange, 400, code, name,
        "%s is 1 to %d visible ASCII characters without quotes, and sent once", name,
        RUN_NAME_BYTES_MAX);
    return false;
}

bool run_step_read(struct exchange *exchange, struct run_step_call *step)
{
    if (!read_field(exchange, "Tokenlog-Run", "invalid_run", &step->run) ||
        !read_field(exchange, "Tokenlog-Step", "invalid_step", &step->step))
        return false;
    bool is_half = !step->run.size != !step->step.size;
    if (is_half)
        exchange_error(exchange, 400, step->run.size ? "invalid_step" : "invalid_run",
            step->run.size ? "Tokenlog-Step" : "Tokenlog-Run",
            "a step has a run: send Tokenlog-Run and Tokenlog-Step together, or neither");
    return !is_half;
}

static void refuse(const struct run_step_call *step, enum err err)
{
    struct exchange *exchange = step->exchange;
    if (err == ERR_DENIED)
        exchange_error(exchange, 422, "step_reused", "Tokenlog-Step",
            "this step was taken with another Idempotency-Key, or without one: send the same "
            "again, "
            "or take another step");
    else if (err == ERR_LIMIT)
        exchange_error(exchange, 409, "run_full", "Tokenlog-Run",
            "a run takes %d steps: begin, or fork, another", RUN_STEPS_MAX);
    else if (err == ERR_CLOSED)
        exchange_error(
            exchange, 409, "run_deleted", "Tokenlog-Run", "the run was deleted meanwhile");
    else if (err == ERR_FULL)
        refuse_stream(exchange, append_is_full_for_now(step->api->hub) ? ERR_AGAIN : ERR_FULL);
    else
        exchange_error(exchange, 500, "storage_fault", NULL,
            "the run could not be read, so nothing was asked: %s", err_text(err));
}

static void visited(struct run_visit *visit, enum err err)
{
    struct run_step_call *step = CONTAINER_OF(visit, struct run_step_call, visit);
    struct slice key = SLICE_NONE;
    if (!step->exchange) {
        step->done(step, false, key);
        return;
    }
    bool is_crowded = err == ERR_LIMIT || err == ERR_AGAIN; /* the run's own limit comes below */
    if (!err)
        err = run_take_step(visit->run, step->step, step->key, &key);
    if (is_crowded)
        refuse_stream(step->exchange, ERR_AGAIN);
    else if (err)
        refuse(step, err);
    step->done(step, !err, key);
}

void run_step_take(struct api *api, struct exchange *exchange, struct slice key,
    struct run_step_call *step,
    void (*done)(struct run_step_call *step, bool is_taken, struct slice key))
{
    ASSERT(step->run.size && step->step.size);
    step->api = api;
    step->exchange = exchange;
    step->key = key;
    step->done = done;
    step->visit = (struct run_visit){.project = exchange_project(exchange),
        .name = step->run,
        .begins = true,
        .ttl_s = exchange_project(exchange)->keep_s,
        .done = visited};
    runs_visit(api->runs, &step->visit);
}

void run_step_note_replay(struct run_step_call *step)
{
    if (step->visit.run)
        run_note_replay(step->visit.run, step->step);
}

void run_step_leave(struct run_step_call *step)
{
    if (step->visit.run)
        runs_leave(step->api->runs, &step->visit);
}
