/* directory — made, taken, held by another, open to others, and where there can be none. */
#include "storage/directory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

struct place {
    char root[32], path[48], lock[64];
};

static struct place place_new(void)
{
    struct place place = {.root = "/tmp/directory_test.XXXXXX"};
    assert_non_null(mkdtemp(place.root));
    (void)snprintf(place.path, sizeof place.path, "%s/data", place.root);
    (void)snprintf(place.lock, sizeof place.lock, "%s/lock", place.path);
    return place;
}

static void place_remove(const struct place *place)
{
    (void)unlink(place->lock);
    (void)rmdir(place->path);
    assert_int_equal(rmdir(place->root), 0);
}

static void test_one_at_a_time(void **state)
{
    struct place place = place_new();
    struct stat made;
    bool is_open;
    int first = -1, second = -1, holder = 0;
    (void)state;
    assert_int_equal(directory_take(place.path, &is_open, &holder, &first), ERR_OK);
    assert_false(is_open);
    assert_int_equal(stat(place.path, &made), 0);
    assert_int_equal(made.st_mode & 0777, 0700);
    assert_int_equal(directory_take(place.path, &is_open, &holder, &second), ERR_BUSY);
    assert_int_equal(holder, getpid());
    assert_int_equal(directory_take(place.path, &is_open, NULL, &second), ERR_BUSY);
    assert_int_equal(second, -1);
    (void)close(first);
    assert_int_equal(directory_take(place.path, &is_open, &holder, &second), ERR_OK);
    (void)close(second);
    place_remove(&place);
}

static void test_open_to_others(void **state)
{
    struct place place = place_new();
    bool is_open;
    int fd = -1;
    (void)state;
    assert_int_equal(mkdir(place.path, 0700), 0);
    assert_int_equal(chmod(place.path, 0750), 0);
    assert_int_equal(directory_take(place.path, &is_open, NULL, &fd), ERR_OK);
    assert_true(is_open);
    (void)close(fd);
    place_remove(&place);
}

static void test_where_there_can_be_none(void **state)
{
    bool is_open;
    int fd = -1;
    (void)state;
    assert_int_equal(directory_take("/dev/null/data", &is_open, NULL, &fd), ERR_IO);
    assert_int_equal(directory_take("/dev/null", &is_open, NULL, &fd), ERR_IO);
    assert_int_equal(fd, -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_at_a_time),
        cmocka_unit_test(test_open_to_others),
        cmocka_unit_test(test_where_there_can_be_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
