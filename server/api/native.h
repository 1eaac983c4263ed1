/* native — /PROVIDER/…: a provider's own calls, passed on as they are and recorded.
 *
 *   /openai/v1/chat/completions   ▶  https://api.openai.com/v1/chat/completions
 *   /google-ai-studio/v1beta/…    ▶  https://generativelanguage.googleapis.com/v1beta/…
 *
 * Any method but TRACE (its answer would show the key that was sent), any body, any answer: SSE is
 * kept event by event, everything else as bytes. The body is not read but for the model's name; a long one
 * is passed on while it arrives (passed_admit), but where the provider wants it signed. What
 * the provider's own dialect is known to say of usage and of its end is heeded; where it is not
 * known, HTTP's framing is the end.
 *
 *   thread  loop */
#ifndef TOKENLOG_SERVER_API_NATIVE_H
#define TOKENLOG_SERVER_API_NATIVE_H

#include "server/api/inference.h"

/* native_serves — whether the path begins with a provider that can be asked. native_handle — answers
 * the exchange, if so; false: it is no native path. */
bool native_serves(struct api *api, struct slice path);
bool native_handle(struct api *api, struct exchange *exchange);
/* native_handle_for — likewise, but the caller is answered by `answer`. */
bool native_handle_for(struct api *api, struct exchange *exchange, inference_answer *answer);

#endif
