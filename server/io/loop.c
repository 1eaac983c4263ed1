/* loop — see loop.h.
 *
 *   other threads ── posted (lock-free stack) ──┐ the push that finds it empty writes the eventfd
 *                                               ▼
 *   ┌▶ enter ─▶ completions ─▶ timers ─▶ posted ─▶ deferred ─▶ turn_end ─┐
 *   │                                                ▲   what it deferred │
 *   │                                                └────────────────────┤
 *   └─────────────────────────────────────────────────────────────────────┘
 *
 * user_data of a submission is the address of its op, or 0 where nobody waits (cancels). Every
 * completion of an enter is copied out and the queue advanced before the first `done` runs, since
 * `done` may submit, and submitting may bring new completions.
 *
 * Receive buffers are provided to the kernel in a ring that it takes from when bytes arrive:
 *
 *   ring   │ address, size, id │ …     RECV_BUFFER_COUNT entries; the kernel's head is hidden
 *   bytes  │ 0: 16 KiB │ 1: 16 KiB │ …  a completion names its buffer in flags >> 16
 *
 * The kernel takes them by turns, whether they are in the cache or not: so it is given few, and one more
 * for each receive that found none.                                                            */
#include "server/io/loop.h"

#include <errno.h>
#include <liburing.h>
#include <poll.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "server/io/timer.h"

enum {
    RECV_GROUP = 0,
    RANDOM_POOL_BYTES = 256, /* one getrandom(2) serves 25 request IDs; never short up to 256 */
    FEATURES_BYTES = 128,
    WAIT_NS_MAX = 1000 * 1000 * 1000, /* look at the clocks at least once a second */
    SUBMIT_RETRIES_MAX = 1000,        /* of 1 ms: the kernel is out of memory for requests */
    LOOP_AHEAD = 2,       /* completions: their owners are fetched while those before them run */
    KERNEL_MAJOR_MIN = 6, /* 6.1: DEFER_TASKRUN; a release with long support */
    KERNEL_MINOR_MIN = 1,
};

static const int64_t ns_per_s = 1000000000;
static const size_t recv_bytes = (size_t)RECV_BUFFER_COUNT * RECV_BUFFER_BYTES;
static const size_t recv_ring_bytes = RECV_BUFFER_COUNT * sizeof(struct io_uring_buf);

static_assert(
    (RECV_BUFFER_COUNT & (RECV_BUFFER_COUNT - 1)) == 0, "the buffer ring is a power of 2");
static_assert(RECV_BUFFER_COUNT <= 32768, "the kernel's limit for a buffer ring");

/* A block of scratch that nobody holds, in the block itself. */
struct spare {
    struct spare *next;
};

struct loop {
    struct io_uring ring;
    bool has_ring;
    bool is_stopping;
    bool is_draining;
    bool has_registered_buffers;
    struct io_uring_buf_ring *recv_ring;
    uint8_t *recv_buffers;
    unsigned recv_lent; /* of them: given to the kernel so far; the others were never touched */
    struct timer_heap timers;
    int64_t now_ns;
    int64_t wall_ns;
    struct task *_Atomic posted; /* the newest first */
    struct op wake;
    int wake_fd;
    uint64_t wake_count; /* what the eventfd read brings; not used */
    struct task *deferred;
    struct task **deferred_end;
    void (*turn_end)(void *context);
    void *turn_end_context;
    struct spare *blocks;
    size_t block_count;
    uint64_t turns, completion_count, submits, in_flight;
    int64_t coalesce_ns; /* 0: never */
    int64_t pace_from_ns;
    uint64_t pace_count; /* completions since */
    bool is_busy;
    size_t random_left;
    uint8_t random[RANDOM_POOL_BYTES];
    char features[FEATURES_BYTES];
    struct io_uring_cqe completions[LOOP_COMPLETIONS_PER_TURN];
};

static void loop_turn(struct loop *loop);
static void wake_arm(struct loop *loop);

