/* hold — the events of a response in a caller's dialect, with each tool call held back until it is
 * whole: a death in the middle of one then costs nothing (continuation.h).
 *
 *     text text │call call call│ text          what the provider sends
 *     text text                │call call call text      what is shown, byte for byte the same
 *
 * In Messages and Responses a call says when it is whole; in Chat Completions it is whole when
 * something else is said. Where an event ends one call and begins the next, both go on together. What cannot
 * be read (a hosted tool's item) is shown as it comes, from there on; so is a call that is larger
 * than the bound, which a death would then cut in two.
 *
 *   thread  one at a time                                                                        */
#ifndef TOKENLOG_PROTOCOL_DIALECT_HOLD_H
#define TOKENLOG_PROTOCOL_DIALECT_HOLD_H

#include "protocol/dialect/translate.h"

enum {
    HOLD_CALL_BYTES_MAX = 4 << 20 /* of one call's events; its arguments are mostly a file's text */
};

struct hold;
/* hold_new — for one response; `caller` is one that callers speak.   faults ERR_NOMEM */
enum err hold_new(const struct codec *caller, struct hold **out) NODISCARD;
struct hold *hold_free(struct hold *hold); /* NULL is taken; returns NULL */

/* hold_event — one whole SSE block; what may be shown now is appended to `out`: nothing, the event, or
 * what was held and then the event.
 *   answers  ERR_LIMIT `out` is full · faults ERR_NOMEM; what was held is held still
 * hold_held — what is held: the beginning of a call. Borrowed until the next call.
 * hold_release — the response is over, and no other goes on with it: what is held is shown too.
 *   answers  as hold_event */
enum err hold_event(struct hold *hold, struct slice event, struct buf *out) NODISCARD;
struct slice hold_held(const struct hold *hold);
enum err hold_release(struct hold *hold, struct buf *out) NODISCARD;

#endif
