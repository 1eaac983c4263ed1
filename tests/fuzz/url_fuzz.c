/* Oracles: a target's parts are the text; its path, decoded, has no dot segments; parameters found
 * are parameters walked; what is decoded and encoded decodes to the same. */
#include "protocol/http/url.h"

#include "tests/fuzz/fuzz.h"

enum { DECODED_BYTES_MAX = 64 * 1024 };

static void check_path(struct slice path)
{
    struct buf decoded;
    buf_init(&decoded, DECODED_BYTES_MAX);
    if (percent_decode(path, false, &decoded) == ERR_OK) {
        struct slice plain = buf_slice(&decoded);
        size_t count = path_segment_count(plain);
        ASSERT(count >= 1 && path_segment(plain, count).data == NULL);
        for (size_t i = 0; i < count; i++) {
            ASSERT(!slice_equal(path_segment(plain, i), SLICE(".")));
            ASSERT(!slice_equal(path_segment(plain, i), SLICE("..")));
        }
    }
    buf_deinit(&decoded);
}

static void check_query(struct slice query)
{
    struct slice rest = query, name, value, raw;
    size_t count = 0, from_count = 0;
    while (query_next(&rest, &name, &value)) {
        count++;
        from_count += slice_equal(name, SLICE("from"));
    }
    ASSERT(count <= HTTP_QUERY_COUNT_MAX);
    enum err err = query_get(query, "from", &raw);
    ASSERT(from_count < 2 || err == ERR_INVALID);
    ASSERT(from_count != 1 || err != ERR_NOTFOUND);
}

static void check_target(struct slice text)
{
    struct target target;
    if (target_parse(text, &target) != ERR_OK)
        return;
    size_t mark = target.path.size < text.size;
    ASSERT(target.path.data == text.data);
    ASSERT(target.path.size + mark + target.query.size == text.size);
    ASSERT(slice_find_byte(target.path, '?') < 0);
    check_path(target.path);
    check_query(target.query);
}

static void check_coding(struct slice text)
{
    struct buf decoded, encoded, again;
    buf_init(&decoded, DECODED_BYTES_MAX);
    buf_init(&encoded, 3 * DECODED_BYTES_MAX);
    buf_init(&again, DECODED_BYTES_MAX);
    if (percent_decode(text, true, &decoded) == ERR_OK) {
        enum err err = percent_encode(buf_slice(&decoded), &encoded);
        ASSERT(err == ERR_OK);
        err = percent_decode(buf_slice(&encoded), true, &again);
        ASSERT(err == ERR_OK && slice_equal(buf_slice(&decoded), buf_slice(&again)));
    }
    buf_deinit(&decoded);
    buf_deinit(&encoded);
    buf_deinit(&again);
}

static void check_authority(struct slice text)
{
    struct slice authority;
    bool is_loopback = host_is_loopback(text);
    ASSERT(!is_loopback || authority_is_valid(text));
    if (origin_authority(text, &authority) == ERR_OK)
        ASSERT(authority_is_valid(authority) &&
               authority.data + authority.size == text.data + text.size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > DECODED_BYTES_MAX)
        return -1;
    struct slice bytes = slice_of(data, size);
    uint8_t *copy = fuzz_copy(bytes);
    struct slice text = slice_of(copy, size);
    check_target(text);
    check_query(slice_sub(text, 0, HTTP_QUERY_COUNT_MAX));
    check_coding(text);
    check_authority(text);
    free(copy);
    return 0;
}
