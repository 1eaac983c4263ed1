/* append — streams that clients write: what is there after which call, and after which crash. */
#include "server/stream/append.h"

#include "tests/server/stream/server_rig.h"

#define NAME "\1chat"

static struct stream *create(struct rig *rig, const char *key, const char *state)
{
    struct row row = {.key = slice_text(key),
        .content_type = SLICE("text/plain"),
        .writer_state = slice_text(state)};
    struct stream *stream;
    assert_int_equal(append_create(rig->hub, &rig->project, &row, &stream), ERR_OK);
    return stream;
}

static void append(struct stream *stream, const char *event, const char *state)
{
    assert_int_equal(append_event(stream, slice_text(event), slice_text(state)), ERR_OK);
}

struct waiting {
    struct hub_barrier barrier;
    bool is_done;
    enum err err;
};

static void is_durable(struct hub_barrier *barrier, enum err err)
{
    struct waiting *waiting = CONTAINER_OF(barrier, struct waiting, barrier);
    waiting->is_done = true;
    waiting->err = err;
}

static void wait_durable(struct rig *rig)
{
    struct waiting waiting = {.barrier.done = is_durable};
    hub_wait_durable(rig->hub, &waiting.barrier);
    RIG_UNTIL(rig, waiting.is_done);
    assert_int_equal(waiting.err, ERR_OK);
}

static void assert_state(const struct stream *stream, const char *state)
{
    assert_true(slice_equal(stream_row(stream)->writer_state, slice_text(state)));
}

static void assert_bytes(struct rig *rig, struct stream *stream, const char *bytes, enum err end)
{
    struct rig_reader reader;
    rig_reader_open(rig, stream, 0, true, &reader);
    RIG_UNTIL(rig, reader.bytes.size >= strlen(bytes) && reader.err == end);
    assert_true(slice_equal(buf_slice(&reader.bytes), slice_text(bytes)));
    rig_reader_close(&reader);
}

struct found {
    struct hub_lookup lookup;
    struct stream *stream;
    enum err err;
    bool is_done;
};

static void found(struct hub_lookup *lookup, enum err err, struct stream *stream)
{
    struct found *result = CONTAINER_OF(lookup, struct found, lookup);
    *result = (struct found){.err = err, .stream = stream, .is_done = true};
}

static struct stream *find(struct rig *rig, const char *key, enum err expected)
{
    struct found result = {.lookup.done = found};
    hub_claim(rig->hub, &rig->project, slice_text(key), &result.lookup);
    RIG_UNTIL(rig, result.is_done);
    assert_int_equal(result.err, expected);
    return result.stream;
}

static void test_written_and_read(void **context)
{
    (void)context;
    struct rig *rig = rig_new();
    struct stream *stream = create(rig, NAME, "s0");
    struct rig_reader reader;
    rig_reader_open(rig, stream, 0, true, &reader);
    assert_true(append_is_open(stream) && append_is_appended(stream));
    rig->is_disk_held = true;
    append(stream, "one ", "s1");
    append(stream, "two ", NULL);
    rig_turns(rig, 3);
    assert_int_equal(reader.events, 0); /* nothing is durable */
    assert_state(stream, "s1");
    rig->is_disk_held = false;
    RIG_UNTIL(rig, reader.events == 2);
    assert_int_equal(append_close(stream, SLICE("three"), SLICE("s2")), ERR_OK);
    assert_false(append_is_open(stream));
    assert_int_equal(append_event(stream, SLICE("x"), SLICE_NONE), ERR_CLOSED);
    assert_int_equal(append_close(stream, SLICE_NONE, SLICE_NONE), ERR_CLOSED);
    RIG_UNTIL(rig, reader.err == ERR_CLOSED);
    assert_true(slice_equal(buf_slice(&reader.bytes), SLICE("one two three")));
    rig_reader_close(&reader);
    assert_int_equal(stream_row(stream)->state, STREAM_COMPLETED);
    assert_int_equal(stream_row(stream)->events, 3);
    stream_unref(stream);
    rig_free(rig);
}

