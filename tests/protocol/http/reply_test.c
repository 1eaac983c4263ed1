/* What the parser makes of an input is written down as a transcript, e.g.
 *
 *     200 {A: b|C: d|} <abc> END kept     or at last: INVALID problem · whole, cut (if closed there)
 *
 * and must be the same fed whole, byte by byte, and cut at each offset. What END leaves in the
 * input is counted: "+3". */
#include "protocol/http/reply.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "protocol/http/bounds.h"

enum { TRANSCRIPT_MAX = 512 * 1024, CUTS_BYTES_MAX = 900 };

struct run {
    struct reply reply;
    struct buf transcript;
    size_t left_bytes;
    bool is_in_body;
    bool is_over;
};

static void say(struct run *run, struct slice text)
{
    assert_int_equal(buf_append(&run->transcript, text), ERR_OK);
}

static void say_head(struct run *run, struct slice head)
{
    assert_true(reply_has_begun(&run->reply));
    assert_int_equal(buf_printf(&run->transcript, "%d {", reply_status(&run->reply)), ERR_OK);
    while (head.size) {
        ptrdiff_t end = slice_find(head, SLICE("\r\n"));
        assert_true(end > 0);
        say(run, slice_of(head.data, (size_t)end));
        say(run, SLICE("|"));
        head = slice_of(head.data + end + 2, head.size - (size_t)end - 2);
    }
    say(run, SLICE("}"));
}

static void say_body(struct run *run, struct slice bytes, struct slice part)
{
    assert_true(bytes.size > 0);
    assert_true(bytes.data >= part.data && bytes.data + bytes.size <= part.data + part.size);
    if (!run->is_in_body)
        say(run, SLICE(" <"));
    run->is_in_body = true;
    say(run, bytes);
}

static void end_body(struct run *run)
{
    if (run->is_in_body)
        say(run, SLICE(">"));
    run->is_in_body = false;
}

static void say_end(struct run *run)
{
    end_body(run);
    say(run, reply_is_kept(&run->reply) ? SLICE(" END kept") : SLICE(" END"));
    assert_int_equal(reply_closed(&run->reply), ERR_OK);
    run->is_over = true;
}

static void say_error(struct run *run, enum err err)
{
    assert_true(err == ERR_INVALID || err == ERR_LIMIT);
    end_body(run);
    if (run->transcript.size)
        say(run, SLICE(" "));
    const char *problem = reply_problem(&run->reply);
    assert_int_equal(buf_printf(&run->transcript, "%s %s", err_name(err), problem), ERR_OK);
    assert_false(reply_is_kept(&run->reply));
    run->is_over = true;
}

static void say_event(struct run *run, const struct reply_event *event, struct slice part)
{
    switch (event->kind) {
    case REPLY_NEED_MORE: break;
    case REPLY_HEAD: say_head(run, event->bytes); break;
    case REPLY_BODY: say_body(run, event->bytes, part); break;
    case REPLY_END: say_end(run); break;
    }
}

/* The part is held in an allocation of its own, so that a read past it is seen. */
static void run_feed(struct run *run, struct slice part)
{
    uint8_t *copy = malloc(part.size ? part.size : 1);
    assert_non_null(copy);
    if (part.size)
        memcpy(copy, part.data, part.size);
    const struct slice all = slice_of(copy, part.size);
    struct slice input = all;
    struct reply_event event = {.kind = REPLY_HEAD};
    while (!run->is_over && event.kind != REPLY_NEED_MORE) {
        enum err err = reply_next(&run->reply, &input, &event);
        if (err == ERR_OK)
            say_event(run, &event, all);
        else
            say_error(run, err);
    }
    assert_true(run->is_over || input.size == 0);
    run->left_bytes += input.size;
    free(copy);
}

static struct run run_new(bool is_head_request)
{
    struct run run = {0};
    buf_init(&run.transcript, TRANSCRIPT_MAX);
    reply_begin(&run.reply, is_head_request);
    assert_false(reply_has_begun(&run.reply));
    return run;
}

/* The connection is closed: free all but the transcript. */
static struct buf run_end(struct run *run)
{
    bool is_ended = slice_find(buf_slice(&run->transcript), SLICE(" END")) >= 0;
    if (!run->is_over) {
        end_body(run);
        say(run, reply_closed(&run->reply) == ERR_OK ? SLICE(" whole") : SLICE(" cut"));
    }
    if (is_ended && run->left_bytes)
        assert_int_equal(buf_printf(&run->transcript, " +%zu", run->left_bytes), ERR_OK);
    reply_deinit(&run->reply);
    return run->transcript;
}

