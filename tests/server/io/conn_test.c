/* conn — a server on the loop, observed by a plain blocking client in a thread; with its sockets on the
 * same loop, and all over again with its sockets on another reactor. */
#include "server/io/conn.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "server/io/listener.h"
#include "server/io/reactor.h"
#include "tests/protocol/tls/certificate.h"
#include "tests/server/io/net.h"

enum {
    QUEUE_BYTES_MAX = 128 * 1024, /* an echo stops consuming from here on */
    LARGE_BYTES = 4 * 1024 * 1024,
    CHUNK_BYTES = 10000,
    MANY = 1000,
    NS_PER_MS = 1000000,
};

/* What the server side of a test does with a connection. */
enum role {
    ECHO,     /* send back what comes */
    GIVE,     /* push LARGE_BYTES, then close in the way the test says */
    GIVE_NOW, /* push, and close while the send is in flight */
    LAZY,     /* consume a little at a time, when resumed */
    COPIES,   /* many small copies between borrowed pieces */
};

struct server {
    struct loop *loop;
    struct listener *listener;
    struct reactor *reactor; /* NULL: the sockets are on `loop` */
    struct tls_context *tls;
    uint16_t port;
    enum role role;
    enum conn_close how;
    int open_count, accepted_count, ended_count, broken_count;
    size_t chunk_count; /* borrowed and not released */
    size_t received_bytes, queued_bytes_max;
    int64_t stall_ns_max;
    bool is_client_done;
};

struct chunk {
    struct list node;
    struct server *server;
    size_t size;
    uint8_t bytes[];
};

struct session {
    struct server *server;
    struct conn *conn;
    struct list chunks; /* not pushed yet */
    size_t queued_bytes;
    size_t given;
    struct timer timer;
    bool has_ended;
};

static uint8_t pattern(size_t at)
{
    return (uint8_t)(at * 31 + at / 251);
}

static void chunk_release(void *owner)
{
    struct chunk *chunk = owner;
    chunk->server->chunk_count--;
    free(chunk);
}

static struct chunk *chunk_new(struct server *server, size_t size)
{
    struct chunk *chunk = malloc(sizeof *chunk + size);
    assert_non_null(chunk);
    list_init(&chunk->node);
    chunk->server = server;
    chunk->size = size;
    server->chunk_count++;
    return chunk;
}

/* ---- the server's side ----------------------------------------------------------------------- */

static void echo_received(struct session *session, struct slice bytes, size_t *consumed)
{
    struct server *server = session->server;
    if (session->queued_bytes >= QUEUE_BYTES_MAX)
        return;
    bytes = slice_sub(bytes, 0, CHUNK_BYTES); /* the rest comes again after conn_resume */
    struct chunk *chunk = chunk_new(server, bytes.size);
    memcpy(chunk->bytes, bytes.data, bytes.size);
    list_append(&session->chunks, &chunk->node);
    session->queued_bytes += bytes.size;
    if (session->queued_bytes > server->queued_bytes_max)
        server->queued_bytes_max = session->queued_bytes;
    *consumed = bytes.size;
    conn_wake(session->conn);
}

static void lazy_received(struct session *session, struct slice bytes, size_t *consumed)
{
    size_t part = bytes.size < 5000 ? bytes.size : 5000;
    for (size_t i = 0; i < part; i++)
        assert_int_equal(bytes.data[i], pattern(session->server->received_bytes + i));
    *consumed = part;
    session->server->received_bytes += part;
    if (part < bytes.size)
        timer_set(session->server->loop, &session->timer, loop_now_ns(session->server->loop));
}

static void session_received(void *context, struct slice bytes, size_t *consumed)
{
    struct session *session = context;
    if (session->server->role == LAZY)
        lazy_received(session, bytes, consumed);
    else if (session->server->role == ECHO)
        echo_received(session, bytes, consumed);
    else
        *consumed = bytes.size;
}

