/* ttl — see the header. */
#include "server/api/ttl.h"

#include <stdio.h>

enum {
    DAY_S = 86400,
    TTL_DAYS_MAX = 36500, /* as keep_days */
};

enum err ttl_read(
    const struct api *api, const struct exchange *exchange, int64_t *ttl_s, char why[TTL_WHY_BYTES])
{
    const struct config *config = api->config;
    const struct headers *headers = &exchange_request(exchange)->headers;
    uint64_t max_s = (uint64_t)(config->ttl_max_days ? config->ttl_max_days : TTL_DAYS_MAX) * DAY_S;
    uint64_t wanted_s = (uint64_t)exchange_project(exchange)->keep_s;
    size_t count = headers_count(headers, "Tokenlog-TTL");
    bool is_valid = count == 0;
    if (count == 1 && slice_u64(headers_get(headers, "Tokenlog-TTL"), &wanted_s) == ERR_OK)
        is_valid = wanted_s ? wanted_s <= max_s : config->ttl_max_days == 0;
    if (is_valid) {
        *ttl_s = (int64_t)wanted_s;
        return ERR_OK;
    }
    (void)snprintf(why, TTL_WHY_BYTES,
        "Tokenlog-TTL is a number of seconds up to %llu%s, sent once; ttl_max_days sets that",
        (unsigned long long)max_s, config->ttl_max_days ? "" : ", or 0: for ever");
    return ERR_INVALID;
}
