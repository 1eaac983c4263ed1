/* loop — one reactor: an io_uring, its timers, the calls that other threads post. One thread runs it; N reactors are N loops, nothing is shared.
 *
 *   a turn:  wait for completions or the next deadline ─▶ copy completions out ─▶ run them ─▶ due timers ─▶ posted and deferred tasks ─▶
 *            `turn_end` hook (journal tick, one submit for everything that the turn asked for)
 *
 * An operation is embedded in its owner, which must not be freed, nor the fd closed, before `done` has run with op->in_flight false
 * (a pending operation pins its socket: after close() the peer would see no FIN). Cancel, wait for the completion, then close.
 * Completions run from the loop, never from inside the call that started the operation.
 *
 *   source  io_uring_enter(2), liburing 2.3 (newer opcodes are filled by hand); <liburing.h> is included by loop.c only
 *   thread  the loop's, except loop_post                                                                            */
#ifndef TOKENLOG_SERVER_IO_LOOP_H
#define TOKENLOG_SERVER_IO_LOOP_H

#include <sys/socket.h>

#include "protocol/base/list.h"
#include "server/io/bounds.h"
#include "storage/archive.h" /* struct task */

struct loop;

struct op {
    void (*done)(struct op *op, int32_t result, uint32_t flags); /* result: bytes or fd, or -errno */
    bool in_flight; /* false in `done` when no more completions will come (multishot: while more may come it is true) */
};

struct timer {
    int64_t deadline_ns; /* monotonic */
    size_t index;        /* in the heap, 1-based; 0 = not set */
    void (*fire)(struct timer *timer);
};

/* loop_new — answers/faults ERR_UNSUPPORTED with the cause and what to do in fault_origin(): io_uring blocked by seccomp (EPERM/ENOSYS, Docker's default
 * profile), by kernel.io_uring_disabled, kernel below 6.1, no memory for the rings. Optional operations are probed and done without. */
enum err loop_new(struct loop **out) NODISCARD;
struct loop *loop_free(struct loop *loop);
/* loop_run — until loop_stop. turn_end, if set, runs at the end of every turn, before the submit. */
void loop_run(struct loop *loop);
void loop_stop(struct loop *loop);
void loop_on_turn_end(struct loop *loop, void (*turn_end)(void *context), void *context);

int64_t loop_now_ns(const struct loop *loop);  /* monotonic, read once per turn */
int64_t loop_wall_ns(const struct loop *loop); /* Unix epoch, read once per turn */
void loop_random(struct loop *loop, void *out, size_t size); /* getrandom(2), pooled; cryptographic */

void timer_set(struct loop *loop, struct timer *timer, int64_t deadline_ns); /* also moves one that is set */
void timer_cancel(struct loop *loop, struct timer *timer);

void loop_post(struct loop *loop, struct task *task);  /* any thread: run it on the loop soon */
void loop_defer(struct loop *loop, struct task *task); /* run it later in this turn (or in the next, if already past) */

/* Operations. Each sets op->in_flight. When the submission queue is full it is submitted at once: they cannot fail. */
void loop_accept(struct loop *loop, struct op *op, int listen_fd);    /* multishot; result = fd (CLOEXEC, non-blocking) */
void loop_recv(struct loop *loop, struct op *op, int fd);             /* multishot into the buffer ring; see loop_received */
void loop_send(struct loop *loop, struct op *op, int fd, struct msghdr *message); /* sendmsg, MSG_NOSIGNAL; message stays till done */
void loop_poll(struct loop *loop, struct op *op, int fd, short events); /* one-shot */
struct loop_write { int fd; const void *data; size_t size; uint64_t offset; int buffer_index; /* -1: not registered */ bool is_durable; /* RWF_DSYNC */ };
void loop_write(struct loop *loop, struct op *op, const struct loop_write *write);
void loop_cancel(struct loop *loop, struct op *op); /* its `done` runs with -ECANCELED, or with what came first */
bool loop_register_buffers(struct loop *loop, const struct slice *buffers, size_t count);

/* loop_received — in a recv's `done` with result > 0: the bytes, borrowed until loop_recv_return(flags). Each buffer must be returned. -ENOBUFS ends
 * the multishot: call loop_recv again. result 0: the peer ended its side. */
struct slice loop_received(struct loop *loop, int32_t result, uint32_t flags);
void loop_recv_return(struct loop *loop, uint32_t flags);

/* What there is, for the log and the metrics. */
struct loop_status { const char *features; uint64_t turns, completions, submits; bool has_registered_buffers; };
void loop_status(const struct loop *loop, struct loop_status *out);

#endif
