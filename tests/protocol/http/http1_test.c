/* What the parser makes of an input is written down as a transcript, e.g.
 *
 *     POST /v1/x @host 1.1 keep len=3 {A: b} <abc> END GET / …            or at last: 400 bad_request
 *
 * and must be the same fed whole, byte by byte, and cut at each offset. */
#include "protocol/http/http1.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { BODY_MAX = 64, TRANSCRIPT_MAX = 256 * 1024, CUTS_BYTES_MAX = 600 };

static void say(struct buf *out, const char *format, ...) PRINTF(2, 3);
static void say(struct buf *out, const char *format, ...)
{
    char text[4096];
    va_list args;
    va_start(args, format);
    int size = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    assert_true(size >= 0 && (size_t)size < sizeof text);
    assert_int_equal(buf_append(out, slice_of(text, (size_t)size)), ERR_OK);
}

static void say_head(struct buf *out, const struct http1_request *request)
{
    say(out, "%.*s ", SLICE_PRINT(request->method));
    assert_int_equal(buf_append(out, request->target), ERR_OK);
    say(out, " @%.*s 1.%d", SLICE_PRINT(request->host), request->version_minor);
    say(out, "%s%s", request->keep_alive ? " keep" : " close",
        request->expects_continue ? " expect" : "");
    assert_int_equal(request->has_body, request->is_chunked || request->content_length > 0);
    if (request->is_chunked)
        say(out, " chunked");
    else if (request->has_body)
        say(out, " len=%lu", request->content_length);
    for (size_t i = 0; i < request->headers.count; i++) {
        struct header header = request->headers.items[i];
        if (!slice_equal_nocase(header.name, SLICE("Host")))
            say(out, " {%.*s: %.*s}", SLICE_PRINT(header.name), SLICE_PRINT(header.value));
    }
}

struct run {
    struct http1 *parser;
    struct buf transcript;
    bool is_in_body;
    bool is_failed;
};

static void run_event(struct run *run, const struct http1_event *event)
{
    if (run->is_in_body && event->kind != HTTP1_BODY && event->kind != HTTP1_NEED_MORE) {
        say(&run->transcript, ">");
        run->is_in_body = false;
    }
    switch (event->kind) {
    case HTTP1_HEAD:
        if (run->transcript.size)
            say(&run->transcript, " ");
        say_head(&run->transcript, http1_request(run->parser));
        break;
    case HTTP1_BODY:
        assert_true(event->body.size > 0);
        if (!run->is_in_body)
            say(&run->transcript, " <");
        run->is_in_body = true;
        assert_int_equal(buf_append(&run->transcript, event->body), ERR_OK);
        break;
    case HTTP1_END: say(&run->transcript, " END"); break;
    case HTTP1_NEED_MORE: break;
    }
}

static void run_feed(struct run *run, struct slice part)
{
    uint8_t *copy = malloc(part.size ? part.size : 1);
    assert_non_null(copy);
    if (part.size)
        memcpy(copy, part.data, part.size);
    struct slice input = slice_of(copy, part.size);
    struct http1_event event = {.kind = HTTP1_HEAD};
    while (!run->is_failed && event.kind != HTTP1_NEED_MORE) {
        enum err err = http1_next(run->parser, &input, &event);
        if (err == ERR_INVALID) {
            struct http1_error error = http1_error(run->parser);
            assert_true(error.message[0] != 0);
            if (run->is_in_body)
                say(&run->transcript, ">");
            say(&run->transcript, "%s%d %s", run->transcript.size ? " " : "", error.status,
                error.code);
            run->is_failed = true;
        } else {
            assert_int_equal(err, ERR_OK);
            run_event(run, &event);
        }
    }
    assert_true(run->is_failed || input.size == 0);
    free(copy);
}

static struct run run_new(void)
{
    struct run run = {0};
    buf_init(&run.transcript, TRANSCRIPT_MAX);
    assert_int_equal(http1_new(BODY_MAX, &run.parser), ERR_OK);
    return run;
}

