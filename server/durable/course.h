/* course — a reading of a client's stream from some place on, through what it was forked from: frame by
 * frame, as if all of it were its own.
 *
 *   source     e0 e1 e2 e3 e4 …          offsets are the same in both
 *                    │ inherited = 3
 *   fork             └──▶ f0 f1 f2       e0 e1 e2 f0 f1 f2
 *
 * What is visible is read and then ERR_CLOSED answered; more may come later, and course_park wakes then.
 *
 *   thread  loop */
#ifndef TOKENLOG_SERVER_DURABLE_COURSE_H
#define TOKENLOG_SERVER_DURABLE_COURSE_H

#include "server/stream/reader.h"

struct course;

/* course_new — takes over the reference, of a stream whose row is visible. `at` ≤ entry_tail_visible.
 *   wake    after ERR_AGAIN, or when parked; from the loop, never from inside a call
 *   faults  ERR_NOMEM (the reference stays the caller's)
 * course_close — at any time; NULL is taken; returns NULL. */
enum err course_new(struct stream *stream, uint64_t at, void (*wake)(void *context), void *context,
    struct course **out) NODISCARD;
struct course *course_close(struct course *course);
struct stream *course_stream(const struct course *course);
uint64_t course_at(const struct course *course); /* events before the next one */

/* course_peek — the next frame, borrowed until it is taken; *is_last: an event ends with it.
 *   answers  ERR_AGAIN the store is being read: `wake` comes · ERR_CLOSED that is all for now ·
 *            ERR_NOTFOUND a source is gone (deleted by an operator, or damaged) · ERR_FULL, ERR_LIMIT
 *            and faults as reader_peek's
 * course_take — it was used.
 * course_park — `wake` once when more is visible, or the stream's row has changed. */
enum err course_peek(struct course *course, struct slice *bytes, bool *is_last) NODISCARD;
void course_take(struct course *course);
void course_park(struct course *course);

#endif
