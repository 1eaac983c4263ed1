/* walk — tables of members over JSON: paths, refusals, hints, lists; seals; the arena's bound. */
#include "protocol/dialect/walk.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

struct thing {
    struct slice name;
    bool is_set;
    int64_t count;
    struct neutral_value number;
    struct slice object;
    size_t items;
};

static enum err read_item(struct walk *walk, struct json_span value, void *into)
{
    int64_t number;
    TRY(walk_count(walk, value, &number));
    ((struct thing *)into)->items++;
    return ERR_OK;
}

static const struct walk_member inner_members[] = {
    {"count", WALK_AT(WALK_COUNT, struct thing, count)},
};
static const struct walk_member members[] = {
    {"name", WALK_AT(WALK_TEXT, struct thing, name)},
    {"is_set", WALK_AT(WALK_BOOL, struct thing, is_set)},
    {"number", WALK_AT(WALK_NUMBER_VALUE, struct thing, number)},
    {"object", WALK_AT(WALK_OBJECT, struct thing, object)},
    {"inner", WALK_INTO(inner_members)},
    {"items", .each = read_item},
    {"hint", .is_hint = true, .unless = "[]"},
    {"never", .why = "it never can", .unless = "false"},
};

struct walked {
    enum err err;
    struct thing thing;
    struct neutral_report report;
    struct arena arena;
};

static void walk(struct walked *walked, const char *text)
{
    struct walk walk;
    memset(walked, 0, sizeof *walked);
    arena_init(&walked->arena, 1 << 16);
    neutral_report_init(&walked->report);
    walk_init(&walk, &walked->arena, &walked->report);
    walked->err = walk_body(&walk, slice_text(text), members, COUNT_OF(members), &walked->thing);
}

static void leave(struct walked *walked)
{
    arena_deinit(&walked->arena);
    neutral_report_deinit(&walked->report);
}

static void test_taken(void **state)
{
    struct walked walked;
    (void)state;
    walk(&walked,
        " {\"na\\u006de\" : \"a\\n\\ud83d\\ude00\\u0000b\", \"is_set\":true,\"number\":-1.50e3 ,"
        "\"object\": {\"x\" : [ ]},\"inner\":{\"count\":12},\"items\":[ 1 , 2,3 ],"
        "\"hint\":{},\"never\":false,\"name2\":null} ");
    assert_int_equal(walked.err, ERR_INVALID); /* even if null: nobody knows it */
    assert_string_equal(walked.report.path, "name2");
    leave(&walked);
    walk(&walked,
        " {\"na\\u006de\" : \"a\\n\\ud83d\\ude00\\u0000b\", \"is_set\":true,\"number\":-1.50e3 ,"
        "\"object\": {\"x\" : [ ]},\"inner\":{\"count\":12},\"items\":[ 1 , 2,3 ],"
        "\"hint\":{},\"never\":false} ");
    assert_int_equal(walked.err, ERR_OK);
    assert_true(slice_equal(walked.thing.name, SLICE("a\n😀\0b")));
    assert_true(walked.thing.is_set);
    assert_true(slice_equal(walked.thing.number.raw, SLICE("-1.50e3")));
    assert_true(slice_equal(walked.thing.number.path, SLICE("number")));
    assert_true(slice_equal(walked.thing.object, SLICE("{\"x\" : [ ]}")));
    assert_int_equal(walked.thing.count, 12);
    assert_int_equal(walked.thing.items, 3);
    assert_true(slice_equal(buf_slice(&walked.report.left_out), SLICE("hint")));
    leave(&walked);
    walk(&walked, "{\"items\":[],\"hint\":[],\"never\":null,\"name\":null}");
    assert_int_equal(walked.err, ERR_OK);
    assert_int_equal(walked.thing.items, 0);
    assert_int_equal(walked.report.left_out.size, 0);
    leave(&walked);
}

