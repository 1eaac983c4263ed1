#include "server/route/catalogue.h"

enum err catalogue_pick(const struct config *config, struct slice model, struct route_choice *out)
{
    if (config->provider_count == 0)
        return ERR_NOTFOUND;
    *out = (struct route_choice){.provider = &config->providers[0]};
    ptrdiff_t slash = slice_find_byte(model, '/');
    if (slash <= 0)
        return ERR_OK;
    struct slice prefix = slice_sub(model, 0, (size_t)slash);
    for (size_t i = 0; i < config->provider_count; i++)
        if (slice_equal_nocase(prefix, slice_text(config->providers[i].name)))
            *out = (struct route_choice){
                &config->providers[i], slice_sub(model, (size_t)slash + 1, model.size)};
    return ERR_OK;
}