/* ---- set-up ---------------------------------------------------------------------------------- */

static int io_uring_disabled_sysctl(void)
{
    int value = 0;
    FILE *file = fopen("/proc/sys/kernel/io_uring_disabled", "re");
    if (!file)
        return 0; /* before 6.6 there is none */
    if (fscanf(file, "%d", &value) != 1)
        value = 0;
    (void)fclose(file);
    return value;
}

static enum err explain_setup(int error)
{
    if (error == EPERM && io_uring_disabled_sysctl() != 0)
        return fault(ERR_UNSUPPORTED, "io_uring is switched off on this machine: set it free with"
                                      " `sysctl kernel.io_uring_disabled=0`");
    if (error == EPERM || error == ENOSYS)
        return fault(ERR_UNSUPPORTED,
            "io_uring is blocked by a seccomp filter (Docker's default profile does):"
            " run with `--security-opt seccomp=unconfined` or allow io_uring_*");
    if (error == ENOMEM)
        return fault(ERR_UNSUPPORTED,
            "no memory for the io_uring queues: raise the locked-memory limit (`ulimit -l`) or the"
            " container's memory");
    if (error == EMFILE || error == ENFILE)
        return fault(ERR_UNSUPPORTED, "no file descriptor left: raise `ulimit -n`");
    return fault(ERR_UNSUPPORTED, "io_uring_setup: %s", strerror(error));
}

static enum err check_kernel(struct loop *loop)
{
    struct utsname name;
    int major = 0, minor = 0;
    if (uname(&name) == 0 && sscanf(name.release, "%d.%d", &major, &minor) == 2 &&
        (major < KERNEL_MAJOR_MIN || (major == KERNEL_MAJOR_MIN && minor < KERNEL_MINOR_MIN)))
        return fault(
            ERR_UNSUPPORTED, "kernel %d.%d is too old: 6.1 or newer is needed", major, minor);
    (void)snprintf(loop->features, sizeof loop->features, "kernel %d.%d", major, minor);
    return ERR_OK;
}

static void add_feature(struct loop *loop, const char *name)
{
    size_t used = strlen(loop->features);
    (void)snprintf(loop->features + used, sizeof loop->features - used, ", %s", name);
}

/* The best set of flags that the kernel takes: each falls back by EINVAL. */
static enum err open_ring(struct loop *loop)
{
    static const struct {
        unsigned flags;
        const char *name;
    } modes[] = {
        {IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_COOP_TASKRUN,
            "defer_taskrun"},
        {IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_COOP_TASKRUN, "coop_taskrun"},
        {IORING_SETUP_COOP_TASKRUN, "coop_taskrun"},
        {0, "plain"},
    };
    int result = -EINVAL;
    for (size_t i = 0; i < sizeof modes / sizeof *modes && result == -EINVAL; i++) {
        struct io_uring_params params = {
            .flags = modes[i].flags | IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP,
            .cq_entries = 4 * LOOP_ENTRIES,
        };
        result = io_uring_queue_init_params(LOOP_ENTRIES, &loop->ring, &params);
        if (result == 0)
            add_feature(loop, modes[i].name);
    }
    if (result < 0)
        return explain_setup(-result);
    loop->has_ring = true;
    unsigned workers[2] = {LOOP_WORKERS_MAX, LOOP_WORKERS_MAX};
    if (io_uring_register_iowq_max_workers(&loop->ring, workers) == 0)
        add_feature(loop, "bounded workers");
    if (io_uring_register_ring_fd(&loop->ring) == 1)
        add_feature(loop, "registered ring");
    return ERR_OK;
}

static void *map_pages(size_t size)
{
    void *pages = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return pages == MAP_FAILED ? NULL : pages;
}

