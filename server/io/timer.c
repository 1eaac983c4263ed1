/* timer — see timer.h. A parent's deadline is never later than its children's:
 *
 *            1            slots[i]->index == i, always;
 *          ┌─┴─┐          children of i: 2i and 2i + 1
 *          2   3
 *         ┌┴┐ ┌┴┐
 *         4 5 6 7                                                                              */
#include "server/io/timer.h"

#include <sys/mman.h>

static const size_t heap_bytes = (LOOP_TIMERS_MAX + 1) * sizeof(struct timer *);

enum err timer_heap_init(struct timer_heap *heap)
{
    void *slots = mmap(NULL, heap_bytes, PROT_READ | PROT_WRITE,
        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (slots == MAP_FAILED)
        return fault(ERR_NOMEM, "no address space for %d timers", LOOP_TIMERS_MAX);
    *heap = (struct timer_heap){.slots = slots};
    return ERR_OK;
}

void timer_heap_deinit(struct timer_heap *heap)
{
    if (heap->slots)
        (void)munmap(heap->slots, heap_bytes);
    *heap = (struct timer_heap){0};
}

static void place(struct timer_heap *heap, size_t index, struct timer *timer)
{
    heap->slots[index] = timer;
    timer->index = index;
}

static void sift_up(struct timer_heap *heap, size_t index, struct timer *timer)
{
    while (index > 1 && heap->slots[index / 2]->deadline_ns > timer->deadline_ns) {
        place(heap, index, heap->slots[index / 2]);
        index /= 2;
    }
    place(heap, index, timer);
}

static void sift_down(struct timer_heap *heap, size_t index, struct timer *timer)
{
    for (;;) {
        size_t child = 2 * index;
        if (child > heap->count)
            break;
        if (child < heap->count &&
            heap->slots[child + 1]->deadline_ns < heap->slots[child]->deadline_ns)
            child++;
        if (heap->slots[child]->deadline_ns >= timer->deadline_ns)
            break;
        place(heap, index, heap->slots[child]);
        index = child;
    }
    place(heap, index, timer);
}

/* Puts `timer` at `index`, whose occupant has gone, and mends the order in both directions. */
static void settle(struct timer_heap *heap, size_t index, struct timer *timer)
{
    sift_up(heap, index, timer);
    sift_down(heap, timer->index, timer);
}

void timer_heap_set(struct timer_heap *heap, struct timer *timer, int64_t deadline_ns)
{
    ASSERT(timer->fire);
    timer->deadline_ns = deadline_ns;
    if (timer->index == 0) {
        ASSERT(heap->count < LOOP_TIMERS_MAX);
        sift_up(heap, ++heap->count, timer);
        return;
    }
    ASSERT(heap->slots[timer->index] == timer);
    settle(heap, timer->index, timer);
}

void timer_heap_remove(struct timer_heap *heap, struct timer *timer)
{
    if (timer->index == 0)
        return;
    ASSERT(timer->index <= heap->count && heap->slots[timer->index] == timer);
    size_t hole = timer->index;
    struct timer *last = heap->slots[heap->count--];
    timer->index = 0;
    if (last != timer)
        settle(heap, hole, last);
}

struct timer *timer_heap_first(const struct timer_heap *heap)
{
    return heap->count ? heap->slots[1] : NULL;
}
