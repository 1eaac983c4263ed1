/* cloudflare_body — what is in the bodies of Cloudflare's own calls, found without changing a byte of what
 * goes on to a provider.
 *
 *   run        {"inputs": {…}, "options": {"gateway": {…}}}        env.AI.run
 *              {"model": "openai/gpt-5", "input": {…}}             REST
 *              {…}                                                 REST, the model in the path
 *   universal  [{"provider": "openai", "endpoint": "chat/completions",
 *                "headers": {…}, "query": {…}, "config": {…}}, …]
 *
 *   thread  any; pure
 *   source  workerd src/cloudflare/internal/ai-api.ts, aig-api.ts (2026-10);
 *           https://developers.cloudflare.com/ai-gateway/usage/universal/                            */
#ifndef TOKENLOG_SERVER_API_CLOUDFLARE_BODY_H
#define TOKENLOG_SERVER_API_CLOUDFLARE_BODY_H

#include "protocol/data/json.h"

enum { CLOUDFLARE_ENTRIES_MAX = 16 /* of one universal call; as many as a route has targets */ };

/* All is borrowed from the body. */
struct cloudflare_run {
    struct slice inputs;    /* a JSON object */
    struct json_span model; /* its name, wherever the body has it; raw is empty if nowhere */
    struct slice options;   /* options.gateway: a JSON object, or empty */
};
/* cloudflare_run_read — answers ERR_INVALID with a static sentence in *why */
enum err cloudflare_run_read(
    struct slice body, struct cloudflare_run *out, const char **why) NODISCARD;
/* cloudflare_run_write — the inputs with this model, appended.  answers buf_append's */
enum err cloudflare_run_write(
    const struct cloudflare_run *run, struct slice model, struct buf *out) NODISCARD;

struct cloudflare_entry {
    struct json_span provider, endpoint; /* strings */
    struct slice query;                  /* a JSON object */
    struct slice headers, config;        /* JSON objects, or empty */
};
/* cloudflare_is_universal — it begins as an array does. */
bool cloudflare_is_universal(struct slice body);
/* cloudflare_universal_check — answers ERR_INVALID with a static sentence in *why; else *count entries */
enum err cloudflare_universal_check(struct slice body, size_t *count, const char **why) NODISCARD;
/* cloudflare_universal_at — of a body that was checked; `index` < its count. */
struct cloudflare_entry cloudflare_universal_at(struct slice body, size_t index);

/* Fields of a request, "name: value\r\n" each, appended.
 *   cloudflare_write_headers  of an entry's `headers`; what is no string is written as JSON. What
 *                             frames a message is left out
 *   cloudflare_write_options  of options.gateway, or of an entry's `config`: {"metadata": {…},
 *                             "collectLog": true, "eventId": "…", "requestTimeoutMs": 1000, "retries":
 *                             {"maxAttempts": 3, "retryDelayMs": 100, "backoff": "linear"}} and the like
 *   answers  ERR_INVALID a name or value that no header can have · buf_append's */
enum err cloudflare_write_headers(struct slice headers, struct buf *out) NODISCARD;
enum err cloudflare_write_options(struct slice options, struct buf *out) NODISCARD;

#endif
