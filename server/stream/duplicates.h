/* duplicates — requests without a key that are sent again, since their answer was cut off: found by their
 * fingerprint, so that the second is answered from the recording of the first.
 *
 *   a generation begins ─▶ noted ─▶ its first caller goes before it has all of it ─▶ dropped
 *                                       │                                                │
 *   the same request comes:   asks anew, unless it says                      attaches, however many come,
 *                             itself that it is a retry                      and whoever else reads it
 *
 * It attaches to a generation that goes on, or that has completed, for the project's attach_duplicates
 * seconds after its end, or after the last caller who went without all of it. Of what failed, was stopped
 * or interrupted, nothing is replayed. Who has got all of an answer and asks again gets another one.
 *
 * At most DUPLICATES_MAX are known, each with its stream in memory; then the oldest is forgotten, and its
 * duplicate pays again. None outlives the process.
 *
 *   thread  loop                                                                                    */
#ifndef TOKENLOG_SERVER_STREAM_DUPLICATES_H
#define TOKENLOG_SERVER_STREAM_DUPLICATES_H

#include "server/stream/hub.h"

/* duplicates_note — a generation without a key that begins; nothing, where its project does not want it.
 * duplicates_left — a caller of it is gone without all of its answer: the first, or one who attached. */
void duplicates_note(struct stream *stream);
void duplicates_left(struct stream *stream, bool is_first);
/* duplicates_find — the stream that a request is to be answered from, a reference; NULL: none.
 * `is_retry`: the request says of itself that it was sent before. */
struct stream *duplicates_find(
    struct hub *hub, struct project *project, struct slice fingerprint, bool is_retry);

/* For hub.c: all that is known, with references that are given back by duplicates_clear. */
struct duplicates {
    struct map by_fingerprint;
    struct list order; /* the front is looked at next */
    size_t count;
};
void duplicates_init(struct duplicates *duplicates);
void duplicates_clear(struct duplicates *duplicates);
void duplicates_deinit(struct duplicates *duplicates);

#endif
