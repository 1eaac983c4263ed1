/* place — which addresses are a peer's own. */
#include "protocol/http/place.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static bool is_own(const char *known, const char *url)
{
    return place_is_own(slice_text(known), slice_text(url));
}

static void the_same_host(void **state)
{
    (void)state;
    assert_true(is_own("http://127.0.0.1:80/v1/x", "http://127.0.0.1:80/y?z#w"));
    assert_true(is_own("https://API.example.com", "HTTPS://api.Example.com/x"));
    assert_true(is_own("http://[::1]:5000/v1", "http://[::1]:5000"));
    assert_false(is_own("http://127.0.0.1:80/", "http://127.0.0.1:81/"));
    assert_false(is_own("https://a.example.com/", "http://a.example.com/"));
    assert_false(is_own("http://127.0.0.1/", "http://127.0.0.2/"));
}

static void another_host_of_the_domain(void **state)
{
    (void)state;
    assert_true(is_own("https://api.replicate.com/v1/x", "https://stream.replicate.com/p"));
    assert_true(is_own("https://api.replicate.com/v1/x", "https://a.b.replicate.com"));
    assert_true(is_own("https://replicate.com/x", "https://api.replicate.com/"));
    assert_false(is_own("http://api.replicate.com/v1/x", "http://stream.replicate.com/p"));
    assert_false(is_own("https://api.replicate.com/", "https://replicate.com.evil.com/"));
    assert_false(is_own("https://api.replicate.com/", "https://evilreplicate.com/"));
    assert_false(is_own("https://api.replicate.com/", "https://stream.replicate.com:8443/"));
    assert_false(is_own("https://1.2.3.4/", "https://9.9.3.4/"));
    assert_false(is_own("https://gpu/", "https://other/"));
}

static void what_is_no_place(void **state)
{
    static const char *const urls[] = {"", "/x", "//127.0.0.1/x", "127.0.0.1:80", "http://",
        "http:///x", "ftp://127.0.0.1:80/", "http://user@127.0.0.1:80/",
        "http://127.0.0.1:80@evil.com/", "http://127.0.0.1:80\\@evil.com/",
        "http://127.0.0.1:80 /"};
    (void)state;
    for (size_t i = 0; i < sizeof urls / sizeof urls[0]; i++)
        assert_false(is_own("http://127.0.0.1:80/", urls[i]));
    assert_false(is_own("ftp://a/", "ftp://a/"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_host),
        cmocka_unit_test(another_host_of_the_domain),
        cmocka_unit_test(what_is_no_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
