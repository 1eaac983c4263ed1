/* visit — one call about one stream by its ID: the exchange waits for the look-up, and then the call goes
 * on with the stream, or it has been answered that there is none.
 *
 *   thread  loop                                                                               */
#ifndef TOKENLOG_SERVER_API_VISIT_H
#define TOKENLOG_SERVER_API_VISIT_H

#include "server/api/api.h"
#include "server/api/replay.h"

enum { RESPONSE_KEY_BYTES = 1 + DIALECT_ID_BYTES /* KEY_SPACE_UPSTREAM, and a response's ID */ };

struct visit {
    struct api *api;
    struct exchange *exchange; /* NULL: the caller is gone */
    struct hub_lookup lookup;
    void (*found)(struct visit *visit, struct stream *stream); /* owns both */
    void (*settled)(struct visit *visit);                      /* of ending.h */
    bool is_late;                                              /* likewise */
    struct replay_request replay;
    char name[RESPONSE_KEY_BYTES]; /* of responses.c: by which a response is looked up */
    struct hub_barrier barrier;
    struct stream_watcher watcher;
    struct storage_query query;
    struct timer timer;
    int checks;
    struct stream *stream;
};

/* visit_start — `found` is called with the stream, unless the caller is gone or there is no such stream:
 *   then that is answered. It owns both the visit and the reference, and holds the exchange no more.
 *   `replay` may be NULL.
 * visit_new — for a look-up of another kind, with visit_found as its `done`: the exchange is held.
 *   NULL: answered.
 * visit_free — the visit and its reference of visit->stream.
 * visit_responder — of a visit that outlives its caller: visit->exchange becomes NULL. */
void visit_start(struct api *api, struct exchange *exchange, struct slice id,
    void (*found)(struct visit *visit, struct stream *stream), const struct replay_request *replay);
struct visit *visit_new(struct api *api, struct exchange *exchange,
    void (*found)(struct visit *visit, struct stream *stream), const struct replay_request *replay);
void visit_found(struct hub_lookup *lookup, enum err err, struct stream *stream);
void visit_free(struct visit *visit);
extern const struct responder visit_responder;

/* stream_describe — as JSON, what may be shown of a stream now. */
enum err stream_describe(struct stream *stream, struct buf *out) NODISCARD;

#endif