static void run_end(struct run *run, struct slice expected)
{
    if (!slice_equal(buf_slice(&run->transcript), expected))
        fail_msg("got  %.*s\n want %.*s", SLICE_PRINT(buf_slice(&run->transcript)),
            SLICE_PRINT(expected));
    buf_deinit(&run->transcript);
    run->parser = http1_free(run->parser);
    assert_null(run->parser);
}

static void check(struct slice input, struct slice expected)
{
    struct run run = run_new();
    run_feed(&run, input);
    run_end(&run, expected);
    run = run_new();
    for (size_t i = 0; i < input.size; i++)
        run_feed(&run, slice_sub(input, i, 1));
    run_end(&run, expected);
    for (size_t cut = 0; cut <= input.size && input.size <= CUTS_BYTES_MAX; cut++) {
        run = run_new();
        run_feed(&run, slice_of(input.data, cut));
        run_feed(&run, slice_of(input.data + cut, input.size - cut));
        run_end(&run, expected);
    }
}

#define CHECK(input, expected) check(SLICE(input), SLICE(expected))
#define REFUSED                "400 bad_request"
#define H                      " HTTP/1.1\r\nHost: h\r\n"
#define POST                   "POST /" H
#define CHUNKED                POST "Transfer-Encoding: chunked\r\n\r\n"
#define CHUNKED_HEAD           "POST / @h 1.1 keep chunked {Transfer-Encoding: chunked}"

static void requests_without_body(void **state)
{
    (void)state;
    CHECK("GET /" H "\r\n", "GET / @h 1.1 keep END");
    CHECK("GET /a/b?c=d&e" H "\r\n", "GET /a/b?c=d&e @h 1.1 keep END");
    CHECK("DELETE /x" H "A: b\r\nC:  d \t\r\nE:\r\nF: g, h\r\n\r\n",
        "DELETE /x @h 1.1 keep {A: b} {C: d} {E: } {F: g, h} END");
    CHECK("HEAD / HTTP/1.0\r\n\r\n", "HEAD / @ 1.0 close END");
    CHECK("GET / HTTP/1.0\r\nHost: h\r\nConnection: Keep-Alive\r\n\r\n",
        "GET / @h 1.0 keep {Connection: Keep-Alive} END");
    CHECK("GET /" H "Connection: foo, Close\r\n\r\n",
        "GET / @h 1.1 close {Connection: foo, Close} END");
    CHECK(POST "Content-Length: 0\r\n\r\n", "POST / @h 1.1 keep {Content-Length: 0} END");
    CHECK("OPTIONS *" H "\r\n", "OPTIONS * @h 1.1 keep END");
    CHECK("GET /" H "Upgrade: websocket\r\nConnection: upgrade\r\n\r\nGET /2" H "\r\n",
        "GET / @h 1.1 keep {Upgrade: websocket} {Connection: upgrade} END GET /2 @h 1.1 keep END");
    CHECK("GET /" H "A: \xC3\xA9\r\n\r\n", "GET / @h 1.1 keep {A: \xC3\xA9} END");
    CHECK("GET /" H, "");
    CHECK("", "");
}

static void bodies_with_a_length(void **state)
{
    (void)state;
    CHECK(POST "Content-Length: 5\r\n\r\nhello",
        "POST / @h 1.1 keep len=5 {Content-Length: 5} <hello> END");
    CHECK(POST "Content-Length: 3\r\n\r\n\r\n\n", "POST / @h 1.1 keep len=3 {Content-Length: 3} "
                                                  "<\r\n\n> END");
    CHECK(POST "Content-Length: 5\r\n\r\nhel", "POST / @h 1.1 keep len=5 {Content-Length: 5} <hel");
    CHECK("GET / HTTP/1.0\r\nContent-Length: 2\r\n\r\nab",
        "GET / @ 1.0 close len=2 {Content-Length: 2} <ab> END");
}

