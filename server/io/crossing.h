/* crossing — between two loops of one process: the core, which decides, and a far reactor, which
 * has sockets and transfers of its own. Nobody waits and nothing is locked.
 *
 *   far loop                                                         core
 *   parcel_take ─▶ bytes copied in ─▶ mailbox_put ┐
 *                                     mailbox_tell ┴─▶ the mailbox's task ─▶ mailbox_open
 *   ◀─────────────── emptied ones, for the next ──────── parcel_give ◀────── mailbox_take
 *
 * A mailbox is one direction of one object (a connection, a transfer): bits that say what happened,
 * and parcels in their order. However much is told before the receiver looks, its task is posted
 * once; so what one turn brings crosses in one message, and an object has at most one on its way.
 *
 *   bounds   parcels: what the sender's credit allows (CONN_UNREAD_BYTES_MAX,
 *            UPSTREAM_CREDIT_BYTES); kept empty: PARCELS_KEPT
 *   thread   each call says whose */
#ifndef TOKENLOG_SERVER_IO_CROSSING_H
#define TOKENLOG_SERVER_IO_CROSSING_H

#include <stdatomic.h>

#include "server/io/loop.h"

struct crossing;

struct parcel {
    struct parcel *next;
    size_t size;
    uint8_t bytes[PARCEL_BYTES];
};

/* crossing_new — any thread; both loops are borrowed. Faults ERR_NOMEM.
 * crossing_free — once the far loop's thread has ended. */
enum err crossing_new(struct loop *core, struct loop *far, struct crossing **out) NODISCARD;
struct crossing *crossing_free(struct crossing *crossing);
struct loop *crossing_core(const struct crossing *crossing);
struct loop *crossing_far(const struct crossing *crossing);

/* parcel_take — the far thread: an empty one; NULL: out of memory.
 * parcel_give — the core's thread: it is done with. */
struct parcel *parcel_take(struct crossing *crossing);
void parcel_give(struct crossing *crossing, struct parcel *parcel);

struct mailbox {
    struct loop *loop; /* the receiver's */
    struct task task;
    _Atomic unsigned word;
    struct parcel *_Atomic newest;
};

enum { MAILBOX_POSTED = 1 << 0, MAILBOX_FIRST = 1 << 1 /* the first bit that is the owner's */ };

/* mailbox_init — `run` is the receiver's: called on its loop, it must call mailbox_open once. */
void mailbox_init(struct mailbox *mailbox, struct loop *loop, void (*run)(struct task *task));
/* The sender, one thread:
 *   mailbox_put   a parcel, given away; it is seen with the next tell
 *   mailbox_tell  bits, MAILBOX_FIRST and up, or none; all that was written before is seen by whoever
 *                 sees them */
void mailbox_put(struct mailbox *mailbox, struct parcel *parcel);
void mailbox_tell(struct mailbox *mailbox, unsigned bits);
/* The receiver:
 *   mailbox_open  the bits told since the last time. A bit comes no earlier than the parcels that
 *                 were put before it
 *   mailbox_take  the parcels, oldest first, linked by `next`; NULL: none */
unsigned mailbox_open(struct mailbox *mailbox);
struct parcel *mailbox_take(struct mailbox *mailbox);
/* mailbox_is_posted — the task is on its way (asked when the sender has ended). */
bool mailbox_is_posted(const struct mailbox *mailbox);

#endif
