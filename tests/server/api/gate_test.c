/* gate, routes — who may call, and what is served where. */
#include "tests/server/api/gateway.h"

struct call {
    const char *line, *fields, *expected, *field;
};

static void check(struct gateway *gateway, const struct call *calls, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct wire wire;
        char request[1024];
        wire_open(&wire, exchanges_accept, gateway->exchanges, 0);
        (void)snprintf(request, sizeof request, "%s\r\n%s\r\n", calls[i].line, calls[i].fields);
        wire_send(&wire, request);
        expect(gateway, &wire, calls[i].expected);
        if (calls[i].field)
            expect(gateway, &wire, calls[i].field);
        else
            assert_false(wire_has(&wire, "Access-Control"));
        wire_close(&wire);
    }
}
#define CHECK(gateway, calls) check((gateway), (calls), sizeof(calls) / sizeof *(calls))

/* Without keys: this machine only, and no page of another site. */
static void test_open(void **state)
{
    static const struct call calls[] = {
        {"GET /v1/streams HTTP/1.1", "Host: localhost:8080\r\n", "200 OK", NULL},
        {"GET /v1/streams HTTP/1.1", "Host: [::1]:80\r\n", "200 OK", NULL},
        {"GET /v1/streams HTTP/1.0", "", "200 OK", NULL},
        {"GET /v1/streams HTTP/1.1", "Host: evil.example\r\n", "403 ", "foreign_host"},
        {"GET /healthz HTTP/1.1", "Host: evil.example\r\n", "403 ", "foreign_host"},
        {"GET /v1/streams HTTP/1.1", "Host: localhost\r\nOrigin: http://evil.example\r\n", "403 ",
            "foreign_origin"},
        {"GET /v1/streams HTTP/1.1", "Host: localhost\r\nOrigin: null\r\n", "403 ",
            "foreign_origin"},
        {"OPTIONS /v1/streams HTTP/1.1", "Host: localhost\r\nOrigin: http://evil.example\r\n",
            "403 ", "foreign_origin"},
        {"GET /v1/streams HTTP/1.1", "Host: localhost\r\nOrigin: http://localhost:3000\r\n",
            "200 OK", NULL},
    };
    CHECK(*state, calls);
}

static void test_cors(void **state)
{
    static const struct call calls[] = {
        {"GET /v1/streams HTTP/1.1", "Host: localhost\r\nOrigin: https://app.example\r\n", "200 OK",
            "Access-Control-Allow-Origin: https://app.example\r\n"},
        {"OPTIONS /v1/streams HTTP/1.1",
            "Host: localhost\r\nOrigin: https://app.example\r\n"
            "Access-Control-Request-Headers: x-a\r\n",
            "204 ", "Access-Control-Allow-Headers: x-a\r\n"},
        {"GET /v1/streams HTTP/1.1", "Host: localhost\r\nOrigin: https://other.example\r\n", "403 ",
            "foreign_origin"},
    };
    *state = gateway_new("https://first.example, https://app.example", NULL);
    CHECK(*state, calls);
    gateway_free(state);
}

static void test_keys(void **state)
{
    static const struct call calls[] = {
        {"GET /v1/streams HTTP/1.1", "Host: any.example\r\n", "401 ", "missing_api_key"},
        {"GET /metrics HTTP/1.1", "Host: any.example\r\n", "401 ", "missing_api_key"},
        {"GET /v1/streams HTTP/1.1", "Host: h\r\nAuthorization: Bearer no\r\n", "401 ",
            "invalid_api_key"},
        {"GET /v1/streams HTTP/1.1", "Host: h\r\nAuthorization: Bearer yes\r\n", "200 OK", NULL},
        {"GET /v1/streams HTTP/1.1", "Host: h\r\nx-api-key: yes\r\n", "200 OK", NULL},
        {"GET /healthz HTTP/1.1", "Host: h\r\n", "200 OK", NULL},
        {"GET /readyz HTTP/1.1", "Host: h\r\n", "200 OK", NULL},
    };
    *state = gateway_new("", "yes");
    CHECK(*state, calls);
    gateway_free(state);
}

static void test_routes(void **state)
{
    static const struct call calls[] = {
        {"GET /metrics HTTP/1.1", "Host: localhost\r\n", "200 OK", "tokenlog_requests_total"},
        {"HEAD /v1/streams HTTP/1.1", "Host: localhost\r\n", "200 OK", NULL},
        {"GET / HTTP/1.1", "Host: localhost\r\n", "404 ", "not_found"},
        {"GET /v1/streams/ HTTP/1.1", "Host: localhost\r\n", "404 ", NULL},
        {"GET /v1/nonsense HTTP/1.1", "Host: localhost\r\n", "404 ", "not_found"},
        {"POST /v1/streams HTTP/1.1", "Host: localhost\r\n", "405 ", "Allow: GET, HEAD\r\n"},
        {"PUT /v1/streams/x HTTP/1.1", "Host: localhost\r\n", "405 ",
            "Allow: GET, HEAD, DELETE\r\n"},
        {"GET /v1/streams/x/stop HTTP/1.1", "Host: localhost\r\n", "405 ", "Allow: POST\r\n"},
        {"GET /v1/messages HTTP/1.1", "Host: localhost\r\n", "405 ", "Allow: POST\r\n"},
        {"OPTIONS * HTTP/1.1", "Host: localhost\r\n", "204 ",
            "Allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS\r\n"},
        {"OPTIONS /v1/messages HTTP/1.1", "Host: localhost\r\n", "204 ",
            "Allow: POST, OPTIONS\r\n"},
        {"OPTIONS /v1/streams/x HTTP/1.1", "Host: localhost\r\n", "204 ",
            "Allow: GET, HEAD, DELETE, OPTIONS\r\n"},
        {"OPTIONS /v1/streams/x/hold HTTP/1.1", "Host: localhost\r\n", "204 ",
            "Allow: PUT, DELETE, OPTIONS\r\n"},
        {"OPTIONS /v1/nonsense HTTP/1.1", "Host: localhost\r\n", "404 ", "not_found"},
    };
    CHECK(*state, calls);
}

/* Errors have the shape of the dialect that is spoken. */
static void test_error_shapes(void **state)
{
    static const struct call calls[] = {
        {"GET /v1/messages HTTP/1.1", "Host: localhost\r\n", "405 ", "{\"type\":\"error\""},
        {"GET /v1/responses HTTP/1.1", "Host: localhost\r\n", "405 ", "{\"error\":{"},
    };
    CHECK(*state, calls);
}

static void test_ready(void **state)
{
    struct gateway *gateway = *state;
    static const struct call stuck[] = {
        {"GET /readyz HTTP/1.1", "Host: localhost\r\n", "503 ", "read_only"}};
    static const struct call draining[] = {
        {"GET /readyz HTTP/1.1", "Host: localhost\r\n", "503 ", "shutting_down"},
        {"GET /healthz HTTP/1.1", "Host: localhost\r\n", "200 OK", NULL}};
    gateway->api.is_stuck = true;
    CHECK(gateway, stuck);
    gateway->api.is_draining = true;
    CHECK(gateway, draining);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_open),
        cmocka_unit_test(test_cors),
        cmocka_unit_test(test_keys),
        TEST(test_routes),
        TEST(test_error_shapes),
        TEST(test_ready),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