static void chunked_bodies(void **state)
{
    (void)state;
    CHECK(CHUNKED "0\r\n\r\n", CHUNKED_HEAD " END");
    CHECK(CHUNKED "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", CHUNKED_HEAD " <abcde> END");
    CHECK(CHUNKED "0003\r\nabc\r\n0000\r\n\r\n", CHUNKED_HEAD " <abc> END");
    CHECK(CHUNKED "a\r\n\r\n\r\n0\r\n\r\n1\r\n0\r\n\r\n", CHUNKED_HEAD " <\r\n\r\n0\r\n\r\n1> END");
    CHECK(CHUNKED "3;a=b\r\nabc\r\n0;d\r\n\r\n", CHUNKED_HEAD " <abc> END");
    CHECK(CHUNKED "3\r\nabc\r\n0\r\nA: b\r\nContent-Length: 9\r\n\r\nGET /" H "\r\n",
        CHUNKED_HEAD " <abc> END GET / @h 1.1 keep END");
    CHECK(CHUNKED "3\r\nab", CHUNKED_HEAD " <ab");
    CHECK(POST "Transfer-Encoding: Chunked\r\n\r\n0\r\n\r\n",
        "POST / @h 1.1 keep chunked {Transfer-Encoding: Chunked} END");
}

static void malformed_chunks(void **state)
{
    (void)state;
#define BAD(chunks, body) CHECK(CHUNKED chunks, CHUNKED_HEAD body " 400 bad_request")
    BAD("3\nabc\r\n0\r\n\r\n", "");
    BAD("3\r\nabc\n0\r\n\r\n", " <abc>");
    BAD("3\r\nabcXY0\r\n\r\n", " <abc>");
    BAD("3\r\nabc\rX0\r\n\r\n", " <abc>");
    BAD("3\r\nabcd\r\n0\r\n\r\n", " <abc>");
    BAD("3\r\nab\r\n0\r\n\r\n", " <ab\r>");
    BAD("3\r\nabc\r\n0\r\n\n", " <abc>");
    BAD("3\r\nabc\r\n0\n\r\n", " <abc>");
    BAD("3\r\nabc\r\n0\r\n\rX", " <abc>");
    BAD("3\rXabc\r\n0\r\n\r\n", "");
    BAD("3\r\rabc\r\n0\r\n\r\n", "");
    BAD("3;a=b\nc\r\nabc\r\n0\r\n\r\n", "");
    BAD("3;a=\1\r\nabc\r\n0\r\n\r\n", "");
    BAD("3 \r\nabc\r\n0\r\n\r\n", "");
    BAD(" 3\r\nabc\r\n0\r\n\r\n", "");
    BAD("0x3\r\nabc\r\n0\r\n\r\n", "");
    BAD("-3\r\nabc\r\n0\r\n\r\n", "");
    BAD("\r\nabc\r\n0\r\n\r\n", "");
    BAD(";a\r\nabc\r\n0\r\n\r\n", "");
    BAD("10000000000000000\r\na", "");
    BAD("3\r\nabc\r\n0\r\nA: b\n\r\n", " <abc>");
    BAD("3\r\nabc\r\n0\r\nA: b\r\n c\r\n\r\n", " <abc>");
    BAD("3\r\nabc\r\n0\r\nA b\r\n\r\n", " <abc>");
    BAD("3\r\nabc\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n", " <abc>");
#undef BAD
}

