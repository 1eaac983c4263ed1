/* cloudflare_fields — the header fields of Cloudflare's contract: what is asked in them is put into words
 * of ours; and how streams and errors are told in it.
 *
 *   cf-aig-metadata         as Tokenlog-Metadata
 *   cf-aig-collect-log      false: kept for as long as Cloudflare keeps a run, 330 s (Tokenlog-TTL)
 *   cf-aig-event-id         given back
 *   cf-aig-skip-cache, -cache-ttl, -cache-key   nothing is cached: cf-aig-cache-status: BYPASS
 *   cf-aig-max-attempts     as Tokenlog-Retries, one less
 *   cf-aig-retry-delay, -backoff, -request-timeout   as Tokenlog-Backoff-Ms, Tokenlog-Backoff,
 *                           Tokenlog-First-Byte-Timeout-Ms
 *   any other               no effect; none goes to a provider
 *
 *   thread  any; pure, but for the answers'
 *   source  https://developers.cloudflare.com/ai-gateway/glossary/ (2026-10) */
#ifndef TOKENLOG_SERVER_API_CLOUDFLARE_FIELDS_H
#define TOKENLOG_SERVER_API_CLOUDFLARE_FIELDS_H

#include "server/http/exchange.h"

/* cloudflare_fields_make — a call's fields: `lines` ("name: value\r\n" each) win over those of the
 * request that it came in, and of two lines the first. All is borrowed.
 *   answers  ERR_LIMIT more than a request may have */
enum err cloudflare_fields_make(
    struct slice lines, const struct headers *outer, struct headers *out) NODISCARD;
/* cloudflare_fields_check — answers ERR_INVALID: *name has a value that *why says it may not have */
enum err cloudflare_fields_check(
    const struct headers *headers, const char **name, const char **why) NODISCARD;

/* cloudflare_announce — of an answer that stands for a stream: an exchange_announcer. cf-aig-step is told
 * if the call has it.
 * cloudflare_errors — how errors look: {"success": false, "error": [{"code": 2009, …}], "errors": …}. */
enum err cloudflare_announce(struct exchange *exchange, const struct row *row) NODISCARD;
extern const struct dialect cloudflare_errors;

#endif