/* A large event waits for its share of the journal, and what comes behind it waits, too: each is waited
 * for until it is durable, and is there after a crash. */
static void test_large_ones_are_waited_for(void **context)
{
    enum { LARGE_BYTES = 1500 * 1000 };
    struct waiting large = {.barrier.done = is_durable}, behind = {.barrier.done = is_durable};
    (void)context;
    struct rig *rig = rig_new();
    struct stream *stream = create(rig, NAME, "s0");
    char *bytes = malloc(LARGE_BYTES);
    assert_non_null(bytes);
    memset(bytes, 'x', LARGE_BYTES);
    assert_int_equal(append_event(stream, slice_of(bytes, LARGE_BYTES), SLICE("s1")), ERR_OK);
    assert_true(tail_has_queue(stream_tail(stream)));
    hub_wait_stream(stream, &large.barrier);
    append(stream, "small", NULL);
    append(stream, NULL, "s2");
    hub_wait_stream(stream, &behind.barrier);
    RIG_UNTIL(rig, large.is_done);
    assert_int_equal(large.err, ERR_OK);
    assert_true(stream_watermark(stream) >= 1);
    RIG_UNTIL(rig, behind.is_done);
    assert_int_equal(stream_watermark(stream), 2);
    assert_true(slice_equal(stream_visible_row(stream)->writer_state, SLICE("s2")));
    stream_unref(stream);
    free(bytes);
    rig_reopen(rig, true);
    stream = find(rig, NAME, ERR_OK);
    assert_int_equal(stream_watermark(stream), 2);
    assert_state(stream, "s2");
    stream_unref(stream);
    rig_free(rig);
}

/* Once nothing can be written any more, who waits is told. */
static void test_who_waits_for_what_never_comes(void **context)
{
    enum { LARGE_BYTES = 1500 * 1000 };
    struct waiting large = {.barrier.done = is_durable};
    (void)context;
    struct rig *rig = rig_new();
    struct stream *stream = create(rig, NAME, "s0");
    char *bytes = calloc(1, LARGE_BYTES);
    assert_non_null(bytes);
    wait_durable(rig);
    sim_disk_fail(rig->disk, SIM_WRITE, 1, 1000000, ERR_IO);
    assert_int_equal(append_event(stream, slice_of(bytes, LARGE_BYTES), SLICE_NONE), ERR_OK);
    free(bytes);
    hub_wait_stream(stream, &large.barrier);
    RIG_UNTIL(rig, large.is_done);
    assert_int_equal(large.err, ERR_FULL);
    sim_disk_fail(rig->disk, SIM_WRITE, 0, 0, ERR_OK);
    stream_unref(stream);
    rig_abandon(rig);
}

/* The state alone may change; it may be emptied; what is too large changes nothing. */
static void test_state(void **context)
{
    (void)context;
    struct rig *rig = rig_new();
    struct stream *stream = create(rig, NAME, "");
    static char large[ROW_STATE_BYTES_MAX + 1];
    append(stream, "a", "s1");
    append(stream, "", "s2");
    assert_state(stream, "s2");
    assert_int_equal(stream_row(stream)->events, 1);
    assert_int_equal(append_event(stream, SLICE("b"), slice_of(large, sizeof large)), ERR_LIMIT);
    assert_state(stream, "s2");
    assert_int_equal(append_event(stream, SLICE("b"), slice_of(large, sizeof large - 1)), ERR_OK);
    append(stream, "c", "");
    assert_state(stream, "");
    assert_bytes(rig, stream, "abc", ERR_AGAIN);
    stream_unref(stream);
    rig_free(rig);
}