static void test_refused(void **state)
{
    static const char *const cases[][2] = {
        {"[]", ""},
        {"{\"name\":1}", "name"},
        {"{\"is_set\":1}", "is_set"},
        {"{\"number\":\"1\"}", "number"},
        {"{\"object\":[]}", "object"},
        {"{\"inner\":{\"count\":-1}}", "inner.count"},
        {"{\"inner\":{\"count\":1.0}}", "inner.count"},
        {"{\"inner\":{\"other\":1}}", "inner.other"},
        {"{\"inner\":{\"count\":1,\"co\\u0075nt\":1}}", "inner.count"},
        {"{\"inner\":[]}", "inner"},
        {"{\"items\":[1,[2]]}", "items[1]"},
        {"{\"items\":[[]]}", "items[0]"},
        {"{\"items\":{}}", "items"},
        {"{\"never\":true}", "never"},
        {"{\"name\":\"a\",\"name\":\"b\"}", ""},
        {"{\"name\":\"a\"", ""},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct walked walked;
        walk(&walked, cases[i][0]);
        assert_int_equal(walked.err, ERR_INVALID);
        assert_string_equal(walked.report.path, cases[i][1]);
        assert_true(walked.report.why[0]);
        leave(&walked);
    }
}

static void test_long_paths_are_cut(void **state)
{
    struct walked walked;
    char text[1200];
    (void)state;
    memset(text, 'a', sizeof text - 1);
    memcpy(text, "{\"", 2);
    memcpy(text + sizeof text - 5, "\":1}", 5);
    walk(&walked, text);
    assert_int_equal(walked.err, ERR_INVALID);
    assert_int_equal(strlen(walked.report.path), NEUTRAL_PATH_BYTES - 1);
    leave(&walked);
}

static void test_the_list_of_what_is_left_out_is_bounded(void **state)
{
    struct neutral_report report;
    char path[32];
    (void)state;
    neutral_report_init(&report);
    for (int i = 0; i < 1000; i++) {
        (void)snprintf(path, sizeof path, "messages[%d].hint", i);
        neutral_leave_out(&report, slice_text(path));
        neutral_leave_out(&report, slice_text(path));
    }
    assert_true(report.left_out.size <= NEUTRAL_LEFT_OUT_BYTES_MAX);
    assert_memory_equal(report.left_out.data, "messages[0].hint, messages[1].hint, ", 36);
    assert_memory_equal(report.left_out.data + report.left_out.size - 5, ", …", 5);
    neutral_report_deinit(&report);
}

static void test_seals(void **state)
{
    static const char own[] = NEUTRAL_FORMAT_ANTHROPIC;
    struct slice format, id, opaque;
    struct buf text;
    (void)state;
    buf_init(&text, 256);
    assert_int_equal(neutral_seal_write(&text, own, SLICE(NEUTRAL_FORMAT_ANTHROPIC), SLICE("i"),
                         SLICE("EsEC+/==")),
        ERR_OK);
    assert_true(slice_equal(buf_slice(&text), SLICE("EsEC+/==")));
    neutral_seal_read(buf_slice(&text), own, &format, &id, &opaque);
    assert_true(slice_equal(format, slice_text(own)) && id.size == 0);
    assert_true(slice_equal(opaque, SLICE("EsEC+/==")));
    buf_clear(&text);
    assert_int_equal(neutral_seal_write(
                         &text, own, SLICE(NEUTRAL_FORMAT_RESPONSES), SLICE("rs_1"), SLICE("gAAA")),
        ERR_OK);
    neutral_seal_read(buf_slice(&text), own, &format, &id, &opaque);
    assert_true(slice_equal(format, SLICE(NEUTRAL_FORMAT_RESPONSES)));
    assert_true(slice_equal(id, SLICE("rs_1")) && slice_equal(opaque, SLICE("gAAA")));
    buf_deinit(&text);
}

static void test_the_arena_is_bounded(void **state)
{
    struct arena arena;
    void *taken;
    (void)state;
    arena_init(&arena, 100000);
    for (size_t round = 0; round < 2; round++) {
        assert_int_equal(arena_take(&arena, 60000, &taken), ERR_OK);
        assert_int_equal(arena_take(&arena, 30000, &taken), ERR_OK);
        assert_int_equal(arena_take(&arena, 10001, &taken), ERR_LIMIT);
        assert_int_equal(arena_take(&arena, 10000, &taken), ERR_OK);
        assert_int_equal(*(uint8_t *)taken, 0);
        memset(taken, 1, 10000);
        arena_reset(&arena);
    }
    arena_deinit(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_taken),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_long_paths_are_cut),
        cmocka_unit_test(test_the_list_of_what_is_left_out_is_bounded),
        cmocka_unit_test(test_seals),
        cmocka_unit_test(test_the_arena_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
