/* loop — one reactor: an io_uring, its timers, the calls that other threads post. One thread runs
 * it; N reactors are N loops, nothing is shared.
 *
 *   a turn:  wait for completions or the next deadline ─▶ copy completions out ─▶ run them
 *            ─▶ due timers ─▶ posted tasks ─▶ deferred tasks
 *            ─▶ `turn_end` hook (journal tick) ─▶ one submit for everything the turn asked for
 *
 * An operation is embedded in its owner, which must not be freed, nor the fd closed, before `done`
 * has run with op->in_flight false (a pending operation pins its socket: after close() the peer
 * would see no FIN). Cancel, wait for the completion, then close. Completions run from the loop,
 * never from inside the call that started the operation.
 *
 *   source  io_uring_enter(2), liburing 2.3; <liburing.h> is included by loop.c only
 *   thread  the one that called loop_new, except loop_post                                     */
#ifndef TOKENLOG_SERVER_IO_LOOP_H
#define TOKENLOG_SERVER_IO_LOOP_H

#include <sys/socket.h>

#include "protocol/base/list.h"
#include "server/io/bounds.h"
#include "storage/archive.h" /* struct task */

struct loop;

struct op {
    /* result: bytes or fd, or -errno */
    void (*done)(struct op *op, int32_t result, uint32_t flags);
    /* False in `done` when no more completions will come (multishot: true while more may come). */
    bool in_flight;
};

/* All zeros is a timer that is not set. */
struct timer {
    int64_t deadline_ns; /* monotonic */
    size_t index;        /* in the heap, 1-based; 0 = not set */
    void (*fire)(struct timer *timer);
};

/* loop_new — must be called by the thread that will run the loop (the kernel accepts submissions
 * from it alone).
 *   faults  ERR_UNSUPPORTED with the cause and what to do in fault_origin(): io_uring blocked by
 *           seccomp (Docker's default profile) or by kernel.io_uring_disabled, a kernel below 6.1,
 *           no memory for the rings · ERR_NOMEM. Optional features are probed and done without. */
enum err loop_new(struct loop **out) NODISCARD;
/* loop_free — every owner must have closed, and has at most cancelled operations on their way: they
 * are waited for (at most LOOP_DRAIN_MS) and their `done` runs in here. */
struct loop *loop_free(struct loop *loop);
/* loop_run — until loop_stop; may be called again. turn_end, if set, runs at the end of every turn,
 * before the submit, and again if it has deferred something. */
void loop_run(struct loop *loop);
void loop_stop(struct loop *loop); /* from the loop's thread: others post a task that calls it */
void loop_on_turn_end(struct loop *loop, void (*turn_end)(void *context), void *context);

/* loop_set_coalescing — under load (more than a completion per LOOP_BUSY_GAP_NS lately) a turn waits
 * for LOOP_COALESCED_MAX completions, at most so long: few turns for many completions, each of
 * which is delayed by that at most. 0, as at first: never. A timer is never late for it. */
void loop_set_coalescing(struct loop *loop, int64_t delay_ns);

int64_t loop_now_ns(const struct loop *loop);  /* monotonic, read once per turn */
int64_t loop_wall_ns(const struct loop *loop); /* Unix epoch, read once per turn */
/* loop_random — getrandom(2), pooled; cryptographic. */
void loop_random(struct loop *loop, void *out, size_t size);

/* timer_set — also moves one that is set. Cannot fail; fires once, never from inside the call. */
void timer_set(struct loop *loop, struct timer *timer, int64_t deadline_ns);
void timer_cancel(struct loop *loop, struct timer *timer); /* also one that is not set */

/* loop_post — any thread: run the task on the loop soon; tasks of one thread run in its order. The
 * task is the caller's again when `run` begins. */
void loop_post(struct loop *loop, struct task *task);
/* loop_defer — run it later in this turn (or in the next, if already past). */
void loop_defer(struct loop *loop, struct task *task);

/* Operations. Each sets op->in_flight. When the submission queue is full it is submitted at once:
 * they cannot fail. */
/* loop_accept — multishot; result = fd (CLOEXEC, non-blocking). */
void loop_accept(struct loop *loop, struct op *op, int listen_fd);
/* loop_recv — one-shot, into a buffer of the ring; see loop_received. Not multishot: that goes on
 * until its cancel has been submitted, and brought 100 buffers (1.6 MiB) that the owner had no room
 * for, where an owner that must re-arm gets one; the CPU per message is the same (7.2 µs). */
void loop_recv(struct loop *loop, struct op *op, int fd);
/* loop_send — sendmsg, MSG_NOSIGNAL; `message` stays till done. The result may be short, or -EAGAIN
 * after many vain wake-ups (as with a tiny receive window): send again, it waits again. */
void loop_send(struct loop *loop, struct op *op, int fd, struct msghdr *message);
/* loop_poll — one-shot: poll(2)'s events; result = those that hold. */
void loop_poll(struct loop *loop, struct op *op, int fd, short events);

struct loop_write {
    int fd;
    const void *data; /* stays till done */
    size_t size;      /* at most INT32_MAX */
    uint64_t offset;
    int buffer_index; /* of the registered buffer that holds `data`; -1: not registered */
    bool is_durable;  /* RWF_DSYNC */
};
void loop_write(struct loop *loop, struct op *op, const struct loop_write *write);

/* loop_cancel — its `done` runs with -ECANCELED, or with what came first. */
void loop_cancel(struct loop *loop, struct op *op);
/* loop_register_buffers — once per loop; false: go on without (locked-memory limit). */
bool loop_register_buffers(struct loop *loop, const struct slice *buffers, size_t count);

/* loop_received — in a recv's `done` with result > 0: the bytes, borrowed until
 * loop_recv_return(flags). Each buffer must be returned, in that `done`. -ENOBUFS: all were taken
 * in this turn; call loop_recv again. result 0: the peer ended its side. */
struct slice loop_received(struct loop *loop, int32_t result, uint32_t flags);
void loop_recv_return(struct loop *loop, uint32_t flags);

/* loop_block_take — LOOP_BLOCK_BYTES of uninitialised scratch from the loop's pool, so that what is
 * idle holds none; NULL: out of memory. Goes back by loop_block_give. */
void *loop_block_take(struct loop *loop);
void loop_block_give(struct loop *loop, void *block);

/* What there is, for the log and the metrics. */
struct loop_status {
    const char *features; /* borrowed from the loop: "kernel 6.1, defer_taskrun, …" */
    uint64_t turns, completions, submits;
    uint64_t in_flight; /* operations; the loop's own wake-up is one */
    bool has_registered_buffers;
};
void loop_status(const struct loop *loop, struct loop_status *out);

#endif
