/* hub — who is elected, what is found, and when what is durable is told. */
#include "tests/server/stream/server_rig.h"

enum { CROWD = 1000 };

/* A request with a key. */
struct caller {
    struct hub_lookup lookup;
    struct rig *rig;
    bool creates, is_done;
    enum err err;
    enum err create_err;
    struct stream *stream;
};

static void claimed(struct hub_lookup *lookup, enum err err, struct stream *stream)
{
    struct caller *caller = CONTAINER_OF(lookup, struct caller, lookup);
    assert_false(caller->is_done);
    caller->is_done = true;
    caller->err = err;
    caller->stream = stream;
    if (err != ERR_NOTFOUND || !caller->creates)
        return;
    struct row row = rig_row(caller->rig, "k");
    caller->create_err =
        hub_create(caller->rig->hub, &caller->rig->project, &row, SLICE_NONE, &caller->stream);
    if (caller->create_err)
        caller->stream = NULL;
}

static void claim(struct rig *rig, struct caller *caller, bool creates)
{
    *caller = (struct caller){.rig = rig, .creates = creates, .lookup.done = claimed};
    hub_claim(rig->hub, &rig->project, SLICE("k"), &caller->lookup);
}

static void test_one_of_a_thousand(void **state)
{
    (void)state;
    struct rig *rig = rig_new();
    struct caller *callers = calloc(CROWD, sizeof *callers);
    assert_non_null(callers);
    size_t elected = 0;
    for (size_t i = 0; i < CROWD; i++)
        claim(rig, &callers[i], true);
    for (size_t i = 0; i < CROWD; i++) {
        RIG_UNTIL(rig, callers[i].is_done);
        elected += callers[i].err == ERR_NOTFOUND;
        assert_ptr_equal(callers[i].stream, callers[0].stream);
    }
    assert_int_equal(elected, 1);
    assert_int_equal(callers[0].err, ERR_NOTFOUND);
    assert_int_equal(hub_live_count(rig->hub), 1);
    rig_end_tail(rig, callers[0].stream, STREAM_COMPLETED);
    for (size_t i = 0; i < CROWD; i++)
        stream_unref(callers[i].stream);
    free(callers);
    rig_free(rig);
}

/* The first does not create it, whatever the reason: the next in line is asked. */
static void test_the_first_one_fails(void **state)
{
    (void)state;
    struct rig *rig = rig_new();
    struct caller callers[4];
    for (size_t i = 0; i < 4; i++)
        claim(rig, &callers[i], i >= 2);
    RIG_UNTIL(rig, callers[3].is_done);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(callers[i].err, ERR_NOTFOUND);
    assert_int_equal(callers[3].err, ERR_OK);
    assert_ptr_equal(callers[3].stream, callers[2].stream);
    rig_end_tail(rig, callers[2].stream, STREAM_COMPLETED);
    stream_unref(callers[2].stream);
    stream_unref(callers[3].stream);
    rig_free(rig);
}

/* Found by its key in memory, on its way to the store, and in the store. */
static void test_a_key_is_never_lost(void **state)
{
    (void)state;
    struct rig *rig = rig_new();
    struct caller caller;
    claim(rig, &caller, true);
    RIG_UNTIL(rig, caller.is_done);
    struct stream *stream = caller.stream;
    struct id id = stream_row(stream)->id;
    rig_end_tail(rig, stream, STREAM_COMPLETED);
    for (bool is_gone = false; !is_gone;) {
        is_gone = stream_tail(stream) == NULL;
        claim(rig, &caller, false);
        RIG_UNTIL(rig, caller.is_done);
        assert_int_equal(caller.err, ERR_OK);
        assert_ptr_equal(caller.stream, stream);
        stream_unref(caller.stream);
        rig_turn(rig);
    }
    stream_unref(stream); /* now nothing of it is in memory */
    claim(rig, &caller, false);
    RIG_UNTIL(rig, caller.is_done);
    assert_int_equal(caller.err, ERR_OK);
    assert_true(id_equal(&stream_row(caller.stream)->id, &id));
    assert_true(stream_has_ended(caller.stream));
    stream_unref(caller.stream);
    rig_free(rig);
}

