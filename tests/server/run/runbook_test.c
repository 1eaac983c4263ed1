/* runbook, run_record — what is written is read again, and comes to the same run. */
#include "server/run/runbook.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "protocol/base/own.h"

static void apply(struct runbook *book, const struct run_record *record, uint64_t seq)
{
    CLEANUP(buf_deinit) struct buf event;
    CLEANUP(json_cleanup) struct json *tree = NULL;
    struct run_record read;
    buf_init(&event, RUN_LINE_BYTES_MAX);
    assert_int_equal(run_record_write(record, &event), ERR_OK);
    assert_int_equal(run_record_read(buf_slice(&event), &tree, &read), ERR_OK);
    assert_int_equal(read.type, record->type);
    assert_true(slice_equal(read.blob, record->blob));
    assert_int_equal(runbook_apply(book, &read, seq), ERR_OK);
}

static void take(struct runbook *book, const char *step, const char *key)
{
    struct run_record record = {.type = RUN_STEP, .step = slice_text(step), .key = slice_text(key)};
    apply(book, &record, 0);
}

static struct id a_checkpoints_id(uint64_t seq)
{
    const uint8_t random[ID_RANDOM_BYTES] = {(uint8_t)seq};
    return id_make(1700000000123, random);
}

static void keep(struct runbook *book, const char *name, struct slice blob, uint64_t seq)
{
    struct run_record record = {.type = RUN_CHECKPOINT,
        .name = slice_text(name),
        .id = a_checkpoints_id(seq),
        .version = seq + 100,
        .content_type = SLICE("text/plain; a=\"b\""),
        .offsets = SLICE("{\"x\":1}"),
        .at_ms = 1700000000123,
        .blob = blob};
    apply(book, &record, seq);
}

static void test_steps(void **state)
{
    struct runbook book;
    (void)state;
    runbook_init(&book);
    take(&book, "a\\b", "k1");
    take(&book, "2", "k2");
    take(&book, "a\\b", "other"); /* the first one counts */
    apply(&book, &(struct run_record){.type = RUN_REPLAY, .step = SLICE("2")}, 3);
    apply(&book, &(struct run_record){.type = RUN_REPLAY, .step = SLICE("none")}, 4);
    assert_int_equal(book.steps_by_name.count, 2);
    assert_true(slice_equal(runbook_step(&book, SLICE("a\\b"))->key, SLICE("k1")));
    assert_int_equal(runbook_step(&book, SLICE("2"))->replays, 1);
    assert_null(runbook_step(&book, SLICE("3")));
    runbook_deinit(&book);
}

static void test_checkpoints(void **state)
{
    struct runbook book;
    (void)state;
    runbook_init(&book);
    assert_null(runbook_checkpoint(&book, SLICE("latest")));
    keep(&book, "a", SLICE("one"), 5);
    keep(&book, "b", SLICE(""), 6);
    keep(&book, "a", SLICE("\n\0{\""), 9);
    const struct run_checkpoint *a = runbook_checkpoint(&book, SLICE("a"));
    assert_ptr_equal(a, runbook_checkpoint(&book, SLICE("latest")));
    assert_int_equal(a->seq, 9);
    struct id id = a_checkpoints_id(9);
    assert_true(id_equal(&a->id, &id));
    assert_int_equal(a->version, 109);
    assert_int_equal(a->size, 4);
    assert_int_equal(a->at_ms, 1700000000123);
    assert_true(slice_equal(a->offsets, SLICE("{\"x\":1}")));
    assert_true(slice_equal(a->content_type, SLICE("text/plain; a=\"b\"")));
    apply(&book, &(struct run_record){.type = RUN_DELETE, .name = SLICE("a")}, 10);
    apply(&book, &(struct run_record){.type = RUN_DELETE, .name = SLICE("a")}, 11);
    assert_null(runbook_checkpoint(&book, SLICE("a")));
    assert_true(slice_equal(runbook_checkpoint(&book, SLICE("latest"))->name, SLICE("b")));
    assert_int_equal(book.version, 109); /* none after it is less */
    runbook_deinit(&book);
}

static void test_forks(void **state)
{
    struct runbook book, fork, again;
    CLEANUP(buf_deinit) struct buf steps, more;
    (void)state;
    runbook_init(&book);
    runbook_init(&fork);
    runbook_init(&again);
    buf_init(&steps, RUN_LINE_BYTES_MAX);
    buf_init(&more, RUN_LINE_BYTES_MAX);
    take(&book, "1", "k1");
    take(&book, "2", "k2");
    take(&book, "3", "k3");
    assert_int_equal(runbook_fork_steps(&book, SLICE("4"), &steps), ERR_NOTFOUND);
    assert_int_equal(runbook_fork_steps(&book, SLICE("2"), &steps), ERR_OK);
    struct run_record record = {
        .type = RUN_FORK, .from = SLICE("old"), .at = SLICE("2"), .steps = buf_slice(&steps)};
    apply(&fork, &record, 0);
    take(&fork, "3", "n3");
    assert_int_equal(fork.steps_by_name.count, 3);
    assert_true(runbook_step(&fork, SLICE("2"))->is_inherited);
    assert_true(slice_equal(runbook_step(&fork, SLICE("2"))->key, SLICE("k2")));
    assert_false(runbook_step(&fork, SLICE("3"))->is_inherited);
    assert_true(slice_equal(fork.forked_from, SLICE("old")));
    assert_true(slice_equal(fork.forked_at, SLICE("2")));
    assert_int_equal(runbook_fork_steps(&fork, SLICE("3"), &more), ERR_OK);
    record.steps = buf_slice(&more);
    apply(&again, &record, 0);
    assert_true(slice_equal(runbook_step(&again, SLICE("1"))->key, SLICE("k1")));
    assert_true(slice_equal(runbook_step(&again, SLICE("3"))->key, SLICE("n3")));
    runbook_deinit(&book);
    runbook_deinit(&fork);
    runbook_deinit(&again);
}

