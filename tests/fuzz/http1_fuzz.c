/* Oracle: an input read whole and read in any parts gives the same heads, body bytes, ends and
 * error. What is reported keeps the header's promises (check_request). */
#include "protocol/http/http1.h"

#include "tests/fuzz/fuzz.h"

enum { INPUT_BYTES_MAX = 64 * 1024, BODY_BYTES_MAX = 4096, SALT_COUNT = 2 };
enum { TRANSCRIPT_BYTES_MAX = 16 * 1024 * 1024 }; /* the shortest requests, each written out */

struct run {
    struct http1 *parser;
    struct buf transcript;
    uint64_t body_bytes;
    bool is_failed;
};

static void say(struct run *run, struct slice bytes)
{
    enum err err = buf_append(&run->transcript, bytes);
    ASSERT(err == ERR_OK);
}

static void check_request(const struct http1_request *request)
{
    const struct headers *headers = &request->headers;
    size_t lengths = headers_count(headers, "Content-Length");
    size_t codings = headers_count(headers, "Transfer-Encoding");
    size_t hosts = headers_count(headers, "Host");
    ASSERT(lengths + codings <= 1);
    ASSERT(request->is_chunked == (codings == 1));
    ASSERT(request->content_length <= BODY_BYTES_MAX);
    ASSERT(hosts == 1 || (hosts == 0 && request->version_minor == 0));
    ASSERT(request->target.size > 0 && request->target.size <= HTTP_TARGET_BYTES_MAX);
    ASSERT(request->target.data[0] == '/' || slice_equal(request->target, SLICE("*")));
    for (size_t i = 0; i < headers->count; i++)
        ASSERT(header_is_clean(headers->items[i]));
}

static void say_head(struct run *run)
{
    const struct http1_request *request = http1_request(run->parser);
    check_request(request);
    run->body_bytes = 0;
    say(run, SLICE("\nHEAD "));
    say(run, request->method);
    say(run, SLICE(" "));
    say(run, request->target);
    say(run, SLICE(" "));
    say(run, request->host);
    enum err err = buf_printf(&run->transcript, " %d%d%d%d %lu %zu ", request->version_minor,
        request->keep_alive, request->expects_continue, request->is_chunked,
        request->content_length, request->headers.count);
    ASSERT(err == ERR_OK);
    for (size_t i = 0; i < request->headers.count; i++) {
        say(run, request->headers.items[i].name);
        say(run, SLICE(":"));
        say(run, request->headers.items[i].value);
    }
    say(run, SLICE("\nBODY "));
}

static void say_event(struct run *run, const struct http1_event *event)
{
    switch (event->kind) {
    case HTTP1_NEED_MORE: return;
    case HTTP1_HEAD: say_head(run); return;
    case HTTP1_BODY:
        ASSERT(event->body.size > 0);
        run->body_bytes += event->body.size;
        ASSERT(run->body_bytes <= BODY_BYTES_MAX);
        say(run, event->body);
        return;
    case HTTP1_END: {
        const struct http1_request *request = http1_request(run->parser);
        ASSERT(request->is_chunked || run->body_bytes == request->content_length);
        ASSERT(http1_is_idle(run->parser));
        say(run, SLICE("\nEND"));
        return;
    }
    }
}

static void say_error(struct run *run)
{
    struct http1_error error = http1_error(run->parser);
    enum err err = buf_printf(&run->transcript, "\n%d %s", error.status, error.message);
    ASSERT(err == ERR_OK);
    run->is_failed = true;
}

static void feed(struct run *run, struct slice part)
{
    uint8_t *copy = fuzz_copy(part);
    struct slice input = slice_of(copy, part.size);
    struct http1_event event = {.kind = HTTP1_HEAD};
    while (!run->is_failed && event.kind != HTTP1_NEED_MORE) {
        enum err err = http1_next(run->parser, &input, &event);
        ASSERT(err == ERR_OK || err == ERR_INVALID);
        if (err == ERR_OK)
            say_event(run, &event);
        else
            say_error(run);
    }
    ASSERT(run->is_failed || input.size == 0);
    free(copy);
}

static struct run run_new(void)
{
    struct run run = {0};
    buf_init(&run.transcript, TRANSCRIPT_BYTES_MAX);
    enum err err = http1_new(BODY_BYTES_MAX, &run.parser);
    ASSERT(err == ERR_OK);
    return run;
}

static void run_free(struct run *run)
{
    http1_free(run->parser);
    buf_deinit(&run->transcript);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice input = slice_of(data, size);
    if (size > INPUT_BYTES_MAX)
        return -1;
    struct run whole = run_new();
    feed(&whole, input);
    for (uint64_t salt = 0; salt < SALT_COUNT; salt++) {
        struct run run = run_new();
        struct fuzz_cuts cuts = fuzz_cuts_init(input, salt);
        for (size_t at = 0, part; at < size; at += part) {
            part = fuzz_cuts_next(&cuts, size - at);
            feed(&run, slice_of(data + at, part));
        }
        ASSERT(slice_equal(buf_slice(&whole.transcript), buf_slice(&run.transcript)));
        run_free(&run);
    }
    run_free(&whole);
    return 0;
}