static void recv_buffer_add(struct loop *loop, unsigned id)
{
    io_uring_buf_ring_add(loop->recv_ring, loop->recv_buffers + (size_t)id * RECV_BUFFER_BYTES,
        RECV_BUFFER_BYTES, (unsigned short)id, io_uring_buf_ring_mask(RECV_BUFFER_COUNT), 0);
    io_uring_buf_ring_advance(loop->recv_ring, 1);
}

static void recv_buffers_lend(struct loop *loop, unsigned count)
{
    while (loop->recv_lent < count && loop->recv_lent < RECV_BUFFER_COUNT)
        recv_buffer_add(loop, loop->recv_lent++);
}

static enum err open_recv_ring(struct loop *loop)
{
    loop->recv_ring = map_pages(recv_ring_bytes);
    loop->recv_buffers = map_pages(recv_bytes);
    if (!loop->recv_ring || !loop->recv_buffers)
        return fault(ERR_NOMEM, "%zu bytes of receive buffers", recv_bytes);
    struct io_uring_buf_reg registration = {
        .ring_addr = (uintptr_t)loop->recv_ring,
        .ring_entries = RECV_BUFFER_COUNT,
        .bgid = RECV_GROUP,
    };
    int result = io_uring_register_buf_ring(&loop->ring, &registration, 0);
    if (result < 0)
        return fault(ERR_UNSUPPORTED,
            "io_uring refuses a buffer ring (%s): kernel 6.1 or newer"
            " is needed",
            strerror(-result));
    io_uring_buf_ring_init(loop->recv_ring);
    recv_buffers_lend(loop, RECV_BUFFERS_LENT_MIN);
    return ERR_OK;
}

static int64_t clock_ns(clockid_t clock)
{
    struct timespec time;
    (void)clock_gettime(clock, &time);
    return (int64_t)time.tv_sec * ns_per_s + time.tv_nsec;
}

static void read_clocks(struct loop *loop)
{
    loop->now_ns = clock_ns(CLOCK_MONOTONIC);
    loop->wall_ns = clock_ns(CLOCK_REALTIME);
}

static enum err loop_open(struct loop *loop)
{
    TRY(check_kernel(loop));
    TRY(open_ring(loop));
    TRY(open_recv_ring(loop));
    TRY(timer_heap_init(&loop->timers));
    /* Blocking: io_uring turns EAGAIN of a non-blocking file into a result instead of waiting. */
    loop->wake_fd = eventfd(0, EFD_CLOEXEC);
    if (loop->wake_fd < 0)
        return fault(ERR_UNSUPPORTED, "eventfd: %s", strerror(errno));
    read_clocks(loop);
    wake_arm(loop);
    return ERR_OK;
}

enum err loop_new(struct loop **out)
{
    struct loop *loop = calloc(1, sizeof *loop);
    if (!loop)
        return fault(ERR_NOMEM, "loop");
    loop->wake_fd = -1;
    loop->deferred_end = &loop->deferred;
    enum err err = loop_open(loop);
    if (err != ERR_OK) {
        loop_free(loop);
        return err;
    }
    *out = loop;
    return ERR_OK;
}

/* Owners have cancelled: run their completions, so that they free themselves. */
static void loop_drain(struct loop *loop)
{
    int64_t give_up_ns = clock_ns(CLOCK_MONOTONIC) + (int64_t)LOOP_DRAIN_MS * 1000000;
    loop->turn_end = NULL;
    if (loop->wake.in_flight)
        loop_cancel(loop, &loop->wake);
    loop->is_draining = true; /* the wake-up is not armed again */
    while ((loop->in_flight > 0 || loop->deferred) && clock_ns(CLOCK_MONOTONIC) < give_up_ns)
        loop_turn(loop);
}

struct loop *loop_free(struct loop *loop)
{
    if (!loop)
        return NULL;
    if (loop->has_ring) {
        loop_drain(loop);
        io_uring_queue_exit(&loop->ring);
    }
    timer_heap_deinit(&loop->timers);
    if (loop->recv_ring)
        (void)munmap(loop->recv_ring, recv_ring_bytes);
    if (loop->recv_buffers)
        (void)munmap(loop->recv_buffers, recv_bytes);
    if (loop->wake_fd >= 0)
        (void)close(loop->wake_fd);
    while (loop->blocks) {
        struct spare *block = loop->blocks;
        loop->blocks = block->next;
        free(block);
    }
    free(loop);
    return NULL;
}

