/* frames — the first byte picks a framing. Oracle: the rest, split whole and split at any cuts, gives the
 * same frames; frames and residue, one after another, are the input; lines end where their LF is; of a
 * binary message all that is read is a slice of it. (SSE has a fuzzer of its own.) */
#include "protocol/http/frames.h"

#include "tests/fuzz/fuzz.h"

enum { INPUT_BYTES_MAX = 4096, SALT_COUNT = 4 };

struct split {
    size_t ends[INPUT_BYTES_MAX + 1];
    size_t count;
    bool is_broken;
};

static void feed(struct frame_splitter *splitter, struct slice part, size_t at, struct split *split)
{
    uint8_t *copy = fuzz_copy(part);
    size_t from = 0, end;
    enum err err;
    while (!(err = frame_split(splitter, slice_of(copy + from, part.size - from), &end))) {
        ASSERT(end <= part.size - from);
        from += end;
        ASSERT(split->count == 0 || at + from > split->ends[split->count - 1]);
        split->ends[split->count++] = at + from;
    }
    split->is_broken |= err == ERR_INVALID;
    free(copy);
}

static void split_cut(
    enum framing framing, struct slice input, struct fuzz_cuts cuts, struct split *split)
{
    struct frame_splitter splitter = {.framing = framing};
    split->count = 0;
    split->is_broken = false;
    for (size_t at = 0; at < input.size;) {
        size_t size = fuzz_cuts_next(&cuts, input.size - at);
        feed(&splitter, slice_of(input.data + at, size), at, split);
        at += size;
    }
}

static void check_equal(const struct split *a, const struct split *b)
{
    ASSERT(a->count == b->count && a->is_broken == b->is_broken);
    for (size_t i = 0; i < a->count; i++)
        ASSERT(a->ends[i] == b->ends[i]);
}

static bool is_in(struct slice part, struct slice whole)
{
    return part.size == 0 ||
           (part.data >= whole.data && part.data + part.size <= whole.data + whole.size);
}

static void check_message(struct slice bytes)
{
    uint8_t *copy = fuzz_copy(bytes);
    struct slice whole = slice_of(copy, bytes.size);
    struct event_stream_message message;
    if (event_stream_read(whole, &message) == ERR_OK)
        ASSERT(is_in(message.type, whole) && is_in(message.name, whole) &&
               is_in(message.text, whole) && is_in(message.payload, whole));
    free(copy);
}

static void check_frames(enum framing framing, struct slice input, const struct split *split)
{
    size_t from = 0;
    for (size_t i = 0; i < split->count; i++) {
        struct slice frame = slice_sub(input, from, split->ends[i] - from);
        if (framing == FRAMING_LINES)
            ASSERT(slice_find_byte(frame, '\n') == (ptrdiff_t)frame.size - 1);
        else
            check_message(frame);
        from = split->ends[i];
    }
    check_message(slice_sub(input, from, input.size));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct split whole, other;
    if (size == 0 || size > INPUT_BYTES_MAX)
        return -1;
    const struct slice input = {data + 1, size - 1};
    enum framing framing = data[0] & 1 ? FRAMING_EVENT_STREAM : FRAMING_LINES;
    struct frame_splitter splitter = {.framing = framing};
    whole.count = 0;
    whole.is_broken = false;
    feed(&splitter, input, 0, &whole);
    for (uint64_t salt = 0; salt < SALT_COUNT; salt++) {
        split_cut(framing, input, fuzz_cuts_init(input, salt), &other);
        check_equal(&whole, &other);
    }
    check_frames(framing, input, &whole);
    return 0;
}
