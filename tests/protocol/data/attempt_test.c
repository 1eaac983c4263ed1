/* attempt — encoded and read again, cut anywhere, as JSON. */
#include "protocol/data/attempt.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <string.h>

#include "protocol/base/own.h"

static struct attempt example(void)
{
    return (struct attempt){.number = 2,
        .kind = ATTEMPT_FAILOVER,
        .is_shown = true,
        .from = 17,
        .target = SLICE("anthropic/claude-sonnet-4-5"),
        .key = SLICE("key 2"),
        .started_ns = 1700000000123456789,
        .first_event_ns = 1700000000500000000,
        .ended_ns = 1700000002000000000,
        .status = 529,
        .why = SLICE("upstream_status"),
        .usage = {10, 20, -1, -1, 30},
        .cost_nano_usd = 1234567};
}

static void assert_same(const struct attempt *a, const struct attempt *b)
{
    assert_int_equal(a->number, b->number);
    assert_int_equal(a->kind, b->kind);
    assert_int_equal(a->is_shown, b->is_shown);
    assert_true(a->from == b->from);
    assert_true(slice_equal(a->target, b->target));
    assert_true(slice_equal(a->key, b->key));
    assert_true(slice_equal(a->why, b->why));
    assert_int_equal(a->started_ns, b->started_ns);
    assert_int_equal(a->first_event_ns, b->first_event_ns);
    assert_int_equal(a->ended_ns, b->ended_ns);
    assert_int_equal(a->status, b->status);
    assert_memory_equal(&a->usage, &b->usage, sizeof a->usage);
    assert_int_equal(a->cost_nano_usd, b->cost_nano_usd);
}

static void what_is_written_is_read(void **state)
{
    (void)state;
    CLEANUP(buf_deinit) struct buf bytes;
    buf_init(&bytes, ATTEMPTS_BYTES_MAX);
    struct attempt first = {.number = 1, .usage = USAGE_UNKNOWN, .cost_nano_usd = -1};
    struct attempt second = example(), read;
    assert_int_equal(attempt_encode(&first, &bytes), ERR_OK);
    assert_int_equal(attempt_encode(&second, &bytes), ERR_OK);
    struct slice rest = buf_slice(&bytes);
    assert_int_equal(attempt_decode(&rest, &read), ERR_OK);
    assert_same(&read, &first);
    assert_int_equal(attempt_decode(&rest, &read), ERR_OK);
    assert_same(&read, &second);
    assert_int_equal(rest.size, 0);
    assert_int_equal(attempt_shown(buf_slice(&bytes), &read), ERR_OK);
    assert_int_equal(read.number, 2);
    assert_int_equal(attempts_cost(buf_slice(&bytes)), 1234567);
}

static void what_is_too_long_is_cut(void **state)
{
    (void)state;
    static const uint8_t name[1000] = {'x'};
    CLEANUP(buf_deinit) struct buf bytes;
    buf_init(&bytes, ATTEMPT_BYTES_MAX);
    struct attempt attempt = example(), read;
    attempt.target = attempt.key = attempt.why = slice_of(name, sizeof name);
    attempt.usage = (struct usage){INT64_MIN, INT64_MIN, INT64_MIN, INT64_MIN, INT64_MIN};
    attempt.started_ns = attempt.first_event_ns = attempt.ended_ns = INT64_MAX;
    attempt.number = attempt.status = UINT32_MAX;
    attempt.from = UINT64_MAX;
    attempt.cost_nano_usd = INT64_MAX;
    assert_int_equal(attempt_encode(&attempt, &bytes), ERR_OK);
    struct slice rest = buf_slice(&bytes);
    assert_int_equal(attempt_decode(&rest, &read), ERR_OK);
    assert_int_equal(read.target.size, ATTEMPT_TARGET_BYTES_MAX);
    assert_int_equal(read.why.size, ATTEMPT_WORD_BYTES_MAX);
}

/* As it was written before it said where its part begins. */
static void an_older_one_is_read(void **state)
{
    (void)state;
    enum { ARRAY_OF_17 = 3 };
    static const uint8_t array_of_16[] = {0xdc, 0, 16};
    CLEANUP(buf_deinit) struct buf bytes;
    buf_init(&bytes, ATTEMPTS_BYTES_MAX);
    struct attempt attempt = example(), read;
    attempt.from = 0;
    assert_int_equal(attempt_encode(&attempt, &bytes), ERR_OK);
    memcpy(bytes.data, array_of_16, ARRAY_OF_17);
    struct slice rest = slice_of(bytes.data, bytes.size - 1);
    assert_int_equal(attempt_decode(&rest, &read), ERR_OK);
    assert_same(&read, &attempt);
    assert_int_equal(rest.size, 0);
}

static void what_is_cut_short_is_corrupt(void **state)
{
    (void)state;
    CLEANUP(buf_deinit) struct buf bytes;
    buf_init(&bytes, ATTEMPTS_BYTES_MAX);
    struct attempt attempt = example(), read;
    assert_int_equal(attempt_encode(&attempt, &bytes), ERR_OK);
    for (size_t size = 0; size < bytes.size; size++) {
        struct slice rest = slice_of(bytes.data, size);
        assert_int_equal(attempt_decode(&rest, &read), ERR_CORRUPT);
        assert_int_equal(rest.size, size);
    }
    assert_int_equal(attempt_shown(slice_of(bytes.data, 5), &read), ERR_CORRUPT);
    assert_int_equal(attempt_shown(SLICE_NONE, &read), ERR_NOTFOUND);
    assert_int_equal(attempts_cost(SLICE_NONE), -1);
}

static void people_read_it(void **state)
{
    (void)state;
    static const char expected[] =
        "[{\"number\":2,\"kind\":\"failover\",\"shown\":true,\"from\":17,\"target\":\"anthropic/"
        "claude-sonnet-4-5\",\"key\":\"key 2\",\"started_at\":\"2023-11-14T22:13:20.123Z\","
        "\"first_event_at\":\"2023-11-14T22:13:20.500Z\",\"ended_at\":\"2023-11-14T22:13:22.000Z\","
        "\"status\":529,\"why\":\"upstream_status\",\"usage\":{\"input_tokens\":10,"
        "\"output_tokens\":20,\"cached_tokens\":null,\"reasoning_tokens\":null,"
        "\"total_tokens\":30},\"cost\":0.001234567}]";
    CLEANUP(buf_deinit) struct buf bytes, json;
    buf_init(&bytes, ATTEMPTS_BYTES_MAX);
    buf_init(&json, 4096);
    struct attempt attempt = example();
    assert_int_equal(attempt_encode(&attempt, &bytes), ERR_OK);
    struct json_writer writer;
    json_writer_init(&writer, &json);
    attempts_json(buf_slice(&bytes), &writer);
    assert_int_equal(writer.err, ERR_OK);
    assert_int_equal(json.size, sizeof expected - 1);
    assert_memory_equal(json.data, expected, sizeof expected - 1);
    buf_clear(&json);
    json_writer_init(&writer, &json);
    attempts_json(SLICE("\xff\xff"), &writer);
    assert_true(slice_equal(buf_slice(&json), SLICE("[]")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(what_is_too_long_is_cut),
        cmocka_unit_test(an_older_one_is_read),
        cmocka_unit_test(what_is_cut_short_is_corrupt),
        cmocka_unit_test(people_read_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
