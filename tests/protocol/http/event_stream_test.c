/* event_stream — Amazon's own vectors, read and split at each offset; every byte of a message that
 * is changed is seen; what headers may hold.
 *
 *   source  aws/aws-sdk-js-v3 packages/eventstream-marshaller/src/TestVectors.fixture.ts at 238be60b;
 *           vercel/ai packages/amazon-bedrock/src/__fixtures__/
 *           model-stream-error-exception.eventstream.base64.txt at 5f264fa2, decoded */
#include "protocol/http/event_stream.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static const uint8_t empty_message[] = {
    0, 0, 0, 16, 0, 0, 0, 0, 5, 194, 72, 235, 125, 152, 200, 255};
static const uint8_t int32_header[] = {0, 0, 0, 43, 0, 0, 0, 14, 52, 139, 236, 123, 8, 101, 118,
    101, 110, 116, 45, 105, 100, 4, 0, 0, 160, 12, 123, 39, 102, 111, 111, 39, 58, 39, 98, 97, 114,
    39, 125, 211, 137, 2, 133};
static const uint8_t payload_no_headers[] = {0, 0, 0, 29, 0, 0, 0, 0, 253, 82, 140, 90, 123, 39,
    102, 111, 111, 39, 58, 39, 98, 97, 114, 39, 125, 195, 101, 57, 54};
static const uint8_t payload_one_str_header[] = {0, 0, 0, 61, 0, 0, 0, 32, 7, 253, 131, 150, 12, 99,
    111, 110, 116, 101, 110, 116, 45, 116, 121, 112, 101, 7, 0, 16, 97, 112, 112, 108, 105, 99, 97,
    116, 105, 111, 110, 47, 106, 115, 111, 110, 123, 39, 102, 111, 111, 39, 58, 39, 98, 97, 114, 39,
    125, 141, 156, 8, 177};
static const uint8_t corrupted_headers[] = {0, 0, 0, 61, 0, 0, 0, 32, 7, 253, 131, 150, 12, 99, 111,
    110, 116, 101, 110, 116, 43, 116, 121, 112, 101, 7, 0, 16, 97, 112, 112, 108, 105, 99, 97, 116,
    105, 111, 110, 47, 106, 115, 111, 110, 123, 39, 102, 111, 111, 39, 58, 39, 98, 97, 114, 39, 125,
    141, 156, 8, 177};
static const uint8_t corrupted_header_len[] = {0, 0, 0, 61, 0, 0, 1, 32, 7, 253, 131, 150, 12, 99,
    111, 110, 116, 101, 110, 116, 45, 116, 121, 112, 101, 7, 0, 16, 97, 112, 112, 108, 105, 99, 97,
    116, 105, 111, 110, 47, 106, 115, 111, 110, 123, 39, 102, 111, 111, 39, 58, 39, 98, 97, 114, 39,
    125, 141, 156, 8, 177};
static const uint8_t corrupted_length[] = {1, 0, 0, 29, 0, 0, 0, 0, 253, 82, 140, 90, 123, 39, 102,
    111, 111, 39, 58, 39, 98, 97, 114, 39, 125, 195, 101, 57, 54};
static const uint8_t corrupted_payload[] = {0, 0, 0, 29, 0, 0, 0, 0, 253, 82, 140, 90, 123, 39, 102,
    111, 111, 39, 58, 39, 98, 97, 114, 39, 141, 195, 101, 57, 54};
static const char exception[] =
    "\x00\x00\x00\xdd\x00\x00\x00\x67\xc7\x91\x90\x7a\x0d:message-type\x07\x00\x09"
    "exception\x0f:exception-type\x07\x00\x19modelStreamErrorException\x0d:content-type\x07\x00\x10"
    "application/json{\"message\":\"Model Stream Error\",\"originalStatusCode\":500,"
    "\"originalMessage\":\"The model stream failed.\"}\x57\x33\x43\x13";

#define MESSAGE(bytes) slice_of(bytes, sizeof(bytes))
#define PAYLOAD        SLICE("{'foo':'bar'}")

static struct event_stream_message read_message(struct slice bytes)
{
    struct event_stream_message message;
    assert_int_equal(event_stream_read(bytes, &message), ERR_OK);
    return message;
}

