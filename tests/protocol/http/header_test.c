#include "protocol/http/header.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static const struct headers sample = {
    .items =
        {
            {SLICE("Connection"), SLICE("keep-alive, X-Hop")},
            {SLICE("X-Hop"), SLICE("1")},
            {SLICE("accept"), SLICE("a")},
            {SLICE("Accept"), SLICE("b")},
            {SLICE("connection"), SLICE(" x-second ,, close")},
            {SLICE("Empty"), SLICE("")},
            {SLICE("content-encoding"), SLICE("Identity")},
        },
    .count = 7,
};
static const struct headers compressed = {
    .items = {{SLICE("Content-Encoding"), SLICE("gzip")}}, .count = 1};

static void fields_are_found_in_any_case(void **state)
{
    (void)state;
    assert_true(slice_equal(headers_get(&sample, "ACCEPT"), SLICE("a")));
    assert_int_equal(headers_count(&sample, "Accept"), 2);
    assert_non_null(headers_get(&sample, "empty").data);
    assert_null(headers_get(&sample, "absent").data);
    assert_int_equal(headers_count(&sample, "absent"), 0);
}

static void tokens_of_lists(void **state)
{
    (void)state;
    assert_true(headers_has_token(&sample, "Connection", "Keep-Alive"));
    assert_true(headers_has_token(&sample, "Connection", "close"));
    assert_true(headers_has_token(&sample, "Connection", "x-second"));
    assert_false(headers_has_token(&sample, "Connection", "keep"));
    assert_false(headers_has_token(&sample, "Connection", ""));
    assert_false(headers_has_token(&sample, "absent", "close"));
}

static bool to_provider(const char *name)
{
    return header_crosses_to_provider(slice_text(name), &sample);
}

static bool to_caller(const char *name)
{
    return header_crosses_to_caller(slice_text(name), &sample);
}

static void hop_by_hop_fields_stop(void **state)
{
    (void)state;
    static const char *const hops[] = {"Connection", "keep-alive", "Proxy-Authorization",
        "Proxy-Connection", "TE", "Trailer", "Transfer-Encoding", "UPGRADE", "X-Hop", "x-SECOND",
        "Content-Length", "Tokenlog-Stream-Id"};
    for (size_t i = 0; i < sizeof hops / sizeof *hops; i++) {
        assert_false(to_provider(hops[i]));
        assert_false(to_caller(hops[i]));
    }
}

static void secrets_stay_here(void **state)
{
    (void)state;
    static const char *const names[] = {"Host", "Expect", "Accept-Encoding", "authorization",
        "x-api-key", "api-key", "x-goog-api-key", "Cookie", "Forwarded", "X-Forwarded-For", "Via",
        "X-Real-Ip", "Origin", "Referer", "Sec-Fetch-Site", "Idempotency-Key", "Last-Event-ID"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        assert_false(to_provider(names[i]));
}

static void what_callers_do_not_get(void **state)
{
    (void)state;
    static const char *const names[] = {"Set-Cookie", "Alt-Svc", "Strict-Transport-Security",
        "Server", "Date", "Access-Control-Allow-Origin", "Content-Encoding"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        assert_false(to_caller(names[i]));
    assert_true(header_crosses_to_caller(SLICE("Content-Encoding"), &compressed));
}

static void all_else_crosses(void **state)
{
    (void)state;
    static const char *const names[] = {"OpenAI-Beta", "anthropic-version", "Content-Type",
        "User-Agent", "x-request-id", "X-Stainless-Lang", "Accept", "Proxy", "Section", "Tea",
        "Retry-After", "X-Ratelimit-Remaining"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        assert_true(to_provider(names[i]));
        assert_true(to_caller(names[i]));
    }
}

static void what_is_safe_to_write(void **state)
{
    (void)state;
    assert_true(header_is_clean((struct header){SLICE("A-b!#$%&'*+.^_`|~9"), SLICE("x\ty z")}));
    assert_true(header_is_clean((struct header){SLICE("A"), SLICE("")}));
    assert_true(header_is_clean((struct header){SLICE("A"), SLICE("\xC3\xA9")}));
    assert_false(header_is_clean((struct header){SLICE(""), SLICE("x")}));
    assert_false(header_is_clean((struct header){SLICE("A "), SLICE("x")}));
    assert_false(header_is_clean((struct header){SLICE("A:"), SLICE("x")}));
    assert_false(header_is_clean((struct header){SLICE("A\0"), SLICE("x")}));
    assert_false(header_is_clean((struct header){SLICE("\xC3\xA9"), SLICE("x")}));
    assert_false(header_is_clean((struct header){SLICE("A"), SLICE("x\r\nB: c")}));
    assert_false(header_is_clean((struct header){SLICE("A"), SLICE("x\0")}));
    assert_false(header_is_clean((struct header){SLICE("A"), SLICE("\x7f")}));
}

/* RFC 9110 §5.6.2 */
static void bytes_of_tokens(void **state)
{
    (void)state;
    static const char tokens[] = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz"
                                 "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
    for (int byte = 0; byte < 256; byte++)
        assert_int_equal(
            byte_is_token((uint8_t)byte), memchr(tokens, byte, sizeof tokens - 1) != NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fields_are_found_in_any_case),
        cmocka_unit_test(tokens_of_lists),
        cmocka_unit_test(hop_by_hop_fields_stop),
        cmocka_unit_test(secrets_stay_here),
        cmocka_unit_test(what_callers_do_not_get),
        cmocka_unit_test(all_else_crosses),
        cmocka_unit_test(what_is_safe_to_write),
        cmocka_unit_test(bytes_of_tokens),
    };
    return cmocka_run_group_tests_name("protocol/http/header", tests, NULL, NULL);
}
