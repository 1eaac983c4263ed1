/* sigv4 — AWS Signature Version 4: the headers that sign a request.
 *
 * Written out, and not left to libcurl's CURLOPT_AWS_SIGV4: Debian 12's 7.88 signs the path as it is
 * sent, where AWS (all services but S3) wants each segment encoded once more, so that every Bedrock
 * model with a colon in its ID is refused.
 *
 *   thread  any; pure
 *   source  https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html */
#ifndef TOKENLOG_SERVER_ROUTE_SIGV4_H
#define TOKENLOG_SERVER_ROUTE_SIGV4_H

#include "protocol/base/slice.h"

struct sigv4_request {
    struct slice id, secret, token; /* of the key; token may be empty */
    struct slice region, service;
    struct slice method, host; /* host with its port, as it is sent */
    struct slice path, query;  /* as they are sent; query without `?` */
    struct slice body;
    int64_t wall_s;
};

enum { SIGV4_DATE_BYTES = 17 /* 20260806T071500Z and a NUL */ };
struct sigv4 {
    char date[SIGV4_DATE_BYTES]; /* X-Amz-Date */
    char body_hash[65];          /* X-Amz-Content-Sha256 */
};

/* sigv4_sign — the value of Authorization, appended to `authorization`. It covers host, the two
 * headers of *out, and X-Amz-Security-Token if there is a token: send them all.
 *   answers  buf_append's; ERR_INVALID the time has no date · faults ERR_NOMEM */
enum err sigv4_sign(
    const struct sigv4_request *request, struct sigv4 *out, struct buf *authorization) NODISCARD;

#endif
