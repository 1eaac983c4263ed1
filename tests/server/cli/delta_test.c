/* delta — the text of each dialect's events, and nothing of all else. */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "protocol/base/own.h"
#include "server/cli/delta.h"

static void adds(const char *data, const char *text)
{
    CLEANUP(buf_deinit) struct buf out;
    buf_init(&out, 4096);
    assert_int_equal(delta_text(slice_text(data), &out), ERR_OK);
    assert_true(slice_equal(buf_slice(&out), slice_text(text)));
}

static void each_dialect_adds_its_text(void **state)
{
    (void)state;
    adds("{\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\\nb\"}}]}", "a\nb");
    adds("{\"choices\":[{\"delta\":{\"content\":\"a\"}},{\"delta\":{\"content\":\"b\"}}]}", "ab");
    adds("{\"choices\":[{\"text\":\"x\"}]}", "x");
    adds("{\"type\":\"response.output_text.delta\",\"delta\":\"é\"}", "é");
    adds("{\"type\":\"content_block_delta\",\"delta\":{\"type\":\"text_delta\",\"text\":\"t\"}}",
        "t");
}

static void other_events_add_nothing(void **state)
{
    (void)state;
    adds("[DONE]", "");
    adds("", "");
    adds("null", "");
    adds("{\"choices\":[]}", "");
    adds("{\"choices\":[{\"delta\":{\"content\":null}}]}", "");
    adds("{\"choices\":{\"delta\":7}}", "");
    adds("{\"type\":\"message_stop\"}", "");
    adds("{\"type\":\"response.completed\",\"delta\":\"no\"}", "");
    adds("{\"type\":\"content_block_delta\",\"delta\":{\"partial_json\":\"{\"}}", "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_dialect_adds_its_text),
        cmocka_unit_test(other_events_add_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
