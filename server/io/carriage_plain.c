/* carriage_plain — see carriage_plain.h.
 *
 *   begin ─▶ link: kept, or connecting ─▶ send the head and the body ─▶ receive ─▶ reply: framing off
 *                                                                          ▲            │ ERR_AGAIN
 *                                                              unpause ────┴── held ◀───┘
 *
 * What is received lies in one buffer, which all carriages share and which stays in the processor's cache.
 * Only what its owner did not take is copied, and no more is received until it is taken. */
#include "server/io/carriage_plain.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

#include "protocol/http/reply.h"
#include "server/io/link.h"

enum {
    HTTP_PORT = 80,
    MESSAGE_BYTES = 256,
    RECEIVES_MAX = 4, /* of one connection in one turn: 64 KiB */
    /* Of a request: its line, and all headers that transfer_check lets pass. */
    HEAD_BYTES_MAX = 1024 * 1024 + UPSTREAM_HEADERS_MAX * UPSTREAM_HEADER_BYTES_MAX,
    NAME_BYTES = 256 + 8, /* a name of 253 (RFC 1035 §2.3.4), a colon, a port */
    NAMES_MAX = 64,       /* known at a time; the one learned first makes room */
};

static const int64_t ns_per_s = 1000000000;

/* A name and its port, and where libcurl last found it. */
struct name {
    char authority[NAME_BYTES];
    struct sockaddr_storage address;
    int64_t until_ns; /* 0: none */
};

struct plains {
    struct loop *loop;
    struct links *links;
    struct name names[NAMES_MAX];
    size_t name_next; /* the one to be replaced */
    uint8_t buffer[UPSTREAM_BUFFER_BYTES];
};

struct plain {
    struct carriage base;
    struct plains *plains;
    struct link *link; /* NULL before begin, and once the response has ended */
    struct reply reply;
    struct buf held; /* received, not taken: begins with `held_body` bytes of the body */
    size_t held_body;
    struct origin *origin;
    struct buf head; /* of the request */
    struct slice body;
    size_t sent; /* of both */
    bool is_head_request;
    bool is_paused;
    bool is_broken; /* no more can be sent: the connection is not kept */
    bool is_reset;  /* … a send took notice of a RST: the next receive would call it a FIN */
};

static_assert((int)TRANSFER_TOUCHED_MAX == (int)LINK_TOUCHED_MAX, "the one is given to the other");

static void link_ready(void *context, short events);
static void set_out(struct plain *plain);

/* ---- all of a loop's ------------------------------------------------------------------------- */

enum err plains_new(struct loop *loop, struct plains **out)
{
    struct plains *plains = calloc(1, sizeof *plains);
    if (!plains)
        return fault(ERR_NOMEM, "plains");
    plains->loop = loop;
    enum err err = links_new(loop, link_ready, &plains->links);
    if (err != ERR_OK) {
        free(plains);
        return err;
    }
    *out = plains;
    return ERR_OK;
}

struct plains *plains_free(struct plains *plains)
{
    if (!plains)
        return NULL;
    links_free(plains->links);
    free(plains);
    return NULL;
}

/* ---- where a URL leads ----------------------------------------------------------------------- */

struct place {
    struct slice authority; /* "host:1234" */
    struct slice host;      /* "host" */
    uint16_t port;
    struct slice target; /* "/path?query"; without the slash, or empty, as in the URL */
};

/* libcurl reads a URL's rarer forms (a user, a fragment, dot segments): ERR_NOTFOUND, as for what is no
 * http. */
static bool is_common(struct slice url)
{
    for (size_t i = 0; i < url.size; i++)
        switch (url.data[i]) {
        case '@':
        case '#':
        case '\\': return false;
        default:
            if (url.data[i] <= ' ' || url.data[i] >= 0x7f)
                return false;
        }
    return slice_find(url, SLICE("/.")) < 0;
}

static size_t authority_size(struct slice rest)
{
    size_t size = 0;
    while (size < rest.size && rest.data[size] != '/' && rest.data[size] != '?')
        size++;
    return size;
}

/* The port's colon, or the authority's size. */
static size_t host_size(struct slice authority)
{
    size_t size = authority.size;
    while (size > 0 && authority.data[size - 1] >= '0' && authority.data[size - 1] <= '9')
        size--;
    return size > 0 && authority.data[size - 1] == ':' ? size - 1 : authority.size;
}

