#include "protocol/http/url.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void targets_with_and_without_query(void **state)
{
    (void)state;
    struct target target;
    assert_int_equal(target_parse(SLICE("/a/b?c=d?e&f"), &target), ERR_OK);
    assert_true(slice_equal(target.path, SLICE("/a/b")));
    assert_true(slice_equal(target.query, SLICE("c=d?e&f")));
    assert_int_equal(target_parse(SLICE("/"), &target), ERR_OK);
    assert_true(slice_equal(target.path, SLICE("/")));
    assert_int_equal(target.query.size, 0);
    assert_int_equal(target_parse(SLICE("/a?"), &target), ERR_OK);
    assert_int_equal(target.query.size, 0);
}

static void refused_targets(void **state)
{
    (void)state;
    static const struct slice refused[] = {SLICE(""), SLICE("*"), SLICE("a"), SLICE("http://h/"),
        SLICE("/a#b"), SLICE("/a b"), SLICE("/a\tb"), SLICE("/\xC3\xA9"), SLICE("/\x7f"),
        SLICE("/a\0"), SLICE("/%"), SLICE("/%4"), SLICE("/%4g"), SLICE("/a?b=%zz"), SLICE("/."),
        SLICE("/.."), SLICE("/a/../b"), SLICE("/a/./b"), SLICE("/a/.."), SLICE("/a/%2e%2E/b"),
        SLICE("/a/.%2e"), SLICE("/a/..%2fb"), SLICE("/a%5C..%5cb"), SLICE("/a\\..\\b"),
        SLICE("/a/..;/b"), SLICE("/a/..;x=.y/b"), SLICE("/a/%2e.%3b"), SLICE("/a/.;./b")};
    struct target target;
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
        assert_int_equal(target_parse(refused[i], &target), ERR_INVALID);
}

static void accepted_targets(void **state)
{
    (void)state;
    static const struct slice accepted[] = {SLICE("/..."), SLICE("/.a"), SLICE("/a."),
        SLICE("/a..b"), SLICE("/a?b=../c"), SLICE("/%2Fa%00"), SLICE("//a//"), SLICE("/a?b=%2e"),
        SLICE("/a;..;/b"), SLICE("/;/..a;")};
    struct target target;
    for (size_t i = 0; i < sizeof accepted / sizeof *accepted; i++)
        assert_int_equal(target_parse(accepted[i], &target), ERR_OK);
}

static void number_of_parameters_is_bounded(void **state)
{
    (void)state;
    char text[2 + 2 * HTTP_QUERY_COUNT_MAX + 2];
    struct target target;
    memcpy(text, "/?", 2);
    for (size_t i = 2; i < sizeof text; i += 2)
        memcpy(text + i, "a&", 2);
    assert_int_equal(target_parse(slice_of(text, sizeof text - 2), &target), ERR_OK);
    assert_int_equal(target_parse(slice_of(text, sizeof text), &target), ERR_INVALID);
}

static void parameters(void **state)
{
    (void)state;
    struct slice query = SLICE("from=12&live&a=b=c&&e=&%66ormat=raw&dup=1&dup=1"), raw;
    assert_int_equal(query_get(query, "from", &raw), ERR_OK);
    assert_true(slice_equal(raw, SLICE("12")));
    assert_int_equal(query_get(query, "live", &raw), ERR_OK);
    assert_int_equal(raw.size, 0);
    assert_int_equal(query_get(query, "a", &raw), ERR_OK);
    assert_true(slice_equal(raw, SLICE("b=c")));
    assert_int_equal(query_get(query, "e", &raw), ERR_OK);
    assert_int_equal(query_get(query, "format", &raw), ERR_OK);
    assert_true(slice_equal(raw, SLICE("raw")));
    assert_int_equal(query_get(query, "dup", &raw), ERR_INVALID);
    assert_int_equal(query_get(SLICE("dup=1&d%75p=2"), "dup", &raw), ERR_INVALID);
    assert_int_equal(query_get(query, "fro", &raw), ERR_NOTFOUND);
    assert_int_equal(query_get(query, "fromm", &raw), ERR_NOTFOUND);
    assert_int_equal(query_get(SLICE_NONE, "from", &raw), ERR_NOTFOUND);
    assert_int_equal(query_get(SLICE("%=1"), "from", &raw), ERR_NOTFOUND);
}

static void walk_of_parameters(void **state)
{
    (void)state;
    struct slice rest = SLICE("&a=1&&=2&b&"), name, value;
    assert_true(query_next(&rest, &name, &value));
    assert_true(slice_equal(name, SLICE("a")) && slice_equal(value, SLICE("1")));
    assert_true(query_next(&rest, &name, &value));
    assert_true(name.size == 0 && slice_equal(value, SLICE("2")));
    assert_true(query_next(&rest, &name, &value));
    assert_true(slice_equal(name, SLICE("b")) && value.size == 0);
    assert_false(query_next(&rest, &name, &value));
}

