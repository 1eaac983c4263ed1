/* source — the commands against a server that plays a script: one answer a connection, in order.
 * What it was asked is compared too. */
#include <arpa/inet.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "protocol/base/own.h"
#include "server/cli/cli.h"

#define ID "019b0000-0000-7000-8000-000000000001"

enum { SCRIPT_MAX = 8, WORDS_MAX = 12, REQUEST_BYTES_MAX = 4096 };

struct play {
    const char *request; /* the beginning of its first line */
    const char *answer;  /* as sent; the connection is closed after it */
};

struct stage {
    const struct play *script;
    size_t count, played;
    int listen_fd;
    char url[64];
    char wrong[256]; /* the first request that was another than the script's */
    char last_request[REQUEST_BYTES_MAX];
    pthread_t thread;
};

static void read_request(int fd, char *out)
{
    size_t size = 0;
    out[0] = '\0';
    while (size < REQUEST_BYTES_MAX - 1 && !strstr(out, "\r\n\r\n")) {
        ssize_t got = read(fd, out + size, REQUEST_BYTES_MAX - 1 - size);
        if (got <= 0)
            return;
        size += (size_t)got;
        out[size] = '\0';
    }
}

static void *perform(void *context)
{
    struct stage *stage = context;
    for (size_t i = 0; i < stage->count; i++) {
        CLEANUP(cleanup_close) int fd = accept(stage->listen_fd, NULL, NULL);
        if (fd < 0)
            return NULL;
        const struct play *play = &stage->script[i];
        read_request(fd, stage->last_request);
        if (strncmp(stage->last_request, play->request, strlen(play->request)) != 0 &&
            !stage->wrong[0])
            (void)snprintf(stage->wrong, sizeof stage->wrong, "wanted %s, got %.100s",
                play->request, stage->last_request);
        size_t size = strlen(play->answer);
        (void)!send(fd, play->answer, size, MSG_NOSIGNAL);
        stage->played++;
    }
    return NULL;
}

static void begin(struct stage *stage, const struct play *script, size_t count)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t size = sizeof address;
    *stage = (struct stage){.script = script, .count = count};
    stage->listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(stage->listen_fd, (struct sockaddr *)&address, size), 0);
    assert_int_equal(listen(stage->listen_fd, SCRIPT_MAX), 0);
    assert_int_equal(getsockname(stage->listen_fd, (struct sockaddr *)&address, &size), 0);
    (void)snprintf(stage->url, sizeof stage->url, "http://127.0.0.1:%d/", ntohs(address.sin_port));
    assert_int_equal(pthread_create(&stage->thread, NULL, perform, stage), 0);
}

/* All of the script was asked for, in order. */
static void end(struct stage *stage)
{
    (void)shutdown(stage->listen_fd, SHUT_RDWR);
    (void)pthread_join(stage->thread, NULL);
    (void)close(stage->listen_fd);
    assert_string_equal(stage->wrong, "");
    assert_int_equal(stage->played, stage->count);
}

struct run {
    char *out, *err;
    size_t out_size, err_size;
    int code;
};

/* The command line, its server being the stage. */
static struct run run(struct stage *stage, const char *line)
{
    struct run run = {0};
    char *words[WORDS_MAX];
    int count = 0;
    char variable[96];
    (void)snprintf(variable, sizeof variable, "TOKENLOG_SERVER=%s", stage->url);
    char *environment[] = {variable, (char *)"TOKENLOG_KEY=tlk_secret", NULL};
    CLEANUP(cleanup_free) char *copy = strdup(line);
    char *rest = copy;
    for (char *word; (word = strsep(&rest, " "));)
        words[count++] = word;
    struct cli cli = {.out = open_memstream(&run.out, &run.out_size),
        .err = open_memstream(&run.err, &run.err_size),
        .environment = environment};
    run.code = cli_run(&cli, count, words);
    (void)fclose(cli.out);
    (void)fclose(cli.err);
    return run;
}

static void finish(struct run *run)
{
    free(run->out);
    free(run->err);
}

#define JSON_ANSWER(status, body)                                                                  \
    "HTTP/1.1 " status "\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n" body
