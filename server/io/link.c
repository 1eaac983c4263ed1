/* link — see link.h. An origin's idle connections are a stack: what was used last is taken first, and
 * what lies at its bottom grows old. An idle one is watched: a byte, an error or the peer's FIN ends it. */
#include "server/io/link.h"

#include <errno.h>
#include <linux/tcp.h> /* netinet/tcp.h's tcp_info ends before tcpi_bytes_acked */
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/io/tcp.h"

static const int64_t ns_per_s = 1000000000;

enum { FETCH_BYTES = 64 /* a line of the cache */ };

struct links {
    struct loop *loop;
    struct watches *watches;
    void (*ready)(void *context, short events);
    struct list origins; /* of origin.node: those somebody holds, or with an idle connection */
    struct list idle;    /* of link.age: all origins', the oldest first */
    size_t idle_count;
};

struct origin {
    struct links *links;
    struct list node;
    struct sockaddr_storage address;
    size_t references; /* its holders, and its connections */
    struct list idle;  /* of link.node: the newest last */
};

enum link_state { LINK_CONNECTING, LINK_USED, LINK_IDLE };

struct link {
    struct watch watch;
    void *context;
    const void *touched[LINK_TOUCHED_MAX];
    struct origin *origin;
    enum link_state state;
    bool was_kept;
    int64_t idle_since_ns;
    uint64_t acknowledged; /* before link_open */
    struct list node;
    struct list age;
};

static void socket_ready(struct watch *watch, short events);
static void fetch_user(const struct watch *watch);
static const struct watch_owner watch_owner = {socket_ready, fetch_user};

/* ---- origins --------------------------------------------------------------------------------- */

enum err links_new(
    struct loop *loop, void (*ready)(void *context, short events), struct links **out)
{
    struct links *links = calloc(1, sizeof *links);
    if (!links)
        return fault(ERR_NOMEM, "links");
    links->loop = loop;
    links->ready = ready;
    list_init(&links->origins);
    list_init(&links->idle);
    enum err err = watches_new(loop, &watch_owner, &links->watches);
    if (err != ERR_OK) {
        free(links);
        return err;
    }
    *out = links;
    return ERR_OK;
}

struct links *links_free(struct links *links)
{
    if (!links)
        return NULL;
    while (!list_is_empty(&links->idle))
        link_drop(CONTAINER_OF(links->idle.next, struct link, age));
    ASSERT(list_is_empty(&links->origins));
    watches_free(links->watches);
    free(links);
    return NULL;
}

enum err links_origin(
    struct links *links, const struct sockaddr_storage *address, struct origin **out)
{
    struct origin *origin;
    for (struct list *node = links->origins.next; node != &links->origins; node = node->next) {
        origin = CONTAINER_OF(node, struct origin, node);
        if (!address_equal(&origin->address, address))
            continue;
        origin->references++;
        *out = origin;
        return ERR_OK;
    }
    if (!(origin = calloc(1, sizeof *origin)))
        return fault(ERR_NOMEM, "origin");
    origin->links = links;
    origin->address = *address;
    origin->references = 1;
    list_init(&origin->idle);
    list_init(&origin->node);
    list_append(&links->origins, &origin->node);
    *out = origin;
    return ERR_OK;
}

void origin_unref(struct origin *origin)
{
    if (!origin || --origin->references > 0)
        return;
    list_unlink(&origin->node);
    free(origin);
}

const struct sockaddr_storage *origin_address(const struct origin *origin)
{
    return &origin->address;
}

/* ---- connections ----------------------------------------------------------------------------- */

static struct link *link_new(struct origin *origin, int socket)
{
    struct link *link = calloc(1, sizeof *link);
    if (!link)
        return NULL;
    watch_init(&link->watch, origin->links->watches, socket);
    link->origin = origin;
    origin->references++;
    list_init(&link->node);
    list_init(&link->age);
    return link;
}

static void leave_idle(struct link *link)
{
    if (link->state != LINK_IDLE)
        return;
    list_unlink(&link->node);
    list_unlink(&link->age);
    link->origin->links->idle_count--;
    link->state = LINK_USED;
}

void link_drop(struct link *link)
{
    if (!link)
        return;
    leave_idle(link);
    watch_remove(&link->watch);
    (void)close(link->watch.socket);
    origin_unref(link->origin);
    free(link);
}