static enum err parse_url(const char *text, struct place *out)
{
    struct slice url = slice_text(text), scheme = SLICE("http://");
    if (!slice_equal_nocase(slice_sub(url, 0, scheme.size), scheme) || !is_common(url))
        return ERR_NOTFOUND;
    struct slice rest = slice_sub(url, scheme.size, url.size);
    out->authority = slice_sub(rest, 0, authority_size(rest));
    out->target = slice_sub(rest, out->authority.size, rest.size);
    out->host = slice_sub(out->authority, 0, host_size(out->authority));
    out->port = HTTP_PORT;
    if (out->host.size == 0 || out->authority.size >= NAME_BYTES)
        return ERR_NOTFOUND;
    if (out->host.size + 1 < out->authority.size &&
        port_parse(slice_sub(out->authority, out->host.size + 1, NAME_BYTES), &out->port))
        return ERR_NOTFOUND;
    return ERR_OK;
}

static struct name *find_name(struct plains *plains, struct slice authority)
{
    for (size_t i = 0; i < NAMES_MAX; i++)
        if (plains->names[i].until_ns > 0 &&
            slice_equal_nocase(slice_text(plains->names[i].authority), authority))
            return &plains->names[i];
    return NULL;
}

bool plain_may_learn(const char *url)
{
    struct place place;
    return parse_url(url, &place) == ERR_OK;
}

/* The text of such an address does not say which interface leads there. */
static bool is_link_local(const struct sockaddr_storage *address)
{
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)address;
    return address->ss_family == AF_INET6 && IN6_IS_ADDR_LINKLOCAL(&v6->sin6_addr);
}

void plains_learn(struct plains *plains, const char *url, const char *address, uint16_t port)
{
    struct place place;
    struct sockaddr_storage found;
    if (parse_url(url, &place) || address_parse(slice_text(address), port, &found) ||
        is_link_local(&found))
        return;
    struct name *name = find_name(plains, place.authority);
    if (!name) {
        name = &plains->names[plains->name_next];
        plains->name_next = (plains->name_next + 1) % NAMES_MAX;
        memcpy(name->authority, place.authority.data, place.authority.size);
        name->authority[place.authority.size] = '\0';
    }
    name->address = found;
    name->until_ns = loop_now_ns(plains->loop) + UPSTREAM_NAME_S * ns_per_s;
}

/* Nobody answers there: libcurl is to find where its names lead now, and tries all their addresses. */
static void forget(struct plain *plain)
{
    struct plains *plains = plain->plains;
    for (size_t i = 0; i < NAMES_MAX; i++)
        if (address_equal(&plains->names[i].address, origin_address(plain->origin)))
            plains->names[i].until_ns = 0;
}

static enum err find_address(
    struct plains *plains, const struct place *place, struct sockaddr_storage *out)
{
    if (address_parse(place->host, place->port, out) == ERR_OK)
        return ERR_OK;
    const struct name *name = find_name(plains, place->authority);
    if (!name || name->until_ns < loop_now_ns(plains->loop))
        return ERR_NOTFOUND;
    *out = name->address;
    return ERR_OK;
}

/* ---- the end --------------------------------------------------------------------------------- */

static void drop(struct carriage *base)
{
    struct plain *plain = CONTAINER_OF(base, struct plain, base);
    if (plain->link && link_is_connecting(plain->link)) /* refused, or for too long */
        forget(plain);
    link_drop(plain->link);
    origin_unref(plain->origin);
    reply_deinit(&plain->reply);
    buf_deinit(&plain->held);
    buf_deinit(&plain->head);
    free(plain);
}

/* The connection broke, or could not be had: what was dispatched is not known to have arrived. */
static void fail(struct plain *plain, const char *message)
{
    bool is_refused = !plain->link || link_is_connecting(plain->link);
    transfer_ends(plain->base.transfer, is_refused ? UPSTREAM_REFUSED : UPSTREAM_RESET, message);
}

static bool is_sent(const struct plain *plain)
{
    return plain->sent == plain->head.size + plain->body.size;
}

static short wanted(const struct plain *plain)
{
    bool has_more = !is_sent(plain) && !plain->is_broken;
    return (short)((plain->is_paused ? 0 : POLLIN) | (has_more ? POLLOUT : 0));
}

static void complete(struct plain *plain, bool has_more)
{
    if (is_sent(plain) && !has_more && reply_is_kept(&plain->reply))
        link_keep(plain->link);
    else
        link_drop(plain->link);
    plain->link = NULL;
    transfer_ends(plain->base.transfer, UPSTREAM_COMPLETE, "");
}

/* The peer closed a kept connection while the request was on its way to it: not a byte of that was
 * acknowledged, and the FIN, which acknowledges what came before it, is here. So it was never taken, and
 * may be sent again. After a RST alone that cannot be told. */
static bool was_never_taken(const struct plain *plain)
{
    return link_was_kept(plain->link) && !reply_has_begun(&plain->reply) &&
           link_acknowledged(plain->link) == 0;
}

