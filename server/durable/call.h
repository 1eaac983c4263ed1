/* call — one call about one stream by its name: the look-up, the waits, the answer. A verb embeds it.
 *
 *   call_open, call_name ──▶ call_find ──▶ `next` (call->stream is HERE) ──▶ call_wait ──▶ `next` ──▶ call_reply
 *        └─ refused ──┴─ 404, 410 ─────────────────────────────────────┴─ 507
 *
 * Each of them may end the call: it has been answered then, and `end` has freed it. A caller who goes
 * takes nothing back: what was written stays.
 *
 *   thread  loop */
#ifndef TOKENLOG_SERVER_DURABLE_CALL_H
#define TOKENLOG_SERVER_DURABLE_CALL_H

#include "protocol/http/durable.h"
#include "server/durable/bounds.h"
#include "server/durable/durable.h"
#include "server/durable/entry.h"

struct call {
    struct api *api;
    struct exchange *exchange; /* NULL: the caller is gone */
    struct stream *stream;     /* a reference */
    struct buf key;            /* the name, behind the byte of its space */
    struct hub_lookup lookup;
    struct hub_barrier barrier;
    struct removal removal;
    void (*next)(struct call *call);
    void (*end)(struct call *call); /* frees what the call is embedded in */
};

/* call_open — the exchange is held from here on. call_deinit — for `end`.
 * call_name — the raw name becomes the key. False: it has been answered, and the call has ended. */
void call_open(
    struct call *call, struct api *api, struct exchange *exchange, void (*end)(struct call *call));
bool call_name(struct call *call, struct slice name) NODISCARD;
void call_deinit(struct call *call);

/* call_find — `next` with call->stream, of which something is visible, or an answer: 404, or 410 where it
 * is kept for its forks. What is over is taken away first.
 * call_wait — `next` once all that was appended is durable, or an answer. `next` is not called where the
 * caller is gone: the call ends. */
void call_find(struct call *call, void (*next)(struct call *call));
void call_wait(struct call *call, void (*next)(struct call *call));

/* call_add_… — fields of the answer. What does not fit is noticed by call_reply.
 * call_reply — answers and ends. call_refuse — likewise, with an error; `param` may be NULL.
 * call_refuse_storage — a look-up, an append or a reading did not succeed. */
void call_add(struct call *call, const char *name, struct slice value);
void call_add_number(struct call *call, const char *name, uint64_t number);
void call_add_offset(struct call *call, uint64_t events); /* Stream-Next-Offset */
void call_add_true(struct call *call, const char *name);
void call_reply(struct call *call, int status, struct slice content_type, struct slice body);
void call_refuse(struct call *call, int status, const char *code, const char *param,
    const char *format, ...) PRINTF(5, 6);
void call_refuse_storage(struct call *call, enum err err);
void call_end(struct call *call);

/* durable_write_origin — "http://host" as the caller said it, or nothing, appended. */
enum err durable_write_origin(
    const struct api *api, const struct exchange *exchange, struct buf *out) NODISCARD;
/* durable_secure — what every answer says to browsers. */
void durable_secure(struct exchange *exchange);
/* durable_key — a name as the key that its stream has, appended to `out`.
 *   answers  ERR_INVALID it is empty, or malformed, or reserved · ERR_LIMIT it is too long */
enum err durable_key(struct slice raw, struct buf *out) NODISCARD;

#endif
