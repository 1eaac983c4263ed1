/* timer — the heap's order through any mix of set, move and cancel. */
#include "server/io/timer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { TIMER_COUNT = 200, ROUNDS = 2000 };

static void ignore(struct timer *timer)
{
    (void)timer;
}

static uint32_t next_random(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u; /* Numerical Recipes; any fixed sequence will do */
    return *state >> 8;
}

static size_t check_order(struct timer_heap *heap)
{
    int64_t last_ns = INT64_MIN;
    size_t count = 0;
    struct timer *first;
    while ((first = timer_heap_first(heap))) {
        assert_true(first->deadline_ns >= last_ns);
        last_ns = first->deadline_ns;
        timer_heap_remove(heap, first);
        assert_int_equal(first->index, 0);
        count++;
    }
    return count;
}

static void test_order(void **state)
{
    (void)state;
    struct timer_heap heap;
    struct timer timers[TIMER_COUNT] = {0};
    uint32_t seed = 1;
    assert_int_equal(timer_heap_init(&heap), ERR_OK);
    assert_null(timer_heap_first(&heap));
    for (int round = 0; round < ROUNDS; round++) {
        struct timer *timer = &timers[next_random(&seed) % TIMER_COUNT];
        timer->fire = ignore;
        if (next_random(&seed) % 3 == 0)
            timer_heap_remove(&heap, timer);
        else
            timer_heap_set(&heap, timer, (int64_t)(next_random(&seed) % 100));
    }
    size_t set = 0;
    for (size_t i = 0; i < TIMER_COUNT; i++)
        set += timers[i].index != 0;
    assert_int_equal(heap.count, set);
    assert_int_equal(check_order(&heap), set);
    timer_heap_deinit(&heap);
}

static void test_move(void **state)
{
    (void)state;
    struct timer_heap heap;
    struct timer a = {.fire = ignore}, b = {.fire = ignore};
    assert_int_equal(timer_heap_init(&heap), ERR_OK);
    timer_heap_set(&heap, &a, 10);
    timer_heap_set(&heap, &b, 20);
    assert_ptr_equal(timer_heap_first(&heap), &a);
    timer_heap_set(&heap, &a, 30);
    assert_ptr_equal(timer_heap_first(&heap), &b);
    timer_heap_remove(&heap, &b);
    timer_heap_remove(&heap, &b); /* not set: nothing happens */
    assert_ptr_equal(timer_heap_first(&heap), &a);
    timer_heap_deinit(&heap);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_move),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
