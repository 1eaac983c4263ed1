/* upstream_warm — libcurl reads the certificates when it begins a TLS handshake. So one is begun, with a socket of our own
 * that listens on loopback and never answers, and is given up after a moment. Nothing leaves this machine.      */
#include "server/io/upstream_warm.h"

#include <netinet/in.h>
#include <stdio.h>
#include <unistd.h>

enum { WARM_MS = 200 /* for a handshake to begin; it is never finished */ };

static void warm_head(void *context, int status, struct slice head)
{
    (void)context, (void)status, (void)head;
}

static enum err warm_data(void *context, struct slice bytes)
{
    (void)context, (void)bytes;
    return ERR_OK;
}

static void warm_ended(void *context, enum upstream_end how, const char *message)
{
    (void)how, (void)message;
    (void)close(
        (int)(intptr_t)context); /* the socket; one that upstreams_free cut short stays open */
}

static const struct upstream_owner warm_owner = {warm_head, warm_data, warm_ended, NULL};

/* A socket that listens, or -1; its URL in `url`. */
static int listen_silently(char *url, size_t size)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t address_size = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    if (bind(fd, (struct sockaddr *)&address, sizeof address) || listen(fd, 1) ||
        getsockname(fd, (struct sockaddr *)&address, &address_size)) {
        (void)close(fd);
        return -1;
    }
    (void)snprintf(url, size, "https://127.0.0.1:%u/", (unsigned)ntohs(address.sin_port));
    return fd;
}

static void warm_one(struct upstreams *upstreams)
{
    static const char *const no_headers[] = {NULL};
    char url[64];
    int fd = listen_silently(url, sizeof url);
    if (fd < 0)
        return;
    struct upstream *upstream;
    struct upstream_request request = {
        .url = url, .method = "GET", .headers = no_headers, .connect_timeout_ms = WARM_MS};
    if (upstream_start(upstreams, &request, &warm_owner, (void *)(intptr_t)fd, &upstream))
        (void)close(fd);
}

/* The next transfer goes to the reactor that has the fewest, so each gets one. */
void upstreams_warm(struct upstreams *upstreams)
{
    for (size_t i = 0; i < upstreams_reactors(upstreams); i++)
        warm_one(upstreams);
}
