/* cursor — from where on the rest of a response is asked for, of a provider that keeps it, and what it then
 * says again although it was taken before. Embed it.
 *
 *     taken    e0   e1   e2*  e3   e4        * has a cursor (struct dialect_again)
 *     asked                └──────── what comes behind e2
 *     comes                     e3   e4   e5 …
 *     cursor_check              came before  new
 *
 * Where events are numbered, what came before is known by its number; else it is what was taken behind the
 * last cursor, byte for byte: so many hashes are kept.
 *
 *   thread  loop */
#ifndef TOKENLOG_SERVER_STREAM_CURSOR_H
#define TOKENLOG_SERVER_STREAM_CURSOR_H

#include "protocol/dialect/dialect.h"
#include "server/stream/bounds.h"

struct cursor {
    const struct dialect_again *again;
    struct buf last;
    uint64_t since[CURSOR_SINCE_MAX]; /* what was taken behind it, by hashes… */
    size_t since_count;               /* …may be more than that */
    size_t repeated;                  /* of those: they came again */
    bool may_repeat;                  /* what comes begins with what came before */
};

void cursor_init(struct cursor *cursor, const struct dialect_again *again);
void cursor_deinit(struct cursor *cursor);
/* cursor_take — the event was taken. False: it was a comment, and says nothing. cursor_is_known — where to go on is: not if there is no number, or too
 * much was taken behind the last cursor. */
bool cursor_take(struct cursor *cursor, struct slice event);
bool cursor_is_known(const struct cursor *cursor);
/* cursor_last — as the provider has it; empty: no event that was taken has one.
 * cursor_query — what stands behind the response's ID to ask for the rest; appended, and a NUL.
 *   answers  buf_append's
 * cursor_ask — what comes next answers that. */
struct slice cursor_last(const struct cursor *cursor);
enum err cursor_query(const struct cursor *cursor, struct buf *out) NODISCARD;
void cursor_ask(struct cursor *cursor);
/* cursor_check — of an event, before it is taken.
 *   answers  ERR_CLOSED it came before · ERR_INVALID in its place another one came before */
enum err cursor_check(struct cursor *cursor, struct slice event) NODISCARD;

#endif
