/* visitor — what tests of runs share: a visit that is waited for, a step that is taken. */
#ifndef TOKENLOG_TESTS_SERVER_RUN_VISITOR_H
#define TOKENLOG_TESTS_SERVER_RUN_VISITOR_H

#include "server/run/runs.h"
#include "tests/server/stream/server_rig.h"

struct visitor {
    struct run_visit visit;
    bool is_done;
    enum err err;
};

static void visited(struct run_visit *visit, enum err err)
{
    struct visitor *visitor = CONTAINER_OF(visit, struct visitor, visit);
    assert_false(visitor->is_done);
    visitor->is_done = true;
    visitor->err = err;
}

static void visit(
    struct rig *rig, struct runs *runs, const char *name, bool begins, struct visitor *out)
{
    *out = (struct visitor){.visit = {.project = &rig->project,
                                .name = slice_text(name),
                                .begins = begins,
                                .metadata = SLICE("{\"a\":1}"),
                                .done = visited}};
    runs_visit(runs, &out->visit);
}

static struct slice take(struct run *run, const char *step)
{
    struct slice key;
    assert_int_equal(run_take_step(run, slice_text(step), SLICE_NONE, &key), ERR_OK);
    return key;
}

static void settle(struct rig *rig, struct run *run)
{
    struct stream *stream = run_stream(run);
    RIG_UNTIL(rig, stream_watermark(stream) == tail_events(stream_tail(stream)));
}

#endif
