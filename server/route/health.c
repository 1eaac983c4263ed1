/* health — see the header.
 *
 * A target that nobody holds lies in a list, the one let go last at its end, so that what is known of it
 * is there for the next call. A good first event is proof enough to close a breaker: the stream behind it
 * may last for minutes. An attempt that shows something and then dies counts as both. What began before a
 * breaker opened says nothing about whether it may close. */
#include "server/route/health.h"

#include <assert.h>
#include <string.h>

#include "protocol/base/list.h"
#include "protocol/base/map.h"
#include "protocol/base/own.h"

enum { MS_NS = 1000000, EWMA_PART_MIN = 16 /* a new time counts 1/16 at least */ };

struct health_target {
    struct map_node node;
    struct list idle; /* while nobody holds it */
    struct health *health;
    uint32_t holds, busy;
    enum breaker breaker;
    bool has_probe;
    uint32_t failures_in_row;
    uint64_t window; /* a bit each: the last attempts, 1 for a failure */
    uint32_t window_count;
    int64_t opened_ns, open_until_ns, pause_ms;
    uint64_t requests, wells, failures;
    int64_t first_event_us, measured_ns; /* EWMA, and when it was last fed */
    int64_t times_ms[HEALTH_TIMES_MAX];  /* a ring */
    size_t time_count;                   /* ever */
    struct slice model;                  /* in `name`, after the provider's and its NUL */
    char name[];
};
static_assert(BREAKER_WINDOW < 64, "the window is a word");

/* A key that has been limited or refused. */
struct resting_key {
    uint64_t hash; /* of what it is */
    int64_t since_ns, until_ns, pause_ms;
};
struct key_ring { /* of a provider */
    struct map_node node;
    size_t turn; /* the key to be looked at first */
    struct resting_key resting[PROVIDER_KEY_COUNT_MAX];
    size_t resting_count;
    char provider[];
};

struct health {
    struct map targets, rings;
    struct list idle;
    size_t idle_count;
};

enum err health_new(struct health **out)
{
    struct health *health = calloc(1, sizeof *health);
    if (!health)
        return fault(ERR_NOMEM, "health");
    map_init(&health->targets);
    map_init(&health->rings);
    list_init(&health->idle);
    *out = health;
    return ERR_OK;
}

static void forget(struct health_target *target)
{
    ASSERT(target->holds == 0);
    map_remove(&target->health->targets, &target->node);
    list_unlink(&target->idle);
    target->health->idle_count--;
    free(target);
}

struct health *health_free(struct health *health)
{
    if (!health)
        return NULL;
    while (!list_is_empty(&health->idle))
        forget(CONTAINER_OF(health->idle.next, struct health_target, idle));
    ASSERT(health->targets.count == 0);
    health_forget_keys(health);
    map_deinit(&health->targets);
    map_deinit(&health->rings);
    free(health);
    return NULL;
}

/* ── targets ────────────────────────────────────────────────────────────────────────────────── */

static uint64_t hash_name(const char *provider, struct slice model)
{
    return map_hash(slice_text(provider)) * 31 + map_hash(model);
}

static struct health_target *find(
    const struct health *health, const char *provider, struct slice model, uint64_t hash)
{
    struct map_node *node = map_first(&health->targets, hash);
    for (; node; node = map_next(node)) {
        struct health_target *target = CONTAINER_OF(node, struct health_target, node);
        if (strcmp(target->name, provider) == 0 && slice_equal(target->model, model))
            return target;
    }
    return NULL;
}

/* Born idle: its first holder takes it from there. */
static enum err add(struct health *health, const char *provider, struct slice model, uint64_t hash,
    struct health_target **out)
{
    size_t provider_size = strlen(provider) + 1;
    struct health_target *target = calloc(1, sizeof *target + provider_size + model.size);
    if (!target)
        return fault(ERR_NOMEM, "health of a target");
    memcpy(target->name, provider, provider_size);
    if (model.size)
        memcpy(target->name + provider_size, model.data, model.size);
    target->model = slice_of(target->name + provider_size, model.size);
    target->health = health;
    target->first_event_us = -1;
    enum err err = map_insert(&health->targets, &target->node, hash);
    if (err) {
        free(target);
        return err;
    }
    list_append(&health->idle, &target->idle);
    health->idle_count++;
    *out = target;
    return ERR_OK;
}

enum err health_hold(
    struct health *health, const char *provider, struct slice model, struct health_target **out)
{
    uint64_t hash = hash_name(provider, model);
    struct health_target *target = find(health, provider, model, hash);
    if (!target)
        TRY(add(health, provider, model, hash, &target));
    if (target->holds++ == 0) {
        list_unlink(&target->idle);
        health->idle_count--;
    }
    *out = target;
    return ERR_OK;
}

