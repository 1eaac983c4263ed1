/* suspect — streams in which a reader has met what it could not read: a short list from the reader
 * threads to the archiver, which looks, and marks what is damaged as the scrubber does.
 *
 *   thread  any                                                                                */
#ifndef TOKENLOG_STORAGE_SUSPECT_H
#define TOKENLOG_STORAGE_SUSPECT_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    SUSPECTS_MAX = 64, /* waiting, or looked at last; what finds no place comes with a next read */
};

struct suspect {
    uint32_t project;
    uint64_t number; /* of the stream */
};

struct suspects {
    pthread_mutex_t lock; /* of what follows */
    struct suspect ring[SUSPECTS_MAX];
    size_t added,
        taken; /* counted; the ring keeps those that were taken until they are written over */
};

void suspects_init(struct suspects *suspects);
void suspects_deinit(struct suspects *suspects);
/* suspects_add — false: it is known, or too many wait.  suspects_take — false: none waits. */
bool suspects_add(struct suspects *suspects, const struct suspect *suspect);
bool suspects_take(struct suspects *suspects, struct suspect *out);

#endif
