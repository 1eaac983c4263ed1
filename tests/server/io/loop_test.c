/* loop — turns, timers, tasks from threads, operations; the answer where io_uring is barred. */
#include "server/io/loop.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { THREADS = 4, POSTS_PER_THREAD = 2000, NS_PER_MS = 1000000 };

static struct loop *open_loop(void)
{
    struct loop *loop = NULL;
    enum err err = loop_new(&loop);
    if (err != ERR_OK)
        print_message("%s\n", fault_origin());
    assert_int_equal(err, ERR_OK);
    return loop;
}

/* ---- timers ---------------------------------------------------------------------------------- */

struct alarm {
    struct timer timer;
    struct loop *loop;
    int *order;
    int *count;
    int number;
    int stop_at;
};

static void alarm_fired(struct timer *timer)
{
    struct alarm *alarm = CONTAINER_OF(timer, struct alarm, timer);
    assert_true(loop_now_ns(alarm->loop) >= timer->deadline_ns);
    alarm->order[(*alarm->count)++] = alarm->number;
    if (*alarm->count == alarm->stop_at)
        loop_stop(alarm->loop);
}

static void test_timers_in_order(void **state)
{
    (void)state;
    static const int delays_ms[] = {30, 5, 20, 10, 0, 15};
    enum { COUNT = sizeof delays_ms / sizeof *delays_ms };
    struct loop *loop = open_loop();
    struct alarm alarms[COUNT];
    int order[COUNT], count = 0;
    int64_t now_ns = loop_now_ns(loop);
    for (int i = 0; i < COUNT; i++) {
        alarms[i] = (struct alarm){{.fire = alarm_fired}, loop, order, &count, i, COUNT - 1};
        timer_set(loop, &alarms[i].timer, now_ns + (int64_t)delays_ms[i] * NS_PER_MS);
    }
    timer_cancel(loop, &alarms[3].timer);
    loop_run(loop);
    static const int expected[] = {4, 1, 5, 2, 0};
    assert_int_equal(count, COUNT - 1);
    assert_memory_equal(order, expected, sizeof expected);
    assert_null(loop_free(loop));
}

struct eternal {
    struct timer timer;
    struct loop *loop;
    int count;
};

static void eternal_fired(struct timer *timer)
{
    struct eternal *eternal = CONTAINER_OF(timer, struct eternal, timer);
    if (++eternal->count == 100)
        loop_stop(eternal->loop);
    else
        timer_set(eternal->loop, timer, 0); /* due at once, again and again */
}

static void count_turn(void *context)
{
    ++*(int *)context;
}

static void test_timer_cannot_hold_the_turn(void **state)
{
    (void)state;
    struct loop *loop = open_loop();
    struct eternal eternal = {{.fire = eternal_fired}, loop, 0};
    int turns = 0;
    loop_on_turn_end(loop, count_turn, &turns);
    timer_set(loop, &eternal.timer, 0);
    loop_run(loop);
    assert_int_equal(turns, 100);
    assert_null(loop_free(loop));
}

/* ---- tasks ----------------------------------------------------------------------------------- */

struct post {
    struct task task;
    struct loop *loop;
    size_t thread;
    size_t number;
};

struct inbox {
    struct loop *loop;
    size_t next[THREADS];
    size_t total;
    struct post posts[THREADS][POSTS_PER_THREAD];
};

static struct inbox inbox; /* tasks carry no context but their owner */

static void post_arrived(struct task *task)
{
    struct post *post = CONTAINER_OF(task, struct post, task);
    assert_int_equal(post->number, inbox.next[post->thread]); /* each thread's order is kept */
    inbox.next[post->thread]++;
    if (++inbox.total == (size_t)THREADS * POSTS_PER_THREAD)
        loop_stop(post->loop);
}

static void *post_all(void *argument)
{
    struct post *posts = argument;
    for (size_t i = 0; i < POSTS_PER_THREAD; i++)
        loop_post(posts[i].loop, &posts[i].task);
    return NULL;
}