static struct buf run_in_steps(struct slice input, size_t step, bool is_head_request)
{
    struct run run = run_new(is_head_request);
    for (size_t at = 0; at < input.size; at += step)
        run_feed(&run, slice_sub(input, at, step));
    return run_end(&run);
}

static struct buf run_cut(struct slice input, size_t cut, bool is_head_request)
{
    struct run run = run_new(is_head_request);
    run_feed(&run, slice_of(input.data, cut));
    run_feed(&run, slice_of(input.data + cut, input.size - cut));
    return run_end(&run);
}

static void expect(struct buf said, struct slice expected)
{
    if (!slice_equal(buf_slice(&said), expected))
        fail_msg("got  %.*s\n want %.*s", SLICE_PRINT(buf_slice(&said)), SLICE_PRINT(expected));
    buf_deinit(&said);
}

static void check(struct slice input, struct slice expected, bool is_head_request)
{
    expect(run_in_steps(input, input.size ? input.size : 1, is_head_request), expected);
    expect(run_in_steps(input, 1, is_head_request), expected);
    expect(run_in_steps(input, 3, is_head_request), expected);
    for (size_t cut = 0; cut <= input.size && input.size <= CUTS_BYTES_MAX; cut++)
        expect(run_cut(input, cut, is_head_request), expected);
}

#define CHECK(input, expected)      check(SLICE(input), SLICE(expected), false)
#define CHECK_HEAD(input, expected) check(SLICE(input), SLICE(expected), true)
#define OK                          "HTTP/1.1 200 OK\r\n"
#define CHUNKED                     OK "Transfer-Encoding: chunked\r\n\r\n"
#define CHUNKED_HEAD                "200 {Transfer-Encoding: chunked|}"
#define LENGTH(n)                   "Content-Length: " #n "\r\n"

#define NO_HTTP    "INVALID the response does not begin with HTTP/1.0 or HTTP/1.1"
#define BAD_STATUS "INVALID the response's status is not 100 to 599"
#define BARE_CR    "INVALID a line ends in CR without LF"
#define CONTROL    "INVALID a control character is in the response's framing"
#define BAD_FIELD  "INVALID a field of the response's head is malformed"
#define BAD_LENGTH "INVALID the response's Content-Length is no number, or it has several"
#define BAD_CODING "INVALID the response's Transfer-Encoding is not exactly chunked"
#define BAD_SIZE   "INVALID a chunk's size is not 1 to 16 hexadecimal digits"
#define BAD_END    "INVALID a chunk does not end in CRLF where its size says"
#define LONG_HEAD  "LIMIT the response's head is too large"
#define LONG_FRAMING                                                                               \
    "LIMIT the reason phrase, a chunk's extensions or the trailer fields are too large"
#define MANY_INTERIM "LIMIT too many interim responses (1xx) came"

static void status_lines(void **state)
{
    (void)state;
    CHECK("HTTP/1.1 200 OK\r\n" LENGTH(0) "\r\n", "200 {Content-Length: 0|} END kept");
    CHECK("HTTP/1.1 599 A\tlong reason \xC3\xA9 here\r\n\r\n", "599 {} whole");
    CHECK("HTTP/1.1 204 \r\n\r\n", "204 {} END kept");
    CHECK("HTTP/1.1 204\r\n\r\n", "204 {} END kept");
    CHECK("HTTP/1.1 204\n\n", "204 {} END kept");
    CHECK("HTTP/1.0 204 \n\r\n", "204 {} END");
    CHECK("", " cut");
    CHECK("HTTP/1.1 20", " cut");
    CHECK("HTTP/1.1 200 OK", " cut");
    CHECK("HTTP/1.1 200 OK\r\n", " cut");
    CHECK("HTTP/1.1 200 OK\r\nA: b", " cut");
    CHECK("HTTP/1.1 200 OK\r\nA: b\r\n", " cut");
    CHECK("HTTP/1.1 200 OK\r\nA: b\r\n\r", " cut");
}

