#include "protocol/base/list.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

enum { ITEM_COUNT = 4 };

struct item {
    char name;
    struct list node;
};

/* The names in order, and the same backwards from the links the other way. */
static void assert_names(const struct list *list, const char *expected)
{
    char forwards[ITEM_COUNT + 1] = "", backwards[ITEM_COUNT + 1] = "";
    size_t size = 0, count = strlen(expected);
    LIST_FOREACH (node, list) {
        assert_true(size < ITEM_COUNT);
        forwards[size++] = CONTAINER_OF(node, struct item, node)->name;
    }
    for (const struct list *node = list->prev; node != list && size > 0; node = node->prev)
        backwards[--size] = CONTAINER_OF(node, struct item, node)->name;
    assert_string_equal(forwards, expected);
    assert_memory_equal(backwards, expected, count);
}

static void setup(struct list *list, struct item items[ITEM_COUNT])
{
    list_init(list);
    for (int i = 0; i < ITEM_COUNT; i++) {
        items[i].name = (char)('a' + i);
        list_init(&items[i].node);
        list_append(list, &items[i].node);
    }
}

static void append_and_unlink(void **state)
{
    (void)state;
    struct list list;
    struct item items[ITEM_COUNT];
    setup(&list, items);
    assert_names(&list, "abcd");
    list_unlink(&items[1].node);
    list_unlink(&items[1].node); /* an unlinked node points to itself: twice does no harm */
    assert_names(&list, "acd");
    list_insert_before(&items[3].node, &items[1].node);
    assert_names(&list, "acbd");
}

static void pop_until_empty(void **state)
{
    (void)state;
    struct list list;
    struct item items[ITEM_COUNT];
    setup(&list, items);
    for (int i = 0; i < ITEM_COUNT; i++)
        assert_ptr_equal(list_pop(&list), &items[i].node);
    assert_null(list_pop(&list));
    assert_true(list_is_empty(&list));
}

static void move_to_an_empty_and_a_full_list(void **state)
{
    (void)state;
    struct list list, other;
    struct item items[ITEM_COUNT];
    setup(&list, items);
    list_init(&other);
    list_move(&other, &list);
    assert_names(&other, "abcd");
    assert_true(list_is_empty(&list));
    list_move(&other, &list);
    assert_names(&other, "abcd");
    list_append(&list, list_pop(&other));
    list_move(&list, &other);
    assert_names(&list, "abcd");
    assert_true(list_is_empty(&other));
}

static void unlinking_while_walking(void **state)
{
    (void)state;
    struct list list;
    struct item items[ITEM_COUNT];
    setup(&list, items);
    LIST_FOREACH_SAFE (node, &list) {
        if (CONTAINER_OF(node, struct item, node)->name != 'c')
            list_unlink(node);
    }
    assert_names(&list, "c");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(append_and_unlink),
        cmocka_unit_test(pop_until_empty),
        cmocka_unit_test(move_to_an_empty_and_a_full_list),
        cmocka_unit_test(unlinking_while_walking),
    };
    return cmocka_run_group_tests_name("protocol/base/list", tests, NULL, NULL);
}