static void test_posts_from_threads(void **state)
{
    (void)state;
    struct loop *loop = open_loop();
    pthread_t threads[THREADS];
    memset(&inbox, 0, sizeof inbox);
    for (size_t t = 0; t < THREADS; t++) {
        for (size_t i = 0; i < POSTS_PER_THREAD; i++)
            inbox.posts[t][i] = (struct post){{NULL, post_arrived}, loop, t, i};
        assert_int_equal(pthread_create(&threads[t], NULL, post_all, inbox.posts[t]), 0);
    }
    loop_run(loop);
    for (size_t t = 0; t < THREADS; t++)
        (void)pthread_join(threads[t], NULL);
    assert_int_equal(inbox.total, (size_t)THREADS * POSTS_PER_THREAD);
    assert_null(loop_free(loop));
}

struct chain {
    struct task task;
    struct loop *loop;
    int left;
    int turn_count;
};

static void chain_step(struct task *task)
{
    struct chain *chain = CONTAINER_OF(task, struct chain, task);
    if (--chain->left == 0)
        loop_stop(chain->loop);
    else
        loop_defer(chain->loop, task);
}

static void test_deferred_run_in_the_same_turn(void **state)
{
    (void)state;
    struct loop *loop = open_loop();
    struct chain chain = {{NULL, chain_step}, loop, LOOP_DEFER_PASSES_MAX, 0};
    loop_on_turn_end(loop, count_turn, &chain.turn_count);
    loop_defer(loop, &chain.task);
    loop_run(loop);
    assert_int_equal(chain.turn_count, 1);
    chain.left = 10 * LOOP_DEFER_PASSES_MAX; /* more: the turn ends in between */
    loop_defer(loop, &chain.task);
    loop_run(loop);
    assert_int_equal(chain.turn_count, 1 + 10);
    assert_null(loop_free(loop));
}

/* A turn's end that wakes somebody, as what has become durable wakes its readers. */
struct waker {
    struct task task;
    struct loop *loop;
    int ends, woken_after;
    uint64_t woken_in_turn;
};

static uint64_t turns_of(const struct loop *loop)
{
    struct loop_status status;
    loop_status(loop, &status);
    return status.turns;
}

static void woken(struct task *task)
{
    struct waker *waker = CONTAINER_OF(task, struct waker, task);
    waker->woken_in_turn = turns_of(waker->loop);
    waker->woken_after = waker->ends;
    loop_stop(waker->loop);
}

static void nothing(struct task *task)
{
    (void)task;
}

static void end_wakes(void *context)
{
    struct waker *waker = context;
    if (waker->ends++ == 0)
        loop_defer(waker->loop, &waker->task);
}

static void test_what_the_end_defers_runs_in_the_same_turn(void **state)
{
    (void)state;
    struct loop *loop = open_loop();
    struct waker waker = {.task.run = woken, .loop = loop};
    uint64_t before = turns_of(loop);
    loop_on_turn_end(loop, end_wakes, &waker);
    struct chain at_once = {{NULL, nothing}, loop, 0, 0};
    loop_defer(loop, &at_once.task); /* or the first turn would wait */
    loop_run(loop);
    assert_int_equal(waker.woken_in_turn, before + 1);
    assert_int_equal(waker.woken_after, 1);
    assert_int_equal(waker.ends, 2); /* and what it did had its end */
    assert_null(loop_free(loop));
}

/* ---- under load ------------------------------------------------------------------------------ */

struct ping {
    struct op op;
    struct loop *loop;
    int fds[2];
    int left;
};

static void ping_done(struct op *op, int32_t result, uint32_t flags)
{
    (void)flags;
    struct ping *ping = CONTAINER_OF(op, struct ping, op);
    assert_true(result & POLLIN);
    if (--ping->left == 0)
        loop_stop(ping->loop);
    else
        loop_poll(ping->loop, op, ping->fds[0], POLLIN);
}

/* One completion after the other, each of them alone: a loop that waits for many of them goes on
 * all the same, and timers fire. */
