/* provider — one epoll over the listener, a signalfd and the connections. A turn is: wait, take the
 * time once, run what sockets and timers ask for, bury the closed. Timers have the resolution of
 * epoll_wait, 1 ms: what is due within a millisecond runs in one turn, which is what makes
 * thousands of slow streams cheap. */
#include "tools/mock/provider.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <time.h>

#include "protocol/base/own.h"
#include "tools/mock/bounds.h"
#include "tools/mock/conn.h"

static const int64_t NS_PER_S = 1000000000;
static const int64_t NS_PER_MS = 1000000;

struct provider {
    struct desk desk;
    struct conns conns;
    struct tls *tls;
    int epoll_fd;
    int listen_fd;
    int signal_fd;
    size_t full_at; /* connections there were when descriptors ran out; 0: accepting */
    bool is_over;
};

static int64_t clock_ns(void)
{
    struct timespec now;
    int result = clock_gettime(CLOCK_MONOTONIC, &now);
    ASSERT(result == 0);
    return now.tv_sec * NS_PER_S + now.tv_nsec;
}

static enum err parse_address(const char *text, struct sockaddr_in *out)
{
    const char *colon = strrchr(text, ':');
    char host[INET_ADDRSTRLEN] = "";
    uint64_t port;
    if (!colon || (size_t)(colon - text) >= sizeof host)
        return ERR_INVALID;
    memcpy(host, text, (size_t)(colon - text));
    TRY(slice_u64(slice_text(colon + 1), &port));
    *out = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    if (port > UINT16_MAX || inet_pton(AF_INET, host, &out->sin_addr) != 1)
        return ERR_INVALID;
    return ERR_OK;
}

static enum err open_listener(const char *text, int *out)
{
    struct sockaddr_in address;
    TRY(parse_address(text, &address));
    CLEANUP(cleanup_close) int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int one = 1;
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) != 0 ||
        bind(fd, (struct sockaddr *)&address, sizeof address) != 0 ||
        listen(fd, LISTEN_BACKLOG) != 0)
        return fault(ERR_IO, "listen %s: %s", text, strerror(errno));
    *out = fd;
    fd = -1;
    return ERR_OK;
}

static enum err announce(int listen_fd)
{
    struct sockaddr_in address;
    socklen_t size = sizeof address;
    char host[INET_ADDRSTRLEN];
    if (getsockname(listen_fd, (struct sockaddr *)&address, &size) != 0 ||
        !inet_ntop(AF_INET, &address.sin_addr, host, sizeof host))
        return fault(ERR_IO, "getsockname: %s", strerror(errno));
    if (printf("listening %s:%u\n", host, ntohs(address.sin_port)) < 0 || fflush(stdout) != 0)
        return fault(ERR_IO, "stdout: %s", strerror(errno));
    return ERR_OK;
}

static enum err open_signals(int *out)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    (void)signal(SIGPIPE, SIG_IGN); /* OpenSSL writes without MSG_NOSIGNAL */
    if (sigprocmask(SIG_BLOCK, &set, NULL) != 0)
        return fault(ERR_IO, "sigprocmask: %s", strerror(errno));
    *out = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    return *out >= 0 ? ERR_OK : fault(ERR_IO, "signalfd: %s", strerror(errno));
}

static enum err watch_fd(struct provider *provider, int operation, int *fd)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = fd};
    if (epoll_ctl(provider->epoll_fd, operation, *fd, &event) != 0)
        return fault(ERR_IO, "epoll_ctl: %s", strerror(errno));
    return ERR_OK;
}

/* As many descriptors as the system lets us have: each stream is one. */
static void raise_descriptors(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
}

static enum err provider_init(struct provider *provider, const struct provider_options *options)
{
    raise_descriptors();
    provider->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (provider->epoll_fd < 0)
        return fault(ERR_IO, "epoll_create1: %s", strerror(errno));
    TRY(desk_init(&provider->desk, options->require_key));
    if (options->certificate)
        TRY(tls_new(options->certificate, options->key, &provider->tls));
    TRY(conns_init(&provider->conns, provider->epoll_fd, &provider->desk, provider->tls));
    TRY(open_signals(&provider->signal_fd));
    TRY(open_listener(options->listen, &provider->listen_fd));
    TRY(watch_fd(provider, EPOLL_CTL_ADD, &provider->signal_fd));
    TRY(watch_fd(provider, EPOLL_CTL_ADD, &provider->listen_fd));
    return announce(provider->listen_fd);
}

static void provider_deinit(struct provider *provider)
{
    if (provider->conns.live.next) /* conns_init was reached */
        conns_deinit(&provider->conns);
    desk_deinit(&provider->desk);
    tls_free(provider->tls);
    cleanup_close(&provider->listen_fd);
    cleanup_close(&provider->signal_fd);
    cleanup_close(&provider->epoll_fd);
}

/* Out of descriptors: callers wait in the backlog until one of ours has gone. */
static enum err stop_accepting(struct provider *provider)
{
    (void)fprintf(stderr, "mock_provider: accept: %s\n", strerror(errno));
    provider->full_at = provider->conns.count;
    return provider->full_at ? watch_fd(provider, EPOLL_CTL_DEL, &provider->listen_fd) : ERR_OK;
}

static enum err accept_again(struct provider *provider)
{
    if (!provider->full_at || provider->conns.count >= provider->full_at)
        return ERR_OK;
    provider->full_at = 0;
    return watch_fd(provider, EPOLL_CTL_ADD, &provider->listen_fd);
}

static enum err accept_some(struct provider *provider)
{
    for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
        int fd = accept4(provider->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM))
            return stop_accepting(provider);
        if (fd < 0)
            return ERR_OK; /* no more, or that caller has gone */
        int one = 1;
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        if (conns_open(&provider->conns, fd) != ERR_OK)
            (void)fprintf(stderr, "mock_provider: %s\n", fault_origin());
    }
    return ERR_OK;
}

static int wait_ms(const struct provider *provider)
{
    int64_t due_ns = timers_next_ns(&provider->conns.timers);
    if (due_ns == INT64_MAX)
        return -1;
    int64_t wait_ns = due_ns - clock_ns();
    if (wait_ns <= 1) /* 1: wake_soon of the turn before */
        return 0;
    int64_t ms = (wait_ns + NS_PER_MS - 1) / NS_PER_MS;
    return ms > DRAIN_MS ? DRAIN_MS : (int)ms;
}

static enum err turn(struct provider *provider)
{
    struct epoll_event events[EVENTS_PER_WAIT];
    int count = epoll_wait(provider->epoll_fd, events, EVENTS_PER_WAIT, wait_ms(provider));
    if (count < 0 && errno != EINTR)
        return fault(ERR_IO, "epoll_wait: %s", strerror(errno));
    provider->conns.now_ns = clock_ns();
    for (int i = 0; i < count; i++) {
        void *source = events[i].data.ptr;
        if (source == &provider->signal_fd)
            provider->is_over = true;
        else if (source == &provider->listen_fd)
            TRY(accept_some(provider));
        else
            conn_on_io(source, events[i].events);
    }
    conns_tick(&provider->conns);
    conns_bury(&provider->conns);
    return accept_again(provider);
}

enum err provider_run(const struct provider_options *options)
{
    struct provider provider = {.epoll_fd = -1, .listen_fd = -1, .signal_fd = -1};
    enum err err = provider_init(&provider, options);
    while (err == ERR_OK && !provider.is_over)
        err = turn(&provider);
    provider_deinit(&provider);
    return err;
}
