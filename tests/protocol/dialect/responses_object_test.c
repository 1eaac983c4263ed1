/* responses_object_test — the object at every point of a stream, and what is made of broken ones. */
#include "protocol/dialect/responses_object.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "protocol/base/own.h"
#include "protocol/data/json.h"

enum { KEPT_BYTES_MAX = 1 << 20, TEXT_BYTES_MAX = 64 * 1024 };

static void take(struct responses_object *object, const char *name, const char *data)
{
    char block[2048];
    (void)snprintf(block, sizeof block, "event: %s\ndata: %s\n\n", name, data);
    assert_int_equal(responses_object_event(object, slice_text(block)), ERR_OK);
}

static void assert_shows(const struct responses_object *object, const struct responses_state *state,
    const char *expected)
{
    CLEANUP(buf_deinit) struct buf text;
    CLEANUP(json_cleanup) struct json *tree = NULL;
    buf_init(&text, TEXT_BYTES_MAX);
    assert_int_equal(responses_object_write(object, state, &text), ERR_OK);
    assert_int_equal(json_parse(buf_slice(&text), &tree), ERR_OK);
    assert_int_equal(buf_append_byte(&text, '\0'), ERR_OK);
    assert_string_equal((const char *)text.data, expected);
}

static const struct responses_state live = {.id = {(const uint8_t *)"resp_1", 6}};

static void begin(struct responses_object *object)
{
    responses_object_init(object, KEPT_BYTES_MAX);
    take(object, "response.created",
        "{\"type\":\"response.created\",\"sequence_number\":0,"
        "\"response\":{\"id\":\"resp_1\",\"status\":\"in_progress\",\"output\":[],\"x\":1e2}}");
}

static void test_text_grows(void **unused)
{
    (void)unused;
    CLEANUP(responses_object_deinit) struct responses_object object;
    begin(&object);
    assert_shows(
        &object, &live, "{\"id\":\"resp_1\",\"status\":\"in_progress\",\"output\":[],\"x\":1e2}");
    take(&object, "response.output_item.added",
        "{\"output_index\":0,\"item\":{\"type\":\"message\",\"status\":\"in_progress\",\"content\":"
        "[]}}");
    take(&object, "response.content_part.added",
        "{\"output_index\":0,\"content_index\":0,\"part\":{\"type\":\"output_text\",\"text\":\"\"}"
        "}");
    assert_shows(&object, &live,
        "{\"id\":\"resp_1\",\"status\":\"in_progress\",\"output\":[{\"type\":\"message\","
        "\"status\":\"in_progress\",\"content\":[{\"type\":\"output_text\",\"text\":\"\"}]}],"
        "\"x\":1e2}");
    take(&object, "response.output_text.delta",
        "{\"output_index\":0,\"content_index\":0,\"delta\":\"a\\\"\"}");
    take(&object, "response.output_text.delta",
        "{\"output_index\":0,\"content_index\":0,\"delta\":\"\\u00e4\"}");
    assert_shows(&object, &live,
        "{\"id\":\"resp_1\",\"status\":\"in_progress\",\"output\":[{\"type\":\"message\","
        "\"status\":\"in_progress\",\"content\":[{\"type\":\"output_text\",\"text\":"
        "\"a\\\"\\u00e4\"}]}],"
        "\"x\":1e2}");
    take(&object, "response.output_item.done",
        "{\"output_index\":0,\"item\":{\"type\":\"message\",\"content\":[7],\"own\":true}}");
    assert_shows(&object, &live,
        "{\"id\":\"resp_1\",\"status\":\"in_progress\",\"output\":[{\"type\":\"message\","
        "\"content\":[7],\"own\":true}],\"x\":1e2}");
}

static void test_arguments_and_reasoning(void **unused)
{
    (void)unused;
    CLEANUP(responses_object_deinit) struct responses_object object;
    const struct responses_state over = {.id = SLICE("resp_1"),
        .status = "failed",
        .code = SLICE("server_died"),
        .message = SLICE("it died"),
        .is_over = true};
    begin(&object);
    take(&object, "response.output_item.added",
        "{\"output_index\":0,\"item\":{\"type\":\"reasoning\",\"summary\":[]}}");
    take(&object, "response.reasoning_summary_text.delta",
        "{\"output_index\":0,\"summary_index\":0,\"delta\":\"why\"}");
    take(&object, "response.output_item.added",
        "{\"output_index\":1,\"item\":{\"type\":\"function_call\",\"status\":\"in_progress\","
        "\"arguments\":\"\"}}");
    take(&object, "response.function_call_arguments.delta",
        "{\"output_index\":1,\"delta\":\"{\\\"a\\\":\"}");
    assert_shows(&object, &over,
        "{\"id\":\"resp_1\",\"status\":\"failed\",\"output\":[{\"type\":\"reasoning\",\"summary\":["
        "{\"type\":\"summary_text\",\"text\":\"why\"}]},{\"type\":\"function_call\","
        "\"status\":\"incomplete\",\"arguments\":\"{\\\"a\\\":\"}],\"x\":1e2,"
        "\"error\":{\"code\":\"server_died\",\"message\":\"it died\"}}");
}

