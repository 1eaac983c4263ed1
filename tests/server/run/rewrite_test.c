/* rewrite — a run's journal written anew holds what the old one did, whatever comes in between: more
 * records, a crash at any moment, a deletion, a hold. */
#include "server/run/rewrite.h"

#include <inttypes.h>

#include "protocol/base/own.h"
#include "tests/server/run/visitor.h"

enum { SMALL_BYTES = 20000, BLOB_BYTES = 600 };

static struct run *go_in(struct rig *rig, struct runs *runs, struct visitor *visitor)
{
    visit(rig, runs, "r", true, visitor);
    RIG_UNTIL(rig, visitor->is_done);
    assert_int_equal(visitor->err, ERR_OK);
    return visitor->visit.run;
}

static struct runs *new_runs(struct rig *rig)
{
    struct runs *runs;
    assert_int_equal(runs_new(rig->hub, &runs), ERR_OK);
    runs_rewrite_from(runs, SMALL_BYTES);
    return runs;
}

static void write_record(struct rig *rig, struct run *run, const struct run_record *record)
{
    enum err err;
    while ((err = run_write(run, record)) == ERR_FULL)
        rig_turn(rig);
    assert_int_equal(err, ERR_OK);
}

static void put(struct rig *rig, struct run *run, const char *name)
{
    uint8_t blob[BLOB_BYTES];
    memset(blob, name[0], sizeof blob);
    struct run_record record = {.type = RUN_CHECKPOINT,
        .name = slice_text(name),
        .content_type = SLICE("text/plain"),
        .offsets = SLICE("{\"x\":1}"),
        .at_ms = 1700000000123,
        .blob = slice_of(blob, sizeof blob)};
    write_record(rig, run, &record);
}

static void drop(struct rig *rig, struct run *run, const char *name)
{
    write_record(rig, run, &(struct run_record){.type = RUN_DELETE, .name = slice_text(name)});
}

/* ---- what is known of a run ------------------------------------------------------------------ */

static void say(struct buf *out, const char *what, struct slice text, uint64_t number)
{
    char line[400];
    int size =
        snprintf(line, sizeof line, "%s %.*s %" PRIu64 "\n", what, SLICE_PRINT(text), number);
    assert_in_range(size, 1, sizeof line - 1);
    assert_int_equal(buf_append(out, slice_of(line, (size_t)size)), ERR_OK);
}

static void describe(const struct runbook *book, struct buf *out)
{
    buf_init(out, 1 << 20);
    say(out, "from", book->forked_from, book->version);
    LIST_FOREACH (node, &book->steps) {
        const struct run_step *step = CONTAINER_OF(node, struct run_step, node);
        say(out, step->is_inherited ? "inherited" : "step", step->name, step->replays);
        say(out, "key", step->key, 0);
    }
    LIST_FOREACH (node, &book->checkpoints) {
        const struct run_checkpoint *checkpoint = CONTAINER_OF(node, struct run_checkpoint, node);
        char id[ID_TEXT_BYTES];
        id_format(&checkpoint->id, id);
        say(out, id, checkpoint->name, checkpoint->version);
        say(out, "type", checkpoint->content_type, checkpoint->size);
        say(out, "offsets", checkpoint->offsets, (uint64_t)checkpoint->at_ms);
    }
}

static void nothing(void *context)
{
    (void)context;
}

static void read_event(struct rig *rig, struct stream *stream, uint64_t seq, struct buf *out)
{
    struct reader *reader;
    struct reader_view view;
    bool is_whole = false;
    buf_init(out, 1 << 20);
    assert_int_equal(reader_new(stream_ref(stream), seq, true, nothing, NULL, &reader), ERR_OK);
    while (!is_whole) {
        enum err err = ERR_OK;
        RIG_UNTIL(rig, (err = reader_peek(reader, &view)) != ERR_AGAIN);
        assert_int_equal(err, ERR_OK);
        assert_int_equal(buf_append(out, block_frame(view.block, view.index)), ERR_OK);
        is_whole = !(view.block->frames[view.index].flags & FRAME_MORE);
        reader_take(reader, view.index + 1);
    }
    reader_close(reader);
}