void health_release(struct health_target *target)
{
    struct health *health = target->health;
    ASSERT(target->holds > 0);
    if (--target->holds)
        return;
    ASSERT(target->busy == 0);
    list_append(&health->idle, &target->idle);
    if (++health->idle_count > HEALTH_TARGETS_MAX)
        forget(CONTAINER_OF(health->idle.next, struct health_target, idle));
}

/* ── the breaker ────────────────────────────────────────────────────────────────────────────── */

bool health_admits(const struct health_target *target, int64_t now_ns, int64_t *again_ns)
{
    switch (target->breaker) {
    case BREAKER_CLOSED: return true;
    case BREAKER_OPEN:
        if (now_ns >= target->open_until_ns)
            return true;
        *again_ns = target->open_until_ns;
        return false;
    case BREAKER_HALF_OPEN:
        if (!target->has_probe)
            return true;
        *again_ns = now_ns + (int64_t)BREAKER_PROBE_MS * MS_NS;
        return false;
    }
    return true;
}

static void open_breaker(struct health_target *target, int64_t now_ns)
{
    bool is_again = target->breaker == BREAKER_HALF_OPEN;
    ASSERT(target->breaker != BREAKER_OPEN);
    target->pause_ms = is_again ? target->pause_ms * 2 : BREAKER_PAUSE_MS;
    if (target->pause_ms > BREAKER_PAUSE_MS_MAX)
        target->pause_ms = BREAKER_PAUSE_MS_MAX;
    target->breaker = BREAKER_OPEN;
    target->opened_ns = now_ns;
    target->open_until_ns = now_ns + target->pause_ms * MS_NS;
}

static void close_breaker(struct health_target *target)
{
    target->breaker = BREAKER_CLOSED;
    target->window = 0;
    target->window_count = 0;
}

static void push(struct health_target *target, bool is_failure)
{
    uint64_t mask = (1ull << BREAKER_WINDOW) - 1;
    target->window = ((target->window << 1) | is_failure) & mask;
    target->window_count += target->window_count < BREAKER_WINDOW;
    target->failures_in_row = is_failure ? target->failures_in_row + 1 : 0;
}

static bool has_failed_too_often(const struct health_target *target)
{
    uint32_t failures = (uint32_t)__builtin_popcountll(target->window);
    return target->failures_in_row >= BREAKER_FAILURES ||
           (target->window_count >= BREAKER_WINDOW_MIN &&
               failures * 1000 >= target->window_count * BREAKER_PART_PERMIL);
}

static void note_well(struct health_target *target, const struct health_attempt *attempt)
{
    if (target->breaker != BREAKER_CLOSED && attempt->began_ns < target->opened_ns)
        return;
    if (target->breaker != BREAKER_CLOSED)
        close_breaker(target);
    push(target, false);
}

static void note_failure(
    struct health_target *target, const struct health_attempt *attempt, int64_t now_ns)
{
    target->failures++;
    if (target->breaker == BREAKER_CLOSED)
        push(target, true);
    bool has_probe_failed = target->breaker == BREAKER_HALF_OPEN && attempt->is_probe;
    if (has_probe_failed || (target->breaker == BREAKER_CLOSED && has_failed_too_often(target)))
        open_breaker(target, now_ns);
}

/* ── attempts ───────────────────────────────────────────────────────────────────────────────── */

struct health_attempt health_begin(struct health_target *target, int64_t now_ns)
{
    struct health_attempt attempt = {.target = target, .began_ns = now_ns};
    ASSERT(target->holds > 0);
    if (target->breaker == BREAKER_OPEN && now_ns >= target->open_until_ns)
        target->breaker = BREAKER_HALF_OPEN;
    if (target->breaker == BREAKER_HALF_OPEN && !target->has_probe)
        attempt.is_probe = target->has_probe = true;
    target->busy++;
    target->requests++;
    return attempt;
}

/* A time counts the more the longer it is since the last one; after a half-life as much as all before. */
static void measure(struct health_target *target, int64_t first_event_ms, int64_t now_ns)
{
    const int64_t half_life_ms = HEALTH_HALF_LIFE_MS;
    int64_t us = first_event_ms * 1000, since_ms = (now_ns - target->measured_ns) / MS_NS;
    if (since_ms * (EWMA_PART_MIN - 1) < half_life_ms)
        since_ms = half_life_ms / (EWMA_PART_MIN - 1);
    if (target->first_event_us < 0 || since_ms > HEALTH_STALE_MS)
        target->first_event_us = us;
    else
        target->first_event_us +=
            (us - target->first_event_us) * since_ms / (since_ms + half_life_ms);
    target->measured_ns = now_ns;
    target->times_ms[target->time_count++ % HEALTH_TIMES_MAX] = first_event_ms;
}

