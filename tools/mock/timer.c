/* timer — a 4-ary heap in an array: the children of i are 4i + 1 … 4i + 4, and no child is due
 * before its parent. Invariant: entries[i].timer->place == i + 1. */
#include "tools/mock/timer.h"

#include <stdlib.h>

enum { ARITY = 4, CAPACITY_MIN = 64 };

struct timer_entry {
    int64_t due_ns;
    struct timer *timer;
};

static void put(struct timers *timers, size_t index, struct timer_entry entry)
{
    timers->entries[index] = entry;
    entry.timer->place = index + 1;
}

static void sift_up(struct timers *timers, size_t index, struct timer_entry entry)
{
    while (index > 0) {
        size_t parent = (index - 1) / ARITY;
        if (timers->entries[parent].due_ns <= entry.due_ns)
            break;
        put(timers, index, timers->entries[parent]);
        index = parent;
    }
    put(timers, index, entry);
}

static size_t earliest_child(const struct timers *timers, size_t first)
{
    size_t best = first;
    for (size_t i = first + 1; i < first + ARITY && i < timers->count; i++)
        if (timers->entries[i].due_ns < timers->entries[best].due_ns)
            best = i;
    return best;
}

static void sift_down(struct timers *timers, size_t index, struct timer_entry entry)
{
    for (;;) {
        size_t first = ARITY * index + 1;
        if (first >= timers->count)
            break;
        size_t child = earliest_child(timers, first);
        if (timers->entries[child].due_ns >= entry.due_ns)
            break;
        put(timers, index, timers->entries[child]);
        index = child;
    }
    put(timers, index, entry);
}

/* The entry belongs somewhere near `index`, whose present content may be overwritten. */
static void settle(struct timers *timers, size_t index, struct timer_entry entry)
{
    if (index > 0 && timers->entries[(index - 1) / ARITY].due_ns > entry.due_ns)
        sift_up(timers, index, entry);
    else
        sift_down(timers, index, entry);
}

void timers_init(struct timers *timers)
{
    *timers = (struct timers){0};
}

void timers_deinit(struct timers *timers)
{
    free(timers->entries);
    timers_init(timers);
}

static enum err grow(struct timers *timers)
{
    size_t capacity = timers->capacity ? 2 * timers->capacity : CAPACITY_MIN;
    struct timer_entry *entries = realloc(timers->entries, capacity * sizeof *entries);
    if (!entries)
        return fault(ERR_NOMEM, "%zu timers", capacity);
    timers->entries = entries;
    timers->capacity = capacity;
    return ERR_OK;
}

enum err timers_set(struct timers *timers, struct timer *timer, int64_t due_ns)
{
    struct timer_entry entry = {due_ns, timer};
    if (timer->place) {
        settle(timers, timer->place - 1, entry);
        return ERR_OK;
    }
    if (timers->count == timers->capacity)
        TRY(grow(timers));
    timers->count++;
    sift_up(timers, timers->count - 1, entry);
    return ERR_OK;
}

void timers_cancel(struct timers *timers, struct timer *timer)
{
    if (!timer->place)
        return;
    size_t index = timer->place - 1;
    ASSERT(index < timers->count && timers->entries[index].timer == timer);
    timer->place = 0;
    timers->count--;
    if (index < timers->count)
        settle(timers, index, timers->entries[timers->count]);
}

int64_t timers_next_ns(const struct timers *timers)
{
    return timers->count ? timers->entries[0].due_ns : INT64_MAX;
}

struct timer *timers_pop(struct timers *timers, int64_t now_ns)
{
    if (!timers->count || timers->entries[0].due_ns > now_ns)
        return NULL;
    struct timer *timer = timers->entries[0].timer;
    timers_cancel(timers, timer);
    return timer;
}