#define SSE_HEAD                                                                                   \
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
#define CHUNK(size, text) size "\r\n" text "\r\n"
#define SSE_ROW                                                                                    \
    JSON_ANSWER("200 OK",                                                                          \
        "{\"id\":\"" ID "\",\"state\":\"streaming\",\"content_type\":\"text/event-stream\"}\n")
#define ROW_PATH    "GET /v1/streams/" ID " HTTP"
#define EVENTS_PATH "GET /v1/streams/" ID "/events?from="

static const char list_text[] =
    "{\"object\":\"list\",\"data\":[{\"id\":\"" ID "\",\"object\":\"stream\",\"state\":"
    "\"completed\",\"model\":\"openai/gpt\\u001b[31m-with-a-very-long-name-indeed\",\"events\":12,"
    "\"idempotency_key\":\"order-7\",\"usage\":{\"output_tokens\":9}}],\"has_more\":true,"
    "\"next\":\"" ID "\"}";

static void a_list_is_a_table_or_json(void **state)
{
    (void)state;
    static char answer[1024];
    (void)snprintf(answer, sizeof answer, JSON_ANSWER("200 OK", "%s\n"), list_text);
    const struct play script[] = {
        {"GET /v1/streams?limit=50 HTTP", answer},
        {"GET /v1/streams?limit=7&before=" ID "&state=failed&model=a%2Fb%20c HTTP", answer},
    };
    struct stage stage;
    begin(&stage, script, 2);
    struct run table = run(&stage, "ls");
    assert_int_equal(table.code, CLI_OK);
    assert_non_null(strstr(stage.last_request, "\r\nAuthorization: Bearer tlk_secret\r\n"));
    const char *row = strchr(table.out, '\n') + 1;
    assert_memory_equal(row, ID "  completed    openai/gpt?[31m-with-a-very-", 78);
    assert_non_null(strstr(row, "      12       9 "));
    assert_non_null(strstr(row, "  order-7\n"));
    assert_string_equal(table.err, "more: tokenlog ls --before " ID "\n");
    finish(&table);
    struct cli cli; /* a space in an argument: not by way of run() */
    char *words[] = {(char *)"ls", (char *)"--limit=7", (char *)"--before", (char *)ID,
        (char *)"--state", (char *)"failed", (char *)"--model", (char *)"a/b c", (char *)"--json",
        (char *)"--server", stage.url};
    char *out;
    size_t size;
    cli = (struct cli){.out = open_memstream(&out, &size), .err = stderr};
    assert_int_equal(cli_run(&cli, 11, words), CLI_OK);
    (void)fclose(cli.out);
    assert_memory_equal(out, list_text, strlen(list_text));
    assert_string_equal(out + strlen(list_text), "\n");
    free(out);
    end(&stage);
}

/* What has no model goes by its name or its path, and a step by its run. */
static void a_list_says_what_each_row_is(void **state)
{
    (void)state;
    static const struct play script[] = {
        {"GET /v1/streams?limit=50&run=nightly&kind=appended HTTP",
            JSON_ANSWER("200 OK",
                "{\"data\":[{\"model\":null,\"name\":null,\"path\":\"/v1/files\"},"
                "{\"model\":null,\"name\":\"doc\",\"path\":null},"
                "{\"model\":\"m\",\"idempotency_key\":\"run-0a\",\"run\":\"nightly\","
                "\"step\":\"7\"},"
                "{\"model\":\"m\",\"idempotency_key\":\"own\",\"run\":\"nightly\","
                "\"step\":\"8\"}]}")},
    };
    struct stage stage;
    begin(&stage, script, 1);
    struct run table = run(&stage, "ls --run nightly --kind appended");
    assert_int_equal(table.code, CLI_OK);
    assert_non_null(strstr(table.out, " /v1/files "));
    assert_non_null(strstr(table.out, " doc "));
    assert_non_null(strstr(table.out, "  run nightly, step 7\n"));
    assert_non_null(strstr(table.out, "  own\n"));
    finish(&table);
    end(&stage);
}

