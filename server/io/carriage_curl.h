/* carriage_curl — libcurl's multi-socket interface on the loop (<curl/curl.h> is included by
 * carriage_curl.c only): TLS, HTTP/2, proxies, names, uploads.
 *
 *   thread  the loop's */
#ifndef TOKENLOG_SERVER_IO_CARRIAGE_CURL_H
#define TOKENLOG_SERVER_IO_CARRIAGE_CURL_H

#include "server/io/carriage.h"

struct curls; /* one multi handle */
struct plains;

/* curls_new — as transfers_new. `plains`, or NULL: learns the addresses that names lead to. */
enum err curls_new(
    struct loop *loop, const char *proxy, struct plains *plains, struct curls **out) NODISCARD;
/* curls_free — all carriages were dropped. */
struct curls *curls_free(struct curls *curls);
/* curl_open — what `request` is sent with; `begin` sends it. faults ERR_NOMEM */
enum err curl_open(struct curls *curls, struct transfer *transfer,
    const struct upstream_request *request, struct carriage **out) NODISCARD;
/* curls_begin — those whose `begin` was called in this turn set out. */
void curls_begin(struct curls *curls);

#endif
