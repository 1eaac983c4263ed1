/* passed — calls of OpenAI's API that are no chats: files, uploads, batches, audio, images, videos and the
 * like, at their own paths. They are passed on as they are, with the provider's key, and recorded as bytes.
 *
 *   POST /v1/audio/transcriptions   a form, `model`: groq/whisper-large-v3
 *                                   ▶ https://api.groq.com/openai/v1/audio/transcriptions, whisper-large-v3
 *   GET  /v1/files/file-7           ▶ the first provider of the configuration that takes OpenAI's calls
 *
 * Whom: the provider that Tokenlog-Provider names; else the `model` of the body leads to one, as it does
 * everywhere (catalogue.h), and its name is put in the provider's words; else the first of the
 * configuration that takes OpenAI's calls. A long form is passed on while it arrives, and its `model` is
 * looked for in the beginning (streamed_body_bytes), unless all of it may be kept (body_bytes_max).
 *
 *   thread  loop */
#ifndef TOKENLOG_SERVER_API_PASSED_H
#define TOKENLOG_SERVER_API_PASSED_H

#include "server/api/api.h"

/* passed_serves — whether the path is one of these. passed_handle — answers the exchange, if so; false: it is
 * none. Inference calls come first.
 * passed_admit — offers to stream the body of a call that is passed on, here or at /PROVIDER/…: one without
 * a key, which is told by its whole body, and no JSON, which is read; but for JSON that is too long to be. */
bool passed_serves(struct slice path);
bool passed_handle(struct api *api, struct exchange *exchange);
void passed_admit(struct api *api, struct exchange *exchange);

#endif