static void test_coalescing_waits_for_nothing_in_vain(void **state)
{
    (void)state;
    struct loop *loop = open_loop();
    struct ping ping = {.op.done = ping_done, .loop = loop, .left = 200};
    int order[1], count = 0;
    struct alarm alarm = {{.fire = alarm_fired}, loop, order, &count, 0, 2};
    loop_set_coalescing(loop, 100 * 1000);
    assert_int_equal(pipe2(ping.fds, O_CLOEXEC), 0);
    assert_int_equal(write(ping.fds[1], "", 1), 1);
    loop_poll(loop, &ping.op, ping.fds[0], POLLIN);
    timer_set(loop, &alarm.timer, loop_now_ns(loop) + 10 * NS_PER_MS);
    loop_run(loop);
    assert_int_equal(ping.left, 0);
    if (count == 0) {
        alarm.stop_at = 1;
        loop_run(loop);
    }
    assert_int_equal(count, 1);
    (void)close(ping.fds[0]);
    (void)close(ping.fds[1]);
    assert_null(loop_free(loop));
}

/* ---- operations ------------------------------------------------------------------------------ */

struct call {
    struct op op;
    struct loop *loop;
    int32_t result;
    int count;
};

static void call_done(struct op *op, int32_t result, uint32_t flags)
{
    (void)flags;
    struct call *call = CONTAINER_OF(op, struct call, op);
    call->result = result;
    call->count++;
    loop_stop(call->loop);
}

static void test_poll_and_cancel(void **state)
{
    (void)state;
    struct loop *loop = open_loop();
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    struct call call = {{call_done, false}, loop, 0, 0};
    loop_poll(loop, &call.op, ends[0], POLLIN);
    assert_true(call.op.in_flight);
    loop_cancel(loop, &call.op);
    loop_run(loop);
    assert_int_equal(call.result, -ECANCELED);
    assert_false(call.op.in_flight);
    assert_int_equal(write(ends[1], "x", 1), 1);
    loop_poll(loop, &call.op, ends[0], POLLIN);
    loop_run(loop);
    assert_int_equal(call.result, POLLIN);
    assert_int_equal(call.count, 2);
    (void)close(ends[0]);
    (void)close(ends[1]);
    assert_null(loop_free(loop));
}

static void test_more_operations_than_entries(void **state)
{
    (void)state;
    enum { COUNT = LOOP_ENTRIES + 100 };
    struct loop *loop = open_loop();
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    assert_int_equal(write(ends[1], "x", 1), 1);
    struct call *calls = calloc(COUNT, sizeof *calls);
    assert_non_null(calls);
    for (size_t i = 0; i < COUNT; i++) {
        calls[i] = (struct call){{call_done, false}, loop, 0, 0};
        loop_poll(loop, &calls[i].op, ends[0], POLLIN);
    }
    size_t done = 0;
    while (done < COUNT) {
        loop_run(loop);
        done = 0;
        for (size_t i = 0; i < COUNT; i++)
            done += calls[i].count == 1;
    }
    for (size_t i = 0; i < COUNT; i++)
        assert_int_equal(calls[i].result, POLLIN);
    free(calls);
    (void)close(ends[0]);
    (void)close(ends[1]);
    assert_null(loop_free(loop));
}

static void test_write(void **state)
{
    (void)state;
    struct loop *loop = open_loop();
    char path[] = "/tmp/loop_test_XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    (void)unlink(path);
    static uint8_t bytes[4096];
    memset(bytes, 'a', sizeof bytes);
    struct slice buffer = slice_of(bytes, sizeof bytes);
    int index = loop_register_buffers(loop, &buffer, 1) ? 0 : -1;
    struct call call = {{call_done, false}, loop, 0, 0};
    for (; index >= -1; index--) { /* from the registered buffer, and plainly */
        loop_write(loop, &call.op, &(struct loop_write){fd, bytes, 4096, 8192, index, true});
        loop_run(loop);
        assert_int_equal(call.result, 4096);
    }
    uint8_t back[4096];
    assert_int_equal(pread(fd, back, sizeof back, 8192), 4096);
    assert_memory_equal(back, bytes, sizeof back);
    (void)close(fd);
    assert_null(loop_free(loop));
}

/* ---- receiving: more sockets at once than there are buffers ------------------------------------ */

enum { HEARD = RECV_BUFFER_COUNT / 2 };

struct heard {
    struct op op;
    struct loop *loop;
    int fd;
    uint32_t said;
    bool has_come;
    unsigned vain; /* times that all buffers were taken */
    size_t *left;
};

