/* log — lines that are JSON whatever is in them, levels, bursts, cuts. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "protocol/base/own.h"
#include "protocol/data/json.h"
#include "server/observe/log.h"

enum { OUTPUT_BYTES_MAX = 1024 * 1024 };

struct fixture {
    struct log *log;
    int fd;
    int64_t now_ns;
    char text[OUTPUT_BYTES_MAX];
};

static int64_t now_ns(void *context)
{
    return ((struct fixture *)context)->now_ns;
}

static void begin(struct fixture *fixture, enum log_level level)
{
    char path[] = "/tmp/tokenlog-log-XXXXXX";
    fixture->fd = mkstemp(path);
    assert_true(fixture->fd >= 0);
    (void)unlink(path);
    fixture->now_ns = 1767225600123456789; /* 2026-01-01T00:00:00.123Z */
    assert_int_equal(log_new(fixture->fd, level, &fixture->log), ERR_OK);
    log_set_clock(fixture->log, now_ns, fixture);
}

/* All that was written; each line must be a JSON object. */
static size_t end(struct fixture *fixture)
{
    fixture->log = log_free(fixture->log);
    ssize_t size = pread(fixture->fd, fixture->text, sizeof fixture->text - 1, 0);
    assert_true(size >= 0);
    fixture->text[size] = '\0';
    (void)close(fixture->fd);
    size_t lines = 0;
    for (const char *at = fixture->text; *at; lines++) {
        size_t length = strcspn(at, "\n");
        const char *why = NULL;
        size_t where;
        assert_true(length < LOG_LINE_BYTES_MAX);
        if (json_object_check(slice_of(at, length), &why, &where) != ERR_OK)
            fail_msg("%s at %zu of %.*s", why, where, (int)length, at);
        assert_true(at[length] == '\n');
        at += length + 1;
    }
    return lines;
}

static struct fixture fixture; /* 1 MiB: not for the stack */

static void a_line_has_its_fields_in_order(void **state)
{
    (void)state;
    struct id id = {{1, 2, 3}};
    begin(&fixture, LOG_INFO);
    LOG(fixture.log, LOG_INFO, "stream_ended", LOG_ID("stream", &id), LOG_TEXT("state", "failed"),
        LOG_NUMBER("events", -12), LOG_SLICE("empty", SLICE_NONE), LOG_ID("none", NULL));
    LOG(fixture.log, LOG_ERROR, "bare");
    assert_int_equal(end(&fixture), 2);
    assert_string_equal(fixture.text,
        "{\"time\":\"2026-01-01T00:00:00.123Z\",\"level\":\"info\",\"event\":\"stream_ended\","
        "\"stream\":\"01020300-0000-0000-0000-000000000000\",\"state\":\"failed\",\"events\":-12,"
        "\"empty\":\"\",\"none\":null}\n"
        "{\"time\":\"2026-01-01T00:00:00.123Z\",\"level\":\"error\",\"event\":\"bare\"}\n");
}

static void text_is_escaped_whatever_it_holds(void **state)
{
    (void)state;
    begin(&fixture, LOG_DEBUG);
    char all[257];
    for (size_t i = 0; i < 256; i++)
        all[i] = (char)i;
    LOG(fixture.log, LOG_DEBUG, "bytes", LOG_SLICE("all", slice_of(all, 256)));
    LOG(fixture.log, LOG_DEBUG, "quotes", LOG_TEXT("text", "\"\\\n{\xc3\xa9\xff"));
    assert_int_equal(end(&fixture), 2);
    assert_non_null(strstr(fixture.text, "\"text\":\"\\\"\\\\\\n{\xc3\xa9\xef\xbf\xbd\""));
}