static void smuggling_shapes(void **state)
{
    (void)state;
    CHECK(POST "Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", REFUSED);
    CHECK(POST "Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc", REFUSED);
    CHECK(POST "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", REFUSED);
    CHECK(POST "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n", REFUSED);
    CHECK(POST "Content-Length: 3, 3\r\n\r\nabc", REFUSED);
    CHECK(POST "Content-Length: +3\r\n\r\nabc", REFUSED);
    CHECK(POST "Content-Length: -3\r\n\r\nabc", REFUSED);
    CHECK(POST "Content-Length: 0x3\r\n\r\nabc", REFUSED);
    CHECK(POST "Content-Length: 3 0\r\n\r\nabc", REFUSED);
    CHECK(POST "Content-Length:\r\n\r\n", REFUSED);
    CHECK(POST "Content-Length: 99999999999999999999\r\n\r\n", REFUSED);
    CHECK(POST "Content-Length : 3\r\n\r\nabc", REFUSED);
    CHECK(POST "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n", REFUSED);
    CHECK(POST "A: b\r\n Content-Length: 3\r\n\r\nabc", REFUSED);
    CHECK(POST "A:\r\n\tb\r\n\r\n", REFUSED);
    CHECK("POST / HTTP/1.1\r\n Host: h\r\n\r\n", REFUSED);
    CHECK("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", REFUSED);
    CHECK(POST "A: b\nContent-Length: 3\r\n\r\nabc", REFUSED);
    CHECK(POST "A: b\rContent-Length: 3\r\n\r\nabc", REFUSED);
    CHECK(POST "A: b\r\n\nabc", REFUSED);
    CHECK("POST / HTTP/1.1\nHost: h\n\n", REFUSED);
    CHECK(POST "A: b\0c\r\n\r\n", REFUSED);
    CHECK(POST "A: b\x7f\r\n\r\n", REFUSED);
    CHECK(POST "A b: c\r\n\r\n", REFUSED);
    CHECK(POST ": c\r\n\r\n", REFUSED);
    CHECK(POST "A\r\n\r\n", REFUSED);
    CHECK(POST "A\xC3\xA9: c\r\n\r\n", REFUSED);
}

static void transfer_codings(void **state)
{
    (void)state;
#define NOT_IMPLEMENTED "501 transfer_encoding_not_implemented"
    CHECK(POST "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", NOT_IMPLEMENTED);
    CHECK(POST "Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n", NOT_IMPLEMENTED);
    CHECK(POST "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", NOT_IMPLEMENTED);
    CHECK(POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        NOT_IMPLEMENTED);
    CHECK(POST "Transfer-Encoding: identity\r\n\r\n", NOT_IMPLEMENTED);
    CHECK(POST "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", NOT_IMPLEMENTED);
    CHECK(POST "Transfer-Encoding:\r\n\r\n", NOT_IMPLEMENTED);
}