void health_shows(struct health_attempt *attempt, int64_t first_event_ms, int64_t now_ns)
{
    ASSERT(!attempt->has_shown);
    attempt->has_shown = true;
    if (first_event_ms >= 0)
        measure(attempt->target, first_event_ms, now_ns);
    note_well(attempt->target, attempt);
}

void health_end(struct health_attempt *attempt, enum health_end end, int64_t now_ns)
{
    struct health_target *target = attempt->target;
    ASSERT(target && target->busy > 0);
    target->busy--;
    switch (end) {
    case HEALTH_WELL:
        target->wells++;
        if (!attempt->has_shown)
            note_well(target, attempt);
        break;
    case HEALTH_FAILED: note_failure(target, attempt, now_ns); break;
    case HEALTH_UNKNOWN: break;
    }
    if (attempt->is_probe)
        target->has_probe = false;
    attempt->target = NULL;
}

/* ── what is known ──────────────────────────────────────────────────────────────────────────── */

struct slice health_model(const struct health_target *target)
{
    return target->model;
}

uint32_t health_busy(const struct health_target *target)
{
    return target->busy;
}

int64_t health_first_event_us(const struct health_target *target, int64_t now_ns)
{
    bool is_stale = now_ns - target->measured_ns > (int64_t)HEALTH_STALE_MS * MS_NS;
    return is_stale ? -1 : target->first_event_us;
}

static int compare_times(const void *a, const void *b)
{
    int64_t first = *(const int64_t *)a, second = *(const int64_t *)b;
    return (first > second) - (first < second);
}

int64_t health_quantile_ms(const struct health_target *target, int permil)
{
    int64_t times[HEALTH_TIMES_MAX];
    size_t count = target->time_count < HEALTH_TIMES_MAX ? target->time_count : HEALTH_TIMES_MAX;
    ASSERT(permil > 0 && permil <= 1000);
    if (count < HEALTH_TIMES_MIN)
        return -1;
    memcpy(times, target->times_ms, count * sizeof *times);
    qsort(times, count, sizeof *times, compare_times);
    return times[(count * (size_t)permil + 999) / 1000 - 1];
}

const char *breaker_name(enum breaker breaker)
{
    switch (breaker) {
    case BREAKER_CLOSED: return "closed";
    case BREAKER_OPEN: return "open";
    case BREAKER_HALF_OPEN: return "half_open";
    }
    return "closed";
}

struct health_view health_look(const struct health_target *target, int64_t now_ns)
{
    int64_t left_ns = target->breaker == BREAKER_OPEN ? target->open_until_ns - now_ns : 0;
    return (struct health_view){
        .provider = target->name,
        .model = target->model,
        .breaker = target->breaker,
        .busy = target->busy,
        .requests = target->requests,
        .wells = target->wells,
        .failures = target->failures,
        .first_event_us = health_first_event_us(target, now_ns),
        .p50_ms = health_quantile_ms(target, 500),
        .p95_ms = health_quantile_ms(target, 950),
        .open_for_ms = left_ns > 0 ? (left_ns + MS_NS - 1) / MS_NS : 0,
    };
}

struct health_view health_see(
    const struct health *health, const char *provider, struct slice model, int64_t now_ns)
{
    const struct health_target *target = find(health, provider, model, hash_name(provider, model));
    if (target)
        return health_look(target, now_ns);
    return (struct health_view){
        .provider = provider, .model = model, .first_event_us = -1, .p50_ms = -1, .p95_ms = -1};
}

/* ── keys ───────────────────────────────────────────────────────────────────────────────────── */

static size_t key_count(const struct provider *provider)
{
    return provider->key_count ? provider->key_count : 1;
}

static uint64_t key_hash(const struct provider *provider, size_t key)
{
    ASSERT(key < key_count(provider));
    return map_hash(provider->key_count ? slice_text(provider->keys[key]) : SLICE_NONE);
}

static struct key_ring *find_ring(const struct health *health, const char *provider)
{
    struct map_node *node = map_first(&health->rings, map_hash(slice_text(provider)));
    for (; node; node = map_next(node)) {
        struct key_ring *ring = CONTAINER_OF(node, struct key_ring, node);
        if (strcmp(ring->provider, provider) == 0)
            return ring;
    }
    return NULL;
}

static enum err get_ring(struct health *health, const char *provider, struct key_ring **out)
{
    size_t size = strlen(provider) + 1;
    *out = find_ring(health, provider);
    if (*out)
        return ERR_OK;
    struct key_ring *ring = calloc(1, sizeof *ring + size);
    if (!ring)
        return fault(ERR_NOMEM, "keys of a provider");
    memcpy(ring->provider, provider, size);
    enum err err = map_insert(&health->rings, &ring->node, map_hash(slice_text(provider)));
    if (err)
        free(ring);
    else
        *out = ring;
    return err;
}

