/* upkeep — what backup, restore and compact share: a line of progress, and a check of what came out.
 *
 *   thread  one */
#ifndef TOKENLOG_SERVER_CLI_UPKEEP_H
#define TOKENLOG_SERVER_CLI_UPKEEP_H

#include "server/cli/cli.h"
#include "storage/snapshot.h"

/* A line on `err` that says how far it has come, where `err` is a terminal and not --json. */
struct upkeep {
    const struct cli *cli;
    bool is_shown;
    uint64_t step; /* shown */
};
void upkeep_init(struct upkeep *upkeep, const struct cli *cli);
struct progress upkeep_progress(struct upkeep *upkeep);
void upkeep_clear(struct upkeep *upkeep); /* before other output */

/* upkeep_check — what `tokenlog verify` checks, on `path`. CLI_OK, or it has been said what was
 * found. */
int upkeep_check(struct upkeep *upkeep, const char *path) NODISCARD;

#endif