static void what_is_no_response(void **state)
{
    (void)state;
    CHECK("h", NO_HTTP);
    CHECK("\r", NO_HTTP);
    CHECK("\n", NO_HTTP);
    CHECK("\x15\x03\x01\x02\x00\x01", NO_HTTP); /* TLS */
    CHECK("<html>", NO_HTTP);                   /* HTTP/0.9 */
    CHECK("SSH-2.0-OpenSSH_9.2\r\n", NO_HTTP);
    CHECK("HTTP/2", NO_HTTP);
    CHECK("HTTP/0.9", NO_HTTP);
    CHECK("HTTP/1.2", NO_HTTP);
    CHECK("HTTP/1.10", NO_HTTP);
    CHECK("HTTP/1.1\r", NO_HTTP);
    CHECK("HTTP/1.1\t", NO_HTTP);
    CHECK("HTTP/1.1  ", BAD_STATUS);
    CHECK("HTTP/1.1 \n", BAD_STATUS);
    CHECK("HTTP/1.1 0", BAD_STATUS);
    CHECK("HTTP/1.1 6", BAD_STATUS);
    CHECK("HTTP/1.1 20\r", BAD_STATUS);
    CHECK("HTTP/1.1 20\n", BAD_STATUS);
    CHECK("HTTP/1.1 20x", BAD_STATUS);
    CHECK("HTTP/1.1 2000", BAD_STATUS);
    CHECK("HTTP/1.1 200OK", BAD_STATUS);
    CHECK("HTTP/1.1 200 OK\rX", BARE_CR);
    CHECK("HTTP/1.1 200\r\r", BARE_CR);
    CHECK("HTTP/1.1 200 O\0K", CONTROL);
    CHECK("HTTP/1.1 200 O\x7fK", CONTROL);
}

static void fields(void **state)
{
    (void)state;
#define NONE "HTTP/1.1 204 X\r\n"
    CHECK(NONE "A: b\r\nC:d\r\nE:   f \t\r\nG:\r\nH: \r\nI: j, k: l\r\n\r\n",
        "204 {A: b|C: d|E: f|G: |H: |I: j, k: l|} END kept");
    CHECK(NONE "A:b\nC: d\n\n", "204 {A: b|C: d|} END kept");
    CHECK(NONE "a!#$%&'*+-.^_`|~9: \xC3\xA9\ty\r\n\r\n",
        "204 {a!#$%&'*+-.^_`|~9: \xC3\xA9\ty|} END kept");
    CHECK(NONE "A: b\r\n c\r\n\t d \r\nE: f\r\n\r\n", "204 {A: b c d|E: f|} END kept");
    CHECK(NONE "A:\r\n b\r\n \r\n\r\n", "204 {A: b|} END kept");
    CHECK(NONE "A: b\n c\n\n", "204 {A: b c|} END kept");
    CHECK(NONE " A: b\r\n\r\n", BAD_FIELD);
    CHECK(NONE "\tA: b\r\n\r\n", BAD_FIELD);
    CHECK(NONE "nonsense\r\n\r\n", BAD_FIELD);
    CHECK(NONE "A: b\r\n c\0\r\n\r\n", BAD_FIELD);
    CHECK(NONE "\r\r\n\r\n", BAD_FIELD);
    CHECK(NONE "A : b\r\nC\t: d\r\n\r\n", "204 {A: b|C: d|} END kept");
#define OTHERS "204 {X: y|Z: z|} END kept"
    CHECK(NONE "X: y\r\nA B: c\r\nZ: z\r\n\r\n", OTHERS);
    CHECK(NONE "X: y\r\nA B: c\r\n folded\r\nZ: z\r\n\r\n", OTHERS);
    CHECK(NONE "X: y\r\n: c\r\nZ: z\r\n\r\n", OTHERS);
    CHECK(NONE "X: y\r\nHTTP/odd: c\r\nZ: z\r\n\r\n", OTHERS);
    CHECK(NONE "X: y\r\nA\xC3\xA9: c\r\nZ: z\r\n\r\n", OTHERS);
    CHECK(NONE "X: y\r\nA: b\0c\r\nZ: z\r\n\r\n", OTHERS);
    CHECK(NONE "X: y\r\nA: b\x1f\r\nZ: z\r\n\r\n", OTHERS);
    CHECK(NONE "X: y\r\nA: b\rc\r\nZ: z\r\n\r\n", OTHERS);
    CHECK(NONE "X: y\r\nA: b\r\r\nZ: z\r\n\r\n", OTHERS);
#undef OTHERS
    CHECK(NONE "Content-Length: 1\x1f\r\n\r\n", BAD_FIELD);
    CHECK(NONE "Transfer-Encoding: chunked\0\r\n\r\n", BAD_FIELD);
    CHECK(NONE "connection : close\x7f\r\n\r\n", BAD_FIELD);
#undef NONE
}

