/* block — in memory and stored: round trips, cuts, damage at every bit and length. */
#include "storage/block.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "protocol/base/digest.h"
#include "tests/sim/random.h"

enum { TIME_NS = 1700000000 };

static struct block_codec *codec;

static int make_codec(void **state)
{
    (void)state;
    return block_codec_new(3, &codec) == ERR_OK ? 0 : -1;
}

static int free_codec(void **state)
{
    (void)state;
    codec = block_codec_free(codec);
    return 0;
}

static struct block *new_block(uint64_t seq, uint32_t part, uint64_t offset, uint32_t capacity)
{
    struct block *block;
    assert_int_equal(block_new(seq, part, offset, capacity, &block), ERR_OK);
    return block;
}

static struct slice noise(struct sim_random *random, uint8_t *out, size_t size)
{
    for (size_t i = 0; i < size; i++)
        out[i] = (uint8_t)sim_random_next(random);
    return slice_of(out, size);
}

/* Append or fail the test. */
static void add(struct block *block, struct slice bytes, uint32_t flags)
{
    int64_t time_ns = TIME_NS + (int64_t)block->frame_count * 20000000 - 7;
    assert_int_equal(block_append(block, bytes, time_ns, flags), ERR_OK);
}

static void assert_same(const struct block *a, const struct block *b)
{
    assert_int_equal(a->first_seq, b->first_seq);
    assert_int_equal(a->part, b->part);
    assert_int_equal(a->first_offset, b->first_offset);
    assert_int_equal(a->frame_count, b->frame_count);
    assert_int_equal(a->size, b->size);
    if (a->size)
        assert_memory_equal(a->bytes, b->bytes, a->size);
    for (uint32_t i = 0; i < a->frame_count; i++) {
        assert_int_equal(a->frames[i].end, b->frames[i].end);
        assert_int_equal(a->frames[i].flags, b->frames[i].flags);
        assert_true(a->frames[i].time_ns == b->frames[i].time_ns);
    }
}

/* Encode from `at` into `stored`. */
static enum err encode(
    struct block *const *blocks, size_t count, struct block_position *at, struct buf *stored)
{
    struct block_run run = {.blocks = blocks, .count = count};
    buf_init(stored, BLOCK_STORED_BYTES_MAX);
    return block_encode(codec, &run, at, stored);
}

static void test_append_and_find(void **state)
{
    (void)state;
    struct block *block = new_block(10, 0, 500, BLOCK_CAPACITY_MIN);
    uint32_t index;
    add(block, SLICE("one"), 0);
    add(block, SLICE_NONE, 0);
    add(block, SLICE("three"), 0);
    assert_int_equal(block_find(block, 9, &index), ERR_NOTFOUND);
    assert_int_equal(block_find(block, 13, &index), ERR_NOTFOUND);
    assert_int_equal(block_find(block, 12, &index), ERR_OK);
    assert_int_equal(index, 2);
    assert_int_equal(block_seq(block, index), 12);
    assert_true(slice_equal(block_frame(block, 2), SLICE("three")));
    assert_true(slice_equal(block_frame(block, 1), SLICE_NONE));
    struct block_position next = block_next(block, 2);
    assert_int_equal(next.seq, 13);
    assert_int_equal(next.part, 0);
    struct block *other = block_ref(block);
    assert_null(block_unref(block));
    assert_null(block_unref(other));
    assert_null(block_unref(NULL));
}

static void test_a_cut_event_ends_its_block(void **state)
{
    (void)state;
    struct block *block = new_block(0, 2, 32000, BLOCK_CAPACITY_MIN);
    add(block, SLICE("part two, the end"), 0);
    assert_int_equal(block_next(block, 0).seq, 1);
    add(block, SLICE("event one, part nought"), FRAME_MORE);
    assert_int_equal(block_next(block, 1).seq, 1);
    assert_int_equal(block_next(block, 1).part, 1);
    assert_int_equal(block_append(block, SLICE("x"), 0, 0), ERR_LIMIT);
    block_unref(block);
}

static void test_bytes_and_frames_run_out(void **state)
{
    (void)state;
    struct block *block = new_block(0, 0, 0, 100);
    uint8_t bytes[101] = {0};
    assert_int_equal(block_append(block, slice_of(bytes, 101), 0, 0), ERR_LIMIT);
    add(block, slice_of(bytes, 100), 0);
    assert_int_equal(block_append(block, slice_of(bytes, 1), 0, 0), ERR_LIMIT);
    uint32_t frames = 1;
    while (block_append(block, SLICE_NONE, 0, 0) == ERR_OK)
        frames++;
    assert_int_equal(frames, block->frame_capacity);
    block_unref(block);
}