static void session_resume(struct timer *timer)
{
    conn_resume(CONTAINER_OF(timer, struct session, timer)->conn);
}

static void echo_writable(struct session *session)
{
    while (!list_is_empty(&session->chunks)) {
        struct chunk *chunk = CONTAINER_OF(session->chunks.next, struct chunk, node);
        if (conn_push(session->conn, slice_of(chunk->bytes, chunk->size), chunk_release, chunk) !=
            ERR_OK)
            break;
        list_unlink(&chunk->node);
        session->queued_bytes -= chunk->size;
    }
    conn_resume(session->conn);
    if (session->has_ended && list_is_empty(&session->chunks))
        conn_close(session->conn, CONN_CLOSE_FLUSH);
}

static size_t give_max(const struct session *session)
{
    return session->server->role == GIVE_NOW ? SIZE_MAX : LARGE_BYTES;
}

static bool give_chunk(struct session *session)
{
    size_t left = give_max(session) - session->given;
    struct chunk *chunk = chunk_new(session->server, left < CHUNK_BYTES ? left : CHUNK_BYTES);
    for (size_t i = 0; i < chunk->size; i++)
        chunk->bytes[i] = pattern(session->given + i);
    if (conn_push(session->conn, slice_of(chunk->bytes, chunk->size), chunk_release, chunk) !=
        ERR_OK) {
        chunk_release(chunk);
        return false;
    }
    session->given += chunk->size;
    return true;
}

static void give_writable(struct session *session)
{
    struct loop *loop = session->server->loop;
    bool is_first = session->given == 0;
    while (session->given < give_max(session) && give_chunk(session))
        ;
    if (session->given == give_max(session))
        conn_close(session->conn, session->server->how);
    else if (session->server->role == GIVE_NOW && is_first)
        timer_set(loop, &session->timer, loop_now_ns(loop) + 5 * NS_PER_MS);
}

/* "0123456789" by copies of one byte, then a borrowed "|", until it is CHUNK_BYTES. */
static void copies_writable(struct session *session)
{
    static const char digits[] = "0123456789|";
    while (session->given < CHUNK_BYTES) {
        size_t at = session->given % 11;
        struct slice byte = slice_of(digits + at, 1);
        enum err err = at == 10 ? conn_push(session->conn, byte, NULL, NULL)
                                : conn_push_copy(session->conn, byte);
        if (err == ERR_LIMIT)
            return;
        session->given++;
    }
    conn_close(session->conn, CONN_CLOSE_FLUSH);
}

static void session_writable(void *context)
{
    struct session *session = context;
    switch (session->server->role) {
    case ECHO: echo_writable(session); break;
    case GIVE:
    case GIVE_NOW: give_writable(session); break;
    case COPIES: copies_writable(session); break;
    case LAZY: break;
    }
}

static void session_ended(void *context, bool is_broken)
{
    struct session *session = context;
    session->server->ended_count += !is_broken;
    session->server->broken_count += is_broken;
    session->has_ended = true;
    if (is_broken)
        return;
    if (session->server->role == ECHO)
        conn_wake(session->conn);
    else
        conn_close(session->conn, CONN_CLOSE_FLUSH);
}

static void stop_if_done(struct server *server)
{
    if (server->is_client_done && server->open_count == 0)
        loop_stop(server->loop);
}

static void session_closed(void *context)
{
    struct session *session = context;
    struct server *server = session->server;
    while (!list_is_empty(&session->chunks))
        chunk_release(CONTAINER_OF(list_pop(&session->chunks), struct chunk, node));
    timer_cancel(server->loop, &session->timer);
    free(session);
    server->open_count--;
    stop_if_done(server);
}

static const struct conn_owner session_owner = {
    .received = session_received,
    .writable = session_writable,
    .ended = session_ended,
    .closed = session_closed,
};