static void errors_become_sentences_and_codes(void **state)
{
    (void)state;
    static const struct play script[] = {
        {ROW_PATH, JSON_ANSWER("404 Not Found", "{\"error\":{\"message\":\"no such stream\"}}")},
        {ROW_PATH, JSON_ANSWER("410 Gone", "{\"error\":{\"message\":\"it has expired\"}}")},
        {ROW_PATH, JSON_ANSWER("401 Unauthorized", "{\"error\":{\"message\":\"who?\"}}")},
        {ROW_PATH, JSON_ANSWER("500 Oops", "<html>")},
        {ROW_PATH, JSON_ANSWER("200 OK", "<html>")},
        {ROW_PATH, "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"},
        {ROW_PATH, ""},
    };
    static const struct {
        int code;
        const char *sentence;
    } wanted[] = {
        {CLI_NOT_FOUND, "no such stream (HTTP 404)"},
        {CLI_NOT_FOUND, "it has expired (HTTP 410)"},
        {CLI_FAILED, "who? (HTTP 401; give a key with --key or $TOKENLOG_KEY)"},
        {CLI_FAILED, "it gave no reason (HTTP 500)"},
        {CLI_FAILED, "is this a tokenlog server?"},
        {CLI_UNREACHABLE, "http://127.0.0.1:"},
        {CLI_UNREACHABLE, "http://127.0.0.1:"},
    };
    struct stage stage;
    begin(&stage, script, sizeof script / sizeof script[0]);
    for (size_t i = 0; i < sizeof script / sizeof script[0]; i++) {
        struct run got = run(&stage, "show " ID);
        if (got.code != wanted[i].code || !strstr(got.err, wanted[i].sentence))
            fail_msg("%zu: got %d, %s", i, got.code, got.err);
        assert_int_equal(got.out_size, 0);
        finish(&got);
    }
    end(&stage);
}

static void stopping_says_what_the_stream_is(void **state)
{
    (void)state;
    static const struct play script[] = {
        {"POST /v1/streams/" ID "/stop HTTP", JSON_ANSWER("200 OK", "{\"state\":\"stopped\"}")},
        {"POST /v1/streams/" ID "/stop HTTP", JSON_ANSWER("200 OK", "{\"state\":\"failed\"}")},
        {"DELETE /v1/streams/" ID " HTTP", "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n"},
    };
    struct stage stage;
    begin(&stage, script, 3);
    struct run stopped = run(&stage, "stop " ID);
    assert_int_equal(stopped.code, CLI_OK);
    assert_string_equal(stopped.out, "stopped\n");
    struct run late = run(&stage, "stop " ID);
    assert_int_equal(late.code, CLI_FAILED);
    assert_non_null(strstr(late.err, "it is failed"));
    struct run removed = run(&stage, "rm " ID);
    assert_int_equal(removed.code, CLI_OK);
    assert_string_equal(removed.out, "deleted\n");
    finish(&stopped);
    finish(&late);
    finish(&removed);
    end(&stage);
}

#define EVENT_0 "id: 1\ndata: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n"
#define EVENT_1 "id: 2\nevent: x\ndata: {\"choices\":[{\"delta\":{\"content\":\"b\"}}]}\n\n"
#define EVENT_2 "id: 3\ndata: [DONE]\n\n"
#define THE_END                                                                                    \
    "event: tokenlog.end\ndata: {\"state\":\"completed\",\"events\":3,\"reason\":null}\n\n"
#define BAD_END                                                                                    \
    "event: tokenlog.end\ndata: "                                                                  \
    "{\"state\":\"failed\",\"events\":1,\"reason\":\"upstream_reset\"}\n\n"
#define UNFRAMED "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"

/* The first connection breaks inside event 1; the server is starting on the second. */
static void a_broken_connection_is_taken_up_again(void **state)
{
    (void)state;
    static const struct play script[] = {
        {ROW_PATH, SSE_ROW},
        {EVENTS_PATH "0 HTTP", SSE_HEAD CHUNK("4a", EVENT_0 ": heartbeat\n\nid: 2\nda")},
        {EVENTS_PATH "1 HTTP", JSON_ANSWER("503 Service Unavailable", "{}")},
        {EVENTS_PATH "1 HTTP", UNFRAMED EVENT_1 EVENT_2 THE_END},
    };
    struct stage stage;
    begin(&stage, script, 4);
    struct run got = run(&stage, "tail " ID);
    assert_int_equal(got.code, CLI_OK);
    assert_string_equal(got.out, "{\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n"
                                 "{\"choices\":[{\"delta\":{\"content\":\"b\"}}]}\n"
                                 "[DONE]\n");
    assert_non_null(strstr(got.err, "the connection broke; going on at event 1\n"));
    finish(&got);
    end(&stage);
}

