/* client — HTTP to a tokenlog server, one request at a time, each waited for: server/io's transfers
 * on a loop of their own.
 *
 *   thread  the one that called client_new */
#ifndef TOKENLOG_SERVER_CLI_CLIENT_H
#define TOKENLOG_SERVER_CLI_CLIENT_H

#include "protocol/base/slice.h"

struct client;

struct client_config {
    const char *url; /* http or https, with or without a slash at the end */
    const char *key; /* NULL: none is sent */
    const char *ca;  /* NULL: the system's certificates */
};

/* client_new — answers ERR_INVALID the URL is none · faults of loop_new and upstreams_new
 *   owns  a copy of all text */
enum err client_new(const struct client_config *config, struct client **out) NODISCARD;
struct client *client_free(struct client *client); /* NULL is taken */
const char *client_url(const struct client *client);

struct client_call {
    const char *method;
    const char *path;           /* begins with a slash; query included */
    int64_t connect_timeout_ms; /* 0 = none, as for the next */
    int64_t answer_timeout_ms;  /* to the response head */
    /* Set: the body of a 200 goes here, piece by piece; false ends the transfer (ERR_CANCELED). */
    bool (*data)(void *context, struct slice bytes);
    void *context;
    bool is_interruptible; /* SIGINT and SIGTERM end the transfer too: ERR_CANCELED */
};

struct client_answer {
    int status;
    struct buf body; /* of every other response; the caller's to free, also after a failure */
};

/* client_run — send and wait for the end.
 *   answers  ERR_OK a whole response came, whatever its status · ERR_CLOSED nothing or not all
 *            came: client_problem says why; status is 0 if not even a head came · ERR_CANCELED
 *            ERR_LIMIT the body is past its bound
 *   faults   ERR_NOMEM */
enum err client_run(
    struct client *client, const struct client_call *call, struct client_answer *out) NODISCARD;
const char *client_problem(const struct client *client); /* of the last ERR_CLOSED */
/* client_sleep — wait, unless SIGINT or SIGTERM comes: ERR_CANCELED. */
enum err client_sleep(struct client *client, int64_t duration_ms) NODISCARD;

#endif
