/* load — whether a loop's thread has more to do than it should: the share of the time in which it ran, or
 * waited for a processor.
 *
 *   │◀─ window ─▶│◀─ window ─▶│     asked in this one: what was in the one before
 *    ran + waited   …
 *
 * What goes to another thread has to cross over, there and back: that pays only once this one is busy.
 *
 *   thread  loop
 *   source  Documentation/scheduler/sched-stats.rst: /proc/PID/task/TID/schedstat */
#ifndef TOKENLOG_SERVER_IO_LOAD_H
#define TOKENLOG_SERVER_IO_LOAD_H

#include "server/io/loop.h"

struct load {
    struct loop *loop;
    int64_t high_percent;
    int file; /* -1: without it, the time that the thread ran */
    int64_t from_ns, wanted_ns;
    bool is_high;
};

/* load_init — of the calling thread, which runs `loop`. 0 percent: always high. load_deinit — also of
 * zeros. */
void load_init(struct load *load, struct loop *loop, int64_t high_percent);
void load_deinit(struct load *load);
/* load_is_high — looked at again once a window is over, which may be long if nobody asks. */
bool load_is_high(struct load *load);

#endif
