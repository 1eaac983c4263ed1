/* block_cache — what is found and what is not, the bound, blocks that cover others, forgetting, and
 * many threads at once. */
#include "storage/block_cache.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <pthread.h>

enum { BLOCK_BYTES = 1000 };

static struct block_cache *cache_of(uint64_t bytes_max)
{
    struct block_cache *cache;
    assert_int_equal(block_cache_new(bytes_max, &cache), ERR_OK);
    return cache;
}

/* `count` events of one byte each from `seq` on; the last goes on in the next block if `has_more`. */
static struct block *block_of(uint64_t seq, uint32_t part, uint32_t count, bool has_more)
{
    struct block *block;
    assert_int_equal(block_new(seq, part, 0, BLOCK_BYTES, &block), ERR_OK);
    for (uint32_t i = 0; i < count; i++) {
        bool is_cut = has_more && i + 1 == count;
        assert_int_equal(block_append(block, SLICE("x"), 1, is_cut ? FRAME_MORE : 0), ERR_OK);
    }
    return block;
}

static void put(struct block_cache *cache, uint64_t number, struct block *block)
{
    block_cache_put(cache, BLOCK_STORED, number, block);
    block_unref(block);
}

/* The first seq and part of the block that is found; -1: none is. */
static int found(struct block_cache *cache, uint64_t number, uint64_t seq, uint32_t part)
{
    struct block *block =
        block_cache_find(cache, BLOCK_STORED, number, (struct block_position){seq, part});
    if (!block)
        return -1;
    assert_true(block_holds(block, (struct block_position){seq, part}));
    int first = (int)block->first_seq * 100 + (int)block->part;
    block_unref(block);
    return first;
}

static void test_places(void **state)
{
    (void)state;
    struct block_cache *cache = cache_of(1 << 20);
    assert_int_equal(found(cache, 7, 0, 0), -1);
    put(cache, 7, block_of(0, 0, 5, true));  /* 0…4, 4 is cut */
    put(cache, 7, block_of(4, 2, 3, false)); /* the end of 4, 5, 6 */
    put(cache, 7, block_of(10, 0, 10, false));
    put(cache, 8, block_of(7, 0, 1, false));
    assert_int_equal(found(cache, 7, 0, 0), 0);
    assert_int_equal(found(cache, 7, 4, 0), 0);
    assert_int_equal(found(cache, 7, 4, 1), -1);
    assert_int_equal(found(cache, 7, 4, 2), 402);
    assert_int_equal(found(cache, 7, 6, 0), 402);
    assert_int_equal(found(cache, 7, 7, 0), -1);
    assert_int_equal(found(cache, 7, 19, 0), 1000);
    assert_int_equal(found(cache, 7, 20, 0), -1);
    assert_int_equal(found(cache, 8, 7, 0), 700);
    struct block_cache_status status;
    block_cache_status(cache, &status);
    assert_int_equal(status.blocks, 4);
    assert_int_equal(status.hits, 6);
    assert_int_equal(status.misses, 4);
    block_cache_free(cache);
}

static void test_a_larger_block_takes_the_place_of_smaller_ones(void **state)
{
    (void)state;
    struct block_cache *cache = cache_of(1 << 20);
    for (uint64_t seq = 0; seq < 30; seq += 3)
        put(cache, 1, block_of(seq, 0, 3, false));
    put(cache, 1, block_of(6, 0, 9, false)); /* 6…14 */
    struct block_cache_status status;
    block_cache_status(cache, &status);
    assert_int_equal(status.blocks, 8);
    assert_int_equal(found(cache, 1, 5, 0), 300);
    assert_int_equal(found(cache, 1, 6, 0), 600);
    assert_int_equal(found(cache, 1, 14, 0), 600);
    assert_int_equal(found(cache, 1, 15, 0), 1500);
    put(cache, 1, block_of(6, 0, 9, false)); /* the same again */
    block_cache_status(cache, &status);
    assert_int_equal(status.blocks, 8);
    block_cache_free(cache);
}

