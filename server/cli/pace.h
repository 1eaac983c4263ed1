/* pace — when an event of a recording is due, at a factor of the speed at which it came.
 *
 *   thread  any; the state is the struct */
#ifndef TOKENLOG_SERVER_CLI_PACE_H
#define TOKENLOG_SERVER_CLI_PACE_H

#include "protocol/base/slice.h"

struct pace {
    uint64_t speed_thousandths; /* 0: at once */
    bool has_begun;
    int64_t start_ns, first_ns; /* monotonic; of the recording's first event */
};

/* pace_init — "1", "10", "0.25": up to 1,000,000, three decimals.  answers ERR_INVALID */
enum err pace_init(struct pace *pace, struct slice speed) NODISCARD;
/* pace_wait_ms — how long from `now_ns` until the event of `time_ns` is due; the first one is due at
 * once, as is what is late or whose clock went back. */
int64_t pace_wait_ms(struct pace *pace, int64_t time_ns, int64_t now_ns);
int64_t pace_now_ns(void); /* monotonic */
/* pace_sleep — false: SIGINT or SIGTERM came. Also where they are blocked, as by client.h. */
bool pace_sleep(int64_t duration_ms);

#endif
