/* source — where a command reads recordings: a running server, or the data directory itself.
 *
 *   --server, or no --data and
 *   $TOKENLOG_SERVER              that server and nothing else
 *   --data                        that directory; if a server holds it, the server nearby is asked
 *   neither                       the server nearby if it answers, else the default directory
 *   (nearby: $TOKENLOG_SERVER, else http://127.0.0.1:8080)
 *
 * Both give the same JSON: rows as row_json writes them, lists as GET /v1/streams answers.
 *
 * Functions return an exit code; when it is not CLI_OK, what went wrong has been said.
 *
 *   thread  one */
#ifndef TOKENLOG_SERVER_CLI_SOURCE_H
#define TOKENLOG_SERVER_CLI_SOURCE_H

#include "server/cli/cli.h"

struct source;

/* source_data — the data directory of the flags, the environment or the default. */
const char *source_data(const struct cli *cli);
/* source_open — `wanted`: the stream that is asked for; NULL: a list. `cli` is borrowed. */
int source_open(struct cli *cli, const struct id *wanted, struct source **out) NODISCARD;
/* source_open_server — only a server will do: for what changes something. */
int source_open_server(struct cli *cli, struct source **out) NODISCARD;
struct source *source_close(struct source *source); /* NULL is taken */

/* For what reads more than is below (fetch.h): one of both is NULL; borrowed.
 * source_fail — say what went wrong: a call's (`answer`, may be NULL), or the directory's
 *   (ERR_NOTFOUND: no such stream). Returns the exit code. */
struct client;
struct client_answer;
struct offline;
struct client *source_client(const struct source *source);
struct offline *source_offline(const struct source *source);
int source_fail(const struct source *source, enum err err, const struct client_answer *answer);

/* source_row — the stream's JSON object, appended. */
int source_row(struct source *source, const struct id *id, struct buf *json) NODISCARD;

/* source_get — the answer to a GET of `path`, appended. A server's only. */
int source_get(struct source *source, const char *path, struct buf *json) NODISCARD;

struct source_list {
    uint64_t limit;
    const char *before, *state, *model, *run; /* NULL: not asked for */
    const char *kind;                         /* generation (as NULL) or appended */
};
int source_list(struct source *source, const struct source_list *list, struct buf *json) NODISCARD;

/* source_change — a request that changes a stream ("POST", "/stop"; "DELETE", ""); the answer's
 * JSON is appended. A server's only. */
int source_change(struct source *source, const char *method, const struct id *id,
    const char *ending, struct buf *json) NODISCARD;

struct source_follow {
    struct id id;
    uint64_t from;
    bool is_raw;    /* the provider's bytes as they were, in any pieces; seq then means nothing */
    bool is_opaque; /* the stream is no SSE: events are pieces of a body */
    bool is_live;   /* follow to the end; else what is there now */
    /* False: nobody listens any more. */
    bool (*event)(void *context, uint64_t seq, struct slice bytes);
    void *context;
};
struct source_end {
    uint64_t next;       /* the seq to go on from */
    bool is_interrupted; /* by a signal */
    char state[16];      /* the stream's, once it has ended; else empty */
    char reason[64];
};
/* source_follow — events to `event` until the end. A connection that breaks is taken up again where
 * it broke, unless is_raw. CLI_OK also when the stream failed: see `end`. */
int source_follow(
    struct source *source, const struct source_follow *follow, struct source_end *end) NODISCARD;

#endif
