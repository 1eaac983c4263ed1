/* signed_url: what is signed is let in for its time; whatever is changed of it is not. */
#include "server/policy/signed_url.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "protocol/base/own.h"

#define ID    SLICE("01890a5d-ac96-774b-bcce-b302099a8057")
#define OTHER SLICE("01890a5d-ac96-774b-bcce-b302099a8058")

enum { NOW_S = 1000, END_S = 2000, TEXT_BYTES = 4096 };

static uint8_t secret[SHA256_BYTES];

static int set_up(void **state)
{
    const uint8_t seed[ED25519_BYTES] = {7};
    (void)state;
    signed_url_secret(seed, secret);
    return 0;
}

static void sign(struct slice project, struct buf *out)
{
    buf_init(out, TEXT_BYTES);
    assert_int_equal(signed_url_write(secret, ID, project, END_S, out), ERR_OK);
}

static enum err check(struct slice id, struct slice query, int64_t now_s)
{
    CLEANUP(buf_deinit) struct buf project;
    buf_init(&project, TEXT_BYTES);
    return signed_url_check(secret, id, query, now_s, &project);
}

static void a_signed_one_says_whose_it_is(void **state)
{
    static const struct slice names[] = {
        SLICE("default"), SLICE("a&signature=0"), SLICE("r\xc3\xa9+d 1%"), SLICE("x=y")};
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        CLEANUP(buf_deinit) struct buf query;
        CLEANUP(buf_deinit) struct buf project;
        sign(names[i], &query);
        buf_init(&project, TEXT_BYTES);
        assert_int_equal(signed_url_check(secret, ID, buf_slice(&query), NOW_S, &project), ERR_OK);
        assert_true(slice_equal(buf_slice(&project), names[i]));
    }
}

static void its_time_ends(void **state)
{
    CLEANUP(buf_deinit) struct buf query;
    (void)state;
    sign(SLICE("default"), &query);
    assert_int_equal(check(ID, buf_slice(&query), END_S - 1), ERR_OK);
    assert_int_equal(check(ID, buf_slice(&query), END_S), ERR_CLOSED);
    assert_int_equal(check(ID, buf_slice(&query), -1), ERR_CLOSED);
}

static void it_is_for_one_stream(void **state)
{
    CLEANUP(buf_deinit) struct buf query;
    (void)state;
    sign(SLICE("default"), &query);
    assert_int_equal(check(OTHER, buf_slice(&query), NOW_S), ERR_INVALID);
}

static void any_byte_counts(void **state)
{
    CLEANUP(buf_deinit) struct buf query;
    (void)state;
    sign(SLICE("default"), &query);
    for (size_t i = 0; i < query.size; i++) {
        query.data[i] ^= 1;
        enum err err = check(ID, buf_slice(&query), NOW_S);
        assert_true(err == ERR_INVALID || err == ERR_NOTFOUND);
        query.data[i] ^= 1;
        err = check(ID, slice_of(query.data, i), NOW_S);
        assert_true(err == ERR_INVALID || err == ERR_NOTFOUND);
    }
    assert_int_equal(check(ID, buf_slice(&query), NOW_S), ERR_OK);
}

static void another_directory_signs_otherwise(void **state)
{
    CLEANUP(buf_deinit) struct buf query;
    const uint8_t seed[ED25519_BYTES] = {8};
    (void)state;
    sign(SLICE("default"), &query);
    signed_url_secret(seed, secret);
    assert_int_equal(check(ID, buf_slice(&query), NOW_S), ERR_INVALID);
}

static void what_is_none_is_told_from_what_is_wrong(void **state)
{
    CLEANUP(buf_deinit) struct buf twice;
    (void)state;
    assert_int_equal(check(ID, SLICE(""), NOW_S), ERR_NOTFOUND);
    assert_int_equal(check(ID, SLICE("offset=-1&expires=2000"), NOW_S), ERR_NOTFOUND);
    assert_int_equal(check(ID, SLICE("signature="), NOW_S), ERR_INVALID);
    sign(SLICE("default"), &twice);
    assert_int_equal(buf_append_text(&twice, "&project=other"), ERR_OK);
    assert_int_equal(check(ID, buf_slice(&twice), NOW_S), ERR_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_signed_one_says_whose_it_is, set_up),
        cmocka_unit_test_setup(its_time_ends, set_up),
        cmocka_unit_test_setup(it_is_for_one_stream, set_up),
        cmocka_unit_test_setup(any_byte_counts, set_up),
        cmocka_unit_test_setup(another_directory_signs_otherwise, set_up),
        cmocka_unit_test_setup(what_is_none_is_told_from_what_is_wrong, set_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
