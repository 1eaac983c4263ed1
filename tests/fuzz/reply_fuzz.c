/* Oracle: a response read whole and read in any parts gives the same head, body bytes, end or error,
 * and leaves the same bytes; what is given out keeps the header's promises. Each input is read as the
 * answer to a GET and to a HEAD; what END leaves is read as the next response. */
#include "protocol/http/reply.h"

#include "protocol/http/header.h"
#include "tests/fuzz/fuzz.h"

enum { INPUT_BYTES_MAX = 128 * 1024, SALT_COUNT = 2 };
enum { TRANSCRIPT_BYTES_MAX = 16 * 1024 * 1024 }; /* the shortest responses, each written out */

struct run {
    struct reply reply;
    struct buf transcript;
    bool is_head_request;
    bool is_failed;
};

static void say(struct run *run, struct slice bytes)
{
    enum err err = buf_append(&run->transcript, bytes);
    ASSERT(err == ERR_OK);
}

static void check_head(struct slice head)
{
    ASSERT(head.size <= REPLY_HEAD_BYTES_MAX);
    while (head.size) {
        ptrdiff_t end = slice_find(head, SLICE("\r\n"));
        ptrdiff_t colon = slice_find_byte(head, ':');
        ASSERT(colon > 0 && end >= colon + 2 && head.data[colon + 1] == ' ');
        struct header field = {slice_of(head.data, (size_t)colon),
            slice_of(head.data + colon + 2, (size_t)(end - colon - 2))};
        ASSERT(header_is_clean(field));
        ASSERT(slice_trim(field.value).size == field.value.size);
        head = slice_of(head.data + end + 2, head.size - (size_t)end - 2);
    }
}

static void say_head(struct run *run, struct slice head)
{
    int status = reply_status(&run->reply);
    ASSERT(status == 101 || (status >= 200 && status <= 599));
    check_head(head);
    enum err err = buf_printf(&run->transcript, "\nHEAD %d\n", status);
    ASSERT(err == ERR_OK);
    say(run, head);
    say(run, SLICE("BODY "));
}

static void say_end(struct run *run)
{
    enum err err = reply_closed(&run->reply);
    ASSERT(err == ERR_OK);
    say(run, reply_is_kept(&run->reply) ? SLICE("\nEND kept") : SLICE("\nEND"));
    reply_begin(&run->reply, run->is_head_request); /* nothing is held: a leak would show */
}

static void say_event(struct run *run, const struct reply_event *event, struct slice part)
{
    switch (event->kind) {
    case REPLY_NEED_MORE: return;
    case REPLY_HEAD: say_head(run, event->bytes); return;
    case REPLY_BODY:
        ASSERT(event->bytes.size > 0 && event->bytes.data >= part.data);
        ASSERT(event->bytes.data + event->bytes.size <= part.data + part.size);
        ASSERT(!run->is_head_request || reply_status(&run->reply) == 101);
        say(run, event->bytes);
        return;
    case REPLY_END: say_end(run); return;
    }
}

static void say_error(struct run *run, enum err err)
{
    ASSERT(err == ERR_INVALID || err == ERR_LIMIT);
    enum err said =
        buf_printf(&run->transcript, "\n%s %s", err_name(err), reply_problem(&run->reply));
    ASSERT(said == ERR_OK);
    run->is_failed = true;
}

static void feed(struct run *run, struct slice part)
{
    uint8_t *copy = fuzz_copy(part);
    const struct slice all = slice_of(copy, part.size);
    struct slice input = all;
    struct reply_event event = {.kind = REPLY_HEAD};
    while (!run->is_failed && event.kind != REPLY_NEED_MORE) {
        enum err err = reply_next(&run->reply, &input, &event);
        if (err == ERR_OK)
            say_event(run, &event, all);
        else
            say_error(run, err);
    }
    ASSERT(run->is_failed || input.size == 0);
    free(copy);
}

static struct run run_new(bool is_head_request)
{
    struct run run = {.is_head_request = is_head_request};
    buf_init(&run.transcript, TRANSCRIPT_BYTES_MAX);
    reply_begin(&run.reply, is_head_request);
    return run;
}

static void run_close(struct run *run)
{
    if (!run->is_failed)
        say(run, reply_closed(&run->reply) == ERR_OK ? SLICE("\nwhole") : SLICE("\ncut"));
    reply_deinit(&run->reply);
}

static void compare(struct slice input, bool is_head_request)
{
    struct run whole = run_new(is_head_request);
    feed(&whole, input);
    run_close(&whole);
    for (uint64_t salt = 0; salt < SALT_COUNT; salt++) {
        struct run run = run_new(is_head_request);
        struct fuzz_cuts cuts = fuzz_cuts_init(input, salt);
        for (size_t at = 0, part; at < input.size; at += part) {
            part = fuzz_cuts_next(&cuts, input.size - at);
            feed(&run, slice_of(input.data + at, part));
        }
        run_close(&run);
        ASSERT(slice_equal(buf_slice(&whole.transcript), buf_slice(&run.transcript)));
        buf_deinit(&run.transcript);
    }
    buf_deinit(&whole.transcript);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice input = slice_of(data, size);
    if (size > INPUT_BYTES_MAX)
        return -1;
    compare(input, false);
    compare(input, true);
    return 0;
}
