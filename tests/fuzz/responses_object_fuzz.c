/* Oracle: after every event of any stream the object is JSON, whatever its state is said to be; the
 * response's own ID stands in it, and what is final stays as it is. */
#include "protocol/dialect/responses_object.h"

#include "protocol/data/json.h"
#include "protocol/http/sse.h"
#include "tests/fuzz/fuzz.h"

enum { INPUT_BYTES_MAX = 16 * 1024, KEPT_BYTES_MAX = 64 * 1024, TEXT_BYTES_MAX = 1 << 20 };

static const struct responses_state states[] = {
    {.id = {(const uint8_t *)"resp_\"1", 7}},
    {.id = {(const uint8_t *)"resp_1", 6}, .status = "cancelled", .is_over = true},
    {.id = {(const uint8_t *)"resp_1", 6},
        .status = "failed",
        .code = {(const uint8_t *)"why", 3},
        .message = {(const uint8_t *)"\xff", 1},
        .is_over = true},
};

static void check(const struct responses_object *object, const struct responses_state *state)
{
    struct buf text;
    struct json *tree = NULL;
    buf_init(&text, TEXT_BYTES_MAX);
    enum err err = responses_object_write(object, state, &text);
    ASSERT(err == ERR_OK);
    err = json_parse(buf_slice(&text), &tree);
    ASSERT(err == ERR_OK && json_type(tree) == JSON_OBJECT);
    json_free(tree);
    buf_deinit(&text);
}

static void take(struct responses_object *object, struct slice block)
{
    uint8_t *copy = fuzz_copy(block);
    bool was_final = object->is_final;
    size_t size = object->base.size;
    enum err err = responses_object_event(object, slice_of(copy, block.size));
    ASSERT(err == ERR_OK || err == ERR_LIMIT);
    ASSERT(!was_final || (object->is_final && object->base.size == size));
    ASSERT(object->bytes <= object->bytes_max);
    free(copy);
    for (size_t i = 0; i < sizeof states / sizeof *states; i++)
        check(object, &states[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct responses_object object;
    struct sse_splitter splitter = {0};
    struct slice rest = slice_of(data, size);
    size_t end;
    if (size > INPUT_BYTES_MAX)
        return -1;
    responses_object_init(&object, KEPT_BYTES_MAX);
    while (sse_split(&splitter, rest, &end) == ERR_OK) {
        take(&object, slice_sub(rest, 0, end));
        rest = slice_sub(rest, end, rest.size);
    }
    responses_object_deinit(&object);
    return 0;
}