static void test_round_trip(void **state)
{
    (void)state;
    struct block *block = new_block(77, 3, 1ull << 40, BLOCK_BYTES_MAX), *back;
    struct buf stored;
    struct block_position at = {77, 3};
    add(block, SLICE("data: {\"choices\":[]}\n\n"), 0);
    add(block, SLICE_NONE, 0);
    for (int i = 0; i < 200; i++)
        add(block, SLICE("data: {\"choices\":[{\"delta\":{\"content\":\" word\"}}]}\n\n"), 0);
    assert_int_equal(block_append(block, SLICE("back in time"), -5, 0), ERR_OK);
    assert_int_equal(block_append(block, SLICE("goes on"), INT64_MAX, FRAME_MORE), ERR_OK);
    assert_int_equal(encode(&block, 1, &at, &stored), ERR_OK);
    assert_int_equal(at.seq, 77 + 203);
    assert_int_equal(at.part, 1);
    assert_true(stored.size < block->size / 4);
    struct block_summary summary;
    assert_int_equal(block_summarize(buf_slice(&stored), &summary), ERR_OK);
    assert_int_equal(summary.first.seq, 77);
    assert_int_equal(summary.first.part, 3);
    assert_int_equal(summary.next.seq, 77 + 203);
    assert_int_equal(summary.next.part, 1);
    assert_int_equal(summary.frame_count, 204);
    assert_int_equal(summary.bytes, block->size);
    assert_int_equal(block_decode(codec, buf_slice(&stored), &back), ERR_OK);
    assert_same(block, back);
    struct buf none;
    assert_int_equal(encode(&block, 1, &at, &none), ERR_CLOSED);
    block_unref(back);
    block_unref(block);
    buf_deinit(&stored);
}

static void test_little_is_stored_as_it_is(void **state)
{
    (void)state;
    static const uint8_t same[BLOCK_PACKED_BYTES_MIN];
    for (int is_long = 0; is_long < 2; is_long++) {
        size_t size = is_long ? sizeof same : sizeof same / 2;
        struct block *block = new_block(5, 0, 0, BLOCK_CAPACITY_MIN), *back;
        struct block_position at = {5, 0};
        struct buf stored;
        add(block, slice_of(same, size), 0);
        assert_int_equal(encode(&block, 1, &at, &stored), ERR_OK);
        assert_int_equal(stored.data[5], is_long ? 1 : 0);
        assert_int_equal(block_decode(codec, buf_slice(&stored), &back), ERR_OK);
        assert_same(block, back);
        block_unref(back);
        block_unref(block);
        buf_deinit(&stored);
    }
}

