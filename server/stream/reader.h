/* reader — one attached client's place in a stream: pulls the frames that may be shown, from
 * memory or from the store alike.
 *
 *   reader_peek ─▶ ERR_OK       frames [index, end) of a block: send what you can, then reader_take
 *               ─▶ ERR_AGAIN    nothing visible yet, or the store is being read: `wake` will come,
 *               once
 *               ─▶ ERR_CLOSED   everything visible of an ended stream was taken (not following: all
 *                               that was visible when the reader was made)
 *               ─▶ ERR_FULL     what comes next can not be made durable: hub_stuck, or stream_is_left
 *                  others       the store could not be read: ERR_LIMIT, ERR_NOTFOUND, faults
 *
 * The loop is the same for live and replay: it differs only in where the next block lies. A reader
 * that lags costs a block reference and
 * nothing more; it never holds a read transaction, and the producer does not know it is there.
 *
 *   thread
 *   loop */
#ifndef TOKENLOG_SERVER_STREAM_READER_H
#define TOKENLOG_SERVER_STREAM_READER_H

#include "server/stream/hub.h"

struct reader;

/* reader_new — takes over the reference `stream`. `from` is the first seq wanted; ERR_LIMIT when
 * it is past what is visible by
 * more than nothing (from > watermark: an offset nobody can have been given).
 *   follow  go on with a live stream until its end; else stop at what is visible now
 *   wake    something changed after ERR_AGAIN; called from the loop, never from inside a call */
enum err reader_new(struct stream *stream, uint64_t from, bool follow, void (*wake)(void *context),
    void *context, struct reader **out) NODISCARD;
/* reader_derive — before the first peek: blocks of the store come as `derive` makes them (one way for
 * all readers, BLOCK_DERIVED), made once for all. Those from memory come as they are. */
typedef enum err reader_derivation(const struct block *stored, struct block **out);
void reader_derive(struct reader *reader, reader_derivation *derive);
/* reader_touches — what `wake` and what follows it touch: fetched into the caches shortly before. The
 * objects live as long as the reader. */
void reader_touches(struct reader *reader, const void *const objects[STREAM_TOUCHED_MAX]);
/* reader_close — at any time; NULL is taken. Blocks that are being sent keep their references. */
struct reader *reader_close(struct reader *reader);
struct stream *reader_stream(const struct reader *reader);
uint64_t reader_seq(const struct reader *reader); /* the next event; = events taken + from */

struct reader_view {
    struct block *block; /* borrowed; reference it to keep its bytes while they are sent */
    uint32_t index, end;
    bool is_derived;
};
enum err reader_peek(struct reader *reader, struct reader_view *view) NODISCARD;
/* reader_take — the frames before `index` have been sent. */
void reader_take(struct reader *reader, uint32_t index);

#endif
