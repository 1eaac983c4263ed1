/* timer — the loop's deadlines: a binary heap of pointers to timers that live in their owners.
 *
 * Its array is address space reserved at the start, of which only what is used gets pages: setting
 * a timer never allocates and so cannot fail. Equal deadlines fire in no particular order.
 *
 *   thread  the loop's */
#ifndef TOKENLOG_SERVER_IO_TIMER_H
#define TOKENLOG_SERVER_IO_TIMER_H

#include "server/io/loop.h"

struct timer_heap {
    struct timer **slots; /* 1-based: slots[0] is not used */
    size_t count;
};

enum err timer_heap_init(struct timer_heap *heap) NODISCARD; /* faults ERR_NOMEM */
void timer_heap_deinit(struct timer_heap *heap);             /* also one that is all zeros */
void timer_heap_set(struct timer_heap *heap, struct timer *timer, int64_t deadline_ns);
void timer_heap_remove(struct timer_heap *heap, struct timer *timer);
struct timer *timer_heap_first(const struct timer_heap *heap); /* NULL: empty */

#endif