/* It is open after a crash, and after a stop, with all that was durable; another one's name is not. */
static void survives(bool is_kill)
{
    struct rig *rig = rig_new();
    struct stream *stream = create(rig, NAME, "s0");
    static char large[3 * FRAME_BYTES_MAX];
    memset(large, 'x', sizeof large - 1);
    append(stream, large, "s1");
    append(stream, "y", "s2");
    wait_durable(rig);
    assert_int_equal(hub_live_count(rig->hub), 0);
    hub_interrupt_all(rig->hub, "shutdown");
    stream_unref(stream);
    for (int round = 0; round < 3; round++) {
        rig_reopen(rig, is_kill);
        stream = find(rig, NAME, ERR_OK);
        assert_true(append_is_open(stream));
        assert_int_equal(stream_row(stream)->events, 2 + round);
        assert_state(stream, round ? "s3" : "s2");
        append(stream, "z", "s3");
        wait_durable(rig);
        stream_unref(stream);
    }
    stream = find(rig, NAME, ERR_OK);
    struct rig_reader reader;
    rig_reader_open(rig, stream, 0, true, &reader);
    RIG_UNTIL(rig, reader.events == 5 && reader.err == ERR_AGAIN);
    assert_int_equal(reader.bytes.size, sizeof large - 1 + 4);
    rig_reader_close(&reader);
    stream_unref(stream);
    assert_null(find(rig, "chat", ERR_NOTFOUND));
    rig_free(rig);
}

static void test_survives_a_crash(void **context)
{
    (void)context;
    survives(true);
}

static void test_survives_a_stop(void **context)
{
    (void)context;
    survives(false);
}

/* A deleted one is gone with its name, which the next one may have. */
static void test_deleted(void **context)
{
    (void)context;
    struct rig *rig = rig_new();
    struct stream *stream = create(rig, NAME, "s0");
    append(stream, "old", NULL);
    assert_int_equal(append_delete(stream, "deleted"), ERR_OK);
    assert_true(stream_is_deleted(stream) && !append_is_open(stream));
    assert_int_equal(append_event(stream, SLICE("x"), SLICE_NONE), ERR_CLOSED);
    wait_durable(rig);
    stream_unref(stream);
    rig_reopen(rig, true);
    stream = find(rig, NAME, ERR_OK);
    assert_true(stream_is_deleted(stream));
    struct row row = {.key = SLICE(NAME), .attempt = stream_row(stream)->attempt + 1};
    stream_unref(stream);
    assert_int_equal(append_create(rig->hub, &rig->project, &row, &stream), ERR_OK);
    append(stream, "new", "s");
    wait_durable(rig);
    stream_unref(stream);
    rig_reopen(rig, true);
    stream = find(rig, NAME, ERR_OK);
    assert_bytes(rig, stream, "new", ERR_AGAIN);
    stream_unref(stream);
    rig_free(rig);
}

static uint64_t tails(const struct rig *rig)
{
    struct storage_status status;
    storage_status(rig->storage, &status);
    return status.tails;
}

/* Wholly archived and not referred to, an open one is not in memory; whoever finds it goes on. */
static void test_leaves_memory(void **context)
{
    (void)context;
    struct rig *rig = rig_new();
    struct stream *stream = create(rig, NAME, "s0");
    struct id id = stream_row(stream)->id;
    enum err err;
    for (int round = 0; round < 4; round++) {
        append(stream, "x", "s1");
        append(stream, "y", NULL);
        struct rig_reader reader; /* as long as it is read, it stays */
        rig_reader_open(rig, stream, 0, true, &reader);
        stream_unref(stream);
        RIG_UNTIL(rig, reader.events == 2 * (uint64_t)round + 2);
        rig_turns(rig, 20);
        assert_int_equal(tails(rig), 1);
        rig_reader_close(&reader);
        RIG_UNTIL(rig, tails(rig) == 0);
        stream = round % 2 ? find(rig, NAME, ERR_OK) : rig_find(rig, &id, &err);
        assert_true(append_is_open(stream));
        assert_state(stream, "s1");
        assert_int_equal(tails(rig), 1);
        assert_int_equal(stream_watermark(stream), 2 * round + 2);
    }
    assert_int_equal(append_close(stream, SLICE("z"), SLICE("s2")), ERR_OK);
    stream_unref(stream);
    RIG_UNTIL(rig, tails(rig) == 0);
    stream = find(rig, NAME, ERR_OK);
    assert_false(append_is_open(stream));
    assert_state(stream, "s2");
    assert_bytes(rig, stream, "xyxyxyxyz", ERR_CLOSED);
    stream_unref(stream);
    rig_free(rig);
}

