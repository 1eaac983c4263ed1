/* param — every row of the table: its names, its default, its bounds, its way to text and back. */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "protocol/base/own.h"
#include "server/config/param.h"

static enum err set(const struct param *param, const char *text, struct config *config)
{
    CLEANUP(buf_deinit) struct buf why;
    buf_init(&why, CONFIG_WHY_BYTES_MAX);
    enum err err = param_set(param, text, config, &why);
    assert_true(err == ERR_OK ? why.size == 0 : why.size > 0);
    return err;
}

static void number(char *out, size_t size, int64_t value)
{
    (void)snprintf(out, size, "%" PRId64, value);
}

static void check_number(const struct param *param)
{
    struct config config = {0};
    char text[32];
    number(text, sizeof text, param->min);
    assert_int_equal(set(param, text, &config), ERR_OK);
    number(text, sizeof text, param->max);
    assert_int_equal(set(param, text, &config), ERR_OK);
    number(text, sizeof text, param->min - 1);
    assert_int_equal(set(param, text, &config), ERR_INVALID);
    number(text, sizeof text, param->max + 1);
    assert_int_equal(set(param, text, &config), ERR_INVALID);
    static const char *const bad[] = {"", " 1", "1 ", "0x10", "1e3", "1.5", "-0", "+1",
        "99999999999999999999", "9223372036854775808", "ten"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(set(param, bad[i], &config), ERR_INVALID);
}

static void check_text(const struct param *param)
{
    struct config config = {0};
    static char text[8192];
    ASSERT(param->max + 2 < (int64_t)sizeof text);
    memset(text, 'a', sizeof text);
    text[param->max] = '\0';
    assert_int_equal(set(param, text, &config), ERR_OK);
    text[param->max] = 'a';
    text[param->max + 1] = '\0';
    assert_int_equal(set(param, text, &config), ERR_INVALID);
    assert_int_equal(set(param, "", &config), param->min ? ERR_INVALID : ERR_OK);
    assert_int_equal(set(param, "a\nb", &config), ERR_INVALID);
    assert_int_equal(set(param, "\xff", &config), ERR_INVALID);
}

static void check_switch(const struct param *param)
{
    struct config config = {0};
    static const char *const good[] = {"true", "false", "on", "off", "yes", "no", "1", "0", "TRUE"};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        assert_int_equal(set(param, good[i], &config), ERR_OK);
    assert_int_equal(set(param, "maybe", &config), ERR_INVALID);
    assert_int_equal(set(param, "", &config), ERR_INVALID);
}

static void check_choice(const struct param *param)
{
    struct config config = {0};
    assert_int_equal(set(param, param->otherwise, &config), ERR_OK);
    assert_int_equal(set(param, "", &config), ERR_INVALID);
    assert_int_equal(set(param, param->unit, &config), ERR_INVALID);
    assert_int_equal(set(param, "no such word", &config), ERR_INVALID);
}

static void every_parameter_keeps_its_bounds(void **state)
{
    (void)state;
    for (size_t i = 0; i < PARAM_COUNT; i++) {
        const struct param *param = param_at((enum param_index)i);
        switch (param->type) {
        case PARAM_NUMBER: check_number(param); break;
        case PARAM_TEXT: check_text(param); break;
        case PARAM_SWITCH: check_switch(param); break;
        case PARAM_CHOICE: check_choice(param); break;
        }
    }
}

static void defaults_are_allowed_and_come_back_as_text(void **state)
{
    (void)state;
    for (size_t i = 0; i < PARAM_COUNT; i++) {
        const struct param *param = param_at((enum param_index)i);
        struct config config = {0};
        assert_int_equal(set(param, param->otherwise, &config), ERR_OK);
        CLEANUP(buf_deinit) struct buf text;
        CLEANUP(buf_deinit) struct buf want;
        buf_init(&text, CONFIG_WHY_BYTES_MAX);
        buf_init(&want, CONFIG_WHY_BYTES_MAX);
        assert_int_equal(param_format(param, &config, &text), ERR_OK);
        if (param->type == PARAM_TEXT)
            assert_int_equal(yaml_quote(param->otherwise, &want), ERR_OK);
        else
            assert_int_equal(buf_append_text(&want, param->otherwise), ERR_OK);
        assert_true(slice_equal(buf_slice(&text), buf_slice(&want)));
    }
}

static void names_are_spelled_three_ways_and_found(void **state)
{
    (void)state;
    char name[PARAM_NAME_BYTES];
    enum param_index index;
    assert_int_equal(param_find(SLICE("keep_days"), &index), ERR_OK);
    assert_int_equal(index, PARAM_INDEX_keep_days);
    param_flag(param_at(index), name);
    assert_string_equal(name, "--keep-days");
    param_variable(param_at(index), name);
    assert_string_equal(name, "TOKENLOG_KEEP_DAYS");
    assert_int_equal(param_find(SLICE("keep-days"), &index), ERR_NOTFOUND);
    assert_int_equal(param_find(SLICE_NONE, &index), ERR_NOTFOUND);
}

static void slips_find_their_name(void **state)
{
    (void)state;
    assert_string_equal(param_nearest(SLICE("lisen")), "listen");
    assert_string_equal(param_nearest(SLICE("keepdays")), "keep_days");
    assert_string_equal(param_nearest(SLICE("stream_max")), "streams_max");
    assert_null(param_nearest(SLICE("verbosity")));
    assert_null(param_nearest(SLICE_NONE));
}

static void quotes_are_yaml(void **state)
{
    (void)state;
    CLEANUP(buf_deinit) struct buf out;
    buf_init(&out, 1024);
    assert_int_equal(yaml_quote("a\"b\\c\nd\xc3\xa9", &out), ERR_OK);
    assert_true(slice_equal(buf_slice(&out), SLICE("\"a\\\"b\\\\c\\x0ad\xc3\xa9\"")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_parameter_keeps_its_bounds),
        cmocka_unit_test(defaults_are_allowed_and_come_back_as_text),
        cmocka_unit_test(names_are_spelled_three_ways_and_found),
        cmocka_unit_test(slips_find_their_name),
        cmocka_unit_test(quotes_are_yaml),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