/* Every value of a stored block that was cut short or has one bit turned is refused. */
static void test_damage(void **state)
{
    (void)state;
    struct sim_random random = sim_random_new(1);
    uint8_t bytes[120];
    for (int kind = 0; kind < 2; kind++) { /* compressed, raw */
        struct block *block = new_block(5, 0, 0, BLOCK_CAPACITY_MIN), *back;
        struct block_position at = {5, 0};
        struct buf stored;
        for (int i = 0; i < (kind ? 1 : 16); i++)
            add(block, kind ? noise(&random, bytes, 120) : SLICE("the same again and again"), 0);
        assert_int_equal(encode(&block, 1, &at, &stored), ERR_OK);
        assert_int_equal(stored.data[5], kind ? 0 : 1);
        for (size_t size = 0; size < stored.size; size++) {
            uint8_t *cut = malloc(size ? size : 1); /* so that reading past it is seen */
            assert_non_null(cut);
            memcpy(cut, stored.data, size);
            assert_int_equal(block_decode(codec, slice_of(cut, size), &back), ERR_CORRUPT);
            free(cut);
        }
        for (size_t bit = 0; bit < stored.size * 8; bit++) {
            stored.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
            assert_int_equal(block_decode(codec, buf_slice(&stored), &back), ERR_CORRUPT);
            stored.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
        assert_int_equal(block_decode(codec, buf_slice(&stored), &back), ERR_OK);
        assert_same(block, back);
        block_unref(back);
        block_unref(block);
        buf_deinit(&stored);
    }
}

static void put_crc(struct buf *stored)
{
    uint32_t crc = crc32c(0, slice_of(stored->data + 5, stored->size - 5));
    for (int i = 0; i < 4; i++)
        stored->data[1 + i] = (uint8_t)(crc >> (24 - 8 * i));
}

/* The checks behind the checksum: damage whose CRC is right never crashes. */
static void test_damage_with_a_right_checksum(void **state)
{
    (void)state;
    struct sim_random random = sim_random_new(2);
    uint8_t bytes[64];
    struct block *block = new_block(5, 0, 0, BLOCK_CAPACITY_MIN), *back;
    for (int i = 0; i < 6; i++)
        add(block, noise(&random, bytes, 10 + (size_t)i), i == 5 ? FRAME_MORE : 0);
    for (int round = 0; round < 20000; round++) {
        struct block_position at = {5, 0};
        struct buf stored;
        assert_int_equal(encode(&block, 1, &at, &stored), ERR_OK);
        size_t place = 5 + sim_random_below(&random, stored.size - 5);
        stored.data[place] = (uint8_t)sim_random_next(&random);
        if (sim_random_below(&random, 4) == 0)
            stored.size -= sim_random_below(&random, stored.size - 5);
        put_crc(&stored);
        if (block_decode(codec, buf_slice(&stored), &back) == ERR_OK) {
            assert_true(back->frame_count > 0);
            assert_int_equal(back->frames[back->frame_count - 1].end, back->size);
            block_unref(back);
        }
        buf_deinit(&stored);
    }
    block_unref(block);
}

/* A run comes back frame by frame, whatever it was cut into. */
static void assert_stores_whole(struct block *const *blocks, size_t count)
{
    struct block_run run = {.blocks = blocks, .count = count};
    struct block_position at = {blocks[0]->first_seq, blocks[0]->part}, next = at;
    size_t block = 0;
    uint32_t frame = 0;
    uint64_t offset = blocks[0]->first_offset;
    struct buf stored;
    struct block *back;
    buf_init(&stored, BLOCK_STORED_BYTES_MAX);
    while (block_encode(codec, &run, &at, &stored) == ERR_OK) {
        assert_true(stored.size <= BLOCK_STORED_BYTES_MAX);
        assert_int_equal(block_decode(codec, buf_slice(&stored), &back), ERR_OK);
        assert_int_equal(back->first_offset, offset);
        for (uint32_t i = 0; i < back->frame_count; i++, frame++) {
            while (frame == blocks[block]->frame_count)
                block++, frame = 0;
            assert_int_equal(block_seq(back, i), next.seq);
            assert_int_equal(i == 0 ? back->part : 0, next.part);
            assert_true(slice_equal(block_frame(back, i), block_frame(blocks[block], frame)));
            next = block_next(back, i);
        }
        offset += back->size;
        block_unref(back);
        buf_clear(&stored);
    }
    assert_int_equal(next.seq, at.seq);
    assert_int_equal(next.part, at.part);
    assert_int_equal(offset, blocks[count - 1]->first_offset + (uint64_t)blocks[count - 1]->size);
    buf_deinit(&stored);
}

/* Random blocks of random events of random kinds, cut events among them. */
static size_t fill_blocks(struct sim_random *random, struct block **blocks, size_t count)
{
    static uint8_t bytes[FRAME_BYTES_MAX];
    uint64_t seq = sim_random_below(random, 100), offset = seq * 3;
    uint32_t part = 0;
    for (size_t i = 0; i < count; i++) {
        uint32_t capacity = 200 + (uint32_t)sim_random_below(random, BLOCK_BYTES_MAX - 200);
        struct block *block = blocks[i] = new_block(seq, part, offset, capacity);
        size_t scale = (size_t)1 << sim_random_below(random, 15);
        for (;;) {
            size_t size = sim_random_below(random, scale + 1);
            if (size > FRAME_BYTES_MAX)
                size = FRAME_BYTES_MAX;
            bool is_noise = sim_random_below(random, 2);
            struct slice event = noise(random, bytes, is_noise ? size : 0);
            if (!is_noise)
                memset(bytes, 'a', size), event.size = size;
            uint32_t flags = size && sim_random_below(random, 20) == 0 ? FRAME_MORE : 0;
            if (block_append(block, event, (int64_t)sim_random_next(random), flags) != ERR_OK)
                break;
            struct block_position next = block_next(block, block->frame_count - 1);
            seq = next.seq, part = next.part, offset += size;
        }
        if (block->frame_count == 0)
            add(block, SLICE_NONE, 0), seq++, part = 0;
    }
    return count;
}

static void test_random_runs(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 60; seed++) {
        struct sim_random random = sim_random_new(seed);
        struct block *blocks[6];
        size_t count = fill_blocks(&random, blocks, 1 + sim_random_below(&random, 6));
        assert_stores_whole(blocks, count);
        for (size_t i = 0; i < count; i++)
            block_unref(blocks[i]);
    }
}