static void bodies_with_a_length(void **state)
{
    (void)state;
    CHECK(OK LENGTH(5) "\r\nhello", "200 {Content-Length: 5|} <hello> END kept");
    CHECK(OK LENGTH(3) "\r\n\r\n\nmore", "200 {Content-Length: 3|} <\r\n\n> END kept +4");
    CHECK(OK LENGTH(5) "\r\nhell", "200 {Content-Length: 5|} <hell> cut");
    CHECK(OK LENGTH(5) "\r\n", "200 {Content-Length: 5|} cut");
    CHECK(OK LENGTH(3) "content-length:3\r\n\r\nabc",
        "200 {Content-Length: 3|content-length: 3|} <abc> END kept");
    CHECK(OK "Content-Length: 3, 3\r\n\r\nabc", "200 {Content-Length: 3, 3|} <abc> END kept");
    CHECK(
        OK "Content-Length: 003,\r\n 3\r\n\r\nabc", "200 {Content-Length: 003, 3|} <abc> END kept");
    CHECK(OK LENGTH(9223372036854775807) "\r\nab",
        "200 {Content-Length: 9223372036854775807|} <ab> cut");
    CHECK(OK LENGTH(9223372036854775808) "\r\nab", BAD_LENGTH);
    CHECK(OK LENGTH(18446744073709551619) "\r\nab", BAD_LENGTH);
    CHECK(OK LENGTH(3) LENGTH(4) "\r\nabcd", BAD_LENGTH);
    CHECK(OK "Content-Length: 3, 4\r\n\r\nabcd", BAD_LENGTH);
    CHECK(OK "Content-Length: 3,\r\n\r\nabc", BAD_LENGTH);
    CHECK(OK "Content-Length:\r\n\r\nabc", BAD_LENGTH);
    CHECK(OK "Content-Length: +3\r\n\r\nabc", BAD_LENGTH);
    CHECK(OK "Content-Length: -3\r\n\r\nabc", BAD_LENGTH);
    CHECK(OK "Content-Length: 0x3\r\n\r\nabc", BAD_LENGTH);
    CHECK(OK "Content-Length: 3 3\r\n\r\nabc", BAD_LENGTH);
    CHECK(OK LENGTH(x) "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", BAD_LENGTH);
}

static void bodies_until_the_close(void **state)
{
    (void)state;
    CHECK(OK "\r\n", "200 {} whole");
    CHECK(OK "\r\nabc\r\n\r\n", "200 {} <abc\r\n\r\n> whole");
    CHECK("HTTP/1.0 200 OK\r\n\r\nabc", "200 {} <abc> whole");
    CHECK(OK "Connection: keep-alive\r\n\r\nabc", "200 {Connection: keep-alive|} <abc> whole");
    CHECK(OK "Transfer-Encoding: identity\r\n\r\nabc",
        "200 {Transfer-Encoding: identity|} <abc> whole");
    CHECK("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n" LENGTH(2) "\r\nabc",
        "101 {Upgrade: x|Content-Length: 2|} <abc> whole");
}

static void responses_without_a_body(void **state)
{
    (void)state;
    CHECK("HTTP/1.1 204 No Content\r\n\r\nHT", "204 {} END kept +2");
    CHECK("HTTP/1.1 304 Not Modified\r\n" LENGTH(5) "\r\n", "304 {Content-Length: 5|} END kept");
    CHECK("HTTP/1.1 204 X\r\nTransfer-Encoding: chunked\r\n\r\n",
        "204 {Transfer-Encoding: chunked|} END kept");
    CHECK("HTTP/1.1 204 X\r\nConnection: close\r\n\r\n", "204 {Connection: close|} END");
    CHECK_HEAD(OK LENGTH(5) "\r\n", "200 {Content-Length: 5|} END kept");
    CHECK_HEAD(CHUNKED "1", CHUNKED_HEAD " END kept +1");
    CHECK_HEAD(OK "\r\n", "200 {} END kept");
    CHECK_HEAD("HTTP/1.0 404 X\r\n\r\n", "404 {} END");
}

static void interim_responses(void **state)
{
    (void)state;
#define CONTINUE "HTTP/1.1 100 Continue\r\n\r\n"
    CHECK(CONTINUE OK LENGTH(1) "\r\nx", "200 {Content-Length: 1|} <x> END kept");
    CHECK(CONTINUE "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n" LENGTH(x) "\r\n"
                                                                          "HTTP/1.1 199\n\n" CHUNKED
                                                                          "0\r\n\r\n",
        CHUNKED_HEAD " END kept");
    CHECK_HEAD(CONTINUE OK LENGTH(1) "\r\n", "200 {Content-Length: 1|} END kept");
    CHECK(CONTINUE, " cut");
    CHECK(CONTINUE "HTTP", " cut");
    CHECK(CONTINUE "\r\n", NO_HTTP);
    CHECK("HTTP/1.1 100 X\r\nnonsense\r\n\r\n", BAD_FIELD);
#undef CONTINUE
}