static void heard_done(struct op *op, int32_t result, uint32_t flags)
{
    struct heard *heard = CONTAINER_OF(op, struct heard, op);
    if (result == -ENOBUFS) {
        heard->vain++;
        loop_recv(heard->loop, op, heard->fd);
        return;
    }
    assert_int_equal(result, sizeof heard->said);
    assert_memory_equal(
        loop_received(heard->loop, result, flags).data, &heard->said, sizeof heard->said);
    loop_recv_return(heard->loop, flags);
    heard->has_come = true;
    if (--*heard->left == 0)
        loop_stop(heard->loop);
}

static void test_more_receives_than_buffers(void **state)
{
    (void)state;
    struct loop *loop = open_loop();
    static struct heard all[HEARD];
    int mouths[HEARD];
    size_t left = HEARD;
    unsigned vain = 0;
    for (uint32_t i = 0; i < HEARD; i++) {
        int ends[2];
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
        mouths[i] = ends[0];
        all[i] = (struct heard){
            .op.done = heard_done, .loop = loop, .fd = ends[1], .said = i, .left = &left};
        assert_int_equal(write(ends[0], &i, sizeof i), sizeof i);
        loop_recv(loop, &all[i].op, ends[1]);
    }
    loop_run(loop);
    for (size_t i = 0; i < HEARD; i++) {
        assert_true(all[i].has_come);
        vain += all[i].vain;
        (void)close(mouths[i]);
        (void)close(all[i].fd);
    }
    assert_true(vain > 0);
    assert_null(loop_free(loop));
}

/* ---- other ----------------------------------------------------------------------------------- */

static void test_random_is_not_repeated(void **state)
{
    (void)state;
    struct loop *loop = open_loop();
    uint8_t a[1000] = {0}, b[1000] = {0}, zero[16] = {0};
    loop_random(loop, a, sizeof a);
    loop_random(loop, b, sizeof b);
    assert_memory_not_equal(a, b, sizeof a);
    for (size_t i = 0; i + sizeof zero <= sizeof a; i += sizeof zero)
        assert_memory_not_equal(a + i, zero, sizeof zero);
    assert_null(loop_free(loop));
}

static void test_blocks(void **state)
{
    (void)state;
    struct loop *loop = open_loop();
    void *blocks[LOOP_BLOCKS_KEPT + 10];
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++) {
        assert_non_null(blocks[i] = loop_block_take(loop));
        memset(blocks[i], 1, LOOP_BLOCK_BYTES);
    }
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++)
        loop_block_give(loop, blocks[i]);
    assert_null(loop_free(loop));
}

/* As Docker's default profile does it: io_uring_setup answers EPERM. */
static int loop_under_seccomp(void)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_io_uring_setup, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof code / sizeof *code, code};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0)
        return 0; /* no filters here: nothing to show */
    struct loop *loop;
    if (loop_new(&loop) != ERR_UNSUPPORTED)
        return 1;
    return strstr(fault_origin(), "seccomp") || strstr(fault_origin(), "io_uring_disabled") ? 0 : 2;
}

static void test_seccomp_is_explained(void **state)
{
    (void)state;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        _exit(loop_under_seccomp());
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void test_status(void **state)
{
    (void)state;
    struct loop *loop = open_loop();
    struct loop_status status;
    loop_status(loop, &status);
    assert_non_null(strstr(status.features, "kernel"));
    assert_int_equal(status.in_flight, 1);
    print_message("%s\n", status.features);
    assert_null(loop_free(loop));
    assert_null(loop_free(NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_timers_in_order),
        cmocka_unit_test(test_timer_cannot_hold_the_turn),
        cmocka_unit_test(test_posts_from_threads),
        cmocka_unit_test(test_coalescing_waits_for_nothing_in_vain),
        cmocka_unit_test(test_deferred_run_in_the_same_turn),
        cmocka_unit_test(test_what_the_end_defers_runs_in_the_same_turn),
        cmocka_unit_test(test_poll_and_cancel),
        cmocka_unit_test(test_more_operations_than_entries),
        cmocka_unit_test(test_write),
        cmocka_unit_test(test_more_receives_than_buffers),
        cmocka_unit_test(test_random_is_not_repeated),
        cmocka_unit_test(test_blocks),
        cmocka_unit_test(test_seccomp_is_explained),
        cmocka_unit_test(test_status),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