/* All that is known of steps is in one record, and checkpoints that are over leave their number. */
static void test_head(void **state)
{
    struct runbook book, again;
    CLEANUP(buf_deinit) struct buf steps;
    (void)state;
    runbook_init(&book);
    runbook_init(&again);
    buf_init(&steps, RUN_LINE_BYTES_MAX);
    struct run_record fork = {.type = RUN_FORK,
        .from = SLICE("old"),
        .at = SLICE("1"),
        .steps = SLICE("[{\"step\":\"1\",\"key\":\"k1\"}]")};
    apply(&book, &fork, 0);
    take(&book, "2", "k2");
    for (int i = 0; i < 3; i++)
        apply(&book, &(struct run_record){.type = RUN_REPLAY, .step = SLICE("2")}, 2);
    keep(&book, "a", SLICE("one"), 5);
    apply(&book, &(struct run_record){.type = RUN_DELETE, .name = SLICE("a")}, 6);
    uint64_t steps_alone = book.live_bytes;
    assert_true(book.recorded_bytes > steps_alone);
    assert_int_equal(runbook_head_steps(&book, &steps), ERR_OK);
    struct run_record head = {.type = RUN_HEAD,
        .version = book.version,
        .from = book.forked_from,
        .at = book.forked_at,
        .steps = buf_slice(&steps)};
    apply(&again, &head, 0);
    assert_int_equal(again.version, 105);
    assert_true(slice_equal(again.forked_from, SLICE("old")));
    assert_int_equal(again.steps_by_name.count, 2);
    assert_true(runbook_step(&again, SLICE("1"))->is_inherited);
    assert_false(runbook_step(&again, SLICE("2"))->is_inherited);
    assert_true(slice_equal(runbook_step(&again, SLICE("2"))->key, SLICE("k2")));
    assert_int_equal(runbook_step(&again, SLICE("2"))->replays, 3);
    assert_int_equal(again.live_bytes, steps_alone);
    apply(&again, &(struct run_record){.type = RUN_REPLAY, .step = SLICE("2")}, 1);
    assert_int_equal(runbook_step(&again, SLICE("2"))->replays, 4);
    runbook_deinit(&book);
    runbook_deinit(&again);
}

static void test_keys(void **state)
{
    char a[RUN_KEY_BYTES + 1], b[RUN_KEY_BYTES + 1];
    struct id one = {{1}}, two = {{2}};
    (void)state;
    run_key(&one, SLICE("7"), a);
    run_key(&one, SLICE("7"), b);
    assert_string_equal(a, b);
    assert_int_equal(strlen(a), RUN_KEY_BYTES);
    /* SHA-256 of 01, fifteen 00, and 37, each preceded by its size in 8 bytes, little-endian */
    assert_string_equal(a, "run-2ff85a64a55b54f9899354e229f500341db577d640937f919d4bcc2fbb100944");
    run_key(&one, SLICE("8"), b);
    assert_string_not_equal(a, b);
    run_key(&two, SLICE("7"), b);
    assert_string_not_equal(a, b);
}

static void test_what_is_no_record(void **state)
{
    static const struct {
        const char *event;
        enum err err;
    } events[] = {
        {"", ERR_CORRUPT},
        {"{", ERR_CORRUPT},
        {"{}", ERR_NOTFOUND},
        {"{\"type\":\"of a later version\"}", ERR_NOTFOUND},
        {"{\"type\":\"step\",\"step\":\"1\"}", ERR_CORRUPT},
        {"{\"type\":\"step\",\"step\":1,\"key\":\"k\"}", ERR_CORRUPT},
        {"{\"type\":\"checkpoint\",\"name\":\"a\"}", ERR_CORRUPT},
        {"{\"type\":\"checkpoint\",\"name\":\"a\",\"version\":1}\n", ERR_CORRUPT},
        {"{\"type\":\"checkpoint\",\"name\":\"a\",\"id\":\"x\",\"version\":1}\n", ERR_CORRUPT},
        {"{\"type\":\"checkpoint\",\"name\":\"a\","
         "\"id\":\"018bcfe5-687b-7000-8000-000000000000\",\"version\":1}\n",
            ERR_OK},
        {"{\"type\":\"fork\",\"at\":\"1\"}", ERR_CORRUPT},
        {"{\"type\":\"head\"}", ERR_CORRUPT},
        {"{\"type\":\"head\",\"version\":0,\"steps\":[]}", ERR_OK},
        {"{\"type\":\"step\",\"step\":\"1\",\"key\":\"k\",\"more\":[1]}", ERR_OK},
    };
    (void)state;
    for (size_t i = 0; i < sizeof events / sizeof *events; i++) {
        CLEANUP(json_cleanup) struct json *tree = NULL;
        struct run_record record;
        assert_int_equal(
            run_record_read(slice_text(events[i].event), &tree, &record), events[i].err);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_steps),
        cmocka_unit_test(test_checkpoints),
        cmocka_unit_test(test_forks),
        cmocka_unit_test(test_head),
        cmocka_unit_test(test_keys),
        cmocka_unit_test(test_what_is_no_record),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