/* ---- a turn ---------------------------------------------------------------------------------- */

static bool has_work(const struct loop *loop)
{
    return loop->deferred || atomic_load_explicit(&loop->posted, memory_order_relaxed) ||
           io_uring_cq_ready(&loop->ring) > 0;
}

/* How long to wait for completions: 0 if there is something to do already. */
static int64_t wait_ns(const struct loop *loop)
{
    if (has_work(loop))
        return 0;
    const struct timer *first = timer_heap_first(&loop->timers);
    if (!first)
        return WAIT_NS_MAX;
    int64_t left_ns = first->deadline_ns - clock_ns(CLOCK_MONOTONIC);
    return left_ns < 0 ? 0 : left_ns > WAIT_NS_MAX ? WAIT_NS_MAX : left_ns;
}

/* Under load a turn for each completion costs more than the completion itself: then the loop sleeps
 * until many have come, or a short while has passed. How much came lately says whether that is so;
 * what comes to a loop that was quiet is answered at once. */
static void note_pace(struct loop *loop)
{
    int64_t passed_ns = loop->now_ns - loop->pace_from_ns;
    if (passed_ns < LOOP_PACE_NS)
        return;
    loop->is_busy = (int64_t)loop->pace_count * LOOP_BUSY_GAP_NS >= passed_ns;
    loop->pace_from_ns = loop->now_ns;
    loop->pace_count = 0;
}

/* One system call: submits all, and waits. */
static void loop_enter(struct loop *loop)
{
    int64_t timeout_ns = wait_ns(loop);
    bool is_patient = loop->is_busy && loop->coalesce_ns > 0;
    if (is_patient && timeout_ns > loop->coalesce_ns)
        timeout_ns = loop->coalesce_ns;
    int result;
    if (timeout_ns == 0) {
        result = io_uring_submit_and_get_events(&loop->ring);
    } else {
        struct __kernel_timespec timeout = {timeout_ns / ns_per_s, timeout_ns % ns_per_s};
        struct io_uring_cqe *first;
        result = io_uring_submit_and_wait_timeout(
            &loop->ring, &first, is_patient ? LOOP_COALESCED_MAX : 1, &timeout, NULL);
    }
    loop->submits++;
    ASSERT(result >= 0 || result == -ETIME || result == -EINTR || result == -EAGAIN ||
           result == -EBUSY || result == -ENOMEM);
}

static void run_completion(struct loop *loop, const struct io_uring_cqe *completion)
{
    struct op *op = (struct op *)(uintptr_t)completion->user_data;
    if (!op)
        return;
    ASSERT(op->in_flight);
    if (!(completion->flags & IORING_CQE_F_MORE)) {
        op->in_flight = false;
        loop->in_flight--;
    }
    if (completion->res == -ENOBUFS)
        recv_buffers_lend(loop, loop->recv_lent + 1);
    op->done(op, completion->res, completion->flags);
}

static void run_completions(struct loop *loop)
{
    unsigned head, count = 0;
    struct io_uring_cqe *completion;
    io_uring_for_each_cqe(&loop->ring, head, completion)
    {
        if (count == LOOP_COMPLETIONS_PER_TURN)
            break;
        loop->completions[count++] = *completion;
    }
    io_uring_cq_advance(&loop->ring, count);
    loop->completion_count += count;
    loop->pace_count += count;
    for (unsigned i = 0; i < count; i++) {
        if (i + LOOP_AHEAD < count) /* what waited has left the caches */
            __builtin_prefetch((void *)(uintptr_t)loop->completions[i + LOOP_AHEAD].user_data);
        run_completion(loop, &loop->completions[i]);
    }
}

