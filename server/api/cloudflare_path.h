/* cloudflare_path — where the calls of Cloudflare's AI Gateway are, and the IDs of its runs.
 *
 *   workers-binding.ai (env.AI)         POST /ai-gateway/run · /run
 *                                       POST /ai-gateway/universal/run/{gateway}
 *                                       GET  /ai-gateway/gateways/{gateway}/run/{run}/resume
 *   gateway.ai.cloudflare.com           POST /v1/{account}/{gateway}            universal
 *                                       POST /v1/{account}/{gateway}/run
 *                                       POST /v1/{account}/{gateway}/compat/…   as OpenAI's /v1/…
 *                                            /v1/{account}/{gateway}/{provider}/…
 *   api.cloudflare.com/client/v4        POST /ai/run · /ai/run/{model}
 *     (/accounts/{account})             POST /ai/v1/…
 *
 * The calls of the first and the third may stand with or without /client/v4/accounts/{account} before
 * them. Account and gateway name nothing here: the key says whose call it is.
 *
 *   thread  any; pure
 *   source  https://developers.cloudflare.com/ai-gateway/ (2026-10); workerd
 *           src/cloudflare/internal/ai-api.ts; cloudflare/ai 917c0243 packages/gateway-core         */
#ifndef TOKENLOG_SERVER_API_CLOUDFLARE_PATH_H
#define TOKENLOG_SERVER_API_CLOUDFLARE_PATH_H

#include "protocol/base/id.h"

enum cloudflare_kind {
    CLOUDFLARE_NONE,
    CLOUDFLARE_RUN,       /* `rest`: the model, where the path names it */
    CLOUDFLARE_UNIVERSAL, /* an array of calls */
    CLOUDFLARE_COMPAT,    /* `rest`: behind /v1/ */
    CLOUDFLARE_PROVIDER,  /* `provider`, and `rest` behind its base URL */
    CLOUDFLARE_RESUME,    /* `run` */
};

struct cloudflare_path {
    enum cloudflare_kind kind;
    struct slice account, gateway, provider, run, rest; /* borrowed; empty where there is none */
};

/* cloudflare_path_read — `path` without its query. */
struct cloudflare_path cloudflare_path_read(struct slice path);
/* cloudflare_path_is_certain — it can be nothing else: a path under /v1 whose account is not 32 hex
 * digits could be some call of OpenAI's that is not served here. */
bool cloudflare_path_is_certain(const struct cloudflare_path *path);

/* A run's ID is its stream's, and 16 bytes that are made of it: so that it leads to the stream without
 * an index, and what nobody was given is known to be malformed. It is as hard to guess as the stream's.
 *     hex(ID) ‖ hex(the first 16 bytes of SHA-256("cf-aig-run-id" ‖ ID))
 * cloudflare_run_parse — ERR_INVALID: not of that form. */
enum { CLOUDFLARE_RUN_BYTES = 4 * ID_BYTES + 1 /* 64 digits and a NUL */ };
void cloudflare_run_format(const struct id *id, char out[CLOUDFLARE_RUN_BYTES]);
enum err cloudflare_run_parse(struct slice text, struct id *out) NODISCARD;

/* cloudflare_native_path — the path behind a provider's base URL for what Cloudflare has as `rest`,
 * appended. `provider` is by the catalogue's name of what it is like; it may be empty.
 *   answers  buf_append's */
enum err cloudflare_native_path(
    struct slice provider, struct slice account, struct slice rest, struct buf *out) NODISCARD;

#endif
