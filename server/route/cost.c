/* cost — see the header. Counts come from outside: sums are of 128 bits. */
#include "server/route/cost.h"

/* Of a kind, for a prompt as long as this one; what stands in for it where that is unknown. */
static int64_t price_of(const struct model *model, const struct usage *usage, enum price_kind kind,
    enum price_kind otherwise)
{
    bool is_long = model->long_above_tokens && usage->input > model->long_above_tokens;
    if (is_long && model->long_prices[kind] != PRICE_UNKNOWN)
        return model->long_prices[kind];
    if (is_long && model->long_prices[otherwise] != PRICE_UNKNOWN &&
        model->prices[kind] == PRICE_UNKNOWN)
        return model->long_prices[otherwise];
    return model->prices[kind] != PRICE_UNKNOWN ? model->prices[kind] : model->prices[otherwise];
}

/* `part` tokens of `whole` have a price of their own. False: not known. */
static bool add_tokens(const struct model *model, const struct usage *usage, int64_t whole,
    int64_t part, const enum price_kind kinds[2], __int128 *sum)
{
    int64_t price = price_of(model, usage, kinds[0], kinds[0]);
    part = part < 0 ? 0 : part > whole ? whole : part;
    if (whole == 0 || (whole < 0 && price == PRICE_UNKNOWN))
        return true; /* an embedding has no output, and no price for it */
    if (whole < 0 || price == PRICE_UNKNOWN)
        return false;
    *sum += (__int128)(whole - part) * price;
    *sum += (__int128)part * price_of(model, usage, kinds[1], kinds[0]);
    return true;
}

int64_t cost_of(const struct model *model, const struct usage *usage)
{
    static const enum price_kind input[] = {PRICE_input, PRICE_cached_input};
    static const enum price_kind output[] = {PRICE_output, PRICE_reasoning};
    __int128 sum = 0;
    if (!model || usage->input < 0)
        return COST_UNKNOWN;
    if (!add_tokens(model, usage, usage->input, usage->cached, input, &sum) ||
        !add_tokens(model, usage, usage->output, usage->reasoning, output, &sum))
        return COST_UNKNOWN;
    int64_t units = price_units(PRICE_input); /* all tokens are sold by the million */
    sum = (sum + units - 1) / units;
    return sum <= INT64_MAX ? (int64_t)sum : COST_UNKNOWN;
}
