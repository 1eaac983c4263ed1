/* address — see address.h. */
#include "server/io/address.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

enum {
    HOST_BYTES = 48, /* INET6_ADDRSTRLEN, rounded up */
    PORT_MAX = 65535,
};

enum err port_parse(struct slice text, uint16_t *out)
{
    uint64_t port;
    TRY(slice_u64(text, &port));
    if (port > PORT_MAX)
        return ERR_INVALID;
    *out = (uint16_t)port;
    return ERR_OK;
}

static bool is_bracketed(struct slice host)
{
    return host.size >= 2 && host.data[0] == '[' && host.data[host.size - 1] == ']';
}

enum err address_parse(struct slice host, uint16_t port, struct sockaddr_storage *out)
{
    char text[HOST_BYTES];
    struct sockaddr_in *v4 = (struct sockaddr_in *)out;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)out;
    bool is_v6 = is_bracketed(host);
    if (is_v6)
        host = slice_sub(host, 1, host.size - 2);
    if (host.size == 0 || host.size >= sizeof text)
        return ERR_INVALID;
    memcpy(text, host.data, host.size);
    text[host.size] = '\0';
    *out = (struct sockaddr_storage){0};
    if (is_v6 || strchr(text, ':')) {
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons(port);
        return inet_pton(AF_INET6, text, &v6->sin6_addr) == 1 ? ERR_OK : ERR_INVALID;
    }
    v4->sin_family = AF_INET;
    v4->sin_port = htons(port);
    return inet_pton(AF_INET, text, &v4->sin_addr) == 1 ? ERR_OK : ERR_INVALID;
}

void address_format(const struct sockaddr_storage *address, char out[ADDRESS_BYTES])
{
    char host[HOST_BYTES] = "?";
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)address;
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)address;
    bool is_v6 = address->ss_family == AF_INET6;
    if (is_v6)
        (void)inet_ntop(AF_INET6, &v6->sin6_addr, host, sizeof host);
    else
        (void)inet_ntop(AF_INET, &v4->sin_addr, host, sizeof host);
    (void)snprintf(out, ADDRESS_BYTES, is_v6 ? "[%s]:%u" : "%s:%u", host,
        (unsigned)ntohs(is_v6 ? v6->sin6_port : v4->sin_port));
}

socklen_t address_size(const struct sockaddr_storage *address)
{
    return address->ss_family == AF_INET6 ? sizeof(struct sockaddr_in6)
                                          : sizeof(struct sockaddr_in);
}

/* Both come from address_parse: what does not count is zero. */
bool address_equal(const struct sockaddr_storage *a, const struct sockaddr_storage *b)
{
    return memcmp(a, b, address_size(a)) == 0;
}
