/* upstream_warm — have libcurl read the system's certificates now, not while the first caller waits: it takes 30–50 ms on
 * the loop (facts: 145 certificates), and is kept for all later connections.
 *
 *   thread  the loop's */
#ifndef TOKENLOG_SERVER_IO_UPSTREAM_WARM_H
#define TOKENLOG_SERVER_IO_UPSTREAM_WARM_H

#include "server/io/upstream.h"

/* upstreams_warm — begins in the next turn, ends by itself. What goes wrong costs the first caller those
 * milliseconds and nothing else, so nothing is answered. */
void upstreams_warm(struct upstreams *upstreams);

#endif
