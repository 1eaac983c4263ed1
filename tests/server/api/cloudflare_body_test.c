/* cloudflare_body — what is found in runs and universal calls, and what is refused. */
#include "server/api/cloudflare_body.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void assert_slice(struct slice got, const char *expected)
{
    if (!slice_equal(got, slice_text(expected)))
        fail_msg("got `%.*s`, expected `%s`", SLICE_PRINT(got), expected);
}

static void test_runs(void **state)
{
    static const struct {
        const char *body, *model, *options, *written;
    } cases[] = {
        {"{\"inputs\":{\"a\":1.50},\"options\":{\"gateway\":{\"id\":\"g\"}}}", "", "{\"id\":\"g\"}",
            "{\"model\":\"x/y\",\"a\":1.50}"},
        {"{\"inputs\":{ },\"options\":null}", "", "", "{\"model\":\"x/y\" }"},
        {"{\"inputs\":{\"b\":2,\"model\":\"old\",\"c\":3}}", "\"old\"", "",
            "{\"b\":2,\"model\":\"x/y\",\"c\":3}"},
        {"{\"model\":\"openai/gpt\",\"input\":{\"a\":[]}}", "\"openai/gpt\"", "",
            "{\"model\":\"x/y\",\"a\":[]}"},
        {" \n{\"prompt\":\"hi\",\"input\":\"text\"}\n", "", "",
            "{\"model\":\"x/y\",\"prompt\":\"hi\",\"input\":\"text\"}"},
        {"{}", "", "", "{\"model\":\"x/y\"}"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct cloudflare_run run;
        struct buf out;
        const char *why = NULL;
        buf_init(&out, 1024);
        assert_int_equal(cloudflare_run_read(slice_text(cases[i].body), &run, &why), ERR_OK);
        assert_slice(run.model.raw, cases[i].model);
        assert_slice(run.options, cases[i].options);
        assert_int_equal(cloudflare_run_write(&run, SLICE("x/y"), &out), ERR_OK);
        assert_slice(buf_slice(&out), cases[i].written);
        buf_deinit(&out);
    }
}

static void test_bad_runs(void **state)
{
    static const char *const bodies[] = {"", "[]", "{", "null", "{\"inputs\":{},\"options\":[]}",
        "{\"inputs\":{},\"options\":{\"gateway\":1}}", "{\"inputs\":{\"a\":1,\"a\":2}}",
        "{\"inputs\":{\"a\":\"\xff\"}}"};
    (void)state;
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
        struct cloudflare_run run;
        const char *why = NULL;
        if (cloudflare_run_read(slice_text(bodies[i]), &run, &why) != ERR_INVALID || !why)
            fail_msg("%s was taken", bodies[i]);
    }
}

#define CALL(more) "{\"provider\":\"openai\",\"endpoint\":\"v1\\/x\",\"query\":{\"q\":1.0}" more "}"

static void test_universal(void **state)
{
    size_t count;
    const char *why;
    struct slice body = SLICE(" [" CALL("") " , " CALL(",\"headers\":{},\"config\":null") "]\n");
    (void)state;
    assert_true(cloudflare_is_universal(body));
    assert_int_equal(cloudflare_universal_check(body, &count, &why), ERR_OK);
    assert_int_equal(count, 2);
    struct cloudflare_entry entry = cloudflare_universal_at(body, 1);
    assert_slice(entry.provider.raw, "\"openai\"");
    assert_slice(entry.endpoint.raw, "\"v1\\/x\"");
    assert_slice(entry.query, "{\"q\":1.0}");
    assert_slice(entry.headers, "{}");
    assert_slice(entry.config, "");
    /* However it is cut off, it is refused. */
    for (size_t size = 0; size + 1 < body.size; size++)
        assert_int_equal(
            cloudflare_universal_check(slice_sub(body, 0, size), &count, &why), ERR_INVALID);
}

static void test_bad_universal(void **state)
{
    static const char *const bodies[] = {"[]", "[,]", "[" CALL("") ",]", "[" CALL("") "] x",
        "[" CALL("") CALL("") "]", "[1]", "{}", "[{\"provider\":\"a\",\"endpoint\":\"b\"}]",
        "[{\"provider\":1,\"endpoint\":\"b\",\"query\":{}}]", "[" CALL(",\"headers\":[]") "]",
        "[" CALL(",\"config\":3") "]", "[" CALL(",\"x\":\"\xc0\"") "]"};
    struct buf many;
    size_t count;
    const char *why;
    (void)state;
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
        why = NULL;
        if (cloudflare_universal_check(slice_text(bodies[i]), &count, &why) != ERR_INVALID || !why)
            fail_msg("%s was taken", bodies[i]);
    }
    buf_init(&many, 65536);
    for (size_t i = 0; i <= CLOUDFLARE_ENTRIES_MAX; i++)
        assert_int_equal(buf_printf(&many, "%s%s", i ? "," : "[", CALL("")), ERR_OK);
    assert_int_equal(buf_append_text(&many, "]"), ERR_OK);
    assert_int_equal(cloudflare_universal_check(buf_slice(&many), &count, &why), ERR_INVALID);
    buf_deinit(&many);
}

static void test_fields(void **state)
{
    struct buf out;
    (void)state;
    buf_init(&out, 1024);
    assert_int_equal(
        cloudflare_write_headers(
            SLICE("{\"X-A\":\" b \",\"n\":1,\"o\":{\"p\":2},\"content-length\":\"3\",\"z\":null}"),
            &out),
        ERR_OK);
    assert_slice(buf_slice(&out), "X-A: b\r\nn: 1\r\no: {\"p\":2}\r\n");
    assert_int_equal(cloudflare_write_headers(SLICE("{\"a b\":\"c\"}"), &out), ERR_INVALID);
    assert_int_equal(cloudflare_write_headers(SLICE("{\"a\":\"b\\r\\nc: d\"}"), &out), ERR_INVALID);
    buf_clear(&out);
    assert_int_equal(cloudflare_write_options(
                         SLICE("{\"metadata\":{\"a\":1},\"collectLog\":false,\"eventId\":"
                               "\"e\",\"requestTimeoutMs\":5,\"retries\":{\"maxAttempts\":3,"
                               "\"retryDelayMs\":7,\"backoff\":\"linear\"}}"),
                         &out),
        ERR_OK);
    assert_slice(buf_slice(&out),
        "cf-aig-metadata: {\"a\":1}\r\ncf-aig-collect-log: false\r\ncf-aig-event-id: e\r\n"
        "cf-aig-request-timeout: 5\r\ncf-aig-max-attempts: 3\r\ncf-aig-retry-delay: 7\r\n"
        "cf-aig-backoff: linear\r\n");
    buf_deinit(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_runs),
        cmocka_unit_test(test_bad_runs),
        cmocka_unit_test(test_universal),
        cmocka_unit_test(test_bad_universal),
        cmocka_unit_test(test_fields),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