static void test_the_last_one_is_whole(void **unused)
{
    (void)unused;
    CLEANUP(responses_object_deinit) struct responses_object object;
    begin(&object);
    take(&object, "response.output_item.added", "{\"output_index\":0,\"item\":{\"content\":[]}}");
    take(&object, "response.completed",
        "{\"response\":{\"id\":\"resp_1\",\"status\":\"completed\",\"output\":[1,2]}}");
    assert_true(object.is_final);
    take(&object, "response.created", "{\"response\":{\"id\":\"other\"}}");
    const struct responses_state other_name = {.id = SLICE("resp_2"), .status = "failed"};
    assert_shows(
        &object, &other_name, "{\"id\":\"resp_2\",\"status\":\"completed\",\"output\":[1,2]}");
}

static void test_nothing_came(void **unused)
{
    (void)unused;
    CLEANUP(responses_object_deinit) struct responses_object object;
    const struct responses_state state = {
        .id = SLICE("resp_3"), .status = "cancelled", .model = SLICE("m"), .created_s = 5};
    responses_object_init(&object, KEPT_BYTES_MAX);
    assert_shows(&object, &state,
        "{\"id\":\"resp_3\",\"object\":\"response\",\"created_at\":5,\"status\":\"cancelled\","
        "\"error\":null,\"incomplete_details\":null,\"instructions\":null,\"model\":\"m\","
        "\"output\":[],\"parallel_tool_calls\":true,\"tool_choice\":\"auto\",\"tools\":[],"
        "\"usage\":null,\"metadata\":{}}");
}

static void test_an_error_event_says_why(void **unused)
{
    (void)unused;
    CLEANUP(responses_object_deinit) struct responses_object object;
    const struct responses_state failed = {
        .id = SLICE("resp_1"), .status = "failed", .code = SLICE("ours"), .message = SLICE("ours")};
    begin(&object);
    take(&object, "error", "{\"type\":\"error\",\"code\":\"rate_limit\",\"message\":\"slow\"}");
    assert_shows(&object, &failed,
        "{\"id\":\"resp_1\",\"status\":\"failed\",\"output\":[],\"x\":1e2,"
        "\"error\":{\"code\":\"rate_limit\",\"message\":\"slow\"}}");
}

static void test_what_is_malformed_adds_nothing(void **unused)
{
    (void)unused;
    static const struct {
        const char *name, *data;
    } blocks[] = {
        {"response.output_text.delta", "{\"output_index\":0,\"delta\":\"early\"}"},
        {"response.output_item.added", "{\"output_index\":0,\"item\":7}"},
        {"response.output_item.added", "{\"output_index\":0,\"item\""},
        {"response.content_part.added", "{\"output_index\":-1,\"part\":{}}"},
        {"response.future", "{\"delta\":\"x\"}"},
        {"response.created", "[]"},
    };
    CLEANUP(responses_object_deinit) struct responses_object object;
    begin(&object);
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++)
        take(&object, blocks[i].name, blocks[i].data);
    assert_int_equal(responses_object_event(&object, SLICE(": ping\n\n")), ERR_OK);
    assert_shows(
        &object, &live, "{\"id\":\"resp_1\",\"status\":\"in_progress\",\"output\":[],\"x\":1e2}");
}

static void test_bounds(void **unused)
{
    (void)unused;
    CLEANUP(responses_object_deinit) struct responses_object small, many;
    responses_object_init(&small, 16);
    assert_int_equal(responses_object_event(&small,
                         SLICE("data: {\"response\":{\"id\":\"12345678901234567890\"}}\n\n")),
        ERR_LIMIT);
    begin(&many);
    enum err err = ERR_OK;
    int count = 0;
    for (; !err && count <= RESPONSES_ITEMS_MAX; count++) {
        char block[128];
        (void)snprintf(block, sizeof block,
            "event: response.output_item.added\ndata: {\"output_index\":%d,\"item\":{}}\n\n",
            count);
        err = responses_object_event(&many, slice_text(block));
    }
    assert_int_equal(err, ERR_LIMIT);
    assert_int_equal(count, RESPONSES_ITEMS_MAX + 1);
}

static void test_single_events(void **unused)
{
    (void)unused;
    uint64_t number;
    assert_int_equal(
        responses_sequence_number(SLICE("data: {\"sequence_number\":17}\n\n"), &number), ERR_OK);
    assert_int_equal(number, 17);
    assert_int_equal(responses_sequence_number(SLICE(": x\n\n"), &number), ERR_NOTFOUND);
    assert_int_equal(
        responses_sequence_number(SLICE("data: {\"sequence_number\":\"1\"}\n\n"), &number),
        ERR_NOTFOUND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text_grows),
        cmocka_unit_test(test_arguments_and_reasoning),
        cmocka_unit_test(test_the_last_one_is_whole),
        cmocka_unit_test(test_nothing_came),
        cmocka_unit_test(test_an_error_event_says_why),
        cmocka_unit_test(test_what_is_malformed_adds_nothing),
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_single_events),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
