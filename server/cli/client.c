/* client — a loop that runs until the one transfer has ended.
 *
 * An interruptible transfer takes SIGINT and SIGTERM by signalfd, polled on the same loop: so what
 * has come is printed before the program says where it stopped. The signals stay blocked between
 * such transfers, and one that came meanwhile is seen by the next. */
#include "server/cli/client.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>

#include "protocol/base/own.h"
#include "server/cli/cli.h"
#include "server/io/upstream.h"

enum { PROBLEM_BYTES = 512, NS_PER_MS = 1000000 };

struct client {
    struct loop *loop;
    struct upstreams *upstreams;
    char *url, *ca, *authorization;
    char problem[PROBLEM_BYTES];
    int signal_fd; /* -1 until it is needed */
    struct op signal_poll;
    struct timer timer;
    /* The transfer under way. */
    const struct client_call *call;
    struct client_answer *answer;
    struct upstream *upstream;
    enum err err;
};

#define CLIENT_OF(pointer, member) CONTAINER_OF(pointer, struct client, member)

static bool url_is_http(const char *url)
{
    return strncmp(url, "http://", 7) == 0 || strncmp(url, "https://", 8) == 0;
}

static enum err copy(const char *text, const char *prefix, char **out)
{
    if (text && asprintf(out, "%s%s", prefix, text) < 0) {
        *out = NULL;
        return fault(ERR_NOMEM, "client");
    }
    return ERR_OK;
}

static enum err set_up(struct client *client, const struct client_config *config)
{
    TRY(copy(config->url, "", &client->url));
    TRY(copy(config->ca, "", &client->ca));
    TRY(copy(config->key, "Authorization: Bearer ", &client->authorization));
    for (size_t size = strlen(client->url); client->url[size - 1] == '/'; size--)
        client->url[size - 1] = '\0';
    TRY(loop_new(&client->loop));
    return upstreams_new(client->loop, NULL, &client->upstreams);
}

enum err client_new(const struct client_config *config, struct client **out)
{
    if (!url_is_http(config->url))
        return ERR_INVALID;
    struct client *client = calloc(1, sizeof *client);
    if (!client)
        return fault(ERR_NOMEM, "client");
    client->signal_fd = -1;
    enum err err = set_up(client, config);
    if (err != ERR_OK) {
        client_free(client);
        return err;
    }
    *out = client;
    return ERR_OK;
}

struct client *client_free(struct client *client)
{
    if (!client)
        return NULL;
    if (client->signal_poll.in_flight)
        loop_cancel(client->loop, &client->signal_poll);
    if (client->upstreams)
        upstreams_free(client->upstreams);
    if (client->loop)
        loop_free(client->loop);
    cleanup_close(&client->signal_fd);
    free(client->url);
    free(client->ca);
    free(client->authorization);
    free(client);
    return NULL;
}

const char *client_url(const struct client *client)
{
    return client->url;
}

const char *client_problem(const struct client *client)
{
    return client->problem;
}

/* ——— signals and time ——— */

static void interrupted(struct op *op, int32_t result, uint32_t flags)
{
    struct client *client = CLIENT_OF(op, signal_poll);
    (void)flags;
    if (result <= 0)
        return; /* cancelled */
    client->err = ERR_CANCELED;
    if (client->upstream)
        upstream_cancel(client->upstream);
    else
        loop_stop(client->loop);
}

static enum err watch_signals(struct client *client)
{
    if (client->signal_fd < 0) {
        sigset_t signals;
        (void)sigemptyset(&signals);
        (void)sigaddset(&signals, SIGINT);
        (void)sigaddset(&signals, SIGTERM);
        client->signal_fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
        if (client->signal_fd < 0 || sigprocmask(SIG_BLOCK, &signals, NULL) != 0)
            return fault(ERR_IO, "signalfd");
    }
    client->signal_poll.done = interrupted;
    if (!client->signal_poll.in_flight)
        loop_poll(client->loop, &client->signal_poll, client->signal_fd, POLLIN);
    return ERR_OK;
}

static void slept(struct timer *timer)
{
    loop_stop(CLIENT_OF(timer, timer)->loop);
}

enum err client_sleep(struct client *client, int64_t duration_ms)
{
    client->err = ERR_OK;
    TRY(watch_signals(client));
    client->timer.fire = slept;
    timer_set(client->loop, &client->timer, loop_now_ns(client->loop) + duration_ms * NS_PER_MS);
    loop_run(client->loop);
    timer_cancel(client->loop, &client->timer);
    return client->err;
}

/* ——— one transfer ——— */

static void on_head(void *context, int status, struct slice head)
{
    struct client *client = context;
    (void)head;
    client->answer->status = status;
}

static enum err on_data(void *context, struct slice bytes)
{
    enum { STATUS_OK = 200 };
    struct client *client = context;
    if (client->call->data && client->answer->status == STATUS_OK) {
        if (!client->call->data(client->call->context, bytes))
            client->err = ERR_CANCELED;
    } else {
        client->err = buf_append(&client->answer->body, bytes);
    }
    return client->err == ERR_OK ? ERR_OK : ERR_CANCELED;
}

static void on_ended(void *context, enum upstream_end how, const char *message)
{
    struct client *client = context;
    client->upstream = NULL;
    if (how != UPSTREAM_COMPLETE && client->err == ERR_OK) {
        (void)snprintf(client->problem, sizeof client->problem, "%s",
            message && message[0] ? message : upstream_end_name(how));
        client->err = ERR_CLOSED;
    }
    loop_stop(client->loop);
}

static const struct upstream_owner owner = {on_head, on_data, on_ended, NULL};

static enum err start(struct client *client, const char *url)
{
    const char *const headers[] = {"Accept: */*", client->authorization, NULL};
    const struct client_call *call = client->call;
    const struct upstream_request request = {
        .url = url,
        .method = call->method,
        .headers = headers,
        .connect_timeout_ms = call->connect_timeout_ms,
        .first_byte_timeout_ms = call->answer_timeout_ms,
        .ca_file = client->ca,
    };
    if (call->is_interruptible)
        TRY(watch_signals(client));
    return upstream_start(client->upstreams, &request, &owner, client, &client->upstream);
}

enum err client_run(
    struct client *client, const struct client_call *call, struct client_answer *out)
{
    CLEANUP(cleanup_free) char *url = NULL;
    *out = (struct client_answer){0};
    buf_init(&out->body, CLI_BODY_BYTES_MAX);
    client->call = call;
    client->answer = out;
    client->err = ERR_OK;
    TRY(copy(call->path, client->url, &url));
    TRY(start(client, url));
    loop_run(client->loop);
    ASSERT(!client->upstream);
    return client->err;
}