static void chunked_bodies(void **state)
{
    (void)state;
    CHECK(CHUNKED "0\r\n\r\n", CHUNKED_HEAD " END kept");
    CHECK(CHUNKED "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", CHUNKED_HEAD " <abcde> END kept");
    CHECK(CHUNKED "0003\r\nabc\r\n0000000000000000\r\n\r\n", CHUNKED_HEAD " <abc> END kept");
    CHECK(CHUNKED "A\r\n\r\n\r\n0\r\n\r\n1\r\n0\r\n\r\n",
        CHUNKED_HEAD " <\r\n\r\n0\r\n\r\n1> END kept");
    CHECK(CHUNKED "1e\r\nabcdefghijklmnopqrstuvwxyz0123\r\n0\r\n\r\nnext",
        CHUNKED_HEAD " <abcdefghijklmnopqrstuvwxyz0123> END kept +4");
    CHECK(CHUNKED "3;a=b\r\nabc\r\n3 ; a = \"b;\\\"c\" ;d\r\ndef\r\n0;d\r\n\r\n",
        CHUNKED_HEAD " <abcdef> END kept");
    CHECK(CHUNKED "3 \t\r\nabc\r\n0  \r\n\r\n", CHUNKED_HEAD " <abc> END kept");
    CHECK(CHUNKED "3\nabc\r\n0\n\n", CHUNKED_HEAD " <abc> END kept");
    CHECK(CHUNKED "3\r\nabc\r\n0\r\nA: b\r\nContent-Length: 9\r\n\r\nHTTP",
        CHUNKED_HEAD " <abc> END kept +4");
    CHECK(CHUNKED "0\r\nA: b\n c\n\n", CHUNKED_HEAD " END kept");
    CHECK(OK "Transfer-Encoding:\r\n CHUNKED,\r\n\r\n0\r\n\r\n",
        "200 {Transfer-Encoding: CHUNKED,|} END kept");
    CHECK(CHUNKED, CHUNKED_HEAD " cut");
    CHECK(CHUNKED "3\r\nab", CHUNKED_HEAD " <ab> cut");
    CHECK(CHUNKED "3\r\nabc", CHUNKED_HEAD " <abc> cut");
    CHECK(CHUNKED "3\r\nabc\r\n", CHUNKED_HEAD " <abc> cut");
    CHECK(CHUNKED "3\r\nabc\r\n0\r\n", CHUNKED_HEAD " <abc> cut");
    CHECK(CHUNKED "3\r\nabc\r\n0\r\nA: b\r\n\r", CHUNKED_HEAD " <abc> cut");
}

static void malformed_chunks(void **state)
{
    (void)state;
#define BAD(chunks, problem) CHECK(CHUNKED chunks, CHUNKED_HEAD " " problem)
    BAD("\r\nabc\r\n0\r\n\r\n", BAD_SIZE);
    BAD("\nabc\r\n0\r\n\r\n", BAD_SIZE);
    BAD(";a\r\nabc", BAD_SIZE);
    BAD(" 3\r\nabc", BAD_SIZE);
    BAD("0x3\r\nabc", BAD_SIZE);
    BAD("-3\r\nabc", BAD_SIZE);
    BAD("g\r\nabc", BAD_SIZE);
    BAD("3 3\r\nabc", BAD_SIZE);
    BAD("3\0\r\nabc", BAD_SIZE);
    BAD("00000000000000003\r\nabc", BAD_SIZE);
    BAD("10000000000000000\r\na", BAD_SIZE);
    BAD("3\rXabc", BARE_CR);
    BAD("3\r\rabc", BARE_CR);
    BAD("3;a=\1\r\nabc", CONTROL);
    BAD("3;a\rb\r\nabc", BARE_CR);
    BAD("3\r\nabcd\r\n0\r\n\r\n", "<abc> " BAD_END);
    BAD("3\r\nab\r\n0\r\n\r\n", "<ab\r> " BAD_END);
    BAD("3\r\nabc\n0\r\n\r\n", "<abc> " BAD_END);
    BAD("3\r\nabc0\r\n\r\n", "<abc> " BAD_END);
    BAD("3\r\nabc\rX0\r\n\r\n", "<abc> " BARE_CR);
    BAD("3\r\nabc\r\n\r\n0\r\n\r\n", "<abc> " BAD_SIZE);
    BAD("0\r\n\rX", BARE_CR);
    BAD("0\r\nA: b\rc", BARE_CR);
    BAD("0\r\nA: \0", CONTROL);
    BAD("0\r\n\x7f", CONTROL);
    CHECK(CHUNKED "ffffffffffffffff\r\nabc", CHUNKED_HEAD " <abc> cut");
#undef BAD
}

