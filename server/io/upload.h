/* upload — a request's body on its way from whoever receives it to the transfer that sends it on, which
 * may be on another loop: one writes, one reads, nothing is locked and no more than UPLOAD_BYTES wait.
 *
 *   upload_put ─▶ │ first │ ring of UPLOAD_BYTES │ ─▶ upload_take
 *       │ no room: stop receiving                          │ half of the ring is free, and was waited for
 *       ◀──────────────────── room ◀───────────────────────┘ (the transfer's owner passes it on)
 *   upload_end: it is whole · upload_cut: it broke off ─▶ the reader sees that behind what was put
 *   upload_close: the reader is gone ─▶ what still comes is thrown away
 *
 * The reader computes the SHA-256 of what it takes: what was sent, `first` included.
 *
 *   thread  each says whose: the writer's (the core's loop), or the reader's (the transfer's) */
#ifndef TOKENLOG_SERVER_IO_UPLOAD_H
#define TOKENLOG_SERVER_IO_UPLOAD_H

#include "protocol/base/digest.h"
#include "server/io/bounds.h"

struct upload;

/* The writer's thread: */

/* upload_new — one reference. `first` is copied; `length` of all of it, `first` included, or -1: not
 * known.   faults ERR_NOMEM */
enum err upload_new(struct slice first, int64_t length, struct upload **out) NODISCARD;
struct upload *upload_ref(struct upload *upload);
struct upload *upload_unref(struct upload *upload); /* NULL is taken; returns NULL */
/* upload_on_room — whom to tell that there is room after upload_room said 0, and of upload_close. NULL:
 * nobody. `room` may put, and end. */
void upload_on_room(struct upload *upload, void (*room)(void *context), void *context);
/* upload_room — so much may be put now; 0: not before `room`. SIZE_MAX once it is closed. */
size_t upload_room(struct upload *upload);
void upload_put(struct upload *upload, struct slice bytes); /* at most upload_room */
void upload_end(struct upload *upload);
void upload_cut(struct upload *upload);
/* upload_on_fed — whom to tell when there is something to take again, or its end. */
void upload_on_fed(struct upload *upload, void (*fed)(void *context), void *context);
/* upload_tell_room — the reader's word that there is room. upload_close — once no reader is left. */
void upload_tell_room(struct upload *upload);
void upload_close(struct upload *upload);
bool upload_was_cut(const struct upload *upload);

/* The reader's: */

/* upload_take — copies up to `size` bytes to `out`.
 *   answers  ERR_AGAIN nothing now · ERR_CLOSED it is whole, and all was taken · ERR_CANCELED it broke off
 *            *wants_room is set where the writer waits for what was taken */
enum err upload_take(
    struct upload *upload, uint8_t *out, size_t size, size_t *taken, bool *wants_room) NODISCARD;

/* Any: upload_length — as upload_new had it. upload_taken — bytes. upload_is_taken — all of it was.
 * upload_digest — false: not all of it was. */
int64_t upload_length(const struct upload *upload);
uint64_t upload_taken(const struct upload *upload);
bool upload_is_taken(const struct upload *upload);
bool upload_digest(const struct upload *upload, uint8_t out[SHA256_BYTES]);

#endif