/* At most as many as were set before the first of them ran: one that sets itself to now cannot
 * hold up the turn. */
static void run_timers(struct loop *loop)
{
    for (size_t left = loop->timers.count; left > 0; left--) {
        struct timer *first = timer_heap_first(&loop->timers);
        if (!first || first->deadline_ns > loop->now_ns)
            return;
        timer_heap_remove(&loop->timers, first);
        first->fire(first);
    }
}

static void run_tasks(struct task *task)
{
    while (task) {
        struct task *next = task->next; /* `run` may free or queue it again */
        __builtin_prefetch(next);
        task->run(task);
        task = next;
    }
}

static void run_posted(struct loop *loop)
{
    struct task *newest = atomic_exchange_explicit(&loop->posted, NULL, memory_order_acquire);
    struct task *oldest = NULL;
    while (newest) {
        struct task *next = newest->next;
        newest->next = oldest;
        oldest = newest;
        newest = next;
    }
    run_tasks(oldest);
}

static void run_deferred(struct loop *loop)
{
    for (int pass = 0; loop->deferred && pass < LOOP_DEFER_PASSES_MAX; pass++) {
        struct task *first = loop->deferred;
        loop->deferred = NULL;
        loop->deferred_end = &loop->deferred;
        run_tasks(first);
    }
}

/* What the turn's end has woken is done in this turn too, so that what it sends is submitted by the call
 * that then waits. */
static void end_turn(struct loop *loop)
{
    for (int end = 0; end == 0 || (loop->deferred && end < LOOP_ENDS_MAX); end++) {
        run_deferred(loop);
        if (loop->turn_end)
            loop->turn_end(loop->turn_end_context);
    }
}

static void loop_turn(struct loop *loop)
{
    loop_enter(loop);
    read_clocks(loop);
    loop->turns++;
    note_pace(loop);
    run_completions(loop);
    run_timers(loop);
    run_posted(loop);
    end_turn(loop);
}

/* What runs beside the loop (the archiver, above all) computes for milliseconds on end: the loop asks for
 * short slices, so that it need not wait for the end of theirs when something has come. Its share stays
 * the same. Kernels before 6.12 ignore it.
 *   source  sched(7), sched_setattr(2); Documentation/scheduler/sched-eevdf.rst */
static void ask_for_short_slices(void)
{
    /* struct sched_attr, as of Linux 3.14: <linux/sched/types.h> and <sched.h> exclude each other. */
    struct {
        uint32_t size, policy;
        uint64_t flags;
        int32_t nice;
        uint32_t priority;
        uint64_t runtime, deadline, period;
    } attributes = {0};
    if (syscall(SYS_sched_getattr, 0, &attributes, sizeof attributes, 0) != 0 ||
        attributes.policy != SCHED_OTHER)
        return;
    attributes.runtime = LOOP_SLICE_NS;
    (void)syscall(SYS_sched_setattr, 0, &attributes, 0);
}

void loop_run(struct loop *loop)
{
    ask_for_short_slices();
    loop->is_stopping = false;
    while (!loop->is_stopping)
        loop_turn(loop);
}

void loop_stop(struct loop *loop)
{
    loop->is_stopping = true;
}

void loop_on_turn_end(struct loop *loop, void (*turn_end)(void *context), void *context)
{
    loop->turn_end = turn_end;
    loop->turn_end_context = context;
}

void loop_set_coalescing(struct loop *loop, int64_t delay_ns)
{
    ASSERT(delay_ns >= 0);
    loop->coalesce_ns = delay_ns;
}

/* ---- time, chance, scratch ------------------------------------------------------------------- */

int64_t loop_now_ns(const struct loop *loop)
{
    return loop->now_ns;
}

int64_t loop_wall_ns(const struct loop *loop)
{
    return loop->wall_ns;
}

