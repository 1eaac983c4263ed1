/* reactor — see reactor.h.
 *
 * Its thread makes the loop (the kernel takes submissions from that thread alone), says so, runs it
 * until it is told to stop, and takes apart what it made. */
#include "server/io/reactor.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { /* core ─▶ reactor */
    DOWN_ACCEPT = MAILBOX_FIRST << 0,
    DOWN_REFUSE = MAILBOX_FIRST << 1,
    DOWN_STOP = MAILBOX_FIRST << 2,
    ORIGIN_BYTES = 512,
};

struct reactor {
    pthread_t thread;
    struct reactor_config config;
    struct crossing *crossing;
    struct listener *listener; /* the reactor's from reactor_listen on */
    bool is_stopped;
    void (*accepted)(void *context, struct arrival arrival);
    void *context;
    struct mailbox down;
    /* Written by the thread before it is started. */
    struct loop *loop;
    struct transfers *transfers;
    sem_t started, told_to_stop;
    enum err err;
    char origin[ORIGIN_BYTES];
};

/* One accepted socket on its way to the core. */
struct message {
    struct task task;
    struct reactor *reactor;
    int fd;
};

static void wait_for(sem_t *semaphore)
{
    int result;
    do
        result = sem_wait(semaphore);
    while (result < 0 && errno == EINTR);
    ASSERT(result == 0);
}

/* ---- its thread ------------------------------------------------------------------------------ */

static void core_take(struct task *task)
{
    struct message *message = CONTAINER_OF(task, struct message, task);
    struct reactor *reactor = message->reactor;
    struct arrival arrival = {message->fd, reactor->crossing};
    free(message);
    reactor->accepted(reactor->context, arrival);
}

static void listener_accepted(void *context, int fd)
{
    struct reactor *reactor = context;
    struct message *message = malloc(sizeof *message);
    if (!message) {
        (void)close(fd);
        return;
    }
    *message = (struct message){.task.run = core_take, .reactor = reactor, .fd = fd};
    loop_post(reactor->config.core, &message->task);
}

static void refuse(struct reactor *reactor)
{
    if (reactor->listener)
        listener_close(reactor->listener, NULL);
    reactor->listener = NULL;
}

static void down_run(struct task *task)
{
    struct reactor *reactor = CONTAINER_OF(task, struct reactor, down.task);
    unsigned bits = mailbox_open(&reactor->down);
    if (bits & DOWN_ACCEPT)
        listener_start(reactor->listener, listener_accepted, reactor);
    if (bits & (DOWN_REFUSE | DOWN_STOP))
        refuse(reactor);
    if (bits & DOWN_STOP)
        loop_stop(reactor->loop);
}

static enum err reactor_open(struct reactor *reactor)
{
    TRY(loop_new(&reactor->loop));
    loop_set_coalescing(reactor->loop, reactor->config.coalesce_ns);
    return transfers_new(reactor->loop, reactor->config.proxy, &reactor->transfers);
}

static void *reactor_main(void *argument)
{
    struct reactor *reactor = argument;
    char name[16]; /* the kernel's limit; pthread_setname_np(3) */
    (void)snprintf(name, sizeof name, "reactor %u", reactor->config.index % REACTORS_MAX);
    (void)pthread_setname_np(pthread_self(), name);
    reactor->err = reactor_open(reactor);
    bool is_open = reactor->err == ERR_OK;
    if (!is_open)
        (void)snprintf(reactor->origin, sizeof reactor->origin, "%s", fault_origin());
    (void)sem_post(&reactor->started);
    if (is_open) {
        loop_run(reactor->loop);
        wait_for(&reactor->told_to_stop); /* who told us may not be out of loop_post yet */
    }
    transfers_free(reactor->transfers);
    loop_free(reactor->loop);
    return NULL;
}

/* ---- the core's calls ------------------------------------------------------------------------ */

static enum err reactor_start(struct reactor *reactor)
{
    int error = pthread_create(&reactor->thread, NULL, reactor_main, reactor);
    if (error)
        return fault(ERR_IO, "a thread for reactor %u: %s", reactor->config.index, strerror(error));
    wait_for(&reactor->started);
    if (reactor->err != ERR_OK) {
        (void)pthread_join(reactor->thread, NULL);
        return fault(reactor->err, "reactor %u: %s", reactor->config.index, reactor->origin);
    }
    mailbox_init(&reactor->down, reactor->loop, down_run);
    enum err err = crossing_new(reactor->config.core, reactor->loop, &reactor->crossing);
    if (err != ERR_OK)
        reactor_stop(reactor);
    return err;
}

enum err reactor_new(const struct reactor_config *config, struct reactor **out)
{
    struct reactor *reactor = calloc(1, sizeof *reactor);
    if (!reactor)
        return fault(ERR_NOMEM, "reactor");
    reactor->config = *config;
    (void)sem_init(&reactor->started, 0, 0);
    (void)sem_init(&reactor->told_to_stop, 0, 0);
    enum err err = reactor_start(reactor);
    if (err != ERR_OK) {
        reactor->is_stopped = true;
        reactor_free(reactor);
        return err;
    }
    *out = reactor;
    return ERR_OK;
}

enum err reactor_listen(struct reactor *reactor, struct listener *first)
{
    return listener_share(first, reactor->loop, &reactor->listener);
}

void reactor_accept(
    struct reactor *reactor, void (*accepted)(void *context, struct arrival arrival), void *context)
{
    reactor->accepted = accepted;
    reactor->context = context;
    mailbox_tell(&reactor->down, DOWN_ACCEPT);
}

void reactor_refuse(struct reactor *reactor)
{
    mailbox_tell(&reactor->down, DOWN_REFUSE);
}

void reactor_stop(struct reactor *reactor)
{
    ASSERT(!reactor->is_stopped);
    reactor->is_stopped = true;
    mailbox_tell(&reactor->down, DOWN_STOP);
    (void)sem_post(&reactor->told_to_stop);
    (void)pthread_join(reactor->thread, NULL);
}

struct reactor *reactor_free(struct reactor *reactor)
{
    if (!reactor)
        return NULL;
    ASSERT(reactor->is_stopped);
    crossing_free(reactor->crossing);
    (void)sem_destroy(&reactor->started);
    (void)sem_destroy(&reactor->told_to_stop);
    free(reactor);
    return NULL;
}

struct crossing *reactor_crossing(const struct reactor *reactor)
{
    return reactor->crossing;
}

struct transfers *reactor_transfers(const struct reactor *reactor)
{
    return reactor->transfers;
}

size_t reactors_by_default(void)
{
    cpu_set_t set;
    int count = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
    return count < 1 ? 1 : count > REACTORS_BY_DEFAULT ? REACTORS_BY_DEFAULT : (size_t)count;
}
