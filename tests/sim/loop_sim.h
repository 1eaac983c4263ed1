/* loop_sim — server/io/loop.h without a ring: timers under a clock that only the simulation moves.
 * Picked by linking; what the streams layer does not use of a loop is not here.               */
#ifndef TOKENLOG_TESTS_SIM_LOOP_SIM_H
#define TOKENLOG_TESTS_SIM_LOOP_SIM_H

#include "server/io/loop.h"

struct loop *sim_loop_new(void);
struct loop *sim_loop_free(struct loop *loop);
/* sim_loop_advance — time passes, and what was due fires, in the order of deadlines. */
void sim_loop_advance(struct loop *loop, int64_t by_ns);

#endif