static void now_fired(struct timer *timer)
{
    struct session *session = CONTAINER_OF(timer, struct session, timer);
    assert_true(conn_is_sending(session->conn));
    session->server->stall_ns_max = conn_stall_ns(session->conn);
    conn_close(session->conn, CONN_CLOSE_NOW);
    conn_close(session->conn, CONN_CLOSE_FLUSH); /* softer: changes nothing */
}

static void server_take(void *context, struct arrival arrival)
{
    struct server *server = context;
    struct session *session = calloc(1, sizeof *session);
    assert_non_null(session);
    session->server = server;
    session->timer.fire = server->role == GIVE_NOW ? now_fired : session_resume;
    list_init(&session->chunks);
    server->open_count++;
    server->accepted_count++;
    assert_int_equal(
        conn_new(server->loop, arrival, server->tls, &session_owner, session, &session->conn),
        ERR_OK);
    assert_memory_equal(conn_peer(session->conn), "127.0.0.1:", 10);
    if (server->role != ECHO && server->role != LAZY)
        conn_wake(session->conn);
}

static void server_accepted(void *context, int fd)
{
    server_take(context, (struct arrival){fd, NULL});
}

/* ---- the client's side ----------------------------------------------------------------------- */

struct client {
    struct server *server;
    struct certificate *certificate;
    uint16_t port;
    struct task done;
    size_t got;
    int error;
    bool is_equal;
    bool is_clean; /* TLS: close_notify came */
    uint8_t bytes[LARGE_BYTES + 1];
};

static void client_done(struct task *task)
{
    struct client *client = CONTAINER_OF(task, struct client, done);
    client->server->is_client_done = true;
    stop_if_done(client->server);
}

static bool is_pattern(const struct client *client)
{
    for (size_t i = 0; i < client->got; i++)
        if (client->bytes[i] != pattern(i))
            return false;
    return true;
}

static bool is_far;
static struct loop *first_loop;

static void first_closed(void *context)
{
    (void)context;
    loop_stop(first_loop);
}

static void server_init(struct server *server, enum role role)
{
    const char *why = "";
    *server = (struct server){.role = role};
    assert_int_equal(loop_new(&server->loop), ERR_OK);
    assert_int_equal(
        listener_open(server->loop, SLICE("127.0.0.1:0"), &why, &server->listener), ERR_OK);
    server->port = net_port(listener_address(server->listener));
    if (!is_far) {
        listener_start(server->listener, server_accepted, server);
        return;
    }
    struct reactor_config config = {.core = server->loop, .index = 1};
    assert_int_equal(reactor_new(&config, &server->reactor), ERR_OK);
    assert_int_equal(reactor_listen(server->reactor, server->listener), ERR_OK);
    listener_close(server->listener, first_closed); /* so that all callers come to the other one */
    first_loop = server->loop;
    loop_run(server->loop);
    server->listener = NULL;
    reactor_accept(server->reactor, server_take, server);
}

static struct client *run(struct server *server, void *(*behave)(void *client))
{
    pthread_t thread;
    struct client *client = calloc(1, sizeof *client);
    assert_non_null(client);
    client->server = server;
    client->done.run = client_done;
    client->port = server->port;
    assert_int_equal(pthread_create(&thread, NULL, behave, client), 0);
    loop_run(server->loop);
    (void)pthread_join(thread, NULL);
    assert_int_equal(server->chunk_count, 0);
    assert_int_equal(server->open_count, 0);
    return client;
}

static void server_deinit(struct server *server)
{
    if (server->listener)
        listener_close(server->listener, NULL);
    if (server->reactor)
        reactor_stop(server->reactor);
    loop_free(server->loop);
    reactor_free(server->reactor);
}

static void *finish(struct client *client, int fd)
{
    if (fd >= 0)
        (void)close(fd);
    loop_post(client->server->loop, &client->done);
    return NULL;
}

/* ---- echo ------------------------------------------------------------------------------------ */

