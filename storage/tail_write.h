/* tail_write — what a stream's producer gives, and its way into the journal. tail_append and its
 * kin are in storage.h.
 *
 *   thread  the loop's                                                                          */
#ifndef TOKENLOG_STORAGE_TAIL_WRITE_H
#define TOKENLOG_STORAGE_TAIL_WRITE_H

#include "storage/tail.h"

/* tails_write — journal what waits, an event or a piece of a body of each tail in turn, as far as
 * the share and the room go. No event is begun while another is in the middle: so none of those
 * that hold a part of the journal ever waits for room that the others hold. */
void tails_write(struct tails *tails);
/* tail_create — a new stream's first row and body. Answers as storage_create. */
enum err tail_create(
    struct tails *tails, const struct row *row, struct slice body, struct tail **out) NODISCARD;
/* tail_forward — journal the row again, so that it lies in a young stretch.
 *   answers ERR_AGAIN not now · ERR_FULL */
enum err tail_forward(struct tail *tail) NODISCARD;
void tail_drop_queued_body(struct tail *tail);

#endif
