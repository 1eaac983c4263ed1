/* upstream — https, against a conn on the same loop. */
#include "tests/server/io/upstream_rig.h"

#include "server/io/conn.h"
#include "server/io/listener.h"
#include "tests/protocol/tls/certificate.h"

struct secure {
    struct loop *loop;
    struct listener *listener;
    struct tls_context *tls;
    struct conn *conn;
};

static void secure_received(void *context, struct slice bytes, size_t *consumed)
{
    *consumed = bytes.size;
    conn_wake(((struct secure *)context)->conn);
}

static void secure_writable(void *context)
{
    struct secure *secure = context;
    static const char response[] = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nsecret";
    assert_int_equal(conn_push_copy(secure->conn, slice_text(response)), ERR_OK);
    conn_close(secure->conn, CONN_CLOSE_FLUSH);
}

static void secure_ended(void *context, bool is_broken)
{
    (void)is_broken;
    conn_close(((struct secure *)context)->conn, CONN_CLOSE_FLUSH);
}

static void secure_closed(void *context)
{
    (void)context;
}

static const struct conn_owner secure_owner = {
    secure_received, secure_writable, secure_ended, secure_closed};

static void secure_accepted(void *context, int fd)
{
    struct secure *secure = context;
    assert_int_equal(conn_new(secure->loop, (struct arrival){fd, NULL}, secure->tls, &secure_owner,
                         secure, &secure->conn),
        ERR_OK);
}

static void fly_secure(struct flight *flight, const struct secure *secure, const char *ca_file,
    enum upstream_end expected)
{
    struct call transfer = {0};
    char url[URL_BYTES];
    (void)snprintf(url, sizeof url, "https://localhost:%u/",
        (unsigned)net_port(listener_address(secure->listener)));
    struct upstream_request request = flight_request(url);
    request.ca_file = ca_file;
    call_launch_request(flight, &transfer, &request);
    call_fly(flight, &transfer);
    assert_int_equal(transfer.how, expected);
    assert_true(call_body_is(&transfer, expected == UPSTREAM_COMPLETE ? "secret" : ""));
    call_land(&transfer);
}

static void test_certificates_are_verified(void **state)
{
    (void)state;
    struct flight flight;
    struct certificate certificate;
    const char *why = "";
    flight_init(&flight);
    struct secure secure = {.loop = flight.loop};
    assert_true(certificate_make(&certificate));
    assert_int_equal(
        tls_context_new(certificate.certificate_path, certificate.key_path, &why, &secure.tls),
        ERR_OK);
    assert_int_equal(
        listener_open(flight.loop, SLICE("127.0.0.1:0"), &why, &secure.listener), ERR_OK);
    listener_start(secure.listener, secure_accepted, &secure);
    fly_secure(&flight, &secure, certificate.certificate_path, UPSTREAM_COMPLETE);
    fly_secure(&flight, &secure, NULL, UPSTREAM_REFUSED);
    listener_close(secure.listener, NULL);
    flight_deinit(&flight);
    tls_context_free(secure.tls);
    certificate_remove(&certificate);
}

FLIGHT_MAIN(cmocka_unit_test(test_certificates_are_verified))
