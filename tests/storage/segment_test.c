/* segment — what is written is read; whatever is changed is not. */
#include "storage/segment.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const uint8_t uuid[STORE_UUID_BYTES] = "0123456789abcde";

static struct segment_header sample_header(void)
{
    struct segment_header header = {
        .slot = 3,
        .generation = 17,
        .segment_bytes = SEGMENT_BYTES_DEFAULT,
        .first_batch = 900,
        .first_lsn = 12345,
    };
    memcpy(header.store_uuid, uuid, sizeof uuid);
    return header;
}

static void test_header(void **state)
{
    (void)state;
    struct segment_header header = sample_header();
    struct segment_header back;
    uint8_t block[SEGMENT_HEADER_BYTES];
    segment_header_encode(&header, block);
    assert_int_equal(segment_header_decode(block, &back), ERR_OK);
    assert_int_equal(back.slot, 3);
    assert_int_equal(back.generation, 17);
    assert_int_equal(back.segment_bytes, SEGMENT_BYTES_DEFAULT);
    assert_int_equal(back.first_batch, 900);
    assert_int_equal(back.first_lsn, 12345);
    assert_memory_equal(back.store_uuid, uuid, sizeof uuid);
}

static void test_header_damaged(void **state)
{
    (void)state;
    struct segment_header header = sample_header();
    struct segment_header back;
    uint8_t block[SEGMENT_HEADER_BYTES];
    segment_header_encode(&header, block);
    for (size_t bit = 0; bit < 68 * 8; bit++) {
        block[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_int_equal(segment_header_decode(block, &back), ERR_INVALID);
        block[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    memset(block, 0, sizeof block);
    assert_int_equal(segment_header_decode(block, &back), ERR_NOTFOUND);
}

/* sample_frame — a batch of `payload_bytes` in memory of exactly its size; the caller's to free. */
static uint8_t *sample_frame(uint32_t payload_bytes)
{
    struct batch_header header = {.generation = 17,
        .number = 900,
        .first_lsn = 12345,
        .record_count = 1,
        .payload_bytes = payload_bytes};
    uint8_t *frame = malloc(batch_frame_bytes(payload_bytes));
    assert_non_null(frame);
    memset(frame, 0xa5, batch_frame_bytes(payload_bytes));
    batch_encode(&header, uuid, frame);
    return frame;
}

static void test_frame(void **state)
{
    (void)state;
    static const uint32_t sizes[] = {1, 4047, 4048, 4049, 100000, BATCH_BYTES - BATCH_HEADER_BYTES};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        uint8_t *frame = sample_frame(sizes[i]);
        struct batch_header header;
        assert_true(batch_peek(frame, &header));
        assert_int_equal(header.generation, 17);
        assert_int_equal(header.number, 900);
        assert_int_equal(header.first_lsn, 12345);
        assert_int_equal(header.record_count, 1);
        assert_int_equal(header.payload_bytes, sizes[i]);
        assert_true(batch_is_intact(&header, uuid, frame));
        assert_int_equal(batch_frame_bytes(sizes[i]) % DISK_ALIGN, 0);
        free(frame);
    }
}

/* Any bit of header or payload, and any other store. */
static void test_frame_damaged(void **state)
{
    (void)state;
    uint8_t *frame = sample_frame(100);
    struct batch_header header;
    for (size_t bit = 0; bit < (BATCH_HEADER_BYTES + 100) * 8; bit++) {
        frame[bit / 8] ^= (uint8_t)(1 << bit % 8);
        bool is_valid = batch_peek(frame, &header) &&
                        batch_frame_bytes(header.payload_bytes) == batch_frame_bytes(100) &&
                        batch_is_intact(&header, uuid, frame);
        assert_false(is_valid);
        frame[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    assert_true(batch_peek(frame, &header));
    assert_false(batch_is_intact(&header, (const uint8_t *)"another store  ", frame));
    free(frame);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_header),
        cmocka_unit_test(test_header_damaged),
        cmocka_unit_test(test_frame),
        cmocka_unit_test(test_frame_damaged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
