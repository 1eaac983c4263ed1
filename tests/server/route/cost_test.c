/* cost — what a call cost. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "server/route/cost.h"

/* Nano-dollars for a million tokens: 2 $, 0.2 $, 8 $. */
static struct model priced(void)
{
    struct model model = {.id = "a/b"};
    for (size_t i = 0; i < PRICE_COUNT; i++)
        model.prices[i] = model.long_prices[i] = PRICE_UNKNOWN;
    model.prices[PRICE_input] = 2000000000;
    model.prices[PRICE_cached_input] = 200000000;
    model.prices[PRICE_output] = 8000000000;
    return model;
}

static int64_t cost(
    const struct model *model, int64_t input, int64_t output, int64_t cached, int64_t reasoning)
{
    const struct usage usage = {input, output, cached, reasoning, -1};
    return cost_of(model, &usage);
}

static void tokens_are_priced_by_their_kind(void **state)
{
    (void)state;
    struct model model = priced();
    assert_int_equal(cost(&model, 1000, 100, -1, -1), 1000 * 2000 + 100 * 8000);
    assert_int_equal(cost(&model, 1000, 100, 400, 50), 600 * 2000 + 400 * 200 + 100 * 8000);
    model.prices[PRICE_reasoning] = 1000000000;
    assert_int_equal(cost(&model, 1000, 100, 0, 50), 1000 * 2000 + 50 * 8000 + 50 * 1000);
    model.prices[PRICE_cached_input] = PRICE_UNKNOWN;
    assert_int_equal(cost(&model, 1000, 0, 400, 0), 1000 * 2000);
    model.prices[PRICE_input] = 1; /* a part of a nano-dollar is one */
    assert_int_equal(cost(&model, 1, 0, 0, 0), 1);
    assert_int_equal(cost(&model, 0, 0, 0, 0), 0);
}

static void a_long_prompt_has_its_prices(void **state)
{
    (void)state;
    struct model model = priced();
    model.long_above_tokens = 1000;
    model.long_prices[PRICE_input] = 4000000000;
    assert_int_equal(cost(&model, 1000, 10, 0, 0), 1000 * 2000 + 10 * 8000);
    assert_int_equal(cost(&model, 1001, 10, 0, 0), 1001 * 4000 + 10 * 8000);
}

static void what_is_not_known_is_not_guessed(void **state)
{
    (void)state;
    struct model model = priced();
    assert_int_equal(cost(NULL, 1, 1, 0, 0), COST_UNKNOWN);
    assert_int_equal(cost(&model, -1, 1, 0, 0), COST_UNKNOWN);
    assert_int_equal(cost(&model, 1, -1, 0, 0), COST_UNKNOWN);
    assert_int_equal(cost(&model, INT64_MAX, INT64_MAX, 0, 0), COST_UNKNOWN);
    model.prices[PRICE_output] = PRICE_UNKNOWN;
    assert_int_equal(cost(&model, 1, 1, 0, 0), COST_UNKNOWN);
    assert_int_equal(cost(&model, 1, -1, 0, 0), 2000); /* an embedding */
    model.prices[PRICE_input] = PRICE_UNKNOWN;
    assert_int_equal(cost(&model, 1, 0, 0, 0), COST_UNKNOWN);
}

/* More of the prompt was cached than there was: no negative cost. */
static void a_provider_that_errs_costs_no_less_than_nothing(void **state)
{
    (void)state;
    struct model model = priced();
    assert_int_equal(cost(&model, 10, 10, 1000, 1000), 10 * 200 + 10 * 8000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tokens_are_priced_by_their_kind),
        cmocka_unit_test(a_long_prompt_has_its_prices),
        cmocka_unit_test(what_is_not_known_is_not_guessed),
        cmocka_unit_test(a_provider_that_errs_costs_no_less_than_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
