/* models — GET /v1/models and /v1/models/ID: what can be asked for here, in OpenAI's shape with more
 * members.
 *
 *   ?all=true       also what the catalogue knows and no provider here can be asked for
 *   ?provider=NAME  of one provider
 *
 *   {"object": "list", "data": [{"id": "openai/gpt-5-mini", "object": "model", "created": 0,
 *     "owned_by": "openai", "available": true, "aliases": [...], "dialect": "openai_chat",
 *     "context_length": 400000, "max_output_tokens": 128000, "capabilities": ["chat", ...],
 *     "pricing": {"input": {"nano_usd": 250000000, "per": 1000000, "unit": "token"}, ...,
 *                 "long": {"above_tokens": 200000, "input": …}},
 *     "source": ["models.dev"], "date": "2026-07-02"}]}
 *
 * A route of the configuration is one too, before the others:
 *   {"id": "smart", "object": "model", "created": 0, "owned_by": "tokenlog", "available": true,
 *    "targets": ["openai/gpt-5-mini", ...]}
 * and what it is named like cannot be asked for any more, but for a target's sake.
 *
 * What is unknown is null. IDs begin with the name that the provider has here.
 *
 *   thread  loop */
#ifndef TOKENLOG_SERVER_API_MODELS_H
#define TOKENLOG_SERVER_API_MODELS_H

#include "server/api/api.h"

/* models_write — one model of a provider, appended. `provider` is the name it has here, or NULL:
 * that of the catalogue.
 *   answers  buf_append's */
enum err models_write(
    const struct model *model, const char *provider, bool is_available, struct buf *out) NODISCARD;

#endif
