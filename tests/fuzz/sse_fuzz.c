/* Oracle: an input split whole and split at any cuts gives the same events; events and residue, one
 * after another, are the input; and a splitter written the slow, obvious way agrees. */
#include "protocol/http/sse.h"

#include "tests/fuzz/fuzz.h"

enum { INPUT_BYTES_MAX = 4096, SALT_COUNT = 4 };

struct split {
    size_t ends[INPUT_BYTES_MAX + 1];
    size_t count;
};

static void add(struct split *split, size_t end)
{
    size_t last = split->count ? split->ends[split->count - 1] : 0;
    ASSERT(end > last); /* no event is empty, so the events tile the input */
    split->ends[split->count++] = end;
}

static void feed(struct sse_splitter *splitter, struct slice part, size_t at, struct split *split)
{
    uint8_t *copy = fuzz_copy(part);
    size_t from = 0, end;
    while (sse_split(splitter, slice_of(copy + from, part.size - from), &end) == ERR_OK) {
        ASSERT(end <= part.size - from);
        from += end;
        add(split, at + from);
    }
    free(copy);
}

static void split_whole(struct slice input, struct split *split)
{
    struct sse_splitter splitter = {0};
    feed(&splitter, input, 0, split);
    if (sse_split_end(&splitter))
        add(split, input.size);
}

static void split_cut(struct slice input, struct fuzz_cuts cuts, struct split *split)
{
    struct sse_splitter splitter = {0};
    size_t at = 0;
    while (at < input.size) {
        size_t size = fuzz_cuts_next(&cuts, input.size - at);
        feed(&splitter, slice_of(input.data + at, size), at, split);
        at += size;
    }
    if (sse_split_end(&splitter))
        add(split, input.size);
}

/* Line by line: a blank line after at least one other ends an event. */
static void split_plainly(struct slice input, struct split *split)
{
    size_t at = slice_has_prefix(input, SLICE("\xEF\xBB\xBF")) ? 3 : 0;
    bool has_line = false;
    while (at < input.size) {
        size_t end = at;
        while (end < input.size && input.data[end] != '\n' && input.data[end] != '\r')
            end++;
        if (end == input.size)
            return;
        bool is_blank = end == at;
        at = end + 1;
        if (input.data[end] == '\r' && at < input.size && input.data[at] == '\n')
            at++;
        if (is_blank && has_line)
            add(split, at);
        has_line = !is_blank;
    }
}

static void check_equal(const struct split *a, const struct split *b)
{
    ASSERT(a->count == b->count);
    for (size_t i = 0; i < a->count; i++)
        ASSERT(a->ends[i] == b->ends[i]);
}

/* The fields of each event are slices of it, or of the buffer. */
static void check_fields(struct slice input, const struct split *split)
{
    size_t from = 0;
    for (size_t i = 0; i < split->count; i++) {
        struct slice block = slice_sub(input, from, split->ends[i] - from);
        uint8_t *copy = fuzz_copy(block);
        struct sse_fields fields;
        struct buf data;
        buf_init(&data, INPUT_BYTES_MAX);
        enum err err = sse_fields(sse_without_bom(slice_of(copy, block.size)), &data, &fields);
        ASSERT(err == ERR_OK && sse_data(&fields, &data).size <= block.size);
        ASSERT(fields.has_data || !fields.is_joined);
        ASSERT(slice_find_byte(fields.id, 0) < 0);
        buf_deinit(&data);
        free(copy);
        from = split->ends[i];
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct split whole, other;
    struct slice input = slice_of(data, size);
    if (size > INPUT_BYTES_MAX)
        return -1;
    whole.count = other.count = 0;
    split_whole(input, &whole);
    split_plainly(input, &other);
    check_equal(&whole, &other);
    for (uint64_t salt = 0; salt < SALT_COUNT; salt++) {
        other.count = 0;
        split_cut(input, fuzz_cuts_init(input, salt), &other);
        check_equal(&whole, &other);
    }
    check_fields(input, &whole);
    return 0;
}