static void closed(struct plain *plain)
{
    if (plain->is_reset)
        fail(plain, strerror(ECONNRESET));
    else if (reply_closed(&plain->reply) == ERR_OK)
        transfer_ends(plain->base.transfer, UPSTREAM_COMPLETE, "");
    else if (was_never_taken(plain))
        set_out(plain);
    else if (reply_has_begun(&plain->reply))
        fail(plain, "the connection was closed in the middle of the response");
    else if (link_was_kept(plain->link))
        fail(plain, "the kept connection was closed before it answered");
    else
        fail(plain, "the connection was closed without a response");
}

/* ---- receiving. Each answers whether the carriage is still there and may receive more. -------- */

/* `body` was not taken; `rest` was received after it. */
static bool hold(struct plain *plain, struct slice body, struct slice rest)
{
    buf_init(&plain->held, UPSTREAM_BUFFER_BYTES);
    plain->held_body = body.size;
    plain->is_paused = true;
    if (buf_append(&plain->held, body) || buf_append(&plain->held, rest) ||
        link_want(plain->link, wanted(plain)))
        fail(plain, fault_origin());
    return false;
}

static bool feed(struct plain *plain, struct slice input)
{
    struct transfer *transfer = plain->base.transfer;
    for (;;) {
        struct reply_event event;
        enum err err = reply_next(&plain->reply, &input, &event);
        if (err != ERR_OK) {
            bool is_fault = err_is_fault(err);
            transfer_ends(transfer, is_fault ? UPSTREAM_RESET : UPSTREAM_MALFORMED,
                is_fault ? fault_origin() : reply_problem(&plain->reply));
            return false;
        }
        switch (event.kind) {
        case REPLY_NEED_MORE: return true;
        case REPLY_HEAD: transfer_heads(transfer, reply_status(&plain->reply), event.bytes); break;
        case REPLY_BODY:
            if (transfer_takes(transfer, event.bytes) == ERR_AGAIN)
                return hold(plain, event.bytes, input);
            break;
        case REPLY_END: complete(plain, input.size > 0); return false;
        }
    }
}

/* A short receive took all there was. */
static void receive(struct plain *plain)
{
    uint8_t *buffer = plain->plains->buffer;
    for (int i = 0; i < RECEIVES_MAX; i++) {
        ssize_t got = recv(link_socket(plain->link), buffer, UPSTREAM_BUFFER_BYTES, 0);
        if (got == 0 || (got < 0 && errno == EPIPE)) { /* EPIPE: a FIN, and a RST behind it */
            closed(plain);
            return;
        }
        if (got < 0 && errno != EAGAIN && errno != EINTR)
            fail(plain, strerror(errno));
        if (got < 0 || !feed(plain, slice_of(buffer, (size_t)got)) || got < UPSTREAM_BUFFER_BYTES)
            return;
    }
}

static void unpause(struct carriage *base, bool may_receive, bool may_send)
{
    (void)may_send;
    struct plain *plain = CONTAINER_OF(base, struct plain, base);
    struct slice held = buf_slice(&plain->held);
    struct slice body = slice_sub(held, 0, plain->held_body);
    if (!may_receive || !plain->is_paused || transfer_takes(base->transfer, body) == ERR_AGAIN)
        return;
    struct buf old = plain->held; /* feed() may hold some of it anew */
    plain->held = (struct buf){0};
    plain->is_paused = false;
    if (feed(plain, slice_sub(held, body.size, held.size)) &&
        link_want(plain->link, wanted(plain)) != ERR_OK)
        fail(plain, fault_origin());
    buf_deinit(&old);
}

/* ---- sending --------------------------------------------------------------------------------- */

static struct iovec part(struct slice bytes, size_t sent)
{
    struct slice rest = slice_sub(bytes, sent < bytes.size ? sent : bytes.size, bytes.size);
    return (struct iovec){(void *)(uintptr_t)rest.data, rest.size};
}

/* False: the carriage is gone. When the peer takes no more it may still have answered. */
static bool send_more(struct plain *plain)
{
    size_t head_size = plain->head.size;
    struct iovec parts[2] = {part(buf_slice(&plain->head), plain->sent),
        part(plain->body, plain->sent > head_size ? plain->sent - head_size : 0)};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
    ssize_t sent = sendmsg(link_socket(plain->link), &message, MSG_NOSIGNAL);
    if (sent > 0)
        plain->sent += (size_t)sent;
    plain->is_broken = sent < 0 && errno != EAGAIN && errno != EINTR;
    plain->is_reset = plain->is_broken && errno != EPIPE; /* EPIPE: as in receive() */
    if (link_want(plain->link, wanted(plain)) == ERR_OK)
        return true;
    fail(plain, fault_origin());
    return false;
}

