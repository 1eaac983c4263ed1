/* metrics — sums, labels, buckets, and a text that keeps to Prometheus' format. */
#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "protocol/base/own.h"
#include "server/observe/metrics.h"

/* The text of `each`, ended by a NUL. */
static void print(struct metrics *const *each, size_t count, struct buf *out)
{
    buf_init(out, METRICS_BYTES_MAX);
    assert_int_equal(metrics_print(each, count, out), ERR_OK);
    assert_int_equal(buf_append_byte(out, '\0'), ERR_OK);
}

/* Some line of `text` begins with `line`. */
static void has(const struct buf *text, const char *line)
{
    const char *at = (const char *)text->data;
    for (; *at; at += strcspn(at, "\n") + 1)
        if (strncmp(at, line, strlen(line)) == 0)
            return;
    fail_msg("no line: %s", line);
}

static void reactors_are_summed(void **state)
{
    (void)state;
    struct metrics *each[2];
    assert_int_equal(metrics_new(&each[0]), ERR_OK);
    assert_int_equal(metrics_new(&each[1]), ERR_OK);
    metrics_add(each[0], METRIC_events_total, 3);
    metrics_add(each[1], METRIC_events_total, 4);
    metrics_set(each[0], METRIC_streams_live, 5);
    metrics_set(each[0], METRIC_streams_live, 2);
    metrics_set(each[1], METRIC_streams_live, 1);
    metrics_add_label(each[0], METRIC_requests_total, "2xx", 1);
    metrics_add_label(each[1], METRIC_requests_total, "2xx", 1);
    metrics_add_label(each[1], METRIC_requests_total, "5xx", 1);
    metrics_add_label(each[1], METRIC_requests_total, "9xx", 7);
    CLEANUP(buf_deinit) struct buf text;
    print(each, 2, &text);
    has(&text, "tokenlog_events_total 7\n");
    has(&text, "tokenlog_streams_live 3\n");
    has(&text, "tokenlog_requests_total{code=\"2xx\"} 2\n");
    has(&text, "tokenlog_requests_total{code=\"5xx\"} 1\n");
    has(&text, "tokenlog_requests_total{code=\"4xx\"} 0\n");
    has(&text, "tokenlog_requests_total{code=\"other\"} 7\n");
    has(&text, "# TYPE tokenlog_requests_total counter\n");
    has(&text, "# HELP tokenlog_streams_live generations under way\n");
    metrics_free(each[0]);
    metrics_free(each[1]);
}

static void buckets_are_cumulative_and_bounds_inclusive(void **state)
{
    (void)state;
    struct metrics *metrics;
    assert_int_equal(metrics_new(&metrics), ERR_OK);
    static const int64_t values[] = {-5, 0, 1, 1000, 1001, 2000, 2001, 1500000000, INT64_MAX / 2};
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++)
        metrics_observe(metrics, METRIC_commit_seconds, values[i]);
    metrics_observe(metrics, METRIC_commit_records, 1);
    metrics_observe(metrics, METRIC_commit_records, 3);
    CLEANUP(buf_deinit) struct buf text;
    print(&metrics, 1, &text);
    has(&text, "# TYPE tokenlog_commit_seconds histogram\n");
    has(&text, "tokenlog_commit_seconds_bucket{le=\"0.000001\"} 4\n");
    has(&text, "tokenlog_commit_seconds_bucket{le=\"0.000002\"} 6\n");
    has(&text, "tokenlog_commit_seconds_bucket{le=\"0.000004\"} 7\n");
    has(&text, "tokenlog_commit_seconds_bucket{le=\"1.048576\"} 7\n");
    has(&text, "tokenlog_commit_seconds_bucket{le=\"2.097152\"} 8\n");
    has(&text, "tokenlog_commit_seconds_bucket{le=\"+Inf\"} 9\n");
    has(&text, "tokenlog_commit_seconds_count 9\n");
    has(&text, "tokenlog_commit_seconds_sum 4611686019.927393906\n");
    has(&text, "tokenlog_commit_records_bucket{le=\"1\"} 1\n");
    has(&text, "tokenlog_commit_records_bucket{le=\"2\"} 1\n");
    has(&text, "tokenlog_commit_records_bucket{le=\"4\"} 2\n");
    has(&text, "tokenlog_commit_records_sum 4\n");
    metrics_free(metrics);
}

static void the_process_and_the_build_are_there(void **state)
{
    (void)state;
    CLEANUP(buf_deinit) struct buf text;
    print(NULL, 0, &text);
    has(&text, "tokenlog_build_info{version=\"" TOKENLOG_VERSION "\"} 1\n");
    static const char *const names[] = {"process_cpu_seconds_total ",
        "process_resident_memory_bytes ", "process_virtual_memory_bytes ",
        "process_start_time_seconds ", "process_open_fds ", "process_max_fds "};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        has(&text, names[i]);
}

/* name[{label="value"}] number, or a comment: HELP or TYPE. */
static void check_line(const char *line, size_t size)
{
    size_t at = 0;
    if (line[0] == '#') {
        assert_true(strncmp(line, "# HELP ", 7) == 0 || strncmp(line, "# TYPE ", 7) == 0);
        return;
    }
    while (at < size && (isalnum((unsigned char)line[at]) || line[at] == '_'))
        at++;
    assert_true(at > 0);
    if (line[at] == '{') {
        const char *end = memchr(line, '}', size);
        assert_non_null(end);
        at = (size_t)(end - line) + 1;
    }
    assert_true(line[at] == ' ');
    for (at++; at < size; at++)
        assert_true(isdigit((unsigned char)line[at]) || line[at] == '.');
}

static void every_line_keeps_to_the_format(void **state)
{
    (void)state;
    struct metrics *metrics;
    assert_int_equal(metrics_new(&metrics), ERR_OK);
    CLEANUP(buf_deinit) struct buf text;
    print(&metrics, 1, &text);
    size_t lines = 0;
    for (const char *line = (const char *)text.data; *line; lines++) {
        size_t size = strcspn(line, "\n");
        assert_true(line[size] == '\n');
        check_line(line, size);
        line += size + 1;
    }
    assert_true(lines > METRIC_COUNT * 3);
    metrics_free(metrics);
}

static void what_does_not_fit_is_an_answer(void **state)
{
    (void)state;
    for (size_t bound = 0; bound < 4000; bound += 97) {
        CLEANUP(buf_deinit) struct buf small;
        buf_init(&small, bound);
        assert_int_equal(metrics_print(NULL, 0, &small), ERR_LIMIT);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reactors_are_summed),
        cmocka_unit_test(buckets_are_cumulative_and_bounds_inclusive),
        cmocka_unit_test(the_process_and_the_build_are_there),
        cmocka_unit_test(every_line_keeps_to_the_format),
        cmocka_unit_test(what_does_not_fit_is_an_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
