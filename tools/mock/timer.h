/* timer — due times in a 4-ary heap: set, moved and cancelled in O(log n); the keys lie in the heap
 * itself, so that sifting touches no timer but those it moves.
 *
 *   thread  the loop's */
#ifndef TOKENLOG_TOOLS_MOCK_TIMER_H
#define TOKENLOG_TOOLS_MOCK_TIMER_H

#include <stddef.h>
#include <stdint.h>

#include "protocol/base/err.h"

struct timer {
    size_t place; /* 1 + its index in the heap; 0 when not set */
};

struct timers {
    struct timer_entry *entries;
    size_t count;
    size_t capacity;
};

void timers_init(struct timers *timers);
void timers_deinit(struct timers *timers);
/* timers_set — due at `due_ns`, wherever it was before. faults ERR_NOMEM */
enum err timers_set(struct timers *timers, struct timer *timer, int64_t due_ns) NODISCARD;
void timers_cancel(struct timers *timers, struct timer *timer);
/* timers_next_ns — when the earliest is due; INT64_MAX when none is set. */
int64_t timers_next_ns(const struct timers *timers);
/* timers_pop — the earliest timer that is due by `now_ns`, no longer set; NULL when none is. */
struct timer *timers_pop(struct timers *timers, int64_t now_ns);

#endif
