/* transport — OpenSSL works on the socket itself, so that a plain connection and one under TLS
 * differ only here. */
#include "tools/mock/transport.h"

#include <errno.h>
#include <linux/sockios.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

struct tls {
    SSL_CTX *context;
};

struct transport {
    int fd;
    SSL *ssl; /* NULL: plain */
    bool waits_to_write;
    bool is_broken; /* OpenSSL must not be asked again */
};

enum err tls_new(const char *certificate, const char *key, struct tls **out)
{
    SSL_CTX *context = SSL_CTX_new(TLS_server_method());
    struct tls *tls = calloc(1, sizeof *tls);
    if (!context || !tls) {
        SSL_CTX_free(context);
        free(tls);
        return fault(ERR_NOMEM, "TLS context");
    }
    tls->context = context;
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                  SSL_MODE_RELEASE_BUFFERS);
    if (SSL_CTX_use_certificate_chain_file(context, certificate) != 1 ||
        SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM) != 1 ||
        SSL_CTX_check_private_key(context) != 1) {
        const char *reason = ERR_reason_error_string(ERR_peek_last_error());
        ERR_clear_error();
        (void)tls_free(tls);
        return fault(ERR_IO, "%s, %s: %s", certificate, key, reason ? reason : "unusable");
    }
    *out = tls;
    return ERR_OK;
}

struct tls *tls_free(struct tls *tls)
{
    if (tls)
        SSL_CTX_free(tls->context);
    free(tls);
    return NULL;
}

struct transport *transport_new(int fd, struct tls *tls)
{
    struct transport *transport = calloc(1, sizeof *transport);
    if (!transport)
        return NULL;
    transport->fd = fd;
    if (!tls)
        return transport;
    transport->ssl = SSL_new(tls->context);
    if (!transport->ssl || SSL_set_fd(transport->ssl, fd) != 1) {
        SSL_free(transport->ssl);
        free(transport);
        return NULL;
    }
    SSL_set_accept_state(transport->ssl);
    return transport;
}

struct transport *transport_free(struct transport *transport)
{
    if (!transport)
        return NULL;
    SSL_free(transport->ssl);
    (void)close(transport->fd);
    free(transport);
    return NULL;
}

int transport_fd(const struct transport *transport)
{
    return transport->fd;
}

static enum err from_errno(void)
{
    return errno == EAGAIN || errno == EINTR ? ERR_AGAIN : ERR_CLOSED;
}

/* Whatever else OpenSSL says, this connection is of no more use. */
static enum err from_ssl(struct transport *transport, int result)
{
    int error = SSL_get_error(transport->ssl, result);
    ERR_clear_error();
    transport->waits_to_write = error == SSL_ERROR_WANT_WRITE;
    if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE)
        return ERR_AGAIN;
    transport->is_broken = error != SSL_ERROR_ZERO_RETURN;
    return ERR_CLOSED;
}

enum err transport_read(struct transport *transport, uint8_t *at, size_t size, size_t *got)
{
    if (transport->ssl) {
        int result = SSL_read_ex(transport->ssl, at, size, got);
        return result == 1 ? ERR_OK : from_ssl(transport, result);
    }
    ssize_t result = recv(transport->fd, at, size, 0);
    if (result < 0)
        return from_errno();
    *got = (size_t)result;
    return result > 0 ? ERR_OK : ERR_CLOSED;
}

enum err transport_write(struct transport *transport, struct slice bytes, size_t *written)
{
    ASSERT(bytes.size > 0);
    if (transport->ssl) {
        int result = SSL_write_ex(transport->ssl, bytes.data, bytes.size, written);
        return result == 1 ? ERR_OK : from_ssl(transport, result);
    }
    ssize_t result = send(transport->fd, bytes.data, bytes.size, MSG_NOSIGNAL);
    if (result < 0)
        return from_errno();
    *written = (size_t)result;
    return ERR_OK;
}

bool transport_waits_to_write(const struct transport *transport)
{
    return transport->waits_to_write;
}

bool transport_has_sent_all(const struct transport *transport)
{
    int bytes = 0;
    return ioctl(transport->fd, SIOCOUTQNSD, &bytes) != 0 || bytes == 0;
}

void transport_end(struct transport *transport)
{
    if (transport->ssl && !transport->is_broken && SSL_is_init_finished(transport->ssl)) {
        (void)SSL_shutdown(transport->ssl);
        ERR_clear_error();
    }
    (void)shutdown(transport->fd, SHUT_WR);
}

/* socket(7): to linger for no time is to discard and send RST. */
void transport_reset(struct transport *transport)
{
    struct linger linger = {.l_onoff = 1, .l_linger = 0};
    (void)setsockopt(transport->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
}
