/* transport — a connected socket, plain or under TLS (OpenSSL inside). Non-blocking.
 *
 *   thread  the loop's */
#ifndef TOKENLOG_TOOLS_MOCK_TRANSPORT_H
#define TOKENLOG_TOOLS_MOCK_TRANSPORT_H

#include "protocol/base/slice.h"

struct tls;       /* the server's side of TLS: certificate and key */
struct transport; /* one connection */

/* tls_new — faults ERR_IO the files cannot be read or do not belong together · ERR_NOMEM */
enum err tls_new(const char *certificate, const char *key, struct tls **out) NODISCARD;
struct tls *tls_free(struct tls *tls);

/* transport_new — takes `fd`, if there is memory for it; `tls` NULL: plain. NULL: out of memory. */
struct transport *transport_new(int fd, struct tls *tls);
struct transport *transport_free(struct transport *transport); /* closes the fd */
int transport_fd(const struct transport *transport);

/* transport_read, transport_write — as read(2) and send(2): some bytes at least, or
 *   answers  ERR_AGAIN the socket would block · ERR_CLOSED the peer has ended or reset the
 *            connection */
enum err transport_read(
    struct transport *transport, uint8_t *at, size_t size, size_t *got) NODISCARD;
enum err transport_write(
    struct transport *transport, struct slice bytes, size_t *written) NODISCARD;
/* transport_waits_to_write — the last ERR_AGAIN of a read was for want of room to write (a TLS
 * handshake). */
bool transport_waits_to_write(const struct transport *transport);
/* transport_has_sent_all — nothing written waits in the kernel for the peer's window. */
bool transport_has_sent_all(const struct transport *transport);
/* transport_end — FIN (and TLS's close_notify) after what was written. */
void transport_end(struct transport *transport);
/* transport_reset — transport_free will send RST and not FIN. */
void transport_reset(struct transport *transport);

#endif