static void tail_prints_text_or_json(void **state)
{
    (void)state;
    static const struct play script[] = {
        {ROW_PATH, SSE_ROW},
        {EVENTS_PATH "0 HTTP", UNFRAMED EVENT_0 EVENT_1 EVENT_2 THE_END},
        {ROW_PATH, SSE_ROW},
        {EVENTS_PATH "1&live=false HTTP", UNFRAMED EVENT_1 EVENT_2 THE_END},
    };
    struct stage stage;
    begin(&stage, script, 4);
    struct run text = run(&stage, "tail " ID " --text");
    assert_string_equal(text.out, "ab\n");
    struct run json = run(&stage, "tail " ID " --json --from=1 --no-follow");
    assert_string_equal(json.out,
        "{\"seq\":1,\"event\":\"x\",\"data\":\"{\\\"choices\\\":[{\\\"delta\\\":{\\\"content\\\":"
        "\\\"b\\\"}}]}\"}\n{\"seq\":2,\"data\":\"[DONE]\"}\n");
    assert_int_equal(json.code, CLI_OK);
    finish(&text);
    finish(&json);
    end(&stage);
}

static void a_stream_that_failed_is_exit_code_1(void **state)
{
    (void)state;
    static const struct play script[] = {
        {ROW_PATH, SSE_ROW},
        {EVENTS_PATH "0 HTTP", UNFRAMED EVENT_0 BAD_END},
    };
    struct stage stage;
    begin(&stage, script, 2);
    struct run got = run(&stage, "tail " ID " --text");
    assert_int_equal(got.code, CLI_FAILED);
    assert_string_equal(got.out, "a\n");
    assert_non_null(strstr(got.err, "the stream is failed: upstream_reset after 1 events"));
    finish(&got);
    end(&stage);
}

static void raw_bytes_pass_unchanged_and_a_cut_is_told(void **state)
{
    (void)state;
    static const struct play script[] = {
        {ROW_PATH, SSE_ROW},
        {EVENTS_PATH "2&format=raw HTTP", UNFRAMED ": x\r\n\r\ndata: 1\r\rdata: 2"},
        {ROW_PATH, SSE_ROW},
        {EVENTS_PATH "0&format=raw HTTP", SSE_HEAD CHUNK("3", "abc")},
        {ROW_PATH, JSON_ANSWER("200 OK", "{\"content_type\":\"application/json\"}")},
        {EVENTS_PATH "0&format=raw HTTP", UNFRAMED "{\"id\":1}"},
    };
    struct stage stage;
    begin(&stage, script, 6);
    struct run raw = run(&stage, "tail " ID " --raw --from 2");
    assert_int_equal(raw.code, CLI_OK);
    assert_string_equal(raw.out, ": x\r\n\r\ndata: 1\r\rdata: 2");
    struct run cut = run(&stage, "tail " ID " --raw");
    assert_int_equal(cut.code, CLI_FAILED);
    assert_string_equal(cut.out, "abc");
    assert_non_null(strstr(cut.err, "the stream was cut off"));
    struct run body = run(&stage, "tail " ID);
    assert_int_equal(body.code, CLI_OK);
    assert_string_equal(body.out, "{\"id\":1}");
    finish(&raw);
    finish(&cut);
    finish(&body);
    end(&stage);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_list_is_a_table_or_json),
        cmocka_unit_test(a_list_says_what_each_row_is),
        cmocka_unit_test(errors_become_sentences_and_codes),
        cmocka_unit_test(stopping_says_what_the_stream_is),
        cmocka_unit_test(a_broken_connection_is_taken_up_again),
        cmocka_unit_test(tail_prints_text_or_json),
        cmocka_unit_test(a_stream_that_failed_is_exit_code_1),
        cmocka_unit_test(raw_bytes_pass_unchanged_and_a_cut_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
