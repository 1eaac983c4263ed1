/* selection — what a command line asks for, and which rows that takes. */
#include "server/cli/selection.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "protocol/base/own.h"
#include "protocol/data/json.h"

static const int64_t now_ns = 1700000000000000000;

static bool takes(const struct selection_flags *flags, const char *row_text)
{
    struct manifest_filter filter;
    const char *wrong;
    CLEANUP(json_cleanup) struct json *row = NULL;
    assert_int_equal(selection_read(flags, now_ns, &filter, &wrong), ERR_OK);
    assert_int_equal(json_parse(slice_text(row_text), &row), ERR_OK);
    return selection_takes(&filter, row);
}

#define ROW(metadata)                                                                              \
    "{\"id\":\"018bcfe5-6800-7000-8000-000000000000\",\"project\":\"p\",\"state\":\"failed\","     \
    "\"metadata\":" metadata "}"

static void test_rows(void **state)
{
    (void)state;
    const char *row = ROW("{\"team\":\"red\",\"try\":2,\"ok\":true,\"deep\":{\"a\":1}}");
    assert_true(takes(&(struct selection_flags){0}, row));
    assert_true(takes(&(struct selection_flags){.project = "p"}, row));
    assert_false(takes(&(struct selection_flags){.project = "q"}, row));
    assert_true(takes(&(struct selection_flags){.state = "failed"}, row));
    assert_false(takes(&(struct selection_flags){.state = "completed"}, row));
    assert_true(takes(&(struct selection_flags){.metadata = "team=red"}, row));
    assert_false(takes(&(struct selection_flags){.metadata = "team=re"}, row));
    assert_true(takes(&(struct selection_flags){.metadata = "try=2"}, row));
    assert_true(takes(&(struct selection_flags){.metadata = "ok=true"}, row));
    assert_false(takes(&(struct selection_flags){.metadata = "deep=1"}, row));
    assert_false(takes(&(struct selection_flags){.metadata = "none="}, row));
    assert_false(takes(&(struct selection_flags){.metadata = "team=red"}, ROW("null")));
    assert_false(takes(&(struct selection_flags){.to = "2023-11-14T22:13:20Z"}, row));
    assert_true(takes(&(struct selection_flags){.to = "2023-11-14T22:13:21Z"}, row));
}

static void test_times(void **state)
{
    const uint8_t random[ID_RANDOM_BYTES] = {0};
    struct manifest_filter filter;
    const char *wrong;
    struct id before = id_make(now_ns / 1000000 - 3600001, random);
    struct id after = id_make(now_ns / 1000000 - 3600000, random);
    (void)state;
    assert_int_equal(
        selection_read(&(struct selection_flags){.from = "-1h"}, now_ns, &filter, &wrong), ERR_OK);
    assert_true(selection_is_before(&filter, &before));
    assert_false(selection_is_before(&filter, &after));
}

static void test_usage(void **state)
{
    static const struct selection_flags wrong_flags[] = {{.state = "streaming"},
        {.state = "deleted"}, {.state = "x"}, {.metadata = "team"}, {.metadata = "=red"},
        {.from = "yesterday"}, {.to = "-1w"}};
    (void)state;
    for (size_t i = 0; i < sizeof wrong_flags / sizeof wrong_flags[0]; i++) {
        struct manifest_filter filter;
        const char *wrong = NULL;
        assert_int_equal(selection_read(&wrong_flags[i], now_ns, &filter, &wrong), ERR_INVALID);
        assert_non_null(wrong);
    }
}

static void test_same(void **state)
{
    struct manifest_filter a = {.project = "p", .from_ns = 1}, b = {.project = "p", .from_ns = 2};
    (void)state;
    assert_true(selection_is_same(&a, &b));
    b.state[0] = 'x';
    assert_false(selection_is_same(&a, &b));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_times),
        cmocka_unit_test(test_usage),
        cmocka_unit_test(test_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
