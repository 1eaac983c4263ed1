#include "protocol/base/map.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { ITEM_COUNT = 1000 };

struct item {
    struct map_node node;
    uint64_t key;
    bool is_seen;
};

static uint64_t hash_of(uint64_t key)
{
    return map_hash(slice_of(&key, sizeof key));
}

static struct item *find(const struct map *map, uint64_t key)
{
    struct map_node *node = map_first(map, hash_of(key));
    for (; node; node = map_next(node))
        if (((struct item *)(void *)node)->key == key) /* `node` is the first member */
            return (struct item *)(void *)node;
    return NULL;
}

static void empty(void **state)
{
    (void)state;
    struct map map;
    map_init(&map);
    assert_null(map_first(&map, 1));
    assert_null(map_walk(&map, NULL));
    map_deinit(&map);
}

static void insert_find_remove(void **state)
{
    (void)state;
    static struct item items[ITEM_COUNT];
    struct map map;
    map_init(&map);
    for (uint64_t i = 0; i < ITEM_COUNT; i++) {
        items[i] = (struct item){.key = i};
        assert_int_equal(map_insert(&map, &items[i].node, hash_of(i)), ERR_OK);
    }
    assert_int_equal(map.count, ITEM_COUNT);
    assert_true(map.bucket_count >= ITEM_COUNT);
    for (uint64_t i = 0; i < ITEM_COUNT; i += 2)
        map_remove(&map, &items[i].node);
    for (uint64_t i = 0; i < ITEM_COUNT; i++)
        assert_ptr_equal(find(&map, i), i % 2 ? &items[i] : NULL);
    assert_int_equal(map.count, ITEM_COUNT / 2);
    map_deinit(&map);
    assert_null(find(&map, 1));
}

static void nodes_of_one_hash(void **state)
{
    (void)state;
    struct item items[3] = {{.key = 1}, {.key = 2}, {.key = 3}};
    struct map map;
    map_init(&map);
    for (int i = 0; i < 3; i++) /* the third shares the bucket, not the hash */
        assert_int_equal(map_insert(&map, &items[i].node, i < 2 ? 5 : 5 + 16), ERR_OK);
    int count = 0;
    for (struct map_node *node = map_first(&map, 5); node; node = map_next(node))
        count++;
    assert_int_equal(count, 2);
    map_remove(&map, &items[0].node);
    assert_ptr_equal(map_first(&map, 5), &items[1].node);
    assert_ptr_equal(map_first(&map, 5 + 16), &items[2].node);
    map_deinit(&map);
}

static void walk_meets_each_once_and_may_remove(void **state)
{
    (void)state;
    static struct item items[ITEM_COUNT];
    struct map map;
    map_init(&map);
    for (uint64_t i = 0; i < ITEM_COUNT; i++) {
        items[i] = (struct item){.key = i};
        assert_int_equal(map_insert(&map, &items[i].node, hash_of(i)), ERR_OK);
    }
    struct map_node *node = map_walk(&map, NULL);
    while (node) {
        struct map_node *next = map_walk(&map, node);
        struct item *item = (struct item *)(void *)node;
        assert_false(item->is_seen);
        item->is_seen = true;
        map_remove(&map, node);
        node = next;
    }
    assert_int_equal(map.count, 0);
    for (int i = 0; i < ITEM_COUNT; i++)
        assert_true(items[i].is_seen);
    map_deinit(&map);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(empty),
        cmocka_unit_test(insert_find_remove),
        cmocka_unit_test(nodes_of_one_hash),
        cmocka_unit_test(walk_meets_each_once_and_may_remove),
    };
    return cmocka_run_group_tests_name("protocol/base/map", tests, NULL, NULL);
}