static void percent_coding(void **state)
{
    (void)state;
    struct buf out;
    buf_init(&out, 64);
    assert_int_equal(percent_decode(SLICE("a%20b+c%2B%e2%82%AC"), false, &out), ERR_OK);
    assert_true(slice_equal(buf_slice(&out), SLICE("a b+c+\xE2\x82\xAC")));
    buf_clear(&out);
    assert_int_equal(percent_decode(SLICE("a+b%2B"), true, &out), ERR_OK);
    assert_true(slice_equal(buf_slice(&out), SLICE("a b+")));
    static const struct slice bad[] = {
        SLICE("%"), SLICE("%1"), SLICE("a%zz"), SLICE("%00"), SLICE("a\0")};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(percent_decode(bad[i], false, &out), ERR_INVALID);
    assert_true(slice_equal(buf_slice(&out), SLICE("a b+")));
    buf_clear(&out);
    assert_int_equal(percent_encode(SLICE("aZ9-._~ /\xC3\xA9\0"), &out), ERR_OK);
    assert_true(slice_equal(buf_slice(&out), SLICE("aZ9-._~%20%2F%C3%A9%00")));
    assert_int_equal(percent_encode(SLICE("                    "), &out), ERR_LIMIT);
    assert_int_equal(percent_decode(SLICE_NONE, false, &out), ERR_OK);
    assert_int_equal(out.size, 22);
    buf_deinit(&out);
}

static void every_byte_comes_back(void **state)
{
    (void)state;
    uint8_t bytes[255];
    struct buf encoded, decoded;
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i + 1);
    buf_init(&encoded, 1024);
    buf_init(&decoded, 1024);
    assert_int_equal(percent_encode(slice_of(bytes, sizeof bytes), &encoded), ERR_OK);
    assert_int_equal(percent_decode(buf_slice(&encoded), true, &decoded), ERR_OK);
    assert_true(slice_equal(buf_slice(&decoded), slice_of(bytes, sizeof bytes)));
    buf_deinit(&encoded);
    buf_deinit(&decoded);
}

static void segments(void **state)
{
    (void)state;
    assert_true(slice_equal(path_segment(SLICE("/a/bc"), 0), SLICE("a")));
    assert_true(slice_equal(path_segment(SLICE("/a/bc"), 1), SLICE("bc")));
    assert_null(path_segment(SLICE("/a/bc"), 2).data);
    assert_int_equal(path_segment_count(SLICE("/a/bc")), 2);
    assert_int_equal(path_segment_count(SLICE("/a/")), 2);
    assert_non_null(path_segment(SLICE("/a/"), 1).data);
    assert_int_equal(path_segment_count(SLICE("/")), 1);
    assert_int_equal(path_segment_count(SLICE_NONE), 0);
    assert_null(path_segment(SLICE_NONE, 0).data);
}

static void loopback_hosts(void **state)
{
    (void)state;
    static const struct slice ours[] = {SLICE("localhost"), SLICE("LOCALHOST:3000"),
        SLICE("a.localhost"), SLICE("a.b.localhost:1"), SLICE("127.0.0.1"), SLICE("127.1.2.3:80"),
        SLICE("[::1]"), SLICE("[::1]:8080"), SLICE("[0:0:0:0:0:0:0:1]"), SLICE("localhost:")};
    static const struct slice foreign[] = {SLICE(""), SLICE("localhost.evil.example"),
        SLICE("evillocalhost"), SLICE(".localhost"), SLICE("127.0.0.1.evil.example"),
        SLICE("128.0.0.1"), SLICE("0.0.0.0"), SLICE("127.0.0.1:99999"), SLICE("127.0.0.1:8a"),
        SLICE("[::2]"), SLICE("[::1"), SLICE("::1"), SLICE("[::1]x"), SLICE("[127.0.0.1]"),
        SLICE("localhost@evil.example"), SLICE("evil.example:80@localhost"), SLICE("127.1"),
        SLICE("localhost:1:2"), SLICE("localhost/"), SLICE("localhost\0"), SLICE(":80"),
        SLICE("[]"), SLICE("[")};
    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++)
        assert_true(host_is_loopback(ours[i]));
    for (size_t i = 0; i < sizeof foreign / sizeof *foreign; i++)
        assert_false(host_is_loopback(foreign[i]));
}

static void origins(void **state)
{
    (void)state;
    static const struct slice refused[] = {SLICE("null"), SLICE(""), SLICE("http://"),
        SLICE("http://x/"), SLICE("http://u@x"), SLICE("file://x"), SLICE("x"), SLICE("http:/x"),
        SLICE("http://x y"), SLICE("http://x?y")};
    struct slice authority;
    assert_int_equal(origin_authority(SLICE("http://x:1"), &authority), ERR_OK);
    assert_true(slice_equal(authority, SLICE("x:1")));
    assert_int_equal(origin_authority(SLICE("HTTPS://[::1]"), &authority), ERR_OK);
    assert_true(slice_equal(authority, SLICE("[::1]")));
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
        assert_int_equal(origin_authority(refused[i], &authority), ERR_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(targets_with_and_without_query),
        cmocka_unit_test(refused_targets),
        cmocka_unit_test(accepted_targets),
        cmocka_unit_test(number_of_parameters_is_bounded),
        cmocka_unit_test(parameters),
        cmocka_unit_test(walk_of_parameters),
        cmocka_unit_test(percent_coding),
        cmocka_unit_test(every_byte_comes_back),
        cmocka_unit_test(segments),
        cmocka_unit_test(loopback_hosts),
        cmocka_unit_test(origins),
    };
    return cmocka_run_group_tests_name("protocol/http/url", tests, NULL, NULL);
}
