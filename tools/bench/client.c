/* client — non-blocking socket on the crowd's epoll, level-triggered: one read a wake-up. */
#include "tools/bench/client.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

static void on_token(void *context, uint64_t index)
{
    struct client *client = context;
    client->owner->token(client->owner->context, client, index);
}

static void on_body(void *context, struct slice bytes)
{
    struct client *client = context;
    client->body_bytes += bytes.size;
    if (reply_status(client->reply) == 200)
        tokens_feed(&client->tokens, bytes, on_token, client);
}

bool client_init(struct client *client, const struct client_owner *owner)
{
    *client = (struct client){.owner = owner, .fd = -1, .reply = reply_new(on_body, client)};
    return client->reply != NULL;
}

/* close_socket — by a reset, so that no port stays behind in TIME_WAIT. */
static void close_socket(struct client *client)
{
    struct linger linger = {.l_onoff = 1};
    if (client->fd < 0)
        return;
    (void)setsockopt(client->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
    (void)close(client->fd);
    client->fd = -1;
}

void client_deinit(struct client *client)
{
    close_socket(client);
    client->reply = reply_free(client->reply);
    tokens_deinit(&client->tokens);
}

static void end(struct client *client, enum client_end how)
{
    if (how != CLIENT_COMPLETE || !reply_keeps_alive(client->reply))
        close_socket(client);
    client->state = CLIENT_IDLE;
    client->owner->ended(client->owner->context, client, how);
}

static bool watch_for(struct client *client, int operation, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = client};
    return epoll_ctl(client->owner->epoll, operation, client->fd, &event) == 0;
}

/* No quick acknowledgements: one for each small segment costs more than reading it, and a browser's
 * or an SDK's socket does not send them either once it has settled. */
static void connect_socket(struct client *client)
{
    const struct load_options *options = client->owner->options;
    struct sockaddr_in to = {.sin_family = AF_INET,
        .sin_port = htons(options->port),
        .sin_addr.s_addr = options->address};
    int yes = 1, no = 0;
    client->state = CLIENT_CONNECTING;
    client->is_reused = false;
    client->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (client->fd < 0 || setsockopt(client->fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes) != 0 ||
        setsockopt(client->fd, IPPROTO_TCP, TCP_QUICKACK, &no, sizeof no) != 0 ||
        (connect(client->fd, (struct sockaddr *)&to, sizeof to) != 0 && errno != EINPROGRESS) ||
        !watch_for(client, EPOLL_CTL_ADD, EPOLLOUT))
        end(client, CLIENT_UNREACHED);
}

/* send_request — it is far smaller than a socket's buffer: it goes out at once, or not at all. */
static void send_request(struct client *client)
{
    struct buf *request = client->owner->scratch;
    buf_clear(request);
    client->owner->request(client->owner->context, client, request);
    client->state = CLIENT_READING;
    client->sent_ns = watch_now_ns();
    if (!client->is_reader)
        client->schedule_ns = client->sent_ns;
    ssize_t sent = send(client->fd, request->data, request->size, MSG_NOSIGNAL);
    if (sent == (ssize_t)request->size)
        return;
    if (client->is_reused) { /* it was closed meanwhile */
        close_socket(client);
        connect_socket(client);
        return;
    }
    end(client, CLIENT_CUT);
}

void client_start(struct client *client)
{
    ASSERT(client->state == CLIENT_IDLE);
    reply_reset(client->reply);
    client->is_hung_up = client->has_bytes = client->has_token = false;
    client->is_reused = client->fd >= 0;
    if (client->is_reused)
        send_request(client);
    else
        connect_socket(client);
}

static void connected(struct client *client)
{
    int error = 0;
    socklen_t size = sizeof error;
    if (getsockopt(client->fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0 || error != 0 ||
        !watch_for(client, EPOLL_CTL_MOD, EPOLLIN)) {
        end(client, CLIENT_UNREACHED);
        return;
    }
    send_request(client);
}

static void connection_ended(struct client *client)
{
    if (client->is_reused && !client->has_bytes) { /* closed before the request came: ask again */
        close_socket(client);
        connect_socket(client);
    } else {
        end(client, reply_finish(client->reply) ? CLIENT_COMPLETE : CLIENT_CUT);
    }
}

static void received(struct client *client, struct slice bytes)
{
    bool had_head = reply_status(client->reply) != 0;
    client->has_bytes = true;
    bool is_sound = reply_feed(client->reply, bytes);
    if (!had_head && reply_status(client->reply) != 0)
        client->owner->head(client->owner->context, client);
    if (!is_sound)
        end(client, CLIENT_MALFORMED);
    else if (reply_is_complete(client->reply))
        end(client, CLIENT_COMPLETE);
    else if (client->is_hung_up)
        end(client, CLIENT_HUNG_UP);
}

static void read_some(struct client *client)
{
    ssize_t size = recv(client->fd, client->owner->read_bytes, CLIENT_READ_BYTES, 0);
    if (size > 0 && client->state == CLIENT_READING)
        received(client, slice_of(client->owner->read_bytes, (size_t)size));
    else if (size < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    else if (client->state == CLIENT_READING)
        connection_ended(client);
    else
        close_socket(client); /* a kept connection that nobody uses any more */
}

void client_ready(struct client *client, uint32_t events)
{
    (void)events; /* whatever it is, the call that follows finds out */
    if (client->fd < 0)
        return; /* closed earlier in this turn */
    if (client->state == CLIENT_CONNECTING)
        connected(client);
    else
        read_some(client);
}

void client_hang_up(struct client *client)
{
    client->is_hung_up = true;
}