static void *say_hello(void *argument)
{
    struct client *client = argument;
    int fd = net_connect(client->port, 0);
    (void)net_write(fd, "hello", 5);
    (void)shutdown(fd, SHUT_WR);
    client->got = net_read(fd, client->bytes, sizeof client->bytes, &client->error);
    return finish(client, fd);
}

static void test_echo_and_half_close(void **state)
{
    (void)state;
    struct server server;
    server_init(&server, ECHO);
    struct client *client = run(&server, say_hello);
    assert_int_equal(client->got, 5);
    assert_memory_equal(client->bytes, "hello", 5);
    assert_int_equal(client->error, 0);
    assert_int_equal(server.ended_count, 1);
    assert_int_equal(server.broken_count, 0);
    free(client);
    server_deinit(&server);
}

static void *write_pattern(void *argument)
{
    struct client *client = argument;
    int fd = (int)client->error;
    uint8_t *bytes = malloc(LARGE_BYTES);
    for (size_t i = 0; bytes && i < LARGE_BYTES; i++)
        bytes[i] = pattern(i);
    (void)net_write(fd, bytes, LARGE_BYTES);
    (void)shutdown(fd, SHUT_WR);
    free(bytes);
    return NULL;
}

/* Sends all it has before it reads the first byte: more than all the buffers between hold. */
static void *write_then_read(void *argument)
{
    struct client *client = argument;
    pthread_t writer;
    int fd = net_connect(client->port, 4096), error;
    client->error = fd;
    (void)pthread_create(&writer, NULL, write_pattern, client);
    (void)usleep(100000); /* let it run into the bounds */
    client->got = net_read(fd, client->bytes, sizeof client->bytes, &error);
    (void)pthread_join(writer, NULL);
    client->error = error;
    client->is_equal = is_pattern(client);
    return finish(client, fd);
}

static void test_slow_reader_is_bounded(void **state)
{
    (void)state;
    struct server server;
    server_init(&server, ECHO);
    struct client *client = run(&server, write_then_read);
    assert_int_equal(client->got, LARGE_BYTES);
    assert_true(client->is_equal);
    assert_int_equal(client->error, 0);
    assert_true(server.queued_bytes_max <= QUEUE_BYTES_MAX + CHUNK_BYTES);
    free(client);
    server_deinit(&server);
}

static void *write_all(void *argument)
{
    struct client *client = argument;
    client->error = net_connect(client->port, 0);
    int fd = client->error;
    (void)write_pattern(client);
    client->got = net_read(fd, client->bytes, sizeof client->bytes, &client->error);
    return finish(client, fd);
}

static void test_unread_bytes_are_kept_and_bounded(void **state)
{
    (void)state;
    struct server server;
    server_init(&server, LAZY);
    struct client *client = run(&server, write_all);
    assert_int_equal(server.received_bytes, LARGE_BYTES);
    assert_int_equal(server.ended_count, 1); /* told after the last byte */
    assert_int_equal(client->error, 0);
    free(client);
    server_deinit(&server);
}

static void *read_all(void *argument)
{
    struct client *client = argument;
    int fd = net_connect(client->port, 16 * 1024);
    (void)usleep(50000); /* the kernel's buffers fill */
    client->got = net_read(fd, client->bytes, sizeof client->bytes, &client->error);
    client->is_equal = is_pattern(client);
    return finish(client, fd);
}

static void test_copies_and_borrowed_bytes_keep_their_order(void **state)
{
    (void)state;
    struct server server;
    server_init(&server, COPIES);
    struct client *client = run(&server, read_all);
    assert_int_equal(client->got, CHUNK_BYTES);
    for (size_t i = 0; i < client->got; i++)
        assert_int_equal(client->bytes[i], "0123456789|"[i % 11]);
    free(client);
    server_deinit(&server);
}

/* ---- closes ---------------------------------------------------------------------------------- */

