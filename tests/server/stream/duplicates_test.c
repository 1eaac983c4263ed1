/* duplicates — who is answered from another's recording, and for how long. */
#include "server/stream/duplicates.h"

#include "tests/server/stream/server_rig.h"

enum { WINDOW_S = 3600, CROWD = 1000, NS = 1000000000 };

static struct stream *begin(struct rig *rig)
{
    struct stream *stream = rig_create(rig, "", 0);
    duplicates_note(stream);
    return stream;
}

static bool attaches(struct rig *rig, const struct stream *stream, bool is_retry)
{
    struct stream *found =
        duplicates_find(rig->hub, &rig->project, stream_row(stream)->fingerprint, is_retry);
    assert_true(!found || found == stream);
    stream_unref(found);
    return found;
}

static struct rig *rig_wanting(int64_t window_s)
{
    struct rig *rig = rig_new();
    rig->project.attach_duplicates_s = window_s;
    return rig;
}

static void test_not_where_nobody_wants_it(void **state)
{
    (void)state;
    struct rig *rig = rig_wanting(0);
    struct stream *stream = begin(rig);
    duplicates_left(stream, true);
    assert_false(attaches(rig, stream, true));
    rig_end_tail(rig, stream, STREAM_COMPLETED);
    stream_unref(stream);
    rig_free(rig);
}

/* While its caller is there, only who says that it is a retry; once it is dropped, as many as come. */
static void test_live(void **state)
{
    (void)state;
    struct rig *rig = rig_wanting(WINDOW_S);
    struct stream *stream = begin(rig);
    assert_false(attaches(rig, stream, false));
    assert_true(attaches(rig, stream, true));
    duplicates_left(stream, true);
    for (size_t i = 0; i < CROWD; i++)
        assert_true(attaches(rig, stream, false));
    rig_end_tail(rig, stream, STREAM_COMPLETED);
    assert_true(attaches(rig, stream, false));
    stream_unref(stream);
    rig_free(rig);
}

/* Who attached and goes says nothing of the first, who may be there still. */
static void test_another_leaves(void **state)
{
    (void)state;
    struct rig *rig = rig_wanting(WINDOW_S);
    struct stream *stream = begin(rig);
    duplicates_left(stream, false);
    assert_false(attaches(rig, stream, false));
    duplicates_left(stream, true);
    duplicates_left(stream, false);
    assert_true(attaches(rig, stream, false));
    rig_end_tail(rig, stream, STREAM_COMPLETED);
    stream_unref(stream);
    rig_free(rig);
}

/* It got all of its answer: asking again means another one. */
static void test_finished_and_received(void **state)
{
    (void)state;
    struct rig *rig = rig_wanting(WINDOW_S);
    struct stream *stream = begin(rig);
    rig_end_tail(rig, stream, STREAM_COMPLETED);
    assert_false(attaches(rig, stream, false));
    assert_true(attaches(rig, stream, true));
    stream_unref(stream);
    rig_free(rig);
}

static void test_nothing_of_what_failed(void **state)
{
    static const enum stream_state ends[] = {STREAM_FAILED, STREAM_STOPPED, STREAM_INTERRUPTED};
    (void)state;
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        struct rig *rig = rig_wanting(WINDOW_S);
        struct stream *stream = begin(rig);
        duplicates_left(stream, true);
        rig_end_tail(rig, stream, ends[i]);
        assert_false(attaches(rig, stream, true));
        stream_unref(stream);
        rig_free(rig);
    }
}

/* Found when it is wholly archived and nobody else refers to it; not when it was deleted. */
static void test_archived_and_deleted(void **state)
{
    (void)state;
    struct rig *rig = rig_wanting(WINDOW_S);
    struct stream *stream = begin(rig);
    duplicates_left(stream, true);
    rig_end_tail(rig, stream, STREAM_COMPLETED);
    stream_unref(stream); /* the index keeps it */
    rig_settle(rig, stream);
    assert_true(attaches(rig, stream, false));
    stream_ref(stream);
    assert_int_equal(stream_delete(stream, "deleted"), ERR_OK);
    assert_false(attaches(rig, stream, false));
    rig_turns(rig, 100);
    stream_unref(stream);
    rig_free(rig);
}

/* The newest is the one that is found; one of another project never is. */
static void test_newest(void **state)
{
    (void)state;
    struct rig *rig = rig_wanting(WINDOW_S);
    struct stream *first = begin(rig), *second = begin(rig);
    duplicates_left(first, true); /* forgotten */
    assert_false(attaches(rig, second, false));
    duplicates_left(second, true);
    assert_true(attaches(rig, second, false));
    struct project other = rig->project;
    other.number++;
    assert_null(duplicates_find(rig->hub, &other, stream_row(second)->fingerprint, true));
    rig_end_tail(rig, first, STREAM_COMPLETED);
    rig_end_tail(rig, second, STREAM_COMPLETED);
    stream_unref(first);
    stream_unref(second);
    rig_free(rig);
}

static void test_over(void **state)
{
    (void)state;
    struct rig *rig = rig_wanting(1);
    struct stream *stream = begin(rig);
    duplicates_left(stream, true);
    rig_end_tail(rig, stream, STREAM_COMPLETED);
    int64_t since_ns = loop_wall_ns(rig->loop);
    while (loop_wall_ns(rig->loop) - since_ns <= (int64_t)NS + NS / 10)
        rig_turns(rig, 10);
    assert_false(attaches(rig, stream, true));
    stream_unref(stream);
    rig_free(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_not_where_nobody_wants_it),
        cmocka_unit_test(test_live),
        cmocka_unit_test(test_another_leaves),
        cmocka_unit_test(test_finished_and_received),
        cmocka_unit_test(test_nothing_of_what_failed),
        cmocka_unit_test(test_archived_and_deleted),
        cmocka_unit_test(test_newest),
        cmocka_unit_test(test_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
