/* gateway — the API over real sockets, on the rig: what a caller sees of what providers do. */
#ifndef TOKENLOG_TESTS_SERVER_API_GATEWAY_H
#define TOKENLOG_TESTS_SERVER_API_GATEWAY_H

#include "server/api/api.h"
#include "tests/server/http/wire.h"

#define CHUNK(text) "data: {\"choices\":[{\"delta\":{\"content\":\"" text "\"}}]}\n\n"
#define DONE        "data: [DONE]\n\n"
#define ASK         "{\"model\":\"m\",\"stream\":true}"

struct gateway {
    struct rig *rig;
    struct config config;
    struct auth *auth;
    struct exchanges *exchanges;
    struct api api;
    struct catalogues *catalogues;
};

static char *gateway_environment[] = {NULL};

static inline struct gateway *gateway_new(const char *cors_origins, const char *key)
{
    static uint8_t hashes[1][SHA256_BYTES];
    static struct project_config project = {.name = "default", .key_hashes = hashes};
    struct gateway *gateway = calloc(1, sizeof *gateway);
    assert_non_null(gateway);
    struct rig *rig = gateway->rig = rig_new();
    struct buf why;
    buf_init(&why, 65536);
    if (key)
        sha256(slice_text(key), hashes[0]);
    project.key_count = key != NULL;
    gateway->config.cors_origins = cors_origins;
    gateway->config.ask_usage = true;
    gateway->config.providers[0] = rig->provider;
    gateway->config.provider_count = 1;
    gateway->config.projects = &project;
    gateway->config.project_count = key != NULL;
    gateway->config.keys_file = "";
    gateway->config.ttl_mode = "absolute";
    gateway->config.disconnect = (struct disconnect){.policy = DISCONNECT_CONTINUE};
    assert_int_equal(auth_new(&gateway->config, "/nonexistent/keys", &why, &gateway->auth), ERR_OK);
    const struct catalogue_source source = {
        .config = &gateway->config, .is_config_borrowed = true, .environment = gateway_environment};
    struct catalogue *catalogue;
    assert_int_equal(catalogue_build(&source, &catalogue, &why), ERR_OK);
    assert_int_equal(catalogues_new(catalogue, &gateway->catalogues), ERR_OK);
    buf_deinit(&why);
    struct tokens *tokens;
    assert_int_equal(tokens_new(rig->loop, rig->upstreams, &tokens), ERR_OK);
    struct health *health;
    assert_int_equal(health_new(&health), ERR_OK);
    gateway->api = (struct api){.config = &gateway->config,
        .loop = rig->loop,
        .hub = rig->hub,
        .auth = gateway->auth,
        .metrics = rig->metrics,
        .log = rig->log,
        .catalogues = gateway->catalogues,
        .tokens = tokens,
        .health = health,
        .producer = rig->producer};
    struct exchange_config config = {.loop = rig->loop,
        .metrics = rig->metrics,
        .log = rig->log,
        .header_timeout_ms = 60000,
        .body_timeout_ms = 60000,
        .idle_timeout_ms = 60000,
        .send_timeout_ms = 60000,
        .body_bytes_max = 1000000,
        .bodies_bytes_max = 10000000,
        .connections_max = 4000,
        .admit = api_admit,
        .handle = api_handle,
        .context = &gateway->api};
    assert_int_equal(exchanges_new(&config, &gateway->exchanges), ERR_OK);
    return gateway;
}

static inline int gateway_setup(void **state)
{
    *state = gateway_new("", NULL);
    return 0;
}

static inline int gateway_free(void **state)
{
    struct gateway *gateway = *state;
    exchanges_close_all(gateway->exchanges);
    RIG_UNTIL(gateway->rig, exchanges_open_count(gateway->exchanges) == 0);
    rig_drain(gateway->rig);
    exchanges_free(gateway->exchanges);
    catalogues_free(gateway->catalogues);
    health_free(gateway->api.health);
    tokens_free(gateway->api.tokens);
    auth_free(gateway->auth);
    rig_free(gateway->rig);
    free(gateway);
    return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, gateway_setup, gateway_free)

static inline struct upstream *provider(struct gateway *gateway)
{
    return fake_last(gateway->rig->upstreams);
}

