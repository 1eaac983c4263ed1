/* burst — one send: segments that are borrowed until it is over, and small copies in between, in one
 * block of scratch from the pool of its filler's loop.
 *
 *   │ vectors: ■ head (scratch) │ ■ event (borrowed) │ ■ CRLF (scratch) │ …  → sendmsg
 *       done ──▶ │◀── left
 *
 * It is filled by the connection, handed over whole to the socket (maybe on another loop), which
 * takes off what is sent, and handed back. Segments are released, and the block returned, by the
 * connection: on the loop that filled it.
 *
 *   thread  whoever has it */
#ifndef TOKENLOG_SERVER_IO_BURST_H
#define TOKENLOG_SERVER_IO_BURST_H

#include "protocol/base/slice.h"
#include "server/io/loop.h"

struct segment {
    void (*release)(void *owner);
    void *owner;
};

struct burst {
    size_t done;  /* segments */
    size_t count; /* segments */
    size_t size;  /* bytes pushed */
    size_t scratch_size;
    struct iovec vectors[CONN_SEGMENTS_MAX];
    struct segment segments[CONN_SEGMENTS_MAX];
    uint8_t scratch[CONN_SCRATCH_BYTES];
};

static_assert(sizeof(struct burst) <= LOOP_BLOCK_BYTES, "a burst is one block of scratch");

struct burst *burst_new(struct loop *loop); /* NULL: out of memory */
/* burst_free — releases all segments; NULL is taken. `loop` is burst_new's. */
struct burst *burst_free(struct loop *loop, struct burst *burst);

/* Answers ERR_LIMIT: no room; nothing was added. */
enum err burst_push(
    struct burst *burst, struct slice bytes, void (*release)(void *owner), void *owner) NODISCARD;
enum err burst_push_copy(struct burst *burst, struct slice bytes) NODISCARD;
size_t burst_room(const struct burst *burst, size_t *segments); /* `segments` may be NULL */
/* burst_advance — takes `size` sent bytes off the front. */
void burst_advance(struct burst *burst, size_t size);

#endif