/* A next attempt that could not be begun leaves the key with the one before. */
static void test_failed_restart(void **state)
{
    (void)state;
    struct rig *rig = rig_new();
    struct caller caller;
    struct stream *first = rig_create(rig, "k", 0), *second;
    rig->is_disk_held = true;
    rig_end_tail(rig, first, STREAM_INTERRUPTED);
    struct row row = rig_row(rig, "k");
    row.attempt = 2;
    static char large[ROW_BYTES_MAX];
    memset(large, 'x', sizeof large);
    row.metadata = slice_of(large, sizeof large);
    assert_int_equal(hub_create(rig->hub, &rig->project, &row, SLICE_NONE, &second), ERR_LIMIT);
    claim(rig, &caller, false);
    assert_true(caller.is_done);
    assert_int_equal(caller.err, ERR_OK);
    assert_ptr_equal(caller.stream, first);
    stream_unref(caller.stream);
    row.metadata = SLICE_NONE;
    assert_int_equal(hub_create(rig->hub, &rig->project, &row, SLICE_NONE, &second), ERR_OK);
    claim(rig, &caller, false);
    assert_ptr_equal(caller.stream, second);
    stream_unref(caller.stream);
    rig->is_disk_held = false;
    rig_end_tail(rig, second, STREAM_COMPLETED);
    stream_unref(first);
    stream_unref(second);
    rig_free(rig);
}

/* After a crash: what had ended is found by its key at once, what was live is interrupted. */
static void test_recovery(void **state)
{
    (void)state;
    struct rig *rig = rig_new();
    struct stream *ended = rig_create(rig, "k", 0), *live = rig_create(rig, "l", 0);
    struct id id = stream_row(live)->id;
    rig_end_tail(rig, ended, STREAM_COMPLETED);
    RIG_UNTIL(rig, stream_has_ended(ended) && stream_row_is_durable(live));
    rig_reopen(rig, true);
    struct caller caller;
    claim(rig, &caller, true);
    RIG_UNTIL(rig, caller.is_done);
    assert_int_equal(caller.err, ERR_OK);
    assert_int_equal(stream_row(caller.stream)->state, STREAM_COMPLETED);
    stream_unref(caller.stream);
    enum err err;
    live = rig_find(rig, &id, &err);
    assert_int_equal(err, ERR_OK);
    RIG_UNTIL(rig, stream_has_ended(live));
    assert_int_equal(stream_row(live)->state, STREAM_INTERRUPTED);
    assert_int_equal(hub_live_count(rig->hub), 0);
    stream_unref(live);
    rig_free(rig);
}

static void test_found_by_its_own_project_only(void **state)
{
    (void)state;
    struct rig *rig = rig_new();
    struct stream *stream = rig_create(rig, "", 0);
    struct id id = stream_row(stream)->id;
    enum err err;
    assert_null(rig_find(rig, &id, &err)); /* not durable yet: nobody was told its ID */
    assert_int_equal(err, ERR_NOTFOUND);
    RIG_UNTIL(rig, stream_row_is_durable(stream));
    struct stream *found = rig_find(rig, &id, &err);
    assert_ptr_equal(found, stream);
    stream_unref(found);
    rig_end_tail(rig, stream, STREAM_COMPLETED);
    rig_settle(rig, stream);
    stream_unref(stream);
    uint32_t number = rig->project.number;
    assert_int_equal(storage_project(rig->storage, SLICE("other"), &rig->project.number), ERR_OK);
    assert_null(rig_find(rig, &id, &err));
    assert_int_equal(err, ERR_NOTFOUND);
    rig->project.number = number;
    found = rig_find(rig, &id, &err);
    assert_int_equal(err, ERR_OK);
    assert_int_equal(stream_row(found)->state, STREAM_COMPLETED);
    stream_unref(found);
    rig_free(rig);
}

/* From the delete on it is deleted for all who come: in memory, while it is archived, and after. */
static void test_deleted(void **state)
{
    (void)state;
    struct rig *rig = rig_new();
    struct stream *stream = rig_create(rig, "k", 0);
    struct id id = stream_row(stream)->id;
    struct caller caller;
    enum err err;
    assert_int_equal(stream_delete(stream, "deleted"), ERR_BUSY);
    rig_end_tail(rig, stream, STREAM_COMPLETED);
    RIG_UNTIL(rig, stream_has_ended(stream));
    assert_int_equal(stream_delete(stream, "deleted"), ERR_OK);
    for (int i = 0; i < 50; i++) {
        claim(rig, &caller, true);
        RIG_UNTIL(rig, caller.is_done);
        assert_int_equal(caller.err, ERR_OK);
        assert_true(stream_is_deleted(caller.stream));
        stream_unref(caller.stream);
        struct stream *found = rig_find(rig, &id, &err);
        assert_int_equal(err, ERR_OK);
        assert_true(stream_is_deleted(found));
        stream_unref(found);
    }
    rig_settle(rig, stream);
    stream_unref(stream);
    rig_free(rig);
}

struct barrier {
    struct hub_barrier barrier;
    enum err err;
    bool is_done;
};

static void reached(struct hub_barrier *barrier, enum err err)
{
    struct barrier *own = CONTAINER_OF(barrier, struct barrier, barrier);
    assert_false(own->is_done);
    own->is_done = true;
    own->err = err;
}

