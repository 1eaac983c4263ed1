/* reload — what can be told anew while the server runs: the configuration's providers, the catalogue,
 * its routes, and the keys of callers; no key of a provider rests any more. All of it is taken or none;
 * a stream under way keeps what it began with.
 *
 * What came of it is logged, and left in DATA/.reload for `tokenlog reload`, as JSON:
 *   {"pid": 7, "count": 2, "ok": true, "why": "", "restart": "listen, data", …}
 * `count` grows by one each time; `restart` names settings that changed in the file and will count
 * only after one.
 *
 *   thread  loop                                                                               */
#ifndef TOKENLOG_SERVER_RELOAD_H
#define TOKENLOG_SERVER_RELOAD_H

#include "server/observe/log.h"
#include "server/policy/auth.h"
#include "server/route/catalogue.h"
#include "server/route/health.h"

struct reload {
    int argc; /* of the subcommand, as config_load takes them */
    char **argv, **environment;
    const struct config *config; /* that the server began with */
    struct catalogues *catalogues;
    struct auth *auth;
    struct health *health;
    struct log *log;
    int64_t count;
};

/* reload_run — false: refused, and all is as it was. */
bool reload_run(struct reload *reload);

#endif
