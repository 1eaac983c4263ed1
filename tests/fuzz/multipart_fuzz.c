/* Oracles: what is found lies in the body, behind a boundary; a beginning of a body has what the whole has,
 * or says that it is not known yet. The input's first line is the Content-Type. */
#include "protocol/http/multipart.h"

#include "tests/fuzz/fuzz.h"

static void check_beginnings(
    struct slice type, struct slice body, enum err whole, struct slice value)
{
    for (size_t size = 0; size < body.size; size += 1 + body.size / 64) {
        struct slice got = SLICE_NONE;
        enum err err = multipart_field(type, slice_sub(body, 0, size), "model", &got);
        if (err == ERR_OK)
            ASSERT(whole == ERR_OK && slice_equal(got, value));
        if (err == ERR_NOTFOUND || err == ERR_INVALID)
            ASSERT(err == whole);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice bytes = slice_of(data, size), value = SLICE_NONE;
    ptrdiff_t end = slice_find_byte(bytes, '\n');
    if (end < 0 || size > 64 * 1024)
        return -1;
    uint8_t *copy = fuzz_copy(slice_sub(bytes, (size_t)end + 1, size));
    struct slice type = slice_sub(bytes, 0, (size_t)end);
    struct slice body = slice_of(copy, size - (size_t)end - 1);
    enum err err = multipart_field(type, body, "model", &value);
    ASSERT(err == ERR_OK || err == ERR_AGAIN || err == ERR_NOTFOUND || err == ERR_INVALID);
    ASSERT(err == ERR_INVALID || multipart_is_form(type));
    if (err == ERR_OK)
        ASSERT(value.data > body.data && value.data + value.size <= body.data + body.size);
    check_beginnings(type, body, err, value);
    free(copy);
    return 0;
}