static void vectors(void **state)
{
    struct event_stream_message message = read_message(MESSAGE(empty_message));
    (void)state;
    assert_int_equal(message.payload.size, 0);
    assert_true(event_stream_is_event(&message));
    assert_true(slice_equal(read_message(MESSAGE(int32_header)).payload, PAYLOAD));
    assert_true(slice_equal(read_message(MESSAGE(payload_no_headers)).payload, PAYLOAD));
    assert_true(slice_equal(read_message(MESSAGE(payload_one_str_header)).payload, PAYLOAD));
}

static void an_exception(void **state)
{
    struct event_stream_message message = read_message(slice_of(exception, sizeof exception - 1));
    (void)state;
    assert_false(event_stream_is_event(&message));
    assert_true(slice_equal(message.type, SLICE("exception")));
    assert_true(slice_equal(message.name, SLICE("modelStreamErrorException")));
    assert_true(slice_has_prefix(message.payload, SLICE("{\"message\":\"Model Stream Error\"")));
    assert_int_equal(message.text.size, 0);
}

static void corrupted_vectors(void **state)
{
    const struct slice all[] = {MESSAGE(corrupted_headers), MESSAGE(corrupted_header_len),
        MESSAGE(corrupted_length), MESSAGE(corrupted_payload)};
    struct event_stream_message message;
    (void)state;
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        assert_int_equal(event_stream_read(all[i], &message), ERR_INVALID);
}

static void any_byte_changed(void **state)
{
    uint8_t copy[sizeof exception - 1];
    struct event_stream_message message;
    (void)state;
    for (size_t i = 0; i < sizeof copy; i++) {
        memcpy(copy, exception, sizeof copy);
        copy[i] ^= 1;
        assert_int_equal(event_stream_read(MESSAGE(copy), &message), ERR_INVALID);
        assert_int_equal(event_stream_read(slice_of(exception, i), &message), ERR_INVALID);
    }
}

/* Split at `cut`: how many messages are in there, and where the last one ends. */
static size_t count_cut(struct slice input, size_t cut, size_t *last)
{
    struct event_stream_splitter splitter = {0};
    const struct slice parts[2] = {
        slice_sub(input, 0, cut), slice_sub(input, cut, input.size - cut)};
    size_t count = 0, end;
    *last = 0;
    for (size_t i = 0; i < 2; i++) {
        struct slice rest = parts[i];
        while (event_stream_split(&splitter, rest, &end) == ERR_OK) {
            count++;
            rest = slice_sub(rest, end, rest.size);
            *last = input.size - (i ? 0 : parts[1].size) - rest.size;
        }
    }
    return count;
}

static void splits(void **state)
{
    struct buf all;
    size_t last;
    (void)state;
    buf_init(&all, 1024);
    assert_int_equal(buf_append(&all, MESSAGE(int32_header)), ERR_OK);
    assert_int_equal(buf_append(&all, MESSAGE(empty_message)), ERR_OK);
    assert_int_equal(buf_append(&all, slice_of(exception, sizeof exception - 1)), ERR_OK);
    size_t end = all.size;
    assert_int_equal(buf_append(&all, slice_of(exception, 30)), ERR_OK);
    for (size_t cut = 0; cut <= all.size; cut++) {
        assert_int_equal(count_cut(buf_slice(&all), cut, &last), 3);
        assert_int_equal(last, end);
    }
    buf_deinit(&all);
}

/* The prelude is believed only with its checksum; then its sizes are. */
static void what_is_no_stream(void **state)
{
    struct event_stream_splitter splitter = {0};
    size_t end;
    (void)state;
    assert_int_equal(event_stream_split(&splitter, SLICE("{\"message\""), &end), ERR_AGAIN);
    assert_int_equal(event_stream_split(&splitter, SLICE(": 1}"), &end), ERR_INVALID);
    assert_int_equal(event_stream_split(&splitter, SLICE("more"), &end), ERR_INVALID);
    splitter = (struct event_stream_splitter){0};
    assert_int_equal(event_stream_split(&splitter, MESSAGE(corrupted_length), &end), ERR_INVALID);
    splitter = (struct event_stream_splitter){0};
    assert_int_equal(event_stream_split(&splitter, MESSAGE(corrupted_payload), &end), ERR_OK);
    assert_int_equal(end, sizeof corrupted_payload);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(vectors),
        cmocka_unit_test(an_exception),
        cmocka_unit_test(corrupted_vectors),
        cmocka_unit_test(any_byte_changed),
        cmocka_unit_test(splits),
        cmocka_unit_test(what_is_no_stream),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
