/* carriage_plain — where the plain way leads: addresses, and names that were learned. */
#include "server/io/carriage_plain.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

static struct loop *loop;
static struct plains *plains;

static int set_up(void **state)
{
    (void)state;
    assert_int_equal(loop_new(&loop), ERR_OK);
    assert_int_equal(plains_new(loop, &plains), ERR_OK);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    plains = plains_free(plains);
    loop = loop_free(loop);
    return 0;
}

static bool leads(const char *url)
{
    struct upstream_request request = {.url = url, .method = "GET"};
    struct carriage *carriage;
    enum err err = plain_open(plains, NULL, &request, &carriage);
    if (err == ERR_OK)
        carriage->kind->drop(carriage);
    else
        assert_int_equal(err, ERR_NOTFOUND);
    return err == ERR_OK;
}

static void test_addresses(void **state)
{
    (void)state;
    static const char *const good[] = {"http://127.0.0.1", "http://127.0.0.1:65535/a?b",
        "HTTP://127.0.0.1:?b", "http://[::1]", "http://[::1]:80/a", "http://[fe80::1:2]/"};
    static const char *const libcurls[] = {"https://127.0.0.1/", "http://127.0.0.1:65536/",
        "http://127.0.0.1:x/", "http://127.1/", "http://[::1", "http://[::1]x/",
        "http://[fe80::1%25lo]/", "http://:80/", "http:///", "http://", "http://user@127.0.0.1/",
        "http://127.0.0.1\\@b/", "http://127.0.0.1/a b", "http://127.0.0.1/\r\nX: y",
        "http://127.0.0.1/\x80", "http://127.0.0.1/a/../b", "http://127.0.0.1/#a",
        "file:///etc/passwd", "127.0.0.1", ""};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        assert_true(leads(good[i]));
    for (size_t i = 0; i < sizeof libcurls / sizeof *libcurls; i++)
        assert_false(leads(libcurls[i]));
}

static void test_names(void **state)
{
    (void)state;
    assert_true(plain_may_learn("http://box:8000/v1"));
    assert_false(plain_may_learn("https://box:8000/v1"));
    assert_false(leads("http://box:8000/v1"));
    plains_learn(plains, "http://box:8000/v1", "192.0.2.1", 8000);
    assert_true(leads("http://BOX:8000/other"));
    assert_false(leads("http://box:8001/v1")); /* another server */
    assert_false(leads("http://box/v1"));
    plains_learn(plains, "http://six/", "2001:db8::1", 80);
    assert_true(leads("http://six/"));
}

/* libcurl's text of the address lacks the interface: the kernel would refuse to connect. */
static void test_no_interface_is_known(void **state)
{
    (void)state;
    plains_learn(plains, "http://box.local/", "fe80::1", 80);
    assert_false(leads("http://box.local/"));
}

static void test_old_names_make_room(void **state)
{
    (void)state;
    char url[64];
    plains_learn(plains, "http://first/", "192.0.2.1", 80);
    for (int i = 0; i < 1000; i++) {
        (void)snprintf(url, sizeof url, "http://name%d/", i);
        plains_learn(plains, url, "192.0.2.1", 80);
        assert_true(leads(url));
    }
    assert_false(leads("http://first/"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_addresses, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_names, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_no_interface_is_known, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_old_names_make_room, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
