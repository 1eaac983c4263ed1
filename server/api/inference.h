/* inference — asking a provider, recording, and answering from the recording: for calls in a dialect
 * of ours (inference_post, in api.h) and for those that are passed on as they are. A body of which only
 * the beginning is here goes on to the provider while it arrives; it cannot be sent again, so such a call has
 * one attempt.
 *
 *   thread  loop */
#ifndef TOKENLOG_SERVER_API_INFERENCE_H
#define TOKENLOG_SERVER_API_INFERENCE_H

#include "server/api/api.h"

/* Answers a caller once there is a stream for the call, in the place of its recording. `attached` as
 * replay_request's.
 *   owns  the stream's reference passes to it */
typedef void inference_answer(
    struct api *api, struct exchange *exchange, struct stream *stream, const char *attached);

struct native_call {
    struct catalogue *catalogue; /* a reference, taken over */
    const struct provider *provider;
    const struct dialect *dialect; /* that the answer is read by */
    struct slice target;           /* behind the provider's base URL; of the request's, as is… */
    bool is_api;              /* …but if it is OpenAI's: behind the place of its calls there */
    struct slice model;       /* for the row; may be empty */
    bool is_streamed;         /* likewise */
    inference_answer *answer; /* NULL: the recording */
};

/* inference_native — answers the exchange, now or later. */
void inference_native(struct api *api, struct exchange *exchange, const struct native_call *native);

#endif
