/* audit_key — made once, for its owner only; what is no key is not taken for one. */
#include "storage/audit_key.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <sys/stat.h>
#include <unistd.h>

static char directory[64], path[80];

static int set_up(void **state)
{
    (void)state;
    (void)snprintf(directory, sizeof directory, "/tmp/tokenlog-key-XXXXXX");
    if (!mkdtemp(directory))
        return -1;
    (void)snprintf(path, sizeof path, "%s/audit-key", directory);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    (void)unlink(path);
    return rmdir(directory);
}

static void test_made_once(void **state)
{
    uint8_t first[ED25519_BYTES], second[ED25519_BYTES];
    struct stat status;
    (void)state;
    assert_int_equal(audit_key_read(directory, first), ERR_NOTFOUND);
    assert_int_equal(audit_key_open(directory, first), ERR_OK);
    assert_int_equal(audit_key_open(directory, second), ERR_OK);
    assert_memory_equal(first, second, sizeof first);
    assert_int_equal(audit_key_read(directory, second), ERR_OK);
    assert_memory_equal(first, second, sizeof first);
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0600);
}

static void test_damaged_is_said(void **state)
{
    static const char *const texts[] = {"", "tokenlog-audit-key ed25519 00\n", "nonsense"};
    uint8_t seed[ED25519_BYTES];
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        FILE *file = fopen(path, "we");
        assert_non_null(file);
        assert_true(fputs(texts[i], file) >= 0);
        assert_int_equal(fclose(file), 0);
        assert_int_equal(audit_key_open(directory, seed), ERR_CORRUPT);
        assert_int_equal(audit_key_read(directory, seed), ERR_CORRUPT);
    }
    assert_int_equal(audit_key_read("/nonexistent", seed), ERR_IO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_made_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_damaged_is_said, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
