/* api — the HTTP surface: who may call (gate), what goes where (the table of routes), one file per
 * family of calls.
 *
 *   admit   at the head: Host and Origin, CORS, the key and its project       403, 401
 *   handle  with the body: the route's handler                                404, 405
 *
 *   thread  loop */
#ifndef TOKENLOG_SERVER_API_API_H
#define TOKENLOG_SERVER_API_API_H

#include "server/config/config.h"
#include "server/http/exchange.h"
#include "server/route/catalogue.h"
#include "server/route/health.h"
#include "server/route/tokens.h"
#include "server/run/runs.h"
#include "server/stream/hub.h"
#include "server/stream/producer.h"

/* What the handlers are handed; built by serve.c, borrowed by everyone. */
struct api {
    const struct config *config;
    struct loop *loop;
    struct hub *hub;
    struct auth *auth;
    struct metrics *metrics;
    struct log *log;
    struct producer_config producer;
    struct catalogues *catalogues;
    struct tokens *tokens;
    struct runs *runs;
    struct health *health;            /* of targets, for plans */
    uint64_t kept_bytes;              /* of requests that are kept for further attempts */
    uint8_t url_secret[SHA256_BYTES]; /* of URLs that stand for a key (signed_url.h) */
    bool is_draining;
    bool is_stuck; /* nothing can be made durable: no new work */
};

void api_admit(void *api, struct exchange *exchange);  /* gate.c */
void api_handle(void *api, struct exchange *exchange); /* routes.c */

/* Handlers: each answers the exchange, now or later. `id` is the path's stream ID, raw; empty
 * where the route has none. */
typedef void api_handler(struct api *api, struct exchange *exchange, struct slice id);
api_handler inference_post;                                          /* inference.c */
api_handler stream_show, stream_events, stream_join, stream_request; /* streams.c */
api_handler stream_stop_post, stream_remove;                         /* ending.c */
api_handler streams_list;                                            /* listing.c */
api_handler audit_head_get, audit_consistency_get, stream_proof;     /* audit.c */
api_handler health_get, ready_get, metrics_get;                      /* operator.c */

api_handler response_show, response_cancel, response_remove;                     /* responses.c */
api_handler runs_list;                                                           /* listing.c */
api_handler run_put, run_show, run_remove, run_fork_post;                        /* runs.c */
api_handler checkpoint_put, checkpoint_get, checkpoint_remove, checkpoints_list; /* checkpoints.c */
api_handler hold_put, hold_delete;                                               /* hold.c */
api_handler models_list, model_show;                                             /* models.c */
api_handler routes_list; /* routes_listing.c */

/* api_answer_stream — 200 and what may be shown of it. api_answer_lookup_error — why it was not
 * found,
 * or could not be read. */
void api_answer_stream(struct exchange *exchange, struct stream *stream);
void api_answer_lookup_error(struct exchange *exchange, enum err err);
/* api_answer_gone — answer for a stream that was deleted or has expired; false: it is neither. */
bool api_answer_gone(struct exchange *exchange, const struct stream *stream);

#endif