/* Each checkpoint is where the book says. */
static void check_blobs(struct rig *rig, struct run *run)
{
    settle(rig, run);
    LIST_FOREACH (node, &run_book(run)->checkpoints) {
        CLEANUP(buf_deinit) struct buf event;
        CLEANUP(json_cleanup) struct json *tree = NULL;
        struct run_record record;
        const struct run_checkpoint *checkpoint = CONTAINER_OF(node, struct run_checkpoint, node);
        read_event(rig, run_stream(run), checkpoint->seq, &event);
        assert_int_equal(run_record_read(buf_slice(&event), &tree, &record), ERR_OK);
        assert_true(slice_equal(record.name, checkpoint->name));
        assert_true(id_equal(&record.id, &checkpoint->id));
        assert_int_equal(record.blob.size, BLOB_BYTES);
        assert_int_equal(record.blob.data[BLOB_BYTES - 1], checkpoint->name.data[0]);
    }
}

/* What is read again of the run's stream is what is in memory. */
static void check_again(struct rig *rig, struct runs **runs, bool is_kill)
{
    CLEANUP(buf_deinit) struct buf before;
    CLEANUP(buf_deinit) struct buf after;
    struct visitor visitor;
    struct run *run = go_in(rig, *runs, &visitor);
    settle(rig, run);
    describe(run_book(run), &before);
    runs_leave(*runs, &visitor.visit);
    runs_free(*runs);
    rig_reopen(rig, is_kill);
    *runs = new_runs(rig);
    run = go_in(rig, *runs, &visitor);
    assert_false(visitor.visit.is_new);
    describe(run_book(run), &after);
    assert_true(slice_equal(buf_slice(&before), buf_slice(&after)));
    check_blobs(rig, run);
    runs_leave(*runs, &visitor.visit);
}

/* ---- runs ------------------------------------------------------------------------------------ */

/* Steps, replays, checkpoints of which some are over; not yet enough for a rewrite. */
static void fill(struct rig *rig, struct run *run)
{
    char name[16];
    for (int i = 0; i < 10; i++) {
        (void)snprintf(name, sizeof name, "%d", i);
        (void)take(run, name);
        run_note_replay(run, SLICE("0"));
        put(rig, run, i % 3 ? name : "same");
    }
    drop(rig, run, "4");
    settle(rig, run);
}

static bool is_another(const struct run *run, const struct id *id)
{
    return !id_equal(&stream_row(run_stream(run))->id, id);
}

/* The old one is deleted, and what was true of it is of the new one. */
static void check_replaced(struct rig *rig, struct run *run, const struct row *old)
{
    enum err err;
    const struct row *row = stream_row(run_stream(run));
    assert_true(slice_equal(row->metadata, SLICE("{\"a\":1}")));
    assert_int_equal(row->accepted_ns, old->accepted_ns);
    assert_int_equal(row->ttl_s, old->ttl_s);
    assert_true(row->attempt > old->attempt);
    struct stream *before = rig_find(rig, &old->id, &err);
    assert_int_equal(err, ERR_OK);
    assert_true(stream_is_deleted(before));
    stream_unref(before);
}

/* What one checkpoint was, ten thousand times over and more, is not kept. */
static void test_any_number_of_overwrites(void **state)
{
    (void)state;
    struct rig *rig = rig_new();
    struct runs *runs = new_runs(rig);
    struct visitor visitor;
    struct run *run = go_in(rig, runs, &visitor);
    fill(rig, run);
    struct row old = *stream_row(run_stream(run));
    for (int i = 0; i < RUN_CHECKPOINTS_MAX + 10; i++) {
        put(rig, run, "state");
        if (i % 64)
            continue;
        runs_leave(runs, &visitor.visit);
        rig_turns(rig, 2);
        run = go_in(rig, runs, &visitor);
    }
    RIG_UNTIL(rig, tail_events(stream_tail(run_stream(run))) < 2000);
    assert_int_equal(run_book(run)->checkpoints_by_name.count, 7);
    assert_int_equal(run_book(run)->version, 10 + RUN_CHECKPOINTS_MAX + 10);
    assert_int_equal(runbook_step(run_book(run), SLICE("0"))->replays, 10);
    check_replaced(rig, run, &old);
    check_blobs(rig, run);
    runs_leave(runs, &visitor.visit);
    check_again(rig, &runs, true);
    check_again(rig, &runs, false);
    runs_free(runs);
    rig_free(rig);
}