/* Sends a request; `fields` are further ones, each with its CRLF. */
static inline void ask_with(struct gateway *gateway, struct wire *wire, const char *line,
    const char *fields, const char *body)
{
    char request[8192];
    wire_open(wire, exchanges_accept, gateway->exchanges, 0);
    int size = snprintf(request, sizeof request,
        "%s\r\nHost: localhost\r\n%sContent-Length: %zu\r\n\r\n%s", line, fields, strlen(body),
        body);
    assert_true(size > 0 && (size_t)size < sizeof request);
    wire_send(wire, request);
}

static inline void ask(struct gateway *gateway, struct wire *wire, const char *fields)
{
    ask_with(gateway, wire, "POST /v1/chat/completions HTTP/1.1", fields, ASK);
}

static inline void get(struct gateway *gateway, struct wire *wire, const char *format, ...)
    PRINTF(3, 4);
static inline void get(struct gateway *gateway, struct wire *wire, const char *format, ...)
{
    char line[512], path[400];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(path, sizeof path, format, args);
    va_end(args);
    (void)snprintf(line, sizeof line, "%s HTTP/1.1", path);
    ask_with(gateway, wire, line, "", "");
}

static inline void expect(struct gateway *gateway, struct wire *wire, const char *text)
{
    for (int i = 0; i < RIG_TURNS_MAX && !wire_has(wire, text); i++)
        rig_turn(gateway->rig);
    if (!wire_has(wire, text))
        fail_msg("no %s in: %.*s", text, SLICE_PRINT(buf_slice(&wire->got)));
}

static inline void expect_end(struct gateway *gateway, struct wire *wire, int error)
{
    RIG_UNTIL(gateway->rig, wire_ended(wire));
    assert_int_equal(wire->error, error);
}

/* The stream's ID in the head that came. */
static inline void stream_id(struct wire *wire, char out[ID_TEXT_BYTES])
{
    struct slice got = buf_slice(&wire->got), name = SLICE("Tokenlog-Stream-Id: ");
    ptrdiff_t at = slice_find(got, name);
    assert_true(at >= 0);
    memcpy(out, got.data + at + name.size, ID_TEXT_BYTES - 1);
    out[ID_TEXT_BYTES - 1] = 0;
}

/* The body, with chunking taken off; freed by the next call. */
static inline const char *body_of(struct wire *wire)
{
    static struct buf body;
    buf_deinit(&body);
    buf_init(&body, WIRE_BYTES_MAX);
    struct slice got = buf_slice(&wire->got);
    ptrdiff_t head = slice_find(got, SLICE("\r\n\r\n"));
    assert_true(head >= 0);
    bool is_chunked =
        slice_find(slice_sub(got, 0, (size_t)head), SLICE("Transfer-Encoding: chunked")) >= 0;
    struct slice rest = slice_sub(got, (size_t)head + 4, got.size);
    while (is_chunked && rest.size) {
        char *end;
        unsigned long size = strtoul((const char *)rest.data, &end, 16);
        size_t skip = (size_t)((const uint8_t *)end - rest.data) + 2;
        assert_int_equal(buf_append(&body, slice_sub(rest, skip, size)), ERR_OK);
        rest = slice_sub(rest, skip + size + 2, rest.size);
    }
    if (!is_chunked)
        assert_int_equal(buf_append(&body, rest), ERR_OK);
    assert_int_equal(buf_append_byte(&body, 0), ERR_OK);
    return (const char *)body.data;
}

static inline bool has_last_chunk(struct wire *wire)
{
    wire_pull(wire);
    return wire_ends_with(wire, "\r\n0\r\n\r\n");
}

/* A whole generation, recorded: its ID. */
static inline void record(
    struct gateway *gateway, const char *fields, const char *text, char id[ID_TEXT_BYTES])
{
    struct wire wire;
    size_t started = fake_started(gateway->rig->upstreams);
    ask(gateway, &wire, fields);
    RIG_UNTIL(gateway->rig, fake_started(gateway->rig->upstreams) > started);
    fake_sse(provider(gateway));
    assert_true(fake_text(provider(gateway), text));
    fake_end(provider(gateway), UPSTREAM_COMPLETE);
    RIG_UNTIL(gateway->rig, has_last_chunk(&wire) || wire_ended(&wire));
    stream_id(&wire, id);
    wire_close(&wire);
}

#endif
