#include "tests/sim/loop_sim.h"

#include <stdlib.h>

struct loop {
    int64_t now_ns;
    uint64_t random;       /* the same in each run */
    struct timer **timers; /* in no order; a timer's index is its place + 1 */
    size_t count, capacity;
};

/* 14 November 2023, so that IDs and times look like what they are. */
static const int64_t WALL_START_NS = 1700000000ll * 1000000000;

struct loop *sim_loop_new(void)
{
    struct loop *loop = calloc(1, sizeof *loop);
    ASSERT(loop);
    loop->now_ns = 1000000000;
    return loop;
}

struct loop *sim_loop_free(struct loop *loop)
{
    free(loop->timers);
    free(loop);
    return NULL;
}

int64_t loop_now_ns(const struct loop *loop)
{
    return loop->now_ns;
}

int64_t loop_wall_ns(const struct loop *loop)
{
    return WALL_START_NS + loop->now_ns;
}

void loop_random(struct loop *loop, void *out, size_t size)
{
    uint8_t *bytes = out;
    for (size_t i = 0; i < size; i++) {
        loop->random = loop->random * 6364136223846793005u + 1442695040888963407u;
        bytes[i] = (uint8_t)(loop->random >> 56);
    }
}

void timer_set(struct loop *loop, struct timer *timer, int64_t deadline_ns)
{
    timer->deadline_ns = deadline_ns;
    if (timer->index)
        return;
    if (loop->count == loop->capacity) {
        loop->capacity = loop->capacity ? loop->capacity * 2 : 16;
        loop->timers = realloc(loop->timers, loop->capacity * sizeof(struct timer *));
        ASSERT(loop->timers);
    }
    loop->timers[loop->count++] = timer;
    timer->index = loop->count;
}

void timer_cancel(struct loop *loop, struct timer *timer)
{
    if (timer->index == 0)
        return;
    ASSERT(loop->timers[timer->index - 1] == timer);
    struct timer *last = loop->timers[--loop->count];
    loop->timers[timer->index - 1] = last;
    last->index = timer->index;
    timer->index = 0;
}

static struct timer *next_due(const struct loop *loop)
{
    struct timer *due = NULL;
    for (size_t i = 0; i < loop->count; i++) {
        struct timer *timer = loop->timers[i];
        if (timer->deadline_ns <= loop->now_ns && (!due || timer->deadline_ns < due->deadline_ns))
            due = timer;
    }
    return due;
}

void sim_loop_advance(struct loop *loop, int64_t by_ns)
{
    loop->now_ns += by_ns;
    for (struct timer *timer; (timer = next_due(loop));) {
        timer_cancel(loop, timer);
        timer->fire(timer);
    }
}