/* As open_new: 0, or errno. */
static int link_begin(struct link *link)
{
    const struct sockaddr_storage *address = &link->origin->address;
    tcp_set_options(link->watch.socket);
    link->state = LINK_CONNECTING;
    if (connect(link->watch.socket, (const struct sockaddr *)address, address_size(address)) != 0 &&
        errno != EINPROGRESS)
        return errno;
    return watch_want(&link->watch, POLLOUT) == ERR_OK ? 0 : ENOMEM;
}

static int open_new(struct origin *origin, struct link **out)
{
    int fd =
        socket(origin->address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_TCP);
    if (fd < 0)
        return errno;
    struct link *link = link_new(origin, fd);
    if (!link) {
        (void)close(fd);
        return ENOMEM;
    }
    int error = link_begin(link);
    if (error != 0) {
        link_drop(link);
        return error;
    }
    *out = link;
    return 0;
}

/* What came since the loop last looked: a FIN that has arrived would lose the request. */
static bool is_silent(const struct link *link)
{
    uint8_t byte;
    return recv(link->watch.socket, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 &&
           (errno == EAGAIN || errno == EWOULDBLOCK);
}

static uint64_t acknowledged(const struct link *link)
{
    struct tcp_info info = {0};
    socklen_t size = sizeof info;
    (void)getsockopt(link->watch.socket, IPPROTO_TCP, TCP_INFO, &info, &size);
    return info.tcpi_bytes_acked;
}

static void drop_old(struct links *links)
{
    int64_t oldest_ns = loop_now_ns(links->loop) - UPSTREAM_KEPT_S * ns_per_s;
    while (!list_is_empty(&links->idle)) {
        struct link *link = CONTAINER_OF(links->idle.next, struct link, age);
        if (links->idle_count <= UPSTREAM_CONNECTIONS_KEPT && link->idle_since_ns > oldest_ns)
            return;
        link_drop(link);
    }
}

int link_open(struct origin *origin, void *context, struct link **out)
{
    drop_old(origin->links);
    while (!list_is_empty(&origin->idle)) {
        struct link *link = CONTAINER_OF(origin->idle.prev, struct link, node);
        if (!is_silent(link)) {
            link_drop(link);
            continue;
        }
        leave_idle(link);
        link->was_kept = true;
        link->acknowledged = acknowledged(link);
        link->context = context;
        *out = link;
        return 0;
    }
    int error = open_new(origin, out);
    if (error == 0)
        (*out)->context = context;
    return error;
}

static void fetch_user(const struct watch *watch)
{
    const struct link *link = CONTAINER_OF(watch, const struct link, watch);
    __builtin_prefetch(link->context);
    __builtin_prefetch((const char *)link->context + FETCH_BYTES);
    for (size_t i = 0; i < LINK_TOUCHED_MAX; i++)
        __builtin_prefetch(link->touched[i]);
}

void link_touches(struct link *link, const void *const addresses[LINK_TOUCHED_MAX])
{
    memcpy(link->touched, addresses, sizeof link->touched);
}

static void socket_ready(struct watch *watch, short events)
{
    struct link *link = CONTAINER_OF(watch, struct link, watch);
    if (link->state == LINK_IDLE)
        link_drop(link);
    else
        link->origin->links->ready(link->context, events);
}

bool link_is_connecting(const struct link *link)
{
    return link->state == LINK_CONNECTING;
}

bool link_was_kept(const struct link *link)
{
    return link->was_kept;
}

int link_connected(struct link *link)
{
    int error = 0;
    socklen_t size = sizeof error;
    if (getsockopt(link->watch.socket, SOL_SOCKET, SO_ERROR, &error, &size) != 0)
        error = errno;
    if (error == 0)
        link->state = LINK_USED;
    return error;
}

int link_socket(const struct link *link)
{
    return link->watch.socket;
}

enum err link_want(struct link *link, short events)
{
    return watch_want(&link->watch, events);
}

uint64_t link_acknowledged(const struct link *link)
{
    return acknowledged(link) - link->acknowledged;
}

void link_keep(struct link *link)
{
    struct links *links = link->origin->links;
    if (watch_want(&link->watch, POLLIN) != ERR_OK) {
        link_drop(link);
        return;
    }
    link->state = LINK_IDLE;
    link->context = NULL;
    link->idle_since_ns = loop_now_ns(links->loop);
    list_append(&link->origin->idle, &link->node);
    list_append(&links->idle, &link->age);
    links->idle_count++;
    drop_old(links);
}
