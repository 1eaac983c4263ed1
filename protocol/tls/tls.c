/* tls — see tls.h.
 *
 * OpenSSL reads and writes through a BIO of ours that looks straight into the caller's slice and
 * appends straight to the caller's buf: no copy, and a session between calls holds no buffer.
 *
 *   tls_receive  input ──▶ SSL_read ──▶ plaintext        session->input, session->output are set
 *                             └──▶ output (handshake)    only while a call lasts
 *   tls_send     plaintext ──▶ SSL_write ──▶ output                                            */
#include "protocol/tls/tls.h"

#include <errno.h>
#include <limits.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    WHY_BYTES = 512,
    RECORD_BYTES_MAX = 16 * 1024, /* of plaintext: RFC 8446 §5.1 */
};

/* The sentence of tls_context_new: it outlives the call, and belongs to the thread, as in err.c. */
static _Thread_local char why_text[WHY_BYTES];

/* Shared: by its owner and by each session made from it. */
struct tls_context {
    SSL_CTX *ssl;
    BIO_METHOD *method;
    _Atomic size_t reference_count;
};

struct tls_session {
    SSL *ssl;
    struct tls_context *context; /* a reference */
    struct slice input;
    struct buf *output;
    enum err output_err; /* why the BIO could not write */
};

/* ---- the BIO --------------------------------------------------------------------------------- */

static int bio_read(BIO *bio, char *out, int size)
{
    struct tls_session *session = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if (session->input.size == 0) {
        BIO_set_retry_read(bio);
        return -1;
    }
    size_t part = (size_t)size < session->input.size ? (size_t)size : session->input.size;
    memcpy(out, session->input.data, part);
    session->input = slice_sub(session->input, part, session->input.size);
    return (int)part;
}

static int bio_write(BIO *bio, const char *bytes, int size)
{
    struct tls_session *session = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    ASSERT(session->output);
    session->output_err = buf_append(session->output, slice_of(bytes, (size_t)size));
    return session->output_err == ERR_OK ? size : -1;
}

static long bio_control(BIO *bio, int command, long argument, void *pointer)
{
    (void)bio;
    (void)argument;
    (void)pointer;
    return command == BIO_CTRL_FLUSH ? 1 : 0;
}

static BIO_METHOD *bio_method_new(void)
{
    BIO_METHOD *method = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "slice and buf");
    if (method && BIO_meth_set_read(method, bio_read) && BIO_meth_set_write(method, bio_write) &&
        BIO_meth_set_ctrl(method, bio_control))
        return method;
    BIO_meth_free(method);
    return NULL;
}

/* ---- context --------------------------------------------------------------------------------- */

static int no_passphrase(char *out, int size, int is_writing, void *context)
{
    (void)out;
    (void)size;
    (void)is_writing;
    (void)context;
    return -1; /* never ask on the terminal */
}

