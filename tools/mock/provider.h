/* provider — the listening socket and the loop. */
#ifndef TOKENLOG_TOOLS_MOCK_PROVIDER_H
#define TOKENLOG_TOOLS_MOCK_PROVIDER_H

#include "protocol/base/slice.h"

struct provider_options {
    const char *listen;      /* "ADDRESS:PORT", IPv4; port 0: any free one */
    const char *certificate; /* PEM files; both or neither */
    const char *key;
    const char *require_key; /* NULL: calls need no key */
};

/* provider_run — serves until SIGTERM or SIGINT; prints "listening ADDRESS:PORT" when it is ready.
 *   answers  ERR_INVALID `listen` is malformed · faults ERR_IO, ERR_NOMEM */
enum err provider_run(const struct provider_options *options) NODISCARD;

#endif
