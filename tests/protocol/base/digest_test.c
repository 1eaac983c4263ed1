#include "protocol/base/digest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void assert_sha256(struct slice bytes, const char *expected)
{
    uint8_t digest[SHA256_BYTES];
    char text[2 * SHA256_BYTES + 1];
    sha256(bytes, digest);
    hex_encode(slice_of(digest, sizeof digest), text);
    assert_string_equal(text, expected);
}

static void sha256_of_known_texts(void **state)
{
    (void)state; /* FIPS 180-4's examples */
    assert_sha256(SLICE("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    assert_sha256(SLICE_NONE, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

static void sha256_of_parts_is_of_the_list(void **state)
{
    (void)state;
    uint8_t a[SHA256_BYTES], b[SHA256_BYTES], c[SHA256_BYTES], d[SHA256_BYTES];
    sha256_parts((struct slice[]){SLICE("ab"), SLICE("c")}, 2, a);
    sha256_parts((struct slice[]){SLICE("a"), SLICE("bc")}, 2, b);
    sha256_parts((struct slice[]){SLICE("ab"), SLICE("c"), SLICE_NONE}, 3, c);
    assert_memory_not_equal(a, b, SHA256_BYTES);
    assert_memory_not_equal(a, c, SHA256_BYTES);
    sha256(SLICE("\2\0\0\0\0\0\0\0ab\1\0\0\0\0\0\0\0c"), d); /* the form that is stored */
    assert_memory_equal(a, d, SHA256_BYTES);
}

static uint32_t crc32c_by_definition(struct slice bytes)
{
    uint32_t crc = 0xffffffffu;
    for (size_t i = 0; i < bytes.size * 8; i++) {
        uint32_t bit = (crc ^ (uint32_t)(bytes.data[i / 8] >> (i % 8))) & 1u;
        crc = (crc >> 1) ^ (bit ? 0x82f63b78u : 0);
    }
    return ~crc;
}

static void crc32c_of_known_texts(void **state)
{
    (void)state; /* RFC 3720 §B.4 */
    uint8_t bytes[32] = {0};
    assert_int_equal(crc32c(0, SLICE("123456789")), 0xe3069283u);
    assert_int_equal(crc32c(0, slice_of(bytes, 32)), 0x8a9136aau);
    memset(bytes, 0xff, 32);
    assert_int_equal(crc32c(0, slice_of(bytes, 32)), 0x62a8ab43u);
    assert_int_equal(crc32c(0, SLICE_NONE), 0);
    assert_int_equal(crc32c(7, SLICE_NONE), 7);
}

static void crc32c_of_all_sizes_and_cuts(void **state)
{
    (void)state;
    uint8_t bytes[67];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i * 37 + 11);
    for (size_t size = 0; size <= sizeof bytes; size++) {
        struct slice whole = slice_of(bytes, size);
        uint32_t expected = crc32c_by_definition(whole);
        for (size_t cut = 0; cut <= size; cut++) {
            uint32_t crc = crc32c(0, slice_of(bytes, cut));
            assert_int_equal(crc32c(crc, slice_of(bytes + cut, size - cut)), expected);
        }
    }
}

static void hex(void **state)
{
    (void)state;
    char text[7];
    uint8_t bytes[3];
    hex_encode(SLICE("\x00\x9f\xab"), text);
    assert_string_equal(text, "009fab");
    assert_int_equal(hex_decode(SLICE("009FaB"), bytes, 3), ERR_OK);
    assert_memory_equal(bytes, "\x00\x9f\xab", 3);
    static const struct slice bad[] = {SLICE("009fa"), SLICE("009fab0"), SLICE("009fag"),
        SLICE("009fa@"), SLICE("0x9fab"), SLICE("009fa\0"), SLICE("009fa/"), SLICE("009fa\x1a")};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(hex_decode(bad[i], bytes, 3), ERR_INVALID);
    hex_encode(SLICE_NONE, text);
    assert_string_equal(text, "");
}

static void base64(void **state)
{
    (void)state; /* RFC 4648 §10 */
    static const char *const pairs[][2] = {{"", ""}, {"f", "Zg=="}, {"fo", "Zm8="}, {"foo", "Zm9v"},
        {"foob", "Zm9vYg=="}, {"fooba", "Zm9vYmE="}, {"foobar", "Zm9vYmFy"}};
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        struct buf out;
        buf_init(&out, 16);
        assert_int_equal(base64_encode(slice_text(pairs[i][0]), &out), ERR_OK);
        assert_true(slice_equal(buf_slice(&out), slice_text(pairs[i][1])));
        buf_deinit(&out);
    }
}

static void base64_of_much(void **state)
{
    (void)state;
    enum { SIZE = 3 * 1024 * 1024 + 1 }; /* past one step of the encoder */
    uint8_t *zeros = calloc(1, SIZE);
    struct buf out;
    buf_init(&out, 8 * 1024 * 1024);
    assert_non_null(zeros);
    assert_int_equal(base64_encode(slice_of(zeros, SIZE), &out), ERR_OK);
    assert_int_equal(out.size, (SIZE + 2) / 3 * 4);
    assert_memory_equal(out.data + out.size - 8, "AAAAAA==", 8);
    assert_int_equal(slice_find_byte(buf_slice(&out), 0), -1);
    free(zeros);
    buf_deinit(&out);
}

static void secrets(void **state)
{
    (void)state;
    assert_true(equal_constant_time("abc", "abc", 3));
    assert_false(equal_constant_time("abc", "abd", 3));
    assert_true(equal_constant_time("abc", "abd", 2));
}

static void test_sha256_in_pieces(void **state)
{
    (void)state;
    struct sha256 *sha;
    struct slice text = SLICE("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq");
    assert_int_equal(sha256_new(&sha), ERR_OK);
    for (size_t cut = 0; cut <= text.size; cut++) {
        uint8_t whole[SHA256_BYTES], pieces[SHA256_BYTES];
        sha256(text, whole);
        sha256_begin(sha);
        sha256_add(sha, slice_sub(text, 0, cut));
        sha256_add(sha, SLICE_NONE);
        sha256_add(sha, slice_sub(text, cut, text.size));
        sha256_end(sha, pieces);
        assert_memory_equal(whole, pieces, sizeof whole);
    }
    assert_null(sha256_free(sha));
    assert_null(sha256_free(NULL));
}

/* RFC 8032 §7.1, test 3. */
static void test_ed25519(void **state)
{
    (void)state;
    uint8_t seed[ED25519_BYTES], expected[ED25519_BYTES], public_key[ED25519_BYTES];
    uint8_t signed_as[ED25519_SIGNATURE_BYTES], signature[ED25519_SIGNATURE_BYTES];
    const uint8_t message[] = {0xaf, 0x82};
    assert_int_equal(
        hex_decode(SLICE("c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7"), seed,
            sizeof seed),
        ERR_OK);
    assert_int_equal(
        hex_decode(SLICE("fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025"),
            expected, sizeof expected),
        ERR_OK);
    assert_int_equal(
        hex_decode(SLICE("6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac"
                         "18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a"),
            signed_as, sizeof signed_as),
        ERR_OK);
    assert_int_equal(ed25519_public(seed, public_key), ERR_OK);
    assert_memory_equal(public_key, expected, sizeof expected);
    assert_int_equal(ed25519_sign(seed, slice_of(message, 2), signature), ERR_OK);
    assert_memory_equal(signature, signed_as, sizeof signature);
    assert_true(ed25519_verify(public_key, slice_of(message, 2), signature));
    assert_false(ed25519_verify(public_key, slice_of(message, 1), signature));
    signature[5] ^= 1;
    assert_false(ed25519_verify(public_key, slice_of(message, 2), signature));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sha256_in_pieces),
        cmocka_unit_test(test_ed25519),
        cmocka_unit_test(sha256_of_known_texts),
        cmocka_unit_test(sha256_of_parts_is_of_the_list),
        cmocka_unit_test(crc32c_of_known_texts),
        cmocka_unit_test(crc32c_of_all_sizes_and_cuts),
        cmocka_unit_test(hex),
        cmocka_unit_test(base64),
        cmocka_unit_test(base64_of_much),
        cmocka_unit_test(secrets),
    };
    return cmocka_run_group_tests_name("protocol/base/digest", tests, NULL, NULL);
}
