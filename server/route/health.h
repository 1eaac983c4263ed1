/* health — what has been seen of each target: whether it answers, how fast, how busy; and which keys of
 * a provider rest.
 *
 *   closed ──(BREAKER_FAILURES in a row, or too large a part of the last ones)──▶ open
 *   open ──(after a pause that doubles each time)──▶ half open: one probe
 *   half open ──(it did well)──▶ closed      ──(it did not)──▶ open
 *
 * A target is named by its provider's name and the model it is asked for: what is known survives a
 * reload of the configuration. Times are exponentially weighted (EWMA), with a half-life. Health only
 * tells: whom to ask is plan's decision.
 *
 *   thread  loop; time is given */
#ifndef TOKENLOG_SERVER_ROUTE_HEALTH_H
#define TOKENLOG_SERVER_ROUTE_HEALTH_H

#include "server/route/provider.h"

enum {
    HEALTH_TARGETS_MAX = 4096,    /* remembered while nobody holds them; some 700 bytes each */
    HEALTH_TIMES_MAX = 64,        /* the last times to first event of a target */
    HEALTH_TIMES_MIN = 8,         /* fewer have no quantiles */
    HEALTH_STALE_MS = 300 * 1000, /* a time to first event says nothing about now after that */
    HEALTH_HALF_LIFE_MS = 30 * 1000,
    BREAKER_FAILURES = 5,
    BREAKER_WINDOW = 32,       /* the last attempts, of which… */
    BREAKER_PART_PERMIL = 500, /* …so many failed, once there are BREAKER_WINDOW_MIN of them */
    BREAKER_WINDOW_MIN = 16,
    BREAKER_PAUSE_MS = 1000, /* the first; doubles up to: */
    BREAKER_PAUSE_MS_MAX = 60 * 1000,
    BREAKER_PROBE_MS = 1000, /* when to look again whether a probe has come back */
    KEY_PAUSE_MS = 1000,     /* after a 429 that does not say; doubles up to: */
    KEY_PAUSE_MS_MAX = 60 * 1000,
    KEY_REST_MS_MAX = 3600 * 1000, /* of what a 429 says */
};

struct health;
struct health_target;
enum err health_new(struct health **out) NODISCARD; /* faults ERR_NOMEM */
struct health *health_free(struct health *health);  /* after the last health_release */

/* health_hold — by provider and model; made at first sight. Held until health_release. Past
 * HEALTH_TARGETS_MAX the one that was let go least recently is forgotten.
 *   faults ERR_NOMEM */
enum err health_hold(struct health *health, const char *provider, struct slice model,
    struct health_target **out) NODISCARD;
void health_release(struct health_target *target);

/* health_admits — whether it may be asked now; when half open, only one attempt at a time is. *again_ns:
 * when it may be, if not. */
bool health_admits(const struct health_target *target, int64_t now_ns, int64_t *again_ns);

/* One attempt. It must not outlive the hold of its target.
 * health_begin — it is sent; also one that is not admitted.
 * health_shows — its first good event has come: it does well so far, and a breaker closes.
 * health_end — how it ended. Each begin has one end. */
struct health_attempt {
    struct health_target *target;
    int64_t began_ns;
    bool is_probe, has_shown;
};
enum health_end { HEALTH_WELL, HEALTH_FAILED /* by the target's fault */, HEALTH_UNKNOWN };
struct health_attempt health_begin(struct health_target *target, int64_t now_ns);
void health_shows(struct health_attempt *attempt, int64_t first_event_ms, int64_t now_ns);
void health_end(struct health_attempt *attempt, enum health_end end, int64_t now_ns);

struct slice health_model(const struct health_target *target); /* while it is held */
uint32_t health_busy(const struct health_target *target);      /* attempts under way */
/* health_first_event_us — EWMA; -1: not known, or not of late.
 * health_quantile_ms — of the last times to first event, permil 1…1000; -1: too few are known. */
int64_t health_first_event_us(const struct health_target *target, int64_t now_ns);
int64_t health_quantile_ms(const struct health_target *target, int permil);

/* Keys of a provider take turns. One rests after a 429, and until a reload after a 401 or 403. They are
 * known by what they are, not by their place. A provider without keys is taken to have one.
 *
 * health_key — the next in turn that does not rest.
 *   answers  ERR_AGAIN all rest, not before *again_ns (INT64_MAX: until a reload); *out is the one
 *            that rests the least
 *   faults   ERR_NOMEM */
enum err health_key(struct health *health, const struct provider *provider, int64_t now_ns,
    size_t *out, int64_t *again_ns) NODISCARD;
/* health_key_again_ns — when a key can be had: now_ns, later, or INT64_MAX. health_key_until_ns — when
 * this one can, which may be long ago. */
int64_t health_key_again_ns(
    const struct health *health, const struct provider *provider, int64_t now_ns);
int64_t health_key_until_ns(
    const struct health *health, const struct provider *provider, size_t key);
/* health_key_limited — a 429, with its Retry-After, or -1. health_key_refused — 401 or 403.
 * health_key_works — it was taken by an attempt of then. health_forget_keys — none rests any more. */
void health_key_limited(struct health *health, const struct provider *provider, size_t key,
    int64_t retry_after_ms, int64_t now_ns);
void health_key_refused(
    struct health *health, const struct provider *provider, size_t key, int64_t now_ns);
void health_key_works(
    struct health *health, const struct provider *provider, size_t key, int64_t began_ns);
void health_forget_keys(struct health *health);
/* health_key_limited's pause, were it called now. */
int64_t health_key_pause_ms(const struct health *health, const struct provider *provider,
    size_t key, int64_t retry_after_ms);

enum breaker { BREAKER_CLOSED, BREAKER_OPEN, BREAKER_HALF_OPEN };
const char *breaker_name(enum breaker breaker); /* "half_open" */

/* What is known of a target, for people. health_look — of this one. */
struct health_view {
    const char *provider;
    struct slice model;
    enum breaker breaker;
    uint32_t busy;
    uint64_t requests, wells, failures; /* attempts that began, and that ended so */
    int64_t first_event_us;             /* -1: not known, as are: */
    int64_t p50_ms, p95_ms;
    int64_t open_for_ms; /* 0: it is not open */
};
struct health_view health_look(const struct health_target *target, int64_t now_ns);
/* health_see — the same, by name; of one that was never held all is 0 or not known. Borrows the names. */
struct health_view health_see(
    const struct health *health, const char *provider, struct slice model, int64_t now_ns);

#endif
