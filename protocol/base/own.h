/* own — destructors on scope exit: `CLEANUP(buf_deinit) struct buf text;` and
 * `return MOVE(pointer);`. */
#ifndef TOKENLOG_PROTOCOL_BASE_OWN_H
#define TOKENLOG_PROTOCOL_BASE_OWN_H

#include <stdlib.h>
#include <unistd.h>

#define CLEANUP(function) __attribute__((cleanup(function)))
/* MOVE — the value of a local pointer that gives up what it owns. */
#define MOVE(pointer)                                                                              \
    ({                                                                                             \
        __auto_type moved_ = (pointer);                                                            \
        (pointer) = NULL;                                                                          \
        moved_;                                                                                    \
    })

static inline void cleanup_free(void *pointer)
{
    free(*(void **)pointer);
}

static inline void cleanup_close(int *fd)
{
    if (*fd >= 0)
        (void)close(*fd);
}

#endif