/* A crash when all of it was archived, and one when it had just been written to again. */
static void test_archived_at_the_crash(void **context)
{
    (void)context;
    struct rig *rig = rig_new();
    struct stream *stream = create(rig, NAME, "s0");
    append(stream, "x", "s1");
    stream_unref(stream);
    RIG_UNTIL(rig, tails(rig) == 0);
    rig_reopen(rig, true);
    stream = find(rig, NAME, ERR_OK);
    append(stream, "y", NULL);
    wait_durable(rig);
    stream_unref(stream);
    rig_reopen(rig, true);
    stream = find(rig, NAME, ERR_OK);
    assert_true(append_is_open(stream));
    assert_state(stream, "s1");
    assert_bytes(rig, stream, "xy", ERR_AGAIN);
    assert_int_equal(append_delete(stream, "deleted"), ERR_OK);
    wait_durable(rig);
    stream_unref(stream);
    rig_free(rig);
}

/* One takes the place of another: found by its key, or, if a crash came first, not at all. */
static void replaces(bool was_archived, bool is_kept, bool is_kill)
{
    struct rig *rig = rig_new();
    enum err err;
    struct stream *old = create(rig, NAME, "s0"), *new = create(rig, "", "");
    struct id old_id = stream_row(old)->id, new_id = stream_row(new)->id;
    append(old, "old", NULL);
    append(new, "new", NULL);
    if (was_archived) {
        stream_unref(old);
        stream_unref(new);
        RIG_UNTIL(rig, tails(rig) == 0);
        old = find(rig, NAME, ERR_OK);
        new = rig_find(rig, &new_id, &err);
    }
    wait_durable(rig);
    rig->is_disk_held = !is_kept;
    assert_int_equal(append_replace(new, old, "replaced"), ERR_OK);
    assert_true(stream_is_deleted(old));
    assert_int_equal(append_event(old, SLICE("x"), SLICE_NONE), ERR_CLOSED);
    assert_state(new, "s0");
    assert_int_equal(stream_row(new)->attempt, 2);
    struct stream *named = find(rig, NAME, ERR_OK);
    assert_ptr_equal(named, new);
    stream_unref(named);
    if (is_kept)
        wait_durable(rig);
    stream_unref(old);
    stream_unref(new);
    rig_reopen(rig, is_kill);
    rig->is_disk_held = false;
    const char *bytes = is_kept || !is_kill ? "new" : "old";
    for (int round = 0; round < 2; round++) { /* of the journal, of the store */
        named = find(rig, NAME, ERR_OK);
        assert_true(append_is_open(named));
        assert_state(named, "s0");
        assert_bytes(rig, named, bytes, ERR_AGAIN);
        stream_unref(named);
        RIG_UNTIL(rig, tails(rig) == 0);
    }
    struct stream *other = rig_find(rig, bytes[0] == 'n' ? &old_id : &new_id, &err);
    assert_int_equal(stream_is_deleted(other), bytes[0] == 'n');
    stream_unref(other);
    RIG_UNTIL(rig, tails(rig) == 0);
    rig_free(rig);
}

static void test_replaced(void **context)
{
    (void)context;
    for (int i = 0; i < 8; i++)
        replaces(i & 1, i & 2, i & 4);
}

