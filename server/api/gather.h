/* gather — the events of a recording, whole and one after another, to who makes something of them before
 * it answers: an object, an offset. So many a turn; the exchange is held meanwhile.
 *
 *   owns    the stream's reference, until gather_deinit
 *   thread  loop */
#ifndef TOKENLOG_SERVER_API_GATHER_H
#define TOKENLOG_SERVER_API_GATHER_H

#include "server/http/exchange.h"
#include "server/stream/reader.h"

struct gather {
    struct exchange *exchange;
    struct stream *stream; /* borrowed from the reader */
    struct reader *reader;
    struct timer timer;
    struct buf parts; /* of an event whose rest is in the next block */
    /* Set before the start, and embedded in their owner.
     * take  one event, borrowed.  answers ERR_CLOSED: no more of them; others end it too
     * done  ERR_OK: all that was visible at the start was taken, or no more was wanted; else why not.
     *       The exchange is not held any more. May be called before gather_start returns
     * gone  the caller is; nothing else will be called */
    enum err (*take)(struct gather *gather, uint64_t seq, struct slice event);
    void (*done)(struct gather *gather, enum err err);
    void (*gone)(struct gather *gather);
};

/* gather_start — from event `from` on. Takes over the reference; after a gather_deinit it may be started
 * again.
 *   answers  ERR_LIMIT `from` is past what is visible · faults ERR_NOMEM; the reference is given back,
 *            and `done` is not called */
enum err gather_start(struct gather *gather, struct exchange *exchange, struct stream *stream,
    uint64_t from) NODISCARD;
void gather_deinit(struct gather *gather);

#endif
