/* create — what PUT knows of the stream that is to be; shared by create.c (the name and the stream) and
 * fork.c (its source).
 *
 *   thread  loop */
#ifndef TOKENLOG_SERVER_DURABLE_CREATE_H
#define TOKENLOG_SERVER_DURABLE_CREATE_H

#include "server/durable/call.h"
#include "server/durable/course.h"

struct creation {
    struct call call; /* call.stream: what has the name, or is created */
    struct slice content_type;
    bool closes;
    bool has_ttl;
    uint64_t ttl_s;
    int64_t expires_ns; /* 0: not asked for */
    struct buf joined;  /* the body as an event, of messages */
    /* A fork. */
    struct slice source_name; /* as it was sent; empty: it is none */
    struct buf source_key;
    bool has_fork_at;
    uint64_t fork_at, sub_offset;
    struct stream *source;  /* a reference; NULL: there is none of this name */
    struct course *course;  /* while the prefix is read */
    struct buf prefix;      /* what the sub-offset takes of the event behind the fork */
    bool has_prefix_failed; /* there is not so much of it */
    /* The attempt of the key. */
    uint32_t attempt;
    struct id previous;
    int tries;
};

/* fork_read_fields — Stream-Forked-From and its companions. False: answered.
 * fork_find_source — `next` once the source, and the prefix, are there or known not to be.
 * fork_check — the source is as it must be now: call once the name is known to be free, and act in the
 *   same turn. False: answered. */
bool fork_read_fields(struct creation *creation) NODISCARD;
void fork_find_source(struct creation *creation, void (*next)(struct call *call));
bool fork_check(struct creation *creation, const struct writer_state *source) NODISCARD;
bool creation_is_fork(const struct creation *creation);

#endif
