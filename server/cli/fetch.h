/* fetch — one whole recording as records (transcript.h), from a server or a data directory alike.
 *
 *   thread  one */
#ifndef TOKENLOG_SERVER_CLI_FETCH_H
#define TOKENLOG_SERVER_CLI_FETCH_H

#include "server/cli/recordings.h"
#include "server/cli/source.h"

struct fetch {
    struct source *source;
    struct recordings *recordings; /* NULL: a server's */
};

/* fetch_open — where the flags say (source.h). Returns an exit code; when it is not CLI_OK, what
 * went wrong has been said. fetch_close — also of one that is all zeros. */
int fetch_open(struct cli *cli, struct fetch *out) NODISCARD;
void fetch_close(struct fetch *fetch);

struct fetch_call {
    struct id id;
    bool is_live;     /* a server's: follow to the end; else what is there now */
    bool has_request; /* REQUEST records are wanted too */
    enum err (*visit)(void *context, const struct transcript_record *record);
    void *context;
};
/* fetch_run — STREAM, EVENTs, REQUESTs, END to `visit`, each once: a connection that breaks is taken
 * up again where it broke. Any answer of `visit` but ERR_OK ends it; ERR_CANCELED (or a signal) does
 * so quietly.
 *   returns  an exit code; what went wrong has been said, but CLI_GO_ON: it was cancelled */
int fetch_run(struct fetch *fetch, const struct fetch_call *call) NODISCARD;
#endif