static void transfer_codings(void **state)
{
    (void)state;
#define CODED(codings) OK "Transfer-Encoding: " codings "\r\n\r\n0\r\n\r\n"
    CHECK(CODED("gzip"), BAD_CODING);
    CHECK(CODED("gzip, chunked"), BAD_CODING);
    CHECK(CODED("chunked, gzip"), BAD_CODING);
    CHECK(CODED("identity, chunked"), BAD_CODING);
    CHECK(CODED("chunked, identity"), BAD_CODING);
    CHECK(CODED("chunked, chunked"), BAD_CODING);
    CHECK(CODED("chunked\r\nTransfer-Encoding: chunked"), BAD_CODING);
    CHECK(CODED("chunked;a=b"), BAD_CODING);
    CHECK(CODED("xchunked"), BAD_CODING);
    CHECK(CODED("\"chunked\""), BAD_CODING);
    CHECK(OK "Transfer-Encoding: identity\r\n" LENGTH(1) "\r\nx",
        "200 {Transfer-Encoding: identity|Content-Length: 1|} <x> END kept");
    CHECK(OK "Transfer-Encoding:\r\n" LENGTH(1) "\r\nx",
        "200 {Transfer-Encoding: |Content-Length: 1|} <x> END kept");
#undef CODED
}