static void test_the_bound(void **state)
{
    (void)state;
    struct block *held = block_of(0, 0, 1, false);
    struct block_cache *cache = cache_of(10000);
    struct block_cache_status status;
    block_cache_put(cache, BLOCK_STORED, 0, held);
    uint64_t most = 0;
    for (uint64_t number = 1; number < 50; number++) {
        put(cache, number, block_of(0, 0, 3, false));
        assert_int_equal(found(cache, 1, 0, 0), 0); /* what is asked for stays */
        block_cache_status(cache, &status);
        assert_true(status.bytes <= 10000);
        most = status.blocks > most ? status.blocks : most;
    }
    assert_in_range(most, 3, 9);
    assert_int_equal(found(cache, 0, 0, 0), -1);
    assert_int_equal(found(cache, 2, 0, 0), -1);
    assert_int_equal(found(cache, 49, 0, 0), 0);
    assert_true(slice_equal(block_frame(held, 0), SLICE("x"))); /* ours */
    block_unref(held);
    block_cache_free(cache);
    cache = cache_of(0);
    put(cache, 1, block_of(0, 0, 1, false));
    assert_int_equal(found(cache, 1, 0, 0), -1);
    block_cache_free(cache);
    assert_int_equal(found(NULL, 1, 0, 0), -1);
}

/* What was made of a block lies beside it. */
static void test_kinds(void **state)
{
    (void)state;
    struct block_cache *cache = cache_of(1 << 20);
    struct block *stored = block_of(5, 2, 3, true), *derived;
    assert_int_equal(block_derive(stored, 100, &derived), ERR_OK);
    memcpy(block_tip(derived), "other bytes", 11);
    block_put(derived, stored, 11);
    block_put(derived, stored, 0);
    assert_true(slice_equal(block_frame(derived, 0), SLICE("other bytes")));
    put(cache, 1, stored);
    block_cache_put(cache, BLOCK_DERIVED, 1, derived);
    block_cache_put(cache, BLOCK_DERIVED, 2, derived);
    struct block *found_one =
        block_cache_find(cache, BLOCK_DERIVED, 1, (struct block_position){5, 2});
    assert_ptr_equal(found_one, derived);
    block_unref(found_one);
    assert_int_equal(found(cache, 1, 6, 0), 502);
    assert_int_equal(found(cache, 2, 6, 0), -1);
    block_cache_forget(cache, 1);
    assert_null(block_cache_find(cache, BLOCK_DERIVED, 1, (struct block_position){5, 2}));
    assert_int_equal(found(cache, 1, 6, 0), -1);
    found_one = block_cache_find(cache, BLOCK_DERIVED, 2, (struct block_position){6, 0});
    assert_ptr_equal(found_one, derived);
    block_unref(found_one);
    block_unref(derived);
    block_cache_free(cache);
}

static void test_a_deleted_stream_is_forgotten(void **state)
{
    (void)state;
    struct block_cache *cache = cache_of(1 << 20);
    put(cache, 1, block_of(0, 0, 3, false));
    put(cache, 1, block_of(3, 0, 3, false));
    put(cache, 2, block_of(0, 0, 3, false));
    block_cache_forget(cache, 1);
    block_cache_forget(cache, 1); /* a deletion takes several steps */
    assert_int_equal(found(cache, 1, 0, 0), -1);
    assert_int_equal(found(cache, 1, 4, 0), -1);
    assert_int_equal(found(cache, 2, 0, 0), 0);
    put(cache, 1, block_of(0, 0, 3, false)); /* a read that began before */
    assert_int_equal(found(cache, 1, 0, 0), -1);
    struct block_cache_status status;
    block_cache_status(cache, &status);
    assert_int_equal(status.blocks, 1);
    block_cache_free(cache);
}

static void *use(void *argument)
{
    struct block_cache *cache = argument;
    for (unsigned i = 0; i < 2000; i++) {
        uint64_t number = i * 7919 % 13;
        put(cache, number, block_of(i % 5 * 3, 0, 3 + i % 4, false));
        struct block *block = block_cache_find(
            cache, BLOCK_STORED, (number + i) % 13, (struct block_position){i % 17, 0});
        if (block) {
            assert_int_equal(block->bytes[0], 'x');
            block_unref(block);
        }
        if (i % 97 == 0)
            block_cache_forget(cache, 1000 + number);
    }
    return NULL;
}

static void test_threads(void **state)
{
    (void)state;
    struct block_cache *cache = cache_of(20000);
    pthread_t threads[4];
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, use, cache), 0);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    struct block_cache_status status;
    block_cache_status(cache, &status);
    assert_true(status.bytes <= 20000);
    block_cache_free(cache);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_places),
        cmocka_unit_test(test_a_larger_block_takes_the_place_of_smaller_ones),
        cmocka_unit_test(test_the_bound),
        cmocka_unit_test(test_kinds),
        cmocka_unit_test(test_a_deleted_stream_is_forgotten),
        cmocka_unit_test(test_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
