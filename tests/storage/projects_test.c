/* projects — numbers that stay, names that are known, and what is no name. */
#include "storage/projects.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <string.h>

#include "storage/bounds.h"

static void test_numbers_stay(void **state)
{
    struct projects projects;
    uint32_t number;
    (void)state;
    projects_init(&projects);
    assert_int_equal(projects_number(&projects, SLICE("red"), &number), ERR_OK);
    assert_int_equal(number, 1);
    assert_int_equal(projects_number(&projects, SLICE("blue"), &number), ERR_OK);
    assert_int_equal(number, 2);
    assert_int_equal(projects_number(&projects, SLICE("red"), &number), ERR_OK);
    assert_int_equal(number, 1);
    projects_deinit(&projects);
}

/* Of a walk, in any order; what comes again is not news. */
static void test_known_ones(void **state)
{
    struct projects projects;
    uint32_t number;
    (void)state;
    projects_init(&projects);
    assert_int_equal(projects_know(&projects, 7, SLICE("seven")), ERR_OK);
    assert_int_equal(projects_know(&projects, 3, SLICE("three")), ERR_OK);
    assert_int_equal(projects_know(&projects, 9, SLICE("seven")), ERR_OK);
    assert_int_equal(projects_number(&projects, SLICE("seven"), &number), ERR_OK);
    assert_int_equal(number, 7);
    assert_int_equal(projects_number(&projects, SLICE("new"), &number), ERR_OK);
    assert_int_equal(number, 8);
    projects_deinit(&projects);
}

static void test_no_names(void **state)
{
    struct projects projects;
    char name[PROJECT_NAME_BYTES_MAX + 1];
    uint32_t number;
    (void)state;
    memset(name, 'x', sizeof name);
    projects_init(&projects);
    assert_int_equal(projects_number(&projects, SLICE_NONE, &number), ERR_LIMIT);
    assert_int_equal(projects_number(&projects, slice_of(name, sizeof name), &number), ERR_LIMIT);
    assert_int_equal(projects_number(&projects, slice_of(name, sizeof name - 1), &number), ERR_OK);
    projects_deinit(&projects);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers_stay),
        cmocka_unit_test(test_known_ones),
        cmocka_unit_test(test_no_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
