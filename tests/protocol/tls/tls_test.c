/* tls — a session against OpenSSL's own client over memory, whole and byte by byte. */
#include "protocol/tls/tls.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/protocol/tls/certificate.h"

enum { WIRE_BYTES_MAX = 1024 * 1024, STEPS_MAX = 20 };

struct pair {
    struct certificate certificate;
    struct tls_context *context;
    struct tls_session *server;
    SSL_CTX *client_context;
    SSL *client;
    BIO *to_client;
    BIO *from_client;
    struct buf plaintext; /* what the server read */
    struct buf wire;      /* what the server wants sent */
};

static int setup(void **state)
{
    static struct pair pair;
    const char *why = "";
    pair = (struct pair){0};
    if (!certificate_make(&pair.certificate) ||
        tls_context_new(pair.certificate.certificate_path, pair.certificate.key_path, &why,
            &pair.context) != ERR_OK ||
        tls_session_new(pair.context, &pair.server) != ERR_OK)
        return 1;
    pair.client_context = certificate_client(&pair.certificate);
    pair.client = SSL_new(pair.client_context);
    pair.to_client = BIO_new(BIO_s_mem());
    pair.from_client = BIO_new(BIO_s_mem());
    SSL_set_bio(pair.client, pair.to_client, pair.from_client);
    SSL_set_connect_state(pair.client);
    buf_init(&pair.plaintext, WIRE_BYTES_MAX);
    buf_init(&pair.wire, WIRE_BYTES_MAX);
    *state = &pair;
    return 0;
}

static int teardown(void **state)
{
    struct pair *pair = *state;
    SSL_free(pair->client);
    SSL_CTX_free(pair->client_context);
    tls_context_free(pair->context); /* before its session: allowed */
    tls_session_free(pair->server);
    buf_deinit(&pair->plaintext);
    buf_deinit(&pair->wire);
    certificate_remove(&pair->certificate);
    return 0;
}

/* Moves what the client wrote to the server, in parts of at most `step` bytes, and back. */
static enum err exchange(struct pair *pair, size_t step)
{
    uint8_t bytes[WIRE_BYTES_MAX / 16];
    enum err err = ERR_OK;
    int size;
    while ((size = BIO_read(pair->from_client, bytes, sizeof bytes)) > 0)
        for (size_t at = 0; at < (size_t)size && err == ERR_OK; at += step)
            err = tls_receive(pair->server, slice_sub(slice_of(bytes, (size_t)size), at, step),
                &pair->plaintext, &pair->wire);
    if (pair->wire.size > 0)
        assert_int_equal(BIO_write(pair->to_client, pair->wire.data, (int)pair->wire.size),
            (int)pair->wire.size);
    buf_clear(&pair->wire);
    return err;
}

static void handshake(struct pair *pair, size_t step)
{
    assert_false(tls_is_established(pair->server));
    for (int i = 0; i < STEPS_MAX && !tls_is_established(pair->server); i++) {
        (void)SSL_do_handshake(pair->client);
        assert_int_equal(exchange(pair, step), ERR_OK);
    }
    assert_int_equal(SSL_do_handshake(pair->client), 1);
    assert_true(tls_is_established(pair->server));
    assert_int_equal(SSL_get_verify_result(pair->client), X509_V_OK);
}

static void client_reads(struct pair *pair, struct slice expected)
{
    static uint8_t bytes[WIRE_BYTES_MAX];
    size_t got = 0;
    while (got < expected.size) {
        int size = SSL_read(pair->client, bytes + got, (int)(sizeof bytes - got));
        assert_true(size > 0);
        got += (size_t)size;
    }
    assert_int_equal(got, expected.size);
    assert_memory_equal(bytes, expected.data, got);
}

static void echo(void **state, size_t step, int version)
{
    struct pair *pair = *state;
    static uint8_t large[100000];
    for (size_t i = 0; i < sizeof large; i++)
        large[i] = (uint8_t)(i * 7);
    if (version)
        SSL_set_max_proto_version(pair->client, version);
    handshake(pair, step);
    assert_int_equal(SSL_write(pair->client, "hello", 5), 5);
    assert_int_equal(exchange(pair, step), ERR_OK);
    assert_true(slice_equal(buf_slice(&pair->plaintext), SLICE("hello")));
    assert_int_equal(tls_send(pair->server, slice_of(large, sizeof large), &pair->wire), ERR_OK);
    assert_int_equal(exchange(pair, step), ERR_OK);
    client_reads(pair, slice_of(large, sizeof large));
}