static void random_fill(void *out, size_t size)
{
    ASSERT(size <= RANDOM_POOL_BYTES);
    ssize_t got; /* EINTR only before the kernel's generator is seeded (random(7)) */
    do
        got = getrandom(out, size, 0);
    while (got < 0 && errno == EINTR);
    ASSERT(got == (ssize_t)size);
}

void loop_random(struct loop *loop, void *out, size_t size)
{
    uint8_t *at = out;
    while (size > 0) {
        if (loop->random_left == 0) {
            random_fill(loop->random, sizeof loop->random);
            loop->random_left = sizeof loop->random;
        }
        size_t part = size < loop->random_left ? size : loop->random_left;
        uint8_t *from = loop->random + sizeof loop->random - loop->random_left;
        memcpy(at, from, part);
        explicit_bzero(from, part); /* what was handed out is not kept */
        loop->random_left -= part;
        at += part;
        size -= part;
    }
}

void timer_set(struct loop *loop, struct timer *timer, int64_t deadline_ns)
{
    timer_heap_set(&loop->timers, timer, deadline_ns);
}

void timer_cancel(struct loop *loop, struct timer *timer)
{
    timer_heap_remove(&loop->timers, timer);
}

void *loop_block_take(struct loop *loop)
{
    struct spare *block = loop->blocks;
    if (!block)
        return malloc(LOOP_BLOCK_BYTES);
    loop->blocks = block->next;
    loop->block_count--;
    __builtin_prefetch(loop->blocks); /* for the next one to take */
    return block;
}

void loop_block_give(struct loop *loop, void *memory)
{
    struct spare *block = memory;
    if (loop->block_count >= LOOP_BLOCKS_KEPT) {
        free(block);
        return;
    }
    block->next = loop->blocks;
    loop->blocks = block;
    loop->block_count++;
}

/* ---- tasks ----------------------------------------------------------------------------------- */

static void wake_done(struct op *op, int32_t result, uint32_t flags)
{
    (void)result;
    (void)flags;
    struct loop *loop = CONTAINER_OF(op, struct loop, wake);
    if (!loop->is_draining)
        wake_arm(loop);
}

void loop_post(struct loop *loop, struct task *task)
{
    struct task *newest = atomic_load_explicit(&loop->posted, memory_order_relaxed);
    do
        task->next = newest;
    while (!atomic_compare_exchange_weak_explicit(
        &loop->posted, &newest, task, memory_order_release, memory_order_relaxed));
    if (newest)
        return; /* whoever pushed the first of the batch wakes the loop */
    uint64_t one = 1;
    ssize_t written;
    do
        written = write(loop->wake_fd, &one, sizeof one);
    while (written < 0 && errno == EINTR);
    ASSERT(written == sizeof one);
}

void loop_defer(struct loop *loop, struct task *task)
{
    task->next = NULL;
    *loop->deferred_end = task;
    loop->deferred_end = &task->next;
}

/* ---- operations ------------------------------------------------------------------------------ */

static struct io_uring_sqe *take_entry(struct loop *loop)
{
    for (int retry = 0; retry < SUBMIT_RETRIES_MAX; retry++) {
        struct io_uring_sqe *entry = io_uring_get_sqe(&loop->ring);
        if (entry)
            return entry;
        loop->submits++;
        if (io_uring_submit(&loop->ring) <= 0)
            (void)poll(NULL, 0, 1);
    }
    assert_fail("the kernel takes submissions", __FILE__, __LINE__);
}

static void start(struct loop *loop, struct op *op, struct io_uring_sqe *entry)
{
    ASSERT(!op->in_flight && op->done);
    io_uring_sqe_set_data(entry, op);
    op->in_flight = true;
    loop->in_flight++;
}

static void wake_arm(struct loop *loop)
{
    struct io_uring_sqe *entry = take_entry(loop);
    loop->wake.done = wake_done;
    io_uring_prep_read(entry, loop->wake_fd, &loop->wake_count, sizeof loop->wake_count, 0);
    start(loop, &loop->wake, entry);
}