static void which_connections_are_kept(void **state)
{
    (void)state;
#define C(value) "Connection: " value "\r\n"
    CHECK(OK LENGTH(0) C("close") "\r\n", "200 {Content-Length: 0|Connection: close|} END");
    CHECK(OK LENGTH(0) C("foo,Close ,bar") "\r\n",
        "200 {Content-Length: 0|Connection: foo,Close ,bar|} END");
    CHECK(OK LENGTH(0) C("keep-alive") C("foo") C(",CLOSE") "\r\n",
        "200 {Content-Length: 0|Connection: keep-alive|Connection: foo|Connection: ,CLOSE|} END");
    CHECK(OK LENGTH(0) C("closed, not-close") "\r\n",
        "200 {Content-Length: 0|Connection: closed, not-close|} END kept");
    CHECK("HTTP/1.0 200 OK\r\n" LENGTH(0) "\r\n", "200 {Content-Length: 0|} END");
    CHECK("HTTP/1.0 200 OK\r\n" LENGTH(0) C("Keep-Alive") "\r\n",
        "200 {Content-Length: 0|Connection: Keep-Alive|} END kept");
    CHECK("HTTP/1.0 200 OK\r\n" LENGTH(0) C("keep-alive, close") "\r\n",
        "200 {Content-Length: 0|Connection: keep-alive, close|} END");
    CHECK("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n" C("keep-alive") "\r\n0\r\n\r\n",
        "200 {Transfer-Encoding: chunked|Connection: keep-alive|} END");
    CHECK(OK LENGTH(7) "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        "200 {Content-Length: 7|Transfer-Encoding: chunked|} <abc> END");
#undef C
}

/* In the form that these servers send. */
static void heads_of_real_servers(void **state)
{
    (void)state;
#define DATE "Date: Mon, 06 Jan 2025 10:00:00 GMT"
    /* nginx/1.22 before a backend that streams */
    CHECK(OK "Server: nginx/1.22.1\r\n" DATE "\r\nContent-Type: text/event-stream\r\n"
             "Transfer-Encoding: chunked\r\nConnection: keep-alive\r\n"
             "X-Accel-Buffering: no\r\n\r\nf\r\ndata: [DONE]\n\n\n\r\n0\r\n\r\n",
        "200 {Server: nginx/1.22.1|" DATE "|Content-Type: text/event-stream|"
        "Transfer-Encoding: chunked|Connection: keep-alive|X-Accel-Buffering: no|} "
        "<data: [DONE]\n\n\n> END kept");
    CHECK("HTTP/1.1 502 Bad Gateway\r\nServer: nginx/1.22.1\r\n" DATE
          "\r\nContent-Type: text/html\r\n" LENGTH(13) "Connection: close\r\n\r\n<html></html>",
        "502 {Server: nginx/1.22.1|" DATE
        "|Content-Type: text/html|Content-Length: 13|Connection: close|} <<html></html>> END");
    /* Node 18's http */
    CHECK(OK "Content-Type: text/event-stream\r\n" DATE "\r\nConnection: keep-alive\r\n"
             "Keep-Alive: timeout=5\r\nTransfer-Encoding: chunked\r\n\r\n"
             "9\r\ndata: 1\n\n\r\n9\r\ndata: 2\n\n\r\n0\r\n\r\n",
        "200 {Content-Type: text/event-stream|" DATE
        "|Connection: keep-alive|Keep-Alive: timeout=5|Transfer-Encoding: chunked|} "
        "<data: 1\n\ndata: 2\n\n> END kept");
    /* Python 3.11's http.server, which speaks HTTP/1.0 if not told otherwise */
    CHECK("HTTP/1.0 200 OK\r\nServer: SimpleHTTP/0.6 Python/3.11.2\r\n" DATE
          "\r\nContent-type: text/plain\r\nContent-Length: 3\r\n\r\nabc",
        "200 {Server: SimpleHTTP/0.6 Python/3.11.2|" DATE
        "|Content-type: text/plain|Content-Length: 3|} <abc> END");
    /* uvicorn (vLLM, SGLang, LiteLLM): names in lower case */
    CHECK(OK "date: Mon, 06 Jan 2025 10:00:00 GMT\r\nserver: uvicorn\r\ncontent-type: "
             "text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n"
             "e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n",
        "200 {date: Mon, 06 Jan 2025 10:00:00 GMT|server: uvicorn|content-type: text/event-stream; "
        "charset=utf-8|transfer-encoding: chunked|} <data: [DONE]\n\n> END kept");
    /* llama.cpp's server (cpp-httplib) */
    CHECK(OK "Access-Control-Allow-Origin: \r\nServer: llama.cpp\r\nTransfer-Encoding: chunked\r\n"
             "Content-Type: text/event-stream\r\nKeep-Alive: timeout=5, max=100\r\n\r\n"
             "10\r\ndata: {\"a\":\"b\"}\n\r\n1\r\n\n\r\n0\r\n\r\n",
        "200 {Access-Control-Allow-Origin: |Server: llama.cpp|Transfer-Encoding: chunked|"
        "Content-Type: text/event-stream|Keep-Alive: timeout=5, max=100|} "
        "<data: {\"a\":\"b\"}\n\n> END kept");
    /* ollama (Go's net/http) */
    CHECK(OK "Content-Type: application/x-ndjson\r\n" DATE "\r\nTransfer-Encoding: chunked\r\n\r\n"
             "d\r\n{\"done\":true}\r\n1\r\n\n\r\n0\r\n\r\n",
        "200 {Content-Type: application/x-ndjson|" DATE
        "|Transfer-Encoding: chunked|} <{\"done\":true}\n> END kept");
#undef DATE
}

/* `front`, then `fill` up to `size` bytes in all, then `back`; `expected` is in the transcript. */
static void check_long(
    const char *front, const char *fill, size_t size, const char *back, const char *expected)
{
    struct buf input;
    buf_init(&input, 256 * 1024);
    assert_int_equal(buf_append_text(&input, front), ERR_OK);
    while (input.size + strlen(fill) <= size)
        assert_int_equal(buf_append_text(&input, fill), ERR_OK);
    assert_int_equal(buf_append_text(&input, back), ERR_OK);
    struct buf whole = run_in_steps(buf_slice(&input), input.size, false);
    if (slice_find(buf_slice(&whole), slice_text(expected)) < 0)
        fail_msg("no %s in %.*s", expected, SLICE_PRINT(buf_slice(&whole)));
    for (size_t step = 1; step <= 4096; step *= 64)
        expect(run_in_steps(buf_slice(&input), step, false), buf_slice(&whole));
    buf_deinit(&whole);
    buf_deinit(&input);
}

static void bounds_and_past_them(void **state)
{
    (void)state;
    const size_t front = strlen(OK);
    check_long(OK, "A: bcde\r\n", front + 7281 * 9, "\r\n", "{A: bcde|");
    check_long(OK, "A: bcde\r\n", front + 7282 * 9, "\r\n", LONG_HEAD);
    check_long(OK, "A:b\n", front + REPLY_HEAD_BYTES_MAX, "\r\n", LONG_HEAD);
    check_long(OK "A: ", "b", front + REPLY_HEAD_BYTES_MAX - 2, "\r\n\r\n", "b|}");
    check_long(OK "A: ", "b", front + REPLY_HEAD_BYTES_MAX - 1, "\r\n\r\n", LONG_HEAD);
    check_long(OK "A: ", "b", front + REPLY_HEAD_BYTES_MAX + 1, "", LONG_HEAD);
    check_long(OK "A: b\r\n", " c\r\n", front + 2 * REPLY_HEAD_BYTES_MAX, "\r\n", LONG_HEAD);
    check_long(OK "A:", " ", front + 2 * REPLY_HEAD_BYTES_MAX, "\r\n", LONG_HEAD);
    check_long("HTTP/1.1 204 ", "a", HTTP_TRAILER_BYTES_MAX - 2, "\r\n\r\n", "END kept");
    check_long("HTTP/1.1 204 ", "a", HTTP_TRAILER_BYTES_MAX - 1, "\r\n\r\n", LONG_FRAMING);
    check_long("HTTP/1.1 204 ", "a", 2 * HTTP_TRAILER_BYTES_MAX, "", LONG_FRAMING);
    const size_t chunks = strlen(CHUNKED);
    check_long(CHUNKED "3;", "a", chunks + HTTP_TRAILER_BYTES_MAX - 2, "\r\nabc\r\n0\r\n\r\n",
        "<abc> END kept");
    check_long(CHUNKED "3;", "a", chunks + HTTP_TRAILER_BYTES_MAX - 1, "\r\nabc\r\n0\r\n\r\n",
        LONG_FRAMING);
    check_long(CHUNKED "0\r\n", "A: b\r\n", chunks + 4000, "\r\n", "END kept");
    check_long(CHUNKED "0\r\n", "A: b\r\n", chunks + 4200, "\r\n", LONG_FRAMING);
    check_long(CHUNKED, "1;a\r\na\r\n", chunks + 2000 * 8, "0\r\n\r\n", "aa> END kept");
    const char interim[] = "HTTP/1.1 102 Processing\r\nA: b\r\n\r\n";
    const size_t one = strlen(interim);
    check_long("", interim, REPLY_INTERIM_MAX * one, OK "\r\n", "200 {}");
    check_long("", interim, (REPLY_INTERIM_MAX + 1) * one, OK "\r\n", MANY_INTERIM);
}

static void the_next_response_of_a_connection(void **state)
{
    (void)state;
    struct slice input =
        SLICE(OK LENGTH(1) "\r\na" CHUNKED "1\r\nb\r\n0\r\n\r\n" OK LENGTH(1) "\r\nc");
    struct reply reply;
    for (int i = 0; i < 3; i++) {
        struct reply_event event;
        reply_begin(&reply, false);
        assert_int_equal(reply_status(&reply), 0);
        assert_int_equal(reply_next(&reply, &input, &event), ERR_OK);
        assert_int_equal(event.kind, REPLY_HEAD);
        assert_false(reply_is_kept(&reply));
        assert_int_equal(reply_next(&reply, &input, &event), ERR_OK);
        assert_int_equal(event.kind, REPLY_BODY);
        assert_int_equal(event.bytes.data[0], 'a' + i);
        assert_int_equal(reply_next(&reply, &input, &event), ERR_OK);
        assert_int_equal(event.kind, REPLY_END);
        assert_true(reply_is_kept(&reply)); /* and nothing need be freed: a leak would show */
    }
    assert_int_equal(input.size, 0);
}

static void has_begun_with_any_byte(void **state)
{
    (void)state;
    struct run run = run_new(false);
    run_feed(&run, SLICE_NONE);
    assert_false(reply_has_begun(&run.reply));
    assert_int_equal(reply_closed(&run.reply), ERR_CLOSED);
    run_feed(&run, SLICE("H"));
    assert_true(reply_has_begun(&run.reply));
    run_feed(&run, SLICE("TTP/1.1 100\r\n\r\n"));
    assert_true(reply_has_begun(&run.reply));
    assert_int_equal(reply_closed(&run.reply), ERR_CLOSED);
    struct buf transcript = run_end(&run);
    buf_deinit(&transcript);
}

/* The head is held until the call after HEAD, and nothing after that. */
static void a_body_holds_no_head(void **state)
{
    (void)state;
    struct reply reply;
    struct reply_event event;
    reply_begin(&reply, false);
    struct slice input = SLICE("HTTP/1.1 200 OK\r\nA:");
    assert_int_equal(reply_next(&reply, &input, &event), ERR_OK);
    assert_int_equal(event.kind, REPLY_NEED_MORE);
    input = SLICE("b\r\n\r\nbody");
    assert_int_equal(reply_next(&reply, &input, &event), ERR_OK);
    assert_int_equal(event.kind, REPLY_HEAD);
    assert_true(slice_equal(event.bytes, SLICE("A: b\r\n")));
    assert_true(slice_equal(input, SLICE("body")));
    assert_int_equal(reply_next(&reply, &input, &event), ERR_OK);
    assert_true(slice_equal(event.bytes, SLICE("body"))); /* no deinit: a leak would show */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(status_lines),
        cmocka_unit_test(what_is_no_response),
        cmocka_unit_test(fields),
        cmocka_unit_test(bodies_with_a_length),
        cmocka_unit_test(bodies_until_the_close),
        cmocka_unit_test(responses_without_a_body),
        cmocka_unit_test(interim_responses),
        cmocka_unit_test(chunked_bodies),
        cmocka_unit_test(malformed_chunks),
        cmocka_unit_test(transfer_codings),
        cmocka_unit_test(which_connections_are_kept),
        cmocka_unit_test(heads_of_real_servers),
        cmocka_unit_test(bounds_and_past_them),
        cmocka_unit_test(the_next_response_of_a_connection),
        cmocka_unit_test(has_begun_with_any_byte),
        cmocka_unit_test(a_body_holds_no_head),
    };
    return cmocka_run_group_tests_name("protocol/http/reply", tests, NULL, NULL);
}
