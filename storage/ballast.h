/* ballast — a file that is there to be removed: on a full disk, deleting needs some space first.
 *
 *   thread  the archiver's                                                                      */
#ifndef TOKENLOG_STORAGE_BALLAST_H
#define TOKENLOG_STORAGE_BALLAST_H

#include <stdbool.h>
#include <stdint.h>

#include "protocol/base/err.h"

struct ballast {
    char *path; /* NULL: none is kept */
    bool is_held;
    int64_t next_ns; /* monotonic: when to try again to make it */
};

/* ballast_init — DIR/ballast; `directory` NULL: keep none. faults ERR_NOMEM */
enum err ballast_init(struct ballast *ballast, const char *directory) NODISCARD;
void ballast_deinit(struct ballast *ballast); /* the file stays */
/* ballast_hold — make it where BALLAST_ROOM_FACTOR times its size is free; tried at most every
 * BALLAST_RETRY_NS. */
void ballast_hold(struct ballast *ballast, int64_t now_ns);
/* ballast_drop — give its space back. */
void ballast_drop(struct ballast *ballast, int64_t now_ns);

#endif