static void methods_and_versions(void **state)
{
    (void)state;
    CHECK("CONNECT h:1" H "\r\n", "501 method_not_implemented");
    CHECK("BREW /" H "\r\n", "501 method_not_implemented");
    CHECK("get /" H "\r\n", "501 method_not_implemented");
    CHECK("G\"T /" H "\r\n", REFUSED);
    CHECK("GET\r\n\r\n", REFUSED);
    CHECK("GET / HTTP/2.0\r\nHost: h\r\n\r\n", "505 version_not_supported");
    CHECK("GET / HTTP/1.2\r\nHost: h\r\n\r\n", "505 version_not_supported");
    CHECK("GET / HTTP/0.9\r\n\r\n", "505 version_not_supported");
    CHECK("GET /\r\n\r\n", "505 version_not_supported");
    CHECK("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "505 version_not_supported");
    CHECK("GET / HTTP/1.1x\r\nHost: h\r\n\r\n", REFUSED);
    CHECK("GET / HTTX/1.1\r\nHost: h\r\n\r\n", REFUSED);
    CHECK("GET / x HTTP/1.1\r\nHost: h\r\n\r\n", REFUSED);
    CHECK("\x16\x03\x01\x02\x00\x01", REFUSED); /* TLS on a plain port: refused at once */
}

static void targets(void **state)
{
    (void)state;
    CHECK("GET http://x.example:8/a?b" H "\r\n", "GET /a?b @x.example:8 1.1 keep END");
    CHECK("GET HTTPS://x" H "\r\n", "GET / @x 1.1 keep END");
    CHECK("GET http://x?b" H "\r\n", REFUSED);
    CHECK("GET http://u@x/" H "\r\n", REFUSED);
    CHECK("GET http:///a" H "\r\n", REFUSED);
    CHECK("GET ftp://x/" H "\r\n", REFUSED);
    CHECK("GET *" H "\r\n", REFUSED);
    CHECK("GET a" H "\r\n", REFUSED);
    CHECK("GET /\xC3\xA9" H "\r\n", REFUSED);
    CHECK("GET /\t" H "\r\n", REFUSED);
}

static void hosts(void **state)
{
    (void)state;
    CHECK("GET / HTTP/1.1\r\n\r\n", REFUSED);
    CHECK("GET / HTTP/1.1\r\nHost: a\r\nhost: a\r\n\r\n", REFUSED);
    CHECK("GET / HTTP/1.0\r\nHost: a\r\nhost: a\r\n\r\n", REFUSED);
    CHECK("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", REFUSED);
    CHECK("GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", REFUSED);
    CHECK("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", REFUSED);
    CHECK("GET / HTTP/1.1\r\nHost:\r\n\r\n", "GET / @ 1.1 keep END");
    CHECK("GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", "GET / @[::1]:80 1.1 keep END");
}

static void expectations(void **state)
{
    (void)state;
    CHECK(POST "Content-Length: 1\r\nExpect: 100-Continue\r\n\r\nx",
        "POST / @h 1.1 keep expect len=1 {Content-Length: 1} {Expect: 100-Continue} <x> END");
    CHECK(POST "Expect: 100-continue\r\n\r\n", "POST / @h 1.1 keep {Expect: 100-continue} END");
    CHECK(POST "Content-Length: 1\r\nExpect: tea\r\n\r\nx",
        "POST / @h 1.1 keep len=1 {Content-Length: 1} {Expect: tea} <x> END");
    CHECK("POST / HTTP/1.0\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\nx",
        "POST / @ 1.0 close len=1 {Content-Length: 1} {Expect: 100-continue} <x> END");
}

static void pipelining(void **state)
{
    (void)state;
    CHECK("GET /1" H "\r\n" POST "Content-Length: 2\r\n\r\nabGET /3" H "\r\n",
        "GET /1 @h 1.1 keep END POST / @h 1.1 keep len=2 {Content-Length: 2} <ab> END "
        "GET /3 @h 1.1 keep END");
    CHECK("\r\n\r\nGET /1" H "\r\n\r\nGET /2" H "\r\n",
        "GET /1 @h 1.1 keep END GET /2 @h 1.1 keep END");
    CHECK("\r\n\r\n\r\n\r\n\r\nGET /1" H "\r\n", REFUSED);
    CHECK("\nGET /1" H "\r\n", REFUSED);
    CHECK("\rGET /1" H "\r\n", REFUSED);
    CHECK("GET /1" H "\r\nbad\n", "GET /1 @h 1.1 keep END 400 bad_request");
    CHECK("GET /1" H "Connection: close\r\n\r\nGET /2" H "\r\n\1\n",
        "GET /1 @h 1.1 close {Connection: close} END");
}

static void bodies_past_the_bound(void **state)
{
    (void)state;
    CHECK(POST "Content-Length: 65\r\n\r\n", "413 body_too_large");
    CHECK(POST "Content-Length: 18446744073709551615\r\n\r\n", "413 body_too_large");
    CHECK(CHUNKED "41\r\na", CHUNKED_HEAD " 413 body_too_large");
    CHECK(CHUNKED "ffffffffffffffff\r\na", CHUNKED_HEAD " 413 body_too_large");
    CHECK(CHUNKED "3\r\nabc\r\n3e\r\nd", CHUNKED_HEAD " <abc> 413 body_too_large");
    CHECK(CHUNKED "3\r\nabc\r\nffffffffffffffff\r\nd", CHUNKED_HEAD " <abc> 413 body_too_large");
}

/* `front`, then `fill` up to `size` bytes in all, then `back`. */
static void check_long(
    const char *front, const char *fill, size_t size, const char *back, const char *expected)
{
    struct buf input;
    buf_init(&input, 256 * 1024);
    assert_int_equal(buf_append_text(&input, front), ERR_OK);
    while (input.size + strlen(fill) <= size)
        assert_int_equal(buf_append_text(&input, fill), ERR_OK);
    assert_int_equal(buf_append_text(&input, back), ERR_OK);
    struct run run = run_new();
    run_feed(&run, buf_slice(&input));
    struct slice said = buf_slice(&run.transcript);
    assert_true(
        slice_has_prefix(said, slice_text(expected)) || slice_find(said, slice_text(expected)) > 0);
    struct buf whole = run.transcript;
    run.transcript = (struct buf){0};
    http1_free(run.parser);
    for (size_t step = 1; step <= 4096; step *= 64) {
        run = run_new();
        for (size_t at = 0; at < input.size; at += step)
            run_feed(&run, slice_sub(buf_slice(&input), at, step));
        run_end(&run, buf_slice(&whole));
    }
    buf_deinit(&whole);
    buf_deinit(&input);
}

static void heads_at_and_past_their_bounds(void **state)
{
    (void)state;
    const size_t target_end = strlen("GET ") + HTTP_TARGET_BYTES_MAX;
    check_long("GET /", "a", target_end, H "\r\n", " @h 1.1 keep END");
    check_long("GET /", "a", target_end + 1, H "\r\n", "414 target_too_long");
    check_long("GET /", "a", HTTP_HEAD_BYTES_MAX * 2, H "\r\n", "414 target_too_long");
    check_long("", "a", HTTP_HEAD_BYTES_MAX * 2, "", "414 target_too_long");
    check_long("GET /" H, "A: bcde\r\n", 700, "\r\n", " {A: bcde} END");
    check_long("GET /" H, "A: bcde\r\n", HTTP_HEAD_BYTES_MAX - 20, "\r\n", "431 headers_too_large");
    check_long("GET /" H "A: ", "b", 4000, "\r\n\r\n", "b} END");
    check_long("GET /" H "A: ", "b", HTTP_HEAD_BYTES_MAX, "\r\n\r\n", "431 headers_too_large");
    check_long("GET /" H, "A: bcde\r\n", HTTP_HEAD_BYTES_MAX * 2, "", "431 headers_too_large");
}

static void header_count_at_its_bound(void **state)
{
    (void)state;
    const size_t front = strlen("GET /" H), line = strlen("A: b\r\n");
    check_long("GET /" H, "A: b\r\n", front + 99 * line, "\r\n", "{A: b} END");
    check_long("GET /" H, "A: b\r\n", front + 100 * line, "\r\n", "431 headers_too_large");
}

static void framing_past_its_bound(void **state)
{
    (void)state;
    const size_t front = strlen(CHUNKED);
    check_long(CHUNKED "0\r\n", "A: b\r\n", front + 4000, "\r\n", " END");
    check_long(CHUNKED "0\r\n", "A: b\r\n", front + 4200, "\r\n", " 431 headers_too_large");
    check_long(CHUNKED "1;", "a", front + 4200, "\r\nb", " 431 headers_too_large");
    check_long(CHUNKED, "1\r\na\r\n", front + 64 * 6, "0\r\n\r\n", "aa> END");
}

static void idle_holds_no_head(void **state)
{
    (void)state;
    struct run run = run_new();
    assert_true(http1_is_idle(run.parser));
    run_feed(&run, SLICE("\r"));
    assert_true(http1_is_idle(run.parser));
    run_feed(&run, SLICE("\nG"));
    assert_false(http1_is_idle(run.parser));
    run_feed(&run, SLICE("ET /" H "\r\n"));
    assert_true(http1_is_idle(run.parser));
    http1_release(run.parser);
    http1_release(run.parser);
    run_feed(&run, SLICE("GET /2" H "\r\n"));
    run_end(&run, SLICE("GET / @h 1.1 keep END GET /2 @h 1.1 keep END"));
}

static void request_is_there_until_the_next_call(void **state)
{
    (void)state;
    struct http1 *parser;
    struct slice input = SLICE("GET /1" H "A: b\r\n\r\nGET /2" H "\r\n");
    struct http1_event event;
    assert_int_equal(http1_new(BODY_MAX, &parser), ERR_OK);
    assert_int_equal(http1_next(parser, &input, &event), ERR_OK);
    assert_int_equal(event.kind, HTTP1_HEAD);
    assert_int_equal(http1_next(parser, &input, &event), ERR_OK);
    assert_int_equal(event.kind, HTTP1_END);
    assert_true(slice_equal(input, SLICE("GET /2" H "\r\n")));
    struct slice value = headers_get(&http1_request(parser)->headers, "a");
    assert_true(slice_equal(value, SLICE("b")));
    assert_int_equal(http1_next(parser, &input, &event), ERR_OK);
    assert_true(slice_equal(http1_request(parser)->target, SLICE("/2")));
    http1_free(parser);
    assert_null(http1_free(NULL));
}

static void bodies_are_borrowed(void **state)
{
    (void)state;
    struct http1 *parser;
    struct slice input = SLICE(POST "Content-Length: 3\r\n\r\nabc");
    const uint8_t *body = input.data + input.size - 3;
    struct http1_event event;
    assert_int_equal(http1_new(BODY_MAX, &parser), ERR_OK);
    assert_int_equal(http1_next(parser, &input, &event), ERR_OK);
    assert_int_equal(http1_next(parser, &input, &event), ERR_OK);
    assert_int_equal(event.kind, HTTP1_BODY);
    assert_ptr_equal(event.body.data, body);
    http1_free(parser);
}

static void responses(void **state)
{
    (void)state;
    struct buf out;
    buf_init(&out, 64);
    assert_int_equal(http1_write_status(&out, 200), ERR_OK);
    assert_int_equal(http1_write_header(&out, SLICE("A"), SLICE("b c")), ERR_OK);
    assert_int_equal(http1_write_header(&out, SLICE("A"), SLICE("b\r\nC: d")), ERR_INVALID);
    assert_int_equal(http1_write_header(&out, SLICE("A:"), SLICE("b")), ERR_INVALID);
    assert_int_equal(http1_write_header(&out, SLICE(""), SLICE("b")), ERR_INVALID);
    char long_value[64] = {0};
    memset(long_value, 'x', sizeof long_value);
    struct slice value = slice_of(long_value, 64 - out.size);
    assert_int_equal(http1_write_header(&out, SLICE("B"), value), ERR_LIMIT);
    assert_true(slice_equal(buf_slice(&out), SLICE("HTTP/1.1 200 OK\r\nA: b c\r\n")));
    buf_deinit(&out);
    assert_string_equal(http_reason(404), "Not Found");
    assert_string_equal(http_reason(599), "Unknown");
}

static void chunk_heads(void **state)
{
    (void)state;
    char head[HTTP1_CHUNK_HEAD_BYTES];
    assert_int_equal(http1_chunk_head(1, head), 3);
    assert_string_equal(head, "1\r\n");
    assert_int_equal(http1_chunk_head(300, head), 5);
    assert_string_equal(head, "12c\r\n");
    assert_int_equal(http1_chunk_head(SIZE_MAX, head), 18);
    assert_string_equal(head, "ffffffffffffffff\r\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_without_body),
        cmocka_unit_test(bodies_with_a_length),
        cmocka_unit_test(chunked_bodies),
        cmocka_unit_test(malformed_chunks),
        cmocka_unit_test(smuggling_shapes),
        cmocka_unit_test(transfer_codings),
        cmocka_unit_test(methods_and_versions),
        cmocka_unit_test(targets),
        cmocka_unit_test(hosts),
        cmocka_unit_test(expectations),
        cmocka_unit_test(pipelining),
        cmocka_unit_test(bodies_past_the_bound),
        cmocka_unit_test(heads_at_and_past_their_bounds),
        cmocka_unit_test(header_count_at_its_bound),
        cmocka_unit_test(framing_past_its_bound),
        cmocka_unit_test(idle_holds_no_head),
        cmocka_unit_test(request_is_there_until_the_next_call),
        cmocka_unit_test(bodies_are_borrowed),
        cmocka_unit_test(responses),
        cmocka_unit_test(chunk_heads),
    };
    return cmocka_run_group_tests_name("protocol/http/http1", tests, NULL, NULL);
}