static void test_incompressible_is_split(void **state)
{
    (void)state;
    struct sim_random random = sim_random_new(3);
    static uint8_t bytes[FRAME_BYTES_MAX];
    struct block *block = new_block(0, 0, 0, BLOCK_BYTES_MAX);
    while (block_append(block, noise(&random, bytes, 700), TIME_NS, 0) == ERR_OK)
        ;
    assert_stores_whole(&block, 1);
    block_unref(block);
    block = new_block(0, 0, 0, BLOCK_BYTES_MAX);
    for (int i = 0; i < 4; i++)
        add(block, noise(&random, bytes, FRAME_BYTES_MAX), 0);
    assert_stores_whole(&block, 1);
    block_unref(block);
}

static void test_positions_in_a_run(void **state)
{
    (void)state;
    struct block *blocks[] = {
        new_block(3, 0, 0, 100), new_block(5, 0, 2, 100), new_block(7, 0, 4, 100)};
    for (int i = 0; i < 3; i++)
        add(blocks[i], SLICE("x"), 0), add(blocks[i], SLICE("y"), 0);
    struct block_position at = {2, 0};
    struct buf stored;
    assert_int_equal(encode(blocks, 3, &at, &stored), ERR_CORRUPT); /* seq 2 is not here */
    at = (struct block_position){4, 1};
    assert_int_equal(encode(blocks, 3, &at, &stored), ERR_CORRUPT); /* nor part 1 of 4 */
    at = (struct block_position){9, 0};
    assert_int_equal(encode(blocks, 3, &at, &stored), ERR_CLOSED);
    at = (struct block_position){6, 0};
    struct block_run run = {.blocks = blocks, .count = 3, .last_frames = 1};
    assert_int_equal(block_run_events(&run), 5);
    assert_int_equal(block_encode(codec, &run, &at, &stored), ERR_OK);
    assert_int_equal(at.seq, 8);
    run.count = 0;
    assert_int_equal(block_encode(codec, &run, &at, &stored), ERR_CLOSED);
    for (int i = 0; i < 3; i++)
        block_unref(blocks[i]);
    buf_deinit(&stored);
}

static void test_plain_bytes(void **state)
{
    (void)state;
    struct sim_random random = sim_random_new(4);
    static uint8_t bytes[100000];
    for (int kind = 0; kind < 2; kind++) {
        struct slice all = noise(&random, bytes, sizeof bytes);
        if (kind)
            memset(bytes, 'z', sizeof bytes);
        struct slice rest = all;
        struct buf stored;
        buf_init(&stored, BLOCK_STORED_BYTES_MAX);
        for (uint32_t part = 0; rest.size; part++) {
            size_t taken;
            struct block *back;
            buf_clear(&stored);
            assert_int_equal(block_encode_bytes(codec, (struct block_position){9, part},
                                 all.size - rest.size, rest, &stored, &taken),
                ERR_OK);
            assert_int_equal(block_decode(codec, buf_slice(&stored), &back), ERR_OK);
            assert_true(slice_equal(block_frame(back, 0), slice_sub(rest, 0, taken)));
            assert_int_equal(back->frames[0].flags, taken < rest.size ? FRAME_MORE : 0);
            assert_int_equal(back->first_offset, all.size - rest.size);
            block_unref(back);
            rest = slice_sub(rest, taken, rest.size);
        }
        buf_deinit(&stored);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_append_and_find),
        cmocka_unit_test(test_a_cut_event_ends_its_block),
        cmocka_unit_test(test_bytes_and_frames_run_out),
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_little_is_stored_as_it_is),
        cmocka_unit_test(test_damage),
        cmocka_unit_test(test_damage_with_a_right_checksum),
        cmocka_unit_test(test_random_runs),
        cmocka_unit_test(test_incompressible_is_split),
        cmocka_unit_test(test_positions_in_a_run),
        cmocka_unit_test(test_plain_bytes),
    };
    return cmocka_run_group_tests(tests, make_codec, free_codec);
}
