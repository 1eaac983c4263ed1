#include "protocol/base/err.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void names_and_kinds(void **state)
{
    (void)state;
    assert_string_equal(err_name(ERR_NOTFOUND), "NOTFOUND");
    assert_string_equal(err_text(ERR_OK), "ok");
    assert_false(err_is_fault(ERR_OK));
    assert_false(err_is_fault(ERR_AGAIN));
    assert_true(err_is_fault(ERR_IO));
    assert_true(err_is_fault(ERR_UNSUPPORTED));
    assert_int_equal(ERR_OK, 0);
}

static enum err broken(int line)
{
    return fault(ERR_IO, "disk %d", line);
}

static enum err middle(enum err result, int *after)
{
    TRY(result);
    *after = 1;
    return ERR_OK;
}

static void faults_note_their_origin(void **state)
{
    (void)state;
    int after = 0;
    assert_int_equal(middle(broken(7), &after), ERR_IO);
    assert_int_equal(after, 0);
    assert_non_null(strstr(fault_origin(), "err_test.c:"));
    assert_non_null(strstr(fault_origin(), ": disk 7"));
    assert_int_equal(middle(ERR_OK, &after), ERR_OK);
    assert_int_equal(after, 1);
}

static void long_notes_are_cut(void **state)
{
    (void)state;
    char text[1000];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = 0;
    assert_int_equal(fault(ERR_IO, "%s", text), ERR_IO);
    assert_true(strlen(fault_origin()) < 256);
    assert_int_equal(fault_note(ERR_IO, text, 1, "what"), ERR_IO);
    assert_string_equal(fault_origin(), "what");
}

static void *other_thread(void *unused)
{
    (void)broken(2);
    return unused;
}

static void notes_are_the_threads_own(void **state)
{
    (void)state;
    pthread_t thread;
    (void)broken(1);
    assert_int_equal(pthread_create(&thread, NULL, other_thread, NULL), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_non_null(strstr(fault_origin(), "disk 1"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_and_kinds),
        cmocka_unit_test(faults_note_their_origin),
        cmocka_unit_test(long_notes_are_cut),
        cmocka_unit_test(notes_are_the_threads_own),
    };
    return cmocka_run_group_tests_name("protocol/base/err", tests, NULL, NULL);
}