static void dispatch(struct plain *plain)
{
    if (transfer_phase(plain->base.transfer) < TRANSFER_DISPATCHED)
        transfer_dispatches(plain->base.transfer);
    (void)send_more(plain);
}

static void not_connected(struct plain *plain, int error)
{
    char address[ADDRESS_BYTES], message[MESSAGE_BYTES];
    address_format(origin_address(plain->origin), address);
    (void)snprintf(message, sizeof message, "no connection to %s: %s", address, strerror(error));
    fail(plain, message);
}

static void connected(struct plain *plain)
{
    int error = link_connected(plain->link);
    if (error == 0)
        dispatch(plain);
    else
        not_connected(plain, error);
}

static void link_ready(void *context, short events)
{
    struct plain *plain = context;
    if (link_is_connecting(plain->link))
        connected(plain);
    else if (events & POLLOUT && !send_more(plain))
        return;
    else if (events & (POLLIN | POLLERR | POLLHUP) && !plain->is_paused)
        receive(plain);
}

static void set_out(struct plain *plain)
{
    link_drop(plain->link);
    plain->link = NULL;
    plain->sent = 0;
    plain->is_broken = plain->is_reset = false;
    int error = link_open(plain->origin, plain, &plain->link);
    if (error != 0) {
        forget(plain);
        not_connected(plain, error);
        return;
    }
    const void *touched[TRANSFER_TOUCHED_MAX];
    transfer_touches(plain->base.transfer, touched);
    link_touches(plain->link, touched);
    if (!link_is_connecting(plain->link))
        dispatch(plain);
}

static void begin(struct carriage *base)
{
    struct plain *plain = CONTAINER_OF(base, struct plain, base);
    reply_begin(&plain->reply, plain->is_head_request);
    set_out(plain);
}

/* ---- opening --------------------------------------------------------------------------------- */

static const struct carriage_kind kind = {begin, unpause, drop, .times_connect = false};

/* As libcurl writes it, but for the order of the fields. */
static enum err write_head(
    struct buf *head, const struct upstream_request *request, const struct place *place)
{
    bool has_slash = place->target.size > 0 && place->target.data[0] == '/';
    TRY(buf_append_text(head, request->method));
    TRY(buf_append_text(head, has_slash ? " " : " /"));
    TRY(buf_append(head, place->target));
    TRY(buf_append_text(head, " HTTP/1.1\r\n"));
    if (!request_has_header(request, SLICE("Host:"))) {
        TRY(buf_append_text(head, "Host: "));
        TRY(buf_append(head, place->authority));
        TRY(buf_append_text(head, "\r\n"));
    }
    if (!request_has_header(request, SLICE("Accept:")))
        TRY(buf_append_text(head, "Accept: */*\r\n"));
    if (!request_has_header(request, SLICE("Accept-Encoding:")))
        TRY(buf_append_text(head, "Accept-Encoding: identity\r\n"));
    for (size_t i = 0; request->headers && request->headers[i]; i++) {
        TRY(buf_append_text(head, request->headers[i]));
        TRY(buf_append_text(head, "\r\n"));
    }
    if (request->body.size > 0 || strcmp(request->method, "POST") == 0)
        TRY(buf_printf(head, "Content-Length: %zu\r\n", request->body.size));
    return buf_append_text(head, "\r\n");
}

static enum err open_plain(struct plain *plain, const struct upstream_request *request,
    const struct place *place, const struct sockaddr_storage *address)
{
    TRY(links_origin(plain->plains->links, address, &plain->origin));
    return write_head(&plain->head, request, place);
}

enum err plain_open(struct plains *plains, struct transfer *transfer,
    const struct upstream_request *request, struct carriage **out)
{
    struct place place;
    struct sockaddr_storage address;
    if (request->upload || request->resolve)
        return ERR_NOTFOUND;
    TRY(parse_url(request->url, &place));
    TRY(find_address(plains, &place, &address));
    struct plain *plain = calloc(1, sizeof *plain);
    if (!plain)
        return fault(ERR_NOMEM, "transfer");
    plain->base = (struct carriage){&kind, transfer};
    plain->plains = plains;
    plain->body = request->body;
    plain->is_head_request = strcmp(request->method, "HEAD") == 0;
    buf_init(&plain->head, HEAD_BYTES_MAX);
    enum err err = open_plain(plain, request, &place, &address);
    if (err != ERR_OK) {
        drop(&plain->base);
        return err;
    }
    *out = &plain->base;
    return ERR_OK;
}