/* RFC 7301 §3.2: a client that offers protocols of which none is ours gets an alert. */
static int choose_protocol(SSL *ssl, const unsigned char **out, unsigned char *out_size,
    const unsigned char *offered, unsigned offered_size, void *context)
{
    static const unsigned char ours[] = "\x08http/1.1";
    (void)ssl;
    (void)context;
    unsigned char *chosen;
    if (SSL_select_next_proto(&chosen, out_size, ours, sizeof ours - 1, offered, offered_size) !=
        OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

static void configure(SSL_CTX *ssl)
{
    (void)SSL_CTX_set_min_proto_version(ssl, TLS1_2_VERSION);
    SSL_CTX_set_options(ssl, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                 SSL_OP_CIPHER_SERVER_PREFERENCE);
    SSL_CTX_set_mode(ssl, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_session_cache_mode(ssl, SSL_SESS_CACHE_OFF);
    (void)SSL_CTX_set_num_tickets(ssl, 0);
    SSL_CTX_set_default_passwd_cb(ssl, no_passphrase);
    SSL_CTX_set_alpn_select_cb(ssl, choose_protocol, NULL);
}

static enum err refuse(const char **why, const char *path, const char *what)
{
    unsigned long error = ERR_peek_last_error();
    const char *reason = error ? ERR_reason_error_string(error) : NULL;
    (void)snprintf(why_text, sizeof why_text, "%s: %s%s%s", path, what, reason ? ": " : "",
        reason ? reason : "");
    ERR_clear_error();
    *why = why_text;
    return ERR_INVALID;
}

static enum err check_readable(const char *path, const char **why)
{
    FILE *file = fopen(path, "re");
    if (!file)
        return refuse(why, path, strerror(errno));
    (void)fclose(file);
    return ERR_OK;
}

static enum err load(
    SSL_CTX *ssl, const char *certificate_path, const char *key_path, const char **why)
{
    ERR_clear_error();
    TRY(check_readable(certificate_path, why));
    TRY(check_readable(key_path, why));
    if (SSL_CTX_use_certificate_chain_file(ssl, certificate_path) != 1)
        return refuse(why, certificate_path, "not a certificate in PEM form");
    if (SSL_CTX_use_PrivateKey_file(ssl, key_path, SSL_FILETYPE_PEM) != 1)
        return refuse(why, key_path,
            "not a private key in PEM form, without a passphrase, that belongs to the certificate");
    if (SSL_CTX_check_private_key(ssl) != 1)
        return refuse(why, key_path, "does not belong to the certificate");
    return ERR_OK;
}

enum err tls_context_new(
    const char *certificate_path, const char *key_path, const char **why, struct tls_context **out)
{
    struct tls_context *context = calloc(1, sizeof *context);
    if (!context)
        return fault(ERR_NOMEM, "TLS context");
    context->reference_count = 1;
    context->ssl = SSL_CTX_new(TLS_server_method());
    context->method = bio_method_new();
    if (!context->ssl || !context->method) {
        tls_context_free(context);
        return fault(ERR_NOMEM, "TLS context");
    }
    configure(context->ssl);
    enum err err = load(context->ssl, certificate_path, key_path, why);
    if (err != ERR_OK) {
        tls_context_free(context);
        return err;
    }
    *out = context;
    return ERR_OK;
}

struct tls_context *tls_context_free(struct tls_context *context)
{
    if (!context || atomic_fetch_sub(&context->reference_count, 1) > 1)
        return NULL;
    SSL_CTX_free(context->ssl);
    BIO_meth_free(context->method);
    free(context);
    return NULL;
}

/* ---- session --------------------------------------------------------------------------------- */

enum err tls_session_new(struct tls_context *context, struct tls_session **out)
{
    struct tls_session *session = calloc(1, sizeof *session);
    if (!session)
        return fault(ERR_NOMEM, "TLS session");
    atomic_fetch_add(&context->reference_count, 1);
    session->context = context;
    session->ssl = SSL_new(context->ssl);
    BIO *bio = BIO_new(context->method);
    if (!session->ssl || !bio) {
        BIO_free(bio);
        tls_session_free(session);
        return fault(ERR_NOMEM, "TLS session");
    }
    BIO_set_data(bio, session);
    BIO_set_init(bio, 1);
    SSL_set_bio(session->ssl, bio, bio); /* one reference for both directions; SSL_free drops it */
    SSL_set_accept_state(session->ssl);
    *out = session;
    return ERR_OK;
}

struct tls_session *tls_session_free(struct tls_session *session)
{
    if (!session)
        return NULL;
    SSL_free(session->ssl);
    tls_context_free(session->context);
    free(session);
    return NULL;
}

static void call_begin(struct tls_session *session, struct slice input, struct buf *output)
{
    ASSERT(!session->output);
    ERR_clear_error(); /* SSL_get_error looks at the thread's queue */
    session->input = input;
    session->output = output;
    session->output_err = ERR_OK;
}

static enum err call_end(struct tls_session *session, enum err err)
{
    enum err output_err = session->output_err;
    session->input = SLICE_NONE;
    session->output = NULL;
    ERR_clear_error();
    return output_err != ERR_OK ? output_err : err;
}

/* Until OpenSSL asks for more ciphertext than there is. */
static enum err read_all(struct tls_session *session, struct buf *plaintext)
{
    uint8_t record[RECORD_BYTES_MAX];
    for (;;) {
        int size = SSL_read(session->ssl, record, sizeof record);
        if (size > 0) {
            TRY(buf_append(plaintext, slice_of(record, (size_t)size)));
            continue;
        }
        int error = SSL_get_error(session->ssl, size);
        if (error == SSL_ERROR_WANT_READ)
            return ERR_OK;
        return error == SSL_ERROR_ZERO_RETURN ? ERR_CLOSED : ERR_INVALID;
    }
}

enum err tls_receive(struct tls_session *session, struct slice ciphertext, struct buf *plaintext,
    struct buf *ciphertext_out)
{
    call_begin(session, ciphertext, ciphertext_out);
    return call_end(session, read_all(session, plaintext));
}

static enum err write_all(struct tls_session *session, struct slice plaintext)
{
    while (plaintext.size > 0) {
        int part = plaintext.size < INT_MAX ? (int)plaintext.size : INT_MAX;
        int size = SSL_write(session->ssl, plaintext.data, part);
        if (size <= 0)
            return ERR_INVALID;
        plaintext = slice_sub(plaintext, (size_t)size, plaintext.size);
    }
    return ERR_OK;
}

enum err tls_send(struct tls_session *session, struct slice plaintext, struct buf *ciphertext_out)
{
    ASSERT(tls_is_established(session));
    call_begin(session, SLICE_NONE, ciphertext_out);
    return call_end(session, write_all(session, plaintext));
}

enum err tls_close(struct tls_session *session, struct buf *ciphertext_out)
{
    if (!tls_is_established(session))
        return ERR_OK;
    call_begin(session, SLICE_NONE, ciphertext_out);
    (void)SSL_shutdown(session->ssl); /* 0: ours is sent, theirs has not come. Enough. */
    return call_end(session, ERR_OK);
}

bool tls_is_established(const struct tls_session *session)
{
    return SSL_is_init_finished(session->ssl);
}