static void close_gives_all(enum conn_close how, int error)
{
    struct server server;
    server_init(&server, GIVE);
    server.how = how;
    struct client *client = run(&server, read_all);
    assert_int_equal(client->got, LARGE_BYTES);
    assert_true(client->is_equal);
    assert_int_equal(client->error, error);
    free(client);
    server_deinit(&server);
}

static void test_close_flush(void **state)
{
    (void)state;
    close_gives_all(CONN_CLOSE_FLUSH, 0);
}

static void test_close_truncate(void **state)
{
    (void)state;
    close_gives_all(CONN_CLOSE_TRUNCATE, 0);
}

static void test_close_reset_loses_nothing(void **state)
{
    (void)state;
    close_gives_all(CONN_CLOSE_RESET, ECONNRESET);
}

static void test_close_now_drops(void **state)
{
    (void)state;
    struct server server;
    server_init(&server, GIVE_NOW);
    struct client *client = run(&server, read_all);
    assert_true(client->is_equal); /* as far as it goes */
    assert_true(server.stall_ns_max > 0);
    free(client);
    server_deinit(&server);
}

static void *reset(void *argument)
{
    struct client *client = argument;
    int fd = net_connect(client->port, 0);
    (void)net_write(fd, "x", 1);
    client->got = net_read(fd, client->bytes, 1, &client->error);
    net_reset(fd);
    return finish(client, -1);
}

static void test_reset_by_the_peer(void **state)
{
    (void)state;
    struct server server;
    server_init(&server, ECHO);
    struct client *client = run(&server, reset);
    assert_int_equal(client->got, 1);
    assert_int_equal(server.broken_count, 1);
    free(client);
    server_deinit(&server);
}

static void *reset_while_given(void *argument)
{
    struct client *client = argument;
    int fd = net_connect(client->port, 4096);
    client->got = net_read(fd, client->bytes, 1, &client->error);
    net_reset(fd);
    return finish(client, -1);
}

static void test_reset_by_the_peer_while_sending(void **state)
{
    (void)state;
    struct server server;
    server_init(&server, GIVE);
    server.how = CONN_CLOSE_RESET;
    free(run(&server, reset_while_given));
    server_deinit(&server);
}

static void *open_and_close_many(void *argument)
{
    struct client *client = argument;
    static int fds[MANY];
    for (size_t i = 0; i < MANY; i++)
        fds[i] = net_connect(client->port, 0);
    for (size_t i = 0; i < MANY; i++)
        (void)net_write(fds[i], "x", 1);
    for (size_t i = 0; i < MANY; i++)
        client->got += net_read(fds[i], client->bytes, 1, &client->error);
    for (size_t i = 0; i < MANY; i++)
        if (i % 2)
            (void)close(fds[i]);
        else
            net_reset(fds[i]);
    return finish(client, -1);
}

static void test_many_connections(void **state)
{
    (void)state;
    struct server server;
    server_init(&server, ECHO);
    struct client *client = run(&server, open_and_close_many);
    assert_int_equal(client->got, MANY);
    assert_int_equal(server.accepted_count, MANY);
    struct loop_status status;
    loop_status(server.loop, &status);
    assert_int_equal(status.in_flight, is_far ? 1 : 2); /* the loop's own wake-up, and the accept */
    free(client);
    server_deinit(&server);
}

/* ---- TLS ------------------------------------------------------------------------------------- */

static struct certificate certificate;

static void server_init_tls(struct server *server, enum role role)
{
    const char *why = "";
    server_init(server, role);
    assert_true(certificate_make(&certificate));
    assert_int_equal(
        tls_context_new(certificate.certificate_path, certificate.key_path, &why, &server->tls),
        ERR_OK);
}

static void server_deinit_tls(struct server *server)
{
    server_deinit(server);
    tls_context_free(server->tls);
    certificate_remove(&certificate);
}

