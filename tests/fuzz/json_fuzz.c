/* json — whatever the scanner takes, the tree takes too; every member found lies inside the text;
 * what is decoded and written again decodes to the same. */
#include "protocol/base/own.h"
#include "protocol/data/json.h"

#include "tests/fuzz/fuzz.h"

static void check_text(struct json_span span)
{
    CLEANUP(buf_deinit) struct buf text, written, again;
    buf_init(&text, 1 << 20);
    buf_init(&written, 8 << 20);
    buf_init(&again, 1 << 20);
    if (json_span_text(span, &text) != ERR_OK)
        return;
    ASSERT(slice_is_utf8(buf_slice(&text)));
    ASSERT(json_write_text(&written, buf_slice(&text)) == ERR_OK);
    struct json_span copy = {JSON_STRING, buf_slice(&written)};
    ASSERT(json_span_text(copy, &again) == ERR_OK);
    ASSERT(slice_equal(buf_slice(&text), buf_slice(&again)));
}

static void check_member(struct slice text, const char *name)
{
    struct json_span span;
    if (json_scan(text, name, &span) != ERR_OK)
        return;
    ASSERT(span.raw.data >= text.data && span.raw.data + span.raw.size <= text.data + text.size);
    struct json *tree = NULL;
    ASSERT(json_parse(span.raw, &tree) == ERR_OK);
    ASSERT(json_type(tree) == span.type);
    tree = json_free(tree);
    check_text(span);
}

static void check_written(struct slice bytes)
{
    CLEANUP(buf_deinit) struct buf written;
    CLEANUP(json_cleanup) struct json *tree = NULL;
    buf_init(&written, 8 << 20);
    ASSERT(json_write_text(&written, bytes) == ERR_OK);
    ASSERT(json_parse(buf_slice(&written), &tree) == ERR_OK);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct slice text = {data, size};
    CLEANUP(json_cleanup) struct json *tree = NULL;
    const char *why = NULL;
    size_t at = 0;
    enum err parsed = json_parse(text, &tree);
    enum err checked = json_object_check(text, &why, &at);
    ASSERT(parsed == ERR_OK || parsed == ERR_INVALID);
    if (checked == ERR_OK) {
        ASSERT(parsed == ERR_OK && json_type(tree) == JSON_OBJECT);
        check_member(text, "a");
        check_member(text, "model");
        check_member(text, "");
    } else {
        ASSERT(why && at <= size);
    }
    check_written(text);
    return 0;
}
