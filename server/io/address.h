/* address — IP addresses and ports as text and as the kernel has them.
 *
 *   thread  any; pure */
#ifndef TOKENLOG_SERVER_IO_ADDRESS_H
#define TOKENLOG_SERVER_IO_ADDRESS_H

#include <sys/socket.h>

#include "protocol/base/slice.h"

/* address_parse — "127.0.0.1", "::1" or, as in a URL, "[::1]". No names: ERR_INVALID. */
enum err address_parse(struct slice host, uint16_t port, struct sockaddr_storage *out) NODISCARD;
/* port_parse — "443"; ERR_INVALID: no number up to 65535. */
enum err port_parse(struct slice text, uint16_t *out) NODISCARD;
/* address_format — "127.0.0.1:8080", "[::1]:8080". */
enum { ADDRESS_BYTES = 64 /* "[", an INET6_ADDRSTRLEN, "]:65535", and room */ };
void address_format(const struct sockaddr_storage *address, char out[ADDRESS_BYTES]);
/* address_size — how much of the storage counts. */
socklen_t address_size(const struct sockaddr_storage *address);
bool address_equal(const struct sockaddr_storage *a, const struct sockaddr_storage *b);

#endif
