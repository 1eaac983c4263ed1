/* reply — a response's bytes in: its status, the few headers the benchmark looks at, its body's
 * bytes, its end. llhttp is inside.
 *
 *   thread  one                                                             source  RFC 9112     */
#ifndef TOKENLOG_TOOLS_BENCH_REPLY_H
#define TOKENLOG_TOOLS_BENCH_REPLY_H

#include "protocol/base/slice.h"

struct reply;

enum {
    REPLY_URL_BYTES = 128, /* of Tokenlog-Stream-Url, with its NUL */
};

/* body — borrowed during the call. */
struct reply *reply_new(void (*body)(void *context, struct slice bytes), void *context);
struct reply *reply_free(struct reply *reply);
void reply_reset(struct reply *reply); /* the next response, on this connection or a new one */
/* reply_feed — false: it is malformed, or bytes follow its end. */
bool reply_feed(struct reply *reply, struct slice bytes) NODISCARD;
/* reply_finish — the connection has ended; true: that was the body's end. */
bool reply_finish(struct reply *reply) NODISCARD;
int reply_status(const struct reply *reply); /* 0: its head is not complete */
bool reply_is_complete(const struct reply *reply);
bool reply_keeps_alive(const struct reply *reply);       /* once it is complete */
const char *reply_stream_url(const struct reply *reply); /* empty: none; the reply's */

#endif
