/* tls — a TLS server session over memory buffers (OpenSSL): ciphertext in, plaintext out, and the
 * reverse. No socket in here.
 *
 *   tls_receive(ciphertext) ─▶ plaintext appended to one buf, handshake answers to another
 *   tls_send(plaintext) ─▶ ciphertext appended
 *
 * TLS 1.2 and 1.3; ALPN http/1.1; SSL_MODE_RELEASE_BUFFERS and no tickets, which makes an idle
 * session 16 KiB instead of 48.
 *
 *   thread  one at a time per session; a context serves any number of them
 *   source  OpenSSL 3.0 manual, RFC 8446, RFC 7301 (ALPN) */
#ifndef TOKENLOG_PROTOCOL_TLS_TLS_H
#define TOKENLOG_PROTOCOL_TLS_TLS_H

#include "protocol/base/slice.h"

struct tls_context;
struct tls_session;

/* tls_context_new — PEM files: the certificate, followed by its chain; the key, not encrypted.
 *   answers  ERR_INVALID with a sentence that says which file and why in `*why` (borrowed until the
 *            next call on this thread) · faults ERR_NOMEM */
enum err tls_context_new(const char *certificate_path, const char *key_path, const char **why,
    struct tls_context **out) NODISCARD;
/* tls_context_free — sessions made from it go on: they share what they need. */
struct tls_context *tls_context_free(struct tls_context *context);
enum err tls_session_new(struct tls_context *context, struct tls_session **out) NODISCARD;
struct tls_session *tls_session_free(struct tls_session *session);

/* tls_receive — takes all of `ciphertext`; what it completes is appended to `plaintext`.
 *   answers  ERR_CLOSED the peer sent close_notify (what came before it is in `plaintext`; sending
 *            may go on) · ERR_INVALID not TLS, or broken (an alert may be in `ciphertext_out`)
 *            · ERR_LIMIT a buf's bound was passed; after the last two the session can only be freed
 *   faults   ERR_NOMEM */
enum err tls_receive(struct tls_session *session, struct slice ciphertext, struct buf *plaintext,
    struct buf *ciphertext_out) NODISCARD;
/* tls_send — the session must be established. Answers ERR_INVALID, ERR_LIMIT and faults as above:
 * the session can only be freed then. */
enum err tls_send(
    struct tls_session *session, struct slice plaintext, struct buf *ciphertext_out) NODISCARD;
/* tls_close — close_notify; nothing if the session was never established. Answers ERR_LIMIT. */
enum err tls_close(struct tls_session *session, struct buf *ciphertext_out) NODISCARD;
bool tls_is_established(const struct tls_session *session);

#endif
