/* runs — found, begun, read again from their streams; what was written is there after a crash. */
#include "server/run/runs.h"

#include <inttypes.h>

#include "tests/server/run/visitor.h"

static struct visitor go_in(struct rig *rig, struct runs *runs, const char *name, bool begins)
{
    struct visitor visitor;
    visit(rig, runs, name, begins, &visitor);
    RIG_UNTIL(rig, visitor.is_done);
    return visitor;
}

static void test_begun_once(void **state)
{
    (void)state;
    struct rig *rig = rig_new();
    struct runs *runs;
    struct visitor visitors[5];
    assert_int_equal(runs_new(rig->hub, &runs), ERR_OK);
    assert_int_equal(go_in(rig, runs, "r", false).err, ERR_NOTFOUND);
    for (size_t i = 0; i < 5; i++)
        visit(rig, runs, "r", i == 2, &visitors[i]);
    for (size_t i = 0; i < 5; i++) {
        RIG_UNTIL(rig, visitors[i].is_done);
        assert_int_equal(visitors[i].err, ERR_OK);
        assert_int_equal(visitors[i].visit.is_new, i == 2);
        assert_ptr_equal(visitors[i].visit.run, visitors[0].visit.run);
    }
    assert_true(
        slice_equal(stream_row(run_stream(visitors[0].visit.run))->metadata, SLICE("{\"a\":1}")));
    for (size_t i = 0; i < 5; i++)
        runs_leave(runs, &visitors[i].visit);
    runs_free(runs);
    rig_free(rig);
}

/* The same book is made of the stream as was made by writing. */
static void test_read_again(void **state)
{
    (void)state;
    struct rig *rig = rig_new();
    struct runs *runs;
    char keys[3][RUN_KEY_BYTES + 1] = {{0}};
    for (int round = 0; round < 3; round++) {
        assert_int_equal(runs_new(rig->hub, &runs), ERR_OK);
        struct visitor visitor = go_in(rig, runs, "r", true);
        assert_int_equal(visitor.err, ERR_OK);
        assert_int_equal(visitor.visit.is_new, round == 0);
        struct run *run = visitor.visit.run;
        assert_int_equal(run_book(run)->steps_by_name.count, round);
        for (int i = 0; i <= round; i++) {
            char step[] = {(char)('0' + i), 0};
            struct slice key = take(run, step);
            if (i == round)
                memcpy(keys[i], key.data, key.size);
            assert_true(slice_equal(key, slice_text(keys[i])));
            if (i < round)
                run_note_replay(run, slice_text(step));
        }
        struct run_record blob = {.type = RUN_CHECKPOINT, .name = SLICE("c"), .blob = SLICE("\nx")};
        assert_int_equal(run_write(run, &blob), ERR_OK);
        settle(rig, run);
        runs_leave(runs, &visitor.visit);
        runs_free(runs);
        rig_reopen(rig, round == 0);
    }
    assert_int_equal(runs_new(rig->hub, &runs), ERR_OK);
    struct visitor visitor = go_in(rig, runs, "r", false);
    const struct runbook *book = run_book(visitor.visit.run);
    assert_int_equal(book->steps_by_name.count, 3);
    assert_int_equal(runbook_step(book, SLICE("0"))->replays, 2);
    assert_int_equal(runbook_step(book, SLICE("2"))->replays, 0);
    assert_int_equal(runbook_checkpoint(book, SLICE("c"))->seq, 8);
    runs_leave(runs, &visitor.visit);
    runs_free(runs);
    rig_free(rig);
}

static void test_steps_and_keys(void **state)
{
    (void)state;
    struct rig *rig = rig_new();
    struct runs *runs;
    struct slice key;
    assert_int_equal(runs_new(rig->hub, &runs), ERR_OK);
    struct visitor visitor = go_in(rig, runs, "r", true);
    struct run *run = visitor.visit.run;
    (void)take(run, "1");
    assert_int_equal(run_take_step(run, SLICE("1"), SLICE("mine"), &key), ERR_DENIED);
    assert_int_equal(run_take_step(run, SLICE("2"), SLICE("mine"), &key), ERR_OK);
    assert_true(slice_equal(key, SLICE("mine")));
    assert_true(slice_equal(take(run, "2"), SLICE("mine")));
    char name[16];
    for (int i = 3; i <= RUN_STEPS_MAX; i++) {
        (void)snprintf(name, sizeof name, "%d", i);
        while (run_take_step(run, slice_text(name), SLICE_NONE, &key) == ERR_FULL)
            rig_turn(rig);
    }
    assert_int_equal(run_take_step(run, SLICE("more"), SLICE_NONE, &key), ERR_LIMIT);
    (void)take(run, "77");
    runs_leave(runs, &visitor.visit);
    runs_free(runs);
    rig_free(rig);
}

/* A run that is deleted is another one when it is begun again, whoever is still in the old one. */
static void test_deleted(void **state)
{
    (void)state;
    struct rig *rig = rig_new();
    struct runs *runs;
    struct slice key;
    assert_int_equal(runs_new(rig->hub, &runs), ERR_OK);
    struct visitor old = go_in(rig, runs, "r", true);
    struct slice old_key = take(old.visit.run, "1");
    settle(rig, old.visit.run);
    assert_int_equal(append_delete(run_stream(old.visit.run), "deleted"), ERR_OK);
    assert_int_equal(run_take_step(old.visit.run, SLICE("2"), SLICE_NONE, &key), ERR_CLOSED);
    assert_int_equal(go_in(rig, runs, "r", false).err, ERR_NOTFOUND);
    struct visitor new = go_in(rig, runs, "r", true);
    assert_int_equal(new.err, ERR_OK);
    assert_true(new.visit.is_new);
    assert_int_equal(run_book(new.visit.run)->steps_by_name.count, 0);
    assert_false(slice_equal(take(new.visit.run, "1"), old_key));
    runs_leave(runs, &old.visit);
    runs_leave(runs, &new.visit);
    runs_free(runs);
    rig_free(rig);
}

/* Those that nobody visits are dropped when there are too many, and read again. */
static void test_dropped(void **state)
{
    (void)state;
    struct rig *rig = rig_new();
    struct runs *runs;
    char name[16];
    assert_int_equal(runs_new(rig->hub, &runs), ERR_OK);
    for (int i = 0; i < RUNS_KEPT_MAX + 8; i++) {
        (void)snprintf(name, sizeof name, "r%d", i);
        struct visitor visitor = go_in(rig, runs, name, true);
        assert_int_equal(visitor.err, ERR_OK);
        (void)take(visitor.visit.run, "1");
        runs_leave(runs, &visitor.visit);
    }
    struct visitor first = go_in(rig, runs, "r0", false);
    assert_int_equal(first.err, ERR_OK);
    assert_non_null(runbook_step(run_book(first.visit.run), SLICE("1")));
    runs_leave(runs, &first.visit);
    runs_free(runs);
    rig_free(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_begun_once),
        cmocka_unit_test(test_read_again),
        cmocka_unit_test(test_steps_and_keys),
        cmocka_unit_test(test_deleted),
        cmocka_unit_test(test_dropped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