/* Crowds come and go, and write whatever there is to write, while it goes on. */
static void test_written_to_meanwhile(void **state)
{
    (void)state;
    struct rig *rig = rig_new();
    struct runs *runs = new_runs(rig);
    struct visitor visitor;
    char name[16];
    struct run *run = go_in(rig, runs, &visitor);
    fill(rig, run);
    struct id id = stream_row(run_stream(run))->id;
    int rewrites = 0;
    for (int i = 0; i < 2000 && rewrites < 5; i++) {
        struct visitor other;
        run = go_in(rig, runs, &other);
        (void)snprintf(name, sizeof name, "%d", i % 40);
        (void)take(run, name);
        run_note_replay(run, slice_text(name));
        put(rig, run, name);
        put(rig, run, "same");
        if (i % 5 == 0)
            drop(rig, run, name);
        runs_leave(runs, &other.visit);
        rig_turns(rig, i % 3);
        rewrites += is_another(run, &id);
        id = stream_row(run_stream(run))->id;
    }
    assert_int_equal(rewrites, 5);
    check_blobs(rig, run);
    assert_int_equal(run_book(run)->steps_by_name.count, 40);
    runs_leave(runs, &visitor.visit);
    check_again(rig, &runs, true);
    runs_free(runs);
    rig_free(rig);
}

/* Makes it due, and lets it go on for so many turns. */
static void go_on(struct rig *rig, struct run *run, int turns)
{
    do
        put(rig, run, "same");
    while (run_book(run)->recorded_bytes <= 2 * run_book(run)->live_bytes + SMALL_BYTES);
    rig_turns(rig, turns);
}

/* After a kill, or a stop, in its every turn: the run is whole, in the one stream or the other. True: that
 * was the last turn. */
static bool survives(int turns, bool is_kill)
{
    CLEANUP(buf_deinit) struct buf before;
    CLEANUP(buf_deinit) struct buf after;
    struct rig *rig = rig_new();
    struct runs *runs = new_runs(rig);
    struct visitor visitor;
    struct run *run = go_in(rig, runs, &visitor);
    fill(rig, run);
    struct id id = stream_row(run_stream(run))->id;
    go_on(rig, run, turns);
    bool is_over = is_another(run, &id) && stream_row_is_durable(run_stream(run));
    bool is_settled =
        stream_watermark(run_stream(run)) == tail_events(stream_tail(run_stream(run)));
    describe(run_book(run), &before);
    runs_leave(runs, &visitor.visit);
    runs_free(runs);
    rig_reopen(rig, is_kill);
    runs = new_runs(rig);
    run = go_in(rig, runs, &visitor);
    assert_false(visitor.visit.is_new);
    assert_int_equal(run_book(run)->steps_by_name.count, 10);
    assert_int_equal(run_book(run)->checkpoints_by_name.count, 6);
    describe(run_book(run), &after);
    if (is_settled || !is_kill)
        assert_true(slice_equal(buf_slice(&before), buf_slice(&after)));
    assert_true(!is_over || is_another(run, &id));
    check_blobs(rig, run);
    id = stream_row(run_stream(run))->id;
    go_on(rig, run, 0);
    RIG_UNTIL(rig, is_another(run, &id));
    runs_leave(runs, &visitor.visit);
    check_again(rig, &runs, is_kill);
    runs_free(runs);
    rig_free(rig);
    return is_over;
}