static void test_barriers(void **state)
{
    (void)state;
    struct rig *rig = rig_new();
    struct barrier first = {.barrier.done = reached}, second = first;
    rig->is_disk_held = true;
    struct stream *stream = rig_create(rig, "", 0);
    hub_wait_durable(rig->hub, &first.barrier);
    rig_turns(rig, 10);
    assert_false(first.is_done);
    rig->is_disk_held = false;
    RIG_UNTIL(rig, first.is_done);
    assert_int_equal(first.err, ERR_OK);
    assert_true(stream_row_is_durable(stream));
    hub_wait_durable(rig->hub, &second.barrier); /* nothing is on its way */
    rig_turn(rig);
    assert_true(second.is_done);
    rig_end_tail(rig, stream, STREAM_STOPPED);
    stream_unref(stream);
    rig_free(rig);
}

static void test_admits(void **state)
{
    (void)state;
    struct rig *rig = rig_new();
    struct stream *stream = rig_generate(rig, "");
    assert_int_equal(hub_admits(rig->hub), ERR_OK);
    rig->is_disk_held = true;
    struct stream *large = rig_fill_queue(rig);
    assert_int_equal(hub_admits(rig->hub), ERR_AGAIN);
    rig->is_disk_held = false;
    RIG_UNTIL(rig, hub_admits(rig->hub) == ERR_OK);
    rig_end_tail(rig, large, STREAM_STOPPED);
    stream_unref(large);
    stream_unref(stream);
    rig_free(rig);
}

/* ---- who watches ----------------------------------------------------------------------------- */

static void test_unwatched(void **state)
{
    (void)state;
    struct rig *rig = rig_new();
    struct rig_reader first, second;
    rig->project.on_disconnect = (struct disconnect){.policy = DISCONNECT_STOP};
    struct stream *stream = rig_generate(rig, "");
    rig_reader_open(rig, stream, 0, true, &first);
    rig_reader_open(rig, stream, 0, true, &second);
    rig_reader_close(&first);
    rig_turns(rig, 10);
    assert_true(stream_state_is_live(stream_row(stream)->state));
    rig_reader_close(&second);
    rig_reader_open(rig, stream, 0, true, &first); /* back in the same turn: it was watched */
    rig_turns(rig, 10);
    assert_true(stream_state_is_live(stream_row(stream)->state));
    rig_reader_close(&first);
    RIG_UNTIL(rig, stream_has_ended(stream));
    assert_int_equal(stream_row(stream)->state, STREAM_STOPPED);
    assert_true(slice_equal(stream_row(stream)->reason, SLICE("unwatched")));
    stream_unref(stream);
    rig->project.on_disconnect = (struct disconnect){.policy = DISCONNECT_CONTINUE};
    stream = rig_generate(rig, "");
    rig_reader_open(rig, stream, 0, true, &first);
    rig_reader_close(&first);
    rig_turns(rig, 10);
    assert_true(stream_state_is_live(stream_row(stream)->state));
    stream_unref(stream);
    rig_free(rig);
}

/* Who is told that nothing becomes durable any more lets go of other streams: of those that are told next. */
enum { OTHERS = 16 };

struct letting_go {
    struct stream_watcher watcher;
    struct stream *others[OTHERS];
};

static void let_go(struct stream_watcher *watcher)
{
    struct letting_go *letting_go = CONTAINER_OF(watcher, struct letting_go, watcher);
    for (size_t i = 0; i < OTHERS; i++)
        letting_go->others[i] = stream_unref(letting_go->others[i]);
}

static void test_stuck_while_streams_go(void **state)
{
    struct letting_go letting_go = {.watcher.wake = let_go};
    (void)state;
    struct rig *rig = rig_new();
    for (size_t i = 0; i < OTHERS; i++) {
        letting_go.others[i] = rig_create(rig, "", 0);
        rig_end_tail(rig, letting_go.others[i], STREAM_COMPLETED);
        rig_settle(rig, letting_go.others[i]);
    }
    struct stream *live = rig_create(rig, "", 0);
    stream_watch(live, &letting_go.watcher);
    letting_go.watcher.is_parked = true;
    hub_stuck(rig->hub);
    assert_null(letting_go.others[0]);
    stream_unwatch(live, &letting_go.watcher);
    stream_unref(live);
    rig_abandon(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_of_a_thousand),
        cmocka_unit_test(test_the_first_one_fails),
        cmocka_unit_test(test_a_key_is_never_lost),
        cmocka_unit_test(test_failed_restart),
        cmocka_unit_test(test_recovery),
        cmocka_unit_test(test_found_by_its_own_project_only),
        cmocka_unit_test(test_deleted),
        cmocka_unit_test(test_barriers),
        cmocka_unit_test(test_admits),
        cmocka_unit_test(test_unwatched),
        cmocka_unit_test(test_stuck_while_streams_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