static struct resting_key *find_resting(const struct health *health,
    const struct provider *provider, size_t key, struct key_ring **out_ring)
{
    struct key_ring *ring = find_ring(health, provider->name);
    uint64_t hash = key_hash(provider, key);
    *out_ring = ring;
    for (size_t i = 0; ring && i < ring->resting_count; i++)
        if (ring->resting[i].hash == hash)
            return &ring->resting[i];
    return NULL;
}

int64_t health_key_until_ns(
    const struct health *health, const struct provider *provider, size_t key)
{
    struct key_ring *ring;
    const struct resting_key *resting = find_resting(health, provider, key, &ring);
    return resting ? resting->until_ns : INT64_MIN;
}

enum err health_key(struct health *health, const struct provider *provider, int64_t now_ns,
    size_t *out, int64_t *again_ns)
{
    struct key_ring *ring;
    size_t count = key_count(provider);
    TRY(get_ring(health, provider->name, &ring));
    *again_ns = INT64_MAX;
    *out = ring->turn % count;
    for (size_t i = 0; i < count; i++) {
        size_t key = (ring->turn + i) % count;
        int64_t until_ns = health_key_until_ns(health, provider, key);
        if (until_ns < *again_ns) {
            *again_ns = until_ns;
            *out = key;
        }
        if (until_ns <= now_ns)
            break;
    }
    ring->turn = (*out + 1) % count;
    return *again_ns > now_ns ? ERR_AGAIN : ERR_OK;
}

int64_t health_key_again_ns(
    const struct health *health, const struct provider *provider, int64_t now_ns)
{
    int64_t soonest_ns = INT64_MAX;
    for (size_t i = 0; i < key_count(provider); i++) {
        int64_t until_ns = health_key_until_ns(health, provider, i);
        soonest_ns = until_ns < soonest_ns ? until_ns : soonest_ns;
    }
    return soonest_ns < now_ns ? now_ns : soonest_ns;
}

int64_t health_key_pause_ms(const struct health *health, const struct provider *provider,
    size_t key, int64_t retry_after_ms)
{
    struct key_ring *ring;
    const struct resting_key *resting = find_resting(health, provider, key, &ring);
    int64_t pause_ms = resting ? resting->pause_ms * 2 : KEY_PAUSE_MS;
    if (retry_after_ms >= 0)
        return retry_after_ms < KEY_REST_MS_MAX ? retry_after_ms : KEY_REST_MS_MAX;
    return pause_ms < KEY_PAUSE_MS_MAX ? pause_ms : KEY_PAUSE_MS_MAX;
}

/* Without memory nothing is remembered, and the key is asked again: that is no harm. */
static void rest(
    struct health *health, const struct provider *provider, size_t key, struct resting_key note)
{
    struct key_ring *ring;
    struct resting_key *resting = find_resting(health, provider, key, &ring);
    if (!ring && get_ring(health, provider->name, &ring))
        return;
    if (!resting && ring->resting_count < PROVIDER_KEY_COUNT_MAX)
        resting = &ring->resting[ring->resting_count++];
    note.hash = key_hash(provider, key);
    if (resting)
        *resting = note;
}

void health_key_limited(struct health *health, const struct provider *provider, size_t key,
    int64_t retry_after_ms, int64_t now_ns)
{
    if (health_key_until_ns(health, provider, key) == INT64_MAX)
        return; /* it was refused meanwhile: that is worse */
    int64_t pause_ms = health_key_pause_ms(health, provider, key, retry_after_ms);
    struct resting_key note = {.since_ns = now_ns, .until_ns = now_ns + pause_ms * MS_NS};
    note.pause_ms = health_key_pause_ms(health, provider, key, -1);
    rest(health, provider, key, note);
}

void health_key_refused(
    struct health *health, const struct provider *provider, size_t key, int64_t now_ns)
{
    const struct resting_key note = {
        .since_ns = now_ns, .until_ns = INT64_MAX, .pause_ms = KEY_PAUSE_MS};
    rest(health, provider, key, note);
}

void health_key_works(
    struct health *health, const struct provider *provider, size_t key, int64_t began_ns)
{
    struct key_ring *ring;
    struct resting_key *resting = find_resting(health, provider, key, &ring);
    if (resting && began_ns >= resting->since_ns)
        *resting = ring->resting[--ring->resting_count];
}

void health_forget_keys(struct health *health)
{
    struct map_node *node = map_walk(&health->rings, NULL);
    while (node) {
        struct map_node *next = map_walk(&health->rings, node);
        map_remove(&health->rings, node);
        free(CONTAINER_OF(node, struct key_ring, node));
        node = next;
    }
}