static void test_killed_in_each_turn(void **state)
{
    (void)state;
    int turns = 0;
    while (!survives(turns, true))
        turns++;
    assert_in_range(turns, 3, 1000);
}

static void test_stopped_in_each_turn(void **state)
{
    (void)state;
    int turns = 0;
    while (!survives(turns, false))
        turns++;
}

static uint64_t tails(const struct rig *rig)
{
    struct storage_status status;
    storage_status(rig->storage, &status);
    return status.tails;
}

/* One that is deleted in its midst stays deleted, and nothing of it is left. */
static void test_deleted_meanwhile(void **state)
{
    (void)state;
    struct rig *rig = rig_new();
    for (int turns = 0; turns < 8; turns++) {
        struct runs *runs = new_runs(rig);
        struct visitor visitor, next;
        struct run *run = go_in(rig, runs, &visitor);
        fill(rig, run);
        go_on(rig, run, turns);
        RIG_UNTIL(rig, append_delete(run_stream(run), "deleted") == ERR_OK);
        visit(rig, runs, "r", false, &next);
        RIG_UNTIL(rig, next.is_done);
        assert_int_equal(next.err, ERR_NOTFOUND);
        rig_turns(rig, 30);
        runs_leave(runs, &visitor.visit);
        runs_free(runs);
        RIG_UNTIL(rig, tails(rig) == 0);
    }
    rig_free(rig);
}

static void is_held(struct stream_hold *hold, enum err err)
{
    assert_int_equal(err, ERR_OK);
    hold->stream = NULL;
}

/* What is held is kept as it is, overwritten states too. */
static void test_held(void **state)
{
    (void)state;
    struct rig *rig = rig_new();
    struct runs *runs = new_runs(rig);
    struct visitor visitor;
    struct stream_hold hold = {.done = is_held};
    struct run *run = go_in(rig, runs, &visitor);
    fill(rig, run);
    struct id id = stream_row(run_stream(run))->id;
    go_on(rig, run, 1);
    assert_int_equal(stream_set_held(run_stream(run), true, &hold), ERR_OK);
    RIG_UNTIL(rig, !hold.stream);
    for (int i = 0; i < 200; i++)
        put(rig, run, "same");
    settle(rig, run);
    rig_turns(rig, 20);
    assert_false(is_another(run, &id));
    assert_int_equal(stream_set_held(run_stream(run), false, &hold), ERR_OK);
    RIG_UNTIL(rig, !hold.stream);
    put(rig, run, "same");
    RIG_UNTIL(rig, is_another(run, &id));
    check_blobs(rig, run);
    runs_leave(runs, &visitor.visit);
    runs_free(runs);
    rig_free(rig);
}

/* A full run takes what comes in the place of another. */
static void test_full(void **state)
{
    (void)state;
    struct rig *rig = rig_new();
    struct runs *runs = new_runs(rig);
    struct visitor visitor;
    char name[16];
    struct run *run = go_in(rig, runs, &visitor);
    for (int i = 0; i < RUN_CHECKPOINTS_MAX; i++) {
        (void)snprintf(name, sizeof name, "%d", i);
        put(rig, run, name);
    }
    struct run_record more = {.type = RUN_CHECKPOINT, .name = SLICE("more"), .blob = SLICE("x")};
    assert_int_equal(run_write(run, &more), ERR_LIMIT);
    put(rig, run, "7");
    drop(rig, run, "8");
    assert_int_equal(run_write(run, &more), ERR_OK);
    assert_int_equal(run_write(run, &more), ERR_OK);
    runs_leave(runs, &visitor.visit);
    runs_free(runs);
    rig_free(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_any_number_of_overwrites),
        cmocka_unit_test(test_written_to_meanwhile),
        cmocka_unit_test(test_killed_in_each_turn),
        cmocka_unit_test(test_stopped_in_each_turn),
        cmocka_unit_test(test_deleted_meanwhile),
        cmocka_unit_test(test_held),
        cmocka_unit_test(test_full),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
