/* tls — a TLS server session over memory buffers (OpenSSL): ciphertext in, plaintext out, and the reverse. No socket in here.
 *
 *   tls_receive(ciphertext) ─▶ plaintext appended to a buf, handshake answers appended to another
 *   tls_send(plaintext) ─▶ ciphertext appended
 *
 *   TLS 1.2 and 1.3; ALPN http/1.1; SSL_MODE_RELEASE_BUFFERS, no tickets (16 KiB a session instead of 48: facts) · thread  one at a time per session */
#ifndef TOKENLOG_PROTOCOL_TLS_TLS_H
#define TOKENLOG_PROTOCOL_TLS_TLS_H

#include "protocol/base/slice.h"

struct tls_context;
struct tls_session;

/* tls_context_new — PEM files. answers ERR_INVALID with a sentence that says which file and why in fault-like *why (borrowed until the next call on this thread) */
enum err tls_context_new(const char *certificate_path, const char *key_path, const char **why, struct tls_context **out) NODISCARD;
struct tls_context *tls_context_free(struct tls_context *context);
enum err tls_session_new(struct tls_context *context, struct tls_session **out) NODISCARD;
struct tls_session *tls_session_free(struct tls_session *session);
/* tls_receive — answers ERR_CLOSED the peer sent close_notify · ERR_INVALID protocol error (an alert may be in `ciphertext_out`) · ERR_LIMIT */
enum err tls_receive(struct tls_session *session, struct slice ciphertext, struct buf *plaintext, struct buf *ciphertext_out) NODISCARD;
enum err tls_send(struct tls_session *session, struct slice plaintext, struct buf *ciphertext_out) NODISCARD;
enum err tls_close(struct tls_session *session, struct buf *ciphertext_out) NODISCARD; /* close_notify */
bool tls_is_established(const struct tls_session *session);

#endif
