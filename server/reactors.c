/* reactors — see reactors.h. */
#include "server/reactors.h"

#include <stdlib.h>

#include "server/io/reactor.h"

struct reactors {
    struct reactors_config config;
    size_t count;
    struct load load;                   /* of the core's thread */
    struct reactor *each[REACTORS_MAX]; /* each[0]: the one that is called "reactor 1" */
};

static size_t wanted(const struct reactors_config *config)
{
    size_t set = (size_t)config->config->reactors;
    return set > 0 ? set : reactors_by_default();
}

static enum err add(struct reactors *reactors)
{
    const struct reactors_config *config = &reactors->config;
    const struct reactor_config wanted_one = {
        .core = config->core,
        .index = (unsigned)reactors->count + 1,
        .proxy = config->config->upstream_proxy[0] ? config->config->upstream_proxy : NULL,
        .coalesce_ns = config->config->coalesce_us * 1000,
    };
    struct reactor *reactor;
    TRY(reactor_new(&wanted_one, &reactor));
    enum err err = reactor_listen(reactor, config->first);
    if (err != ERR_OK) {
        reactor_stop(reactor);
        reactor_free(reactor);
        return err;
    }
    reactors->each[reactors->count++] = reactor;
    upstreams_add(config->upstreams, reactor_crossing(reactor), reactor_transfers(reactor));
    return ERR_OK;
}

enum err reactors_new(const struct reactors_config *config, struct reactors **out)
{
    struct reactors *reactors = calloc(1, sizeof *reactors);
    if (!reactors)
        return fault(ERR_NOMEM, "reactors");
    reactors->config = *config;
    load_init(&reactors->load, config->core, config->config->core_busy_percent);
    upstreams_keep_near(config->upstreams, &reactors->load);
    *out = reactors;
    while (reactors->count + 1 < wanted(config))
        if (add(reactors) != ERR_OK) {
            LOG(config->log, LOG_WARNING, "fewer_reactors",
                LOG_NUMBER("have", reactors_count(reactors)), LOG_NUMBER("wanted", wanted(config)),
                LOG_TEXT("origin", fault_origin()));
            break;
        }
    return ERR_OK;
}

/* While the core has time, its ring takes over the socket: nothing has been received from it yet. */
static void accepted(void *context, struct arrival arrival)
{
    struct reactors *reactors = context;
    if (load_is_high(&reactors->load))
        metrics_add(reactors->config.metrics, METRIC_connections_far_total, 1);
    else
        arrival.crossing = NULL;
    exchanges_take(reactors->config.exchanges, arrival);
}

void reactors_accept(struct reactors *reactors)
{
    for (size_t i = 0; i < reactors->count; i++)
        reactor_accept(reactors->each[i], accepted, reactors);
}

void reactors_refuse(struct reactors *reactors)
{
    for (size_t i = 0; reactors && i < reactors->count; i++)
        reactor_refuse(reactors->each[i]);
}

void reactors_stop(struct reactors *reactors)
{
    for (size_t i = 0; reactors && i < reactors->count; i++)
        reactor_stop(reactors->each[i]);
}

struct reactors *reactors_free(struct reactors *reactors)
{
    for (size_t i = 0; reactors && i < reactors->count; i++)
        reactor_free(reactors->each[i]);
    if (reactors)
        load_deinit(&reactors->load);
    free(reactors);
    return NULL;
}

size_t reactors_count(const struct reactors *reactors)
{
    return reactors->count + 1;
}

int64_t reactors_memory_bytes(const struct reactors *reactors)
{
    const struct config *config = reactors->config.config;
    int64_t each = (int64_t)RECV_BUFFER_BYTES * RECV_BUFFER_COUNT +
                   (int64_t)PARCELS_KEPT * (int64_t)sizeof(struct parcel);
    int64_t crossing = config->streams_max * (UPSTREAM_CREDIT_BYTES + UPSTREAM_BUFFER_BYTES);
    return reactors->count > 0 ? (int64_t)reactors->count * each + crossing : 0;
}

void reactors_measure(const struct reactors *reactors)
{
    if (!reactors)
        return;
    struct metrics *metrics = reactors->config.metrics;
    metrics_set(metrics, METRIC_reactors, reactors_count(reactors));
    metrics_set(
        metrics, METRIC_upstream_far_total, upstreams_far_total(reactors->config.upstreams));
}