static void test_echo_whole(void **state)
{
    echo(state, WIRE_BYTES_MAX, 0);
}

static void test_echo_byte_by_byte(void **state)
{
    echo(state, 1, 0);
}

static void test_echo_tls_1_2(void **state)
{
    echo(state, 3, TLS1_2_VERSION);
}

static void test_alpn(void **state)
{
    struct pair *pair = *state;
    static const unsigned char offered[] = "\x02h2\x08http/1.1";
    const unsigned char *chosen;
    unsigned size;
    assert_int_equal(SSL_set_alpn_protos(pair->client, offered, sizeof offered - 1), 0);
    handshake(pair, WIRE_BYTES_MAX);
    SSL_get0_alpn_selected(pair->client, &chosen, &size);
    assert_true(slice_equal(slice_of(chosen, size), SLICE("http/1.1")));
}

static void test_alpn_of_others_is_refused(void **state)
{
    struct pair *pair = *state;
    static const unsigned char offered[] = "\x02h2";
    assert_int_equal(SSL_set_alpn_protos(pair->client, offered, sizeof offered - 1), 0);
    (void)SSL_do_handshake(pair->client);
    assert_int_equal(exchange(pair, WIRE_BYTES_MAX), ERR_INVALID);
    assert_true(SSL_do_handshake(pair->client) <= 0); /* the alert has come */
}

static void test_close_notify_both_ways(void **state)
{
    struct pair *pair = *state;
    handshake(pair, WIRE_BYTES_MAX);
    assert_int_equal(SSL_write(pair->client, "last", 4), 4);
    assert_int_equal(SSL_shutdown(pair->client), 0);
    assert_int_equal(exchange(pair, WIRE_BYTES_MAX), ERR_CLOSED);
    assert_true(slice_equal(buf_slice(&pair->plaintext), SLICE("last")));
    assert_int_equal(tls_send(pair->server, SLICE("still"), &pair->wire), ERR_OK);
    assert_int_equal(tls_close(pair->server, &pair->wire), ERR_OK);
    (void)exchange(pair, WIRE_BYTES_MAX);
    client_reads(pair, SLICE("still"));
    char byte;
    assert_int_equal(
        SSL_get_error(pair->client, SSL_read(pair->client, &byte, 1)), SSL_ERROR_ZERO_RETURN);
}

static void test_garbage(void **state)
{
    struct pair *pair = *state;
    assert_int_equal(
        tls_receive(pair->server, SLICE("GET / HTTP/1.1\r\n\r\n"), &pair->plaintext, &pair->wire),
        ERR_INVALID);
    assert_int_equal(tls_close(pair->server, &pair->wire), ERR_OK); /* never established */
}

static void test_limit(void **state)
{
    struct pair *pair = *state;
    handshake(pair, WIRE_BYTES_MAX);
    struct buf tiny;
    buf_init(&tiny, 4);
    assert_int_equal(tls_send(pair->server, SLICE("hello"), &tiny), ERR_LIMIT);
    buf_deinit(&tiny);
}

static void refused(const char *certificate_path, const char *key_path, const char *named)
{
    struct tls_context *context = NULL;
    const char *why = NULL;
    assert_int_equal(tls_context_new(certificate_path, key_path, &why, &context), ERR_INVALID);
    assert_null(context);
    assert_non_null(strstr(why, named));
}

static void test_bad_files_are_named(void **state)
{
    struct pair *pair = *state;
    struct certificate other;
    const char *certificate_path = pair->certificate.certificate_path;
    const char *key_path = pair->certificate.key_path;
    assert_true(certificate_make(&other));
    refused("/nonexistent", key_path, "/nonexistent: No such file");
    refused(certificate_path, "/nonexistent", "/nonexistent: No such file");
    refused(key_path, key_path, "key.pem: not a certificate");
    refused(certificate_path, certificate_path, "cert.pem: not a private key");
    refused(certificate_path, other.key_path, other.key_path);
    certificate_remove(&other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_echo_whole, setup, teardown),
        cmocka_unit_test_setup_teardown(test_echo_byte_by_byte, setup, teardown),
        cmocka_unit_test_setup_teardown(test_echo_tls_1_2, setup, teardown),
        cmocka_unit_test_setup_teardown(test_alpn, setup, teardown),
        cmocka_unit_test_setup_teardown(test_alpn_of_others_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_close_notify_both_ways, setup, teardown),
        cmocka_unit_test_setup_teardown(test_garbage, setup, teardown),
        cmocka_unit_test_setup_teardown(test_limit, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bad_files_are_named, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
