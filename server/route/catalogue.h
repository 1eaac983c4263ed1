/* catalogue — model name → provider. `provider/model` goes to that provider under `model`; a name
 * without a known prefix goes unchanged to the
 * provider that was configured first.
 *   thread  read-only after start */
#ifndef TOKENLOG_SERVER_ROUTE_CATALOGUE_H
#define TOKENLOG_SERVER_ROUTE_CATALOGUE_H

#include "server/config/config.h"

struct route_choice {
    const struct provider_config *provider;
    struct slice model; /* to send instead of the caller's; empty: leave the body as it is */
};
/* catalogue_pick — answers ERR_NOTFOUND: no provider is configured. `model` is borrowed. */
enum err catalogue_pick(
    const struct config *config, struct slice model, struct route_choice *out) NODISCARD;

#endif