void loop_accept(struct loop *loop, struct op *op, int listen_fd)
{
    struct io_uring_sqe *entry = take_entry(loop);
    io_uring_prep_multishot_accept(entry, listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    start(loop, op, entry);
}

void loop_recv(struct loop *loop, struct op *op, int fd)
{
    struct io_uring_sqe *entry = take_entry(loop);
    io_uring_prep_recv(entry, fd, NULL, RECV_BUFFER_BYTES, 0);
    entry->flags |= IOSQE_BUFFER_SELECT;
    entry->buf_group = RECV_GROUP;
    start(loop, op, entry);
}

void loop_send(struct loop *loop, struct op *op, int fd, struct msghdr *message)
{
    struct io_uring_sqe *entry = take_entry(loop);
    const struct iovec *first = message->msg_iov;
    if (message->msg_iovlen == 1) /* nothing to gather: the kernel has less to do */
        io_uring_prep_send(entry, fd, first->iov_base, first->iov_len, MSG_NOSIGNAL);
    else
        io_uring_prep_sendmsg(entry, fd, message, MSG_NOSIGNAL);
    start(loop, op, entry);
}

void loop_poll(struct loop *loop, struct op *op, int fd, short events)
{
    struct io_uring_sqe *entry = take_entry(loop);
    io_uring_prep_poll_add(entry, fd, (unsigned short)events);
    start(loop, op, entry);
}

void loop_write(struct loop *loop, struct op *op, const struct loop_write *write)
{
    ASSERT(write->size <= INT32_MAX);
    struct io_uring_sqe *entry = take_entry(loop);
    if (write->buffer_index >= 0)
        io_uring_prep_write_fixed(entry, write->fd, write->data, (unsigned)write->size,
            write->offset, write->buffer_index);
    else
        io_uring_prep_write(entry, write->fd, write->data, (unsigned)write->size, write->offset);
    entry->rw_flags = write->is_durable ? RWF_DSYNC : 0;
    start(loop, op, entry);
}

void loop_cancel(struct loop *loop, struct op *op)
{
    ASSERT(op->in_flight);
    struct io_uring_sqe *entry = take_entry(loop);
    io_uring_prep_cancel(entry, op, 0);
    io_uring_sqe_set_data(entry, NULL);
}

bool loop_register_buffers(struct loop *loop, const struct slice *buffers, size_t count)
{
    struct iovec *vectors = calloc(count, sizeof *vectors);
    if (!vectors)
        return false;
    for (size_t i = 0; i < count; i++)
        vectors[i] = (struct iovec){(void *)(uintptr_t)buffers[i].data, buffers[i].size};
    if (io_uring_register_buffers(&loop->ring, vectors, (unsigned)count) == 0)
        loop->has_registered_buffers = true;
    free(vectors);
    return loop->has_registered_buffers;
}

struct slice loop_received(struct loop *loop, int32_t result, uint32_t flags)
{
    ASSERT(result > 0 && result <= RECV_BUFFER_BYTES && (flags & IORING_CQE_F_BUFFER));
    size_t id = flags >> IORING_CQE_BUFFER_SHIFT;
    ASSERT(id < RECV_BUFFER_COUNT);
    return slice_of(loop->recv_buffers + id * RECV_BUFFER_BYTES, (size_t)result);
}

void loop_recv_return(struct loop *loop, uint32_t flags)
{
    ASSERT(flags & IORING_CQE_F_BUFFER);
    recv_buffer_add(loop, flags >> IORING_CQE_BUFFER_SHIFT);
}

void loop_status(const struct loop *loop, struct loop_status *out)
{
    *out = (struct loop_status){
        .features = loop->features,
        .turns = loop->turns,
        .completions = loop->completion_count,
        .submits = loop->submits,
        .in_flight = loop->in_flight,
        .has_registered_buffers = loop->has_registered_buffers,
    };
}
