/* health — what has been seen of each target: whether it answers, how fast, how busy, and which of its
 * keys rest.
 *
 *   closed ──(BREAKER_FAILURES in a row, or too large a part of the last ones)──▶ open
 *   open ──(after a pause that doubles each time)──▶ half open: one probe
 *   half open ──(it did well)──▶ closed      ──(it did not)──▶ open
 *
 * A target is named by its provider's name and the model it is asked for: what is known survives a
 * reload of the configuration. Times are exponentially weighted (EWMA), with a half-life.
 *
 *   thread  loop; time is given */
#ifndef TOKENLOG_SERVER_ROUTE_HEALTH_H
#define TOKENLOG_SERVER_ROUTE_HEALTH_H

#include "protocol/base/buf.h"

enum { HEALTH_TARGETS_MAX = 4096, HEALTH_KEYS_MAX = 16 };

struct health;
struct health_target; /* lives as long as health */
enum err health_new(struct health **out) NODISCARD;
struct health *health_free(struct health *health);

/* health_target — by provider and model; made at first sight. Past HEALTH_TARGETS_MAX the one that was
 * asked least recently and is not busy goes.
 *   faults ERR_NOMEM */
enum err health_target(struct health *health, const char *provider, struct slice model,
    int64_t now_ns, struct health_target **out) NODISCARD;

/* health_admits — whether it may be asked now; when half open, only one attempt at a time is. *again_ns:
 * when it may be, if not.
 * health_begin, health_end — an attempt is under way; how it ended. is_failure: the target's fault (not
 * a 4xx of the caller's). first_event_ms -1: none came. Each begin has one end. */
bool health_admits(const struct health_target *target, int64_t now_ns, int64_t *again_ns);
void health_begin(struct health_target *target, int64_t now_ns);
void health_end(struct health_target *target, int64_t now_ns, bool is_failure, bool says_nothing,
    int64_t first_event_ms);

uint32_t health_busy(const struct health_target *target);
int64_t health_first_event_us(const struct health_target *target); /* EWMA; -1: not known */
/* health_quantile_ms — of the last times to first event, permil 1…999; -1: too few are known. */
int64_t health_quantile_ms(const struct health_target *target, int permil);

/* Keys of a provider rest after a 429 (Retry-After, or a pause of ours), and forever after 401 or 403
 * until a reload. health_key — the next one in turn that does not rest, of `count`.
 *   answers  ERR_AGAIN all rest, not before *again_ns */
enum err health_key(struct health *health, const char *provider, size_t count, int64_t now_ns,
    size_t *out, int64_t *again_ns) NODISCARD;
void health_rest_key(struct health *health, const char *provider, size_t key, int64_t until_ns);
void health_forget_keys(struct health *health); /* after a reload */

/* health_json — for GET /v1/routes: an array of {target, state, busy, first_event_ms, quantiles,
 * requests, failures, opened_until}; appended.  answers buf_append's */
enum err health_json(const struct health *health, int64_t now_ns, struct buf *out) NODISCARD;

#endif