static void graver_levels_pass_and_lighter_do_not(void **state)
{
    (void)state;
    enum log_level level;
    begin(&fixture, LOG_WARNING);
    LOG(fixture.log, LOG_ERROR, "a");
    LOG(fixture.log, LOG_WARNING, "b");
    LOG(fixture.log, LOG_INFO, "c");
    LOG(fixture.log, LOG_DEBUG, "d");
    assert_int_equal(end(&fixture), 2);
    assert_int_equal(log_level_parse(SLICE("debug"), &level), ERR_OK);
    assert_int_equal(level, LOG_DEBUG);
    assert_int_equal(log_level_parse(SLICE("loud"), &level), ERR_INVALID);
    assert_int_equal(log_level_parse(SLICE_NONE, &level), ERR_INVALID);
}

static void long_text_is_cut_between_characters(void **state)
{
    (void)state;
    static char text[4000];
    for (size_t i = 0; i + 1 < sizeof text; i += 2)
        memcpy(text + i, "\xc3\xa9", 2);
    begin(&fixture, LOG_INFO);
    LOG(fixture.log, LOG_INFO, "even", LOG_SLICE("text", slice_of(text, sizeof text)));
    LOG(fixture.log, LOG_INFO, "odd", LOG_SLICE("text", slice_of(text + 1, sizeof text - 1)));
    assert_int_equal(end(&fixture), 2);
    assert_non_null(strstr(fixture.text, "\xc3\xa9…\"}\n"));
}

static void a_full_line_leaves_fields_out_and_says_so(void **state)
{
    (void)state;
    static char text[LOG_TEXT_BYTES_MAX];
    memset(text, 1, sizeof text); /* six bytes each once escaped */
    begin(&fixture, LOG_INFO);
    LOG(fixture.log, LOG_INFO, "big", LOG_SLICE("huge", slice_of(text, sizeof text)),
        LOG_NUMBER("kept", 7));
    assert_int_equal(end(&fixture), 1);
    assert_null(strstr(fixture.text, "huge"));
    assert_non_null(strstr(fixture.text, ",\"kept\":7,\"cut\":true}\n"));
}

static void bursts_are_counted_and_summed_up(void **state)
{
    (void)state;
    begin(&fixture, LOG_INFO);
    for (int i = 0; i < LOG_BURST_PER_SECOND + 50; i++)
        LOG(fixture.log, LOG_INFO, "storm", LOG_NUMBER("i", i));
    LOG(fixture.log, LOG_INFO, "other"); /* has a tally of its own */
    fixture.now_ns += 1000000000;
    LOG(fixture.log, LOG_INFO, "storm");
    assert_int_equal(end(&fixture), LOG_BURST_PER_SECOND + 3);
    const char *sum = strstr(fixture.text, "\"event\":\"log_suppressed\",\"of\":\"storm\"");
    assert_non_null(sum);
    assert_non_null(strstr(sum, "\"lines\":50}\n"));
}

static void what_is_counted_is_told_at_the_end(void **state)
{
    (void)state;
    begin(&fixture, LOG_INFO);
    for (int i = 0; i < LOG_BURST_PER_SECOND + 1; i++)
        LOG(fixture.log, LOG_INFO, "storm");
    assert_int_equal(end(&fixture), LOG_BURST_PER_SECOND + 1);
    assert_non_null(strstr(fixture.text, "\"of\":\"storm\",\"lines\":1}\n"));
}

static void without_a_log_nothing_happens(void **state)
{
    (void)state;
    LOG(NULL, LOG_ERROR, "nobody");
    assert_null(log_free(NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_has_its_fields_in_order),
        cmocka_unit_test(text_is_escaped_whatever_it_holds),
        cmocka_unit_test(graver_levels_pass_and_lighter_do_not),
        cmocka_unit_test(long_text_is_cut_between_characters),
        cmocka_unit_test(a_full_line_leaves_fields_out_and_says_so),
        cmocka_unit_test(bursts_are_counted_and_summed_up),
        cmocka_unit_test(what_is_counted_is_told_at_the_end),
        cmocka_unit_test(without_a_log_nothing_happens),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