static void is_held(struct stream_hold *hold, enum err err)
{
    assert_int_equal(err, ERR_OK);
    hold->stream = NULL;
}

static void test_not_replaced(void **context)
{
    (void)context;
    struct rig *rig = rig_new();
    struct stream_hold hold = {.done = is_held};
    struct stream *old = create(rig, NAME, "s0"), *new = create(rig, "", "");
    wait_durable(rig);
    assert_int_equal(stream_set_held(old, true, &hold), ERR_OK);
    assert_int_equal(append_replace(new, old, "replaced"), ERR_DENIED);
    RIG_UNTIL(rig, !hold.stream);
    assert_int_equal(append_replace(new, old, "replaced"), ERR_DENIED);
    assert_int_equal(stream_set_held(old, false, &hold), ERR_OK);
    RIG_UNTIL(rig, !hold.stream);
    assert_int_equal(append_close(new, SLICE_NONE, SLICE_NONE), ERR_OK);
    assert_int_equal(append_replace(new, old, "replaced"), ERR_CLOSED);
    assert_true(append_is_open(old));
    stream_unref(new);
    new = create(rig, "", "");
    assert_int_equal(append_delete(old, "deleted"), ERR_OK);
    assert_int_equal(append_replace(new, old, "replaced"), ERR_CLOSED);
    stream_unref(old);
    stream_unref(new);
    rig_free(rig);
}

static struct stream *create_for(struct rig *rig, const char *key, int64_t ttl_s, bool is_sliding)
{
    struct row row = {.key = slice_text(key), .ttl_s = ttl_s, .is_sliding = is_sliding};
    struct stream *stream;
    assert_int_equal(append_create(rig->hub, &rig->project, &row, &stream), ERR_OK);
    append(stream, "x", "s");
    return stream;
}

/* Whether in memory or not, an open one goes when its time is over, and no other. */
static void test_expires(void **context)
{
    (void)context;
    struct rig *rig = rig_new();
    struct stream *here = create_for(rig, "\1here", 1, false);
    struct stream *kept = create_for(rig, "\1kept", 0, false);
    struct stream *later = create_for(rig, "\1later", 3600, true);
    stream_unref(create_for(rig, "\1there", 1, true));
    stream_unref(kept);
    assert_int_equal(append_expires_ns(here), stream_row(here)->accepted_ns + 1000000000);
    int64_t before_ns = append_expires_ns(later);
    assert_true(before_ns >= stream_row(later)->accepted_ns + 3600 * INT64_C(1000000000));
    rig_turns(rig, 3);
    stream_touch(later);
    assert_true(append_expires_ns(later) > before_ns);
    stream_unref(later);
    RIG_UNTIL(rig, stream_is_deleted(here));
    assert_false(append_is_open(here));
    stream_unref(here);
    bool is_gone = false;
    while (!is_gone) {
        struct stream *there = find(rig, "\1there", ERR_OK);
        is_gone = stream_is_deleted(there);
        stream_unref(there);
        rig_turns(rig, 20);
    }
    RIG_UNTIL(rig, tails(rig) == 0);
    const char *open[] = {"\1kept", "\1later"};
    for (size_t i = 0; i < 2; i++) {
        struct stream *stream = find(rig, open[i], ERR_OK);
        assert_true(append_is_open(stream));
        stream_unref(stream);
    }
    rig_free(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_written_and_read),
        cmocka_unit_test(test_large_ones_are_waited_for),
        cmocka_unit_test(test_who_waits_for_what_never_comes),
        cmocka_unit_test(test_state),
        cmocka_unit_test(test_survives_a_crash),
        cmocka_unit_test(test_survives_a_stop),
        cmocka_unit_test(test_deleted),
        cmocka_unit_test(test_leaves_memory),
        cmocka_unit_test(test_archived_at_the_crash),
        cmocka_unit_test(test_replaced),
        cmocka_unit_test(test_not_replaced),
        cmocka_unit_test(test_expires),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