static void tls_read_all(struct client *client, SSL *ssl)
{
    int size;
    while ((size = SSL_read(
                ssl, client->bytes + client->got, (int)(sizeof client->bytes - client->got))) > 0)
        client->got += (size_t)size;
    client->is_clean = SSL_get_error(ssl, size) == SSL_ERROR_ZERO_RETURN;
    client->is_equal = is_pattern(client);
}

static void *tls_behave(struct client *client, size_t write_bytes)
{
    SSL_CTX *context = certificate_client(&certificate);
    SSL *ssl = SSL_new(context);
    int fd = net_connect(client->port, 16 * 1024);
    (void)SSL_set_fd(ssl, fd);
    if (SSL_connect(ssl) == 1) {
        for (size_t i = 0; i < write_bytes; i++)
            client->bytes[i] = pattern(i);
        if (write_bytes > 0 && SSL_write(ssl, client->bytes, (int)write_bytes) > 0) {
            memset(client->bytes, 0, write_bytes);
            (void)SSL_shutdown(ssl); /* half a close: we still read */
        }
        tls_read_all(client, ssl);
    }
    SSL_free(ssl);
    SSL_CTX_free(context);
    return finish(client, fd);
}

static void *tls_echo(void *argument)
{
    return tls_behave(argument, 50000);
}

static void *tls_read(void *argument)
{
    return tls_behave(argument, 0);
}

static void test_tls_echo(void **state)
{
    (void)state;
    struct server server;
    server_init_tls(&server, ECHO);
    struct client *client = run(&server, tls_echo);
    assert_int_equal(client->got, 50000);
    assert_true(client->is_equal);
    assert_true(client->is_clean);
    assert_int_equal(server.ended_count, 1);
    free(client);
    server_deinit_tls(&server);
}

static void tls_close_gives_all(enum conn_close how, bool is_clean)
{
    struct server server;
    server_init_tls(&server, GIVE);
    server.how = how;
    struct client *client = run(&server, tls_read);
    assert_int_equal(client->got, LARGE_BYTES);
    assert_true(client->is_equal);
    assert_int_equal(client->is_clean, is_clean);
    free(client);
    server_deinit_tls(&server);
}

static void test_tls_close_flush_is_clean(void **state)
{
    (void)state;
    tls_close_gives_all(CONN_CLOSE_FLUSH, true);
}

static void test_tls_close_truncate_is_not(void **state)
{
    (void)state;
    tls_close_gives_all(CONN_CLOSE_TRUNCATE, false);
}

static void test_plain_client_of_tls(void **state)
{
    (void)state;
    struct server server;
    server_init_tls(&server, ECHO);
    struct client *client = run(&server, say_hello);
    assert_int_equal(server.broken_count, 1);
    assert_int_equal(client->error, 0);
    free(client);
    server_deinit_tls(&server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_echo_and_half_close),
        cmocka_unit_test(test_slow_reader_is_bounded),
        cmocka_unit_test(test_unread_bytes_are_kept_and_bounded),
        cmocka_unit_test(test_copies_and_borrowed_bytes_keep_their_order),
        cmocka_unit_test(test_close_flush),
        cmocka_unit_test(test_close_truncate),
        cmocka_unit_test(test_close_reset_loses_nothing),
        cmocka_unit_test(test_close_now_drops),
        cmocka_unit_test(test_reset_by_the_peer),
        cmocka_unit_test(test_reset_by_the_peer_while_sending),
        cmocka_unit_test(test_many_connections),
        cmocka_unit_test(test_tls_echo),
        cmocka_unit_test(test_tls_close_flush_is_clean),
        cmocka_unit_test(test_tls_close_truncate_is_not),
        cmocka_unit_test(test_plain_client_of_tls),
    };
    int failed = cmocka_run_group_tests_name("sockets on this loop", tests, NULL, NULL);
    is_far = true;
    return failed + cmocka_run_group_tests_name("sockets on another loop", tests, NULL, NULL);
}
