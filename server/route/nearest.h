/* nearest — names that another is probably a slip of.
 *
 *   thread  any; pure */
#ifndef TOKENLOG_SERVER_ROUTE_NEAREST_H
#define TOKENLOG_SERVER_ROUTE_NEAREST_H

#include "protocol/base/slice.h"

enum {
    NEAREST_COUNT = 3,       /* so many are shown */
    NEAREST_DISTANCE_MAX = 3 /* letters added, left out or changed, in all */
};

struct nearest {
    struct slice wanted; /* cut to what can be compared */
    const char *names[NEAREST_COUNT];
    unsigned distances[NEAREST_COUNT];
    size_t count; /* the nearest first */
};

void nearest_init(struct nearest *nearest, struct slice wanted);
/* nearest_offer — keeps the name if it is near, and nearer than those that are kept. It is borrowed.
 * O(length × length), and less for names of another length. Case does not count. */
void nearest_offer(struct nearest *nearest, const char *name);
/* nearest_print — "did you mean a, b or c?", appended; nothing if there is none. */
enum err nearest_print(const struct nearest *nearest, struct buf *out) NODISCARD;

#endif
