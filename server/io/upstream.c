/* upstream — see upstream.h. This is the front: it chooses the reactor, and stands between owner and
 * transfer:
 *
 *   owner ─▶ upstream ─┬─▶ transfer                      on this loop: called directly
 *                      └─▶ upstream_bridge ─▶ transfer   on another one: by messages
 *
 * While the owners' loop has time they stay on it: what crosses costs more. Then they go to the reactor
 * that has the fewest. Each has its own connections to the providers. */
#include "server/io/upstream.h"

#include <stdlib.h>

#include "server/io/transfer.h"
#include "server/io/upstream_bridge.h"

struct lane {
    struct crossing *crossing; /* NULL: the owners' loop */
    struct transfers *transfers;
    size_t open_count;
};

struct upstreams {
    struct list open; /* of upstream.node */
    uint64_t far_total;
    bool is_far_only;
    struct load *load; /* of the owners' loop; NULL: taken as high */
    size_t lane_count;
    struct lane lanes[REACTORS_MAX];
};

struct upstream {
    struct upstreams *upstreams;
    struct lane *lane;
    struct list node;
    const struct upstream_owner *owner;
    void *context;
    struct transfer *transfer; /* one of these two */
    struct upstream_bridge *bridge;
};

const char *upstream_end_name(enum upstream_end end)
{
    static const char *const names[] = {
        [UPSTREAM_COMPLETE] = "upstream_complete",
        [UPSTREAM_REFUSED] = "upstream_refused",
        [UPSTREAM_TIMEOUT_CONNECT] = "upstream_timeout_connect",
        [UPSTREAM_TIMEOUT_FIRST_BYTE] = "upstream_timeout_first_byte",
        [UPSTREAM_TIMEOUT_IDLE] = "upstream_timeout_idle",
        [UPSTREAM_RESET] = "upstream_reset",
        [UPSTREAM_MALFORMED] = "upstream_malformed",
        [UPSTREAM_CANCELED] = "upstream_canceled",
        [UPSTREAM_CUT] = "request_cut",
    };
    ASSERT((size_t)end < sizeof names / sizeof *names);
    return names[end];
}

/* ---- reactors -------------------------------------------------------------------------------- */

enum err upstreams_new(struct loop *loop, const char *proxy, struct upstreams **out)
{
    struct upstreams *upstreams = calloc(1, sizeof *upstreams);
    if (!upstreams)
        return fault(ERR_NOMEM, "upstreams");
    list_init(&upstreams->open);
    enum err err = transfers_new(loop, proxy, &upstreams->lanes[0].transfers);
    if (err != ERR_OK) {
        free(upstreams);
        return err;
    }
    upstreams->lane_count = 1;
    *out = upstreams;
    return ERR_OK;
}

void upstreams_add(
    struct upstreams *upstreams, struct crossing *crossing, struct transfers *transfers)
{
    ASSERT(upstreams->lane_count < REACTORS_MAX);
    upstreams->lanes[upstreams->lane_count++] = (struct lane){crossing, transfers, 0};
}

void upstreams_keep_near(struct upstreams *upstreams, struct load *load)
{
    upstreams->load = load;
}

void upstreams_far_only(struct upstreams *upstreams)
{
    upstreams->is_far_only = true;
}

size_t upstreams_reactors(const struct upstreams *upstreams)
{
    return upstreams->is_far_only && upstreams->lane_count > 1 ? upstreams->lane_count - 1
                                                               : upstreams->lane_count;
}

uint64_t upstreams_far_total(const struct upstreams *upstreams)
{
    return upstreams->far_total;
}

struct upstreams *upstreams_free(struct upstreams *upstreams)
{
    if (!upstreams)
        return NULL;
    struct list *node;
    while ((node = list_pop(&upstreams->open))) {
        struct upstream *upstream = CONTAINER_OF(node, struct upstream, node);
        if (upstream->bridge)
            upstream_bridge_drop(upstream->bridge);
        free(upstream);
    }
    transfers_free(upstreams->lanes[0].transfers);
    free(upstreams);
    return NULL;
}

static struct lane *next_lane(struct upstreams *upstreams)
{
    if (upstreams->lane_count == 1)
        return &upstreams->lanes[0];
    if (!upstreams->is_far_only && upstreams->load && !load_is_high(upstreams->load))
        return &upstreams->lanes[0];
    size_t first = upstreams->is_far_only ? 1 : 0;
    struct lane *best = &upstreams->lanes[first];
    for (size_t i = first + 1; i < upstreams->lane_count; i++)
        if (upstreams->lanes[i].open_count < best->open_count)
            best = &upstreams->lanes[i];
    return best;
}

/* ---- a transfer ------------------------------------------------------------------------------ */

static void upstream_free(struct upstream *upstream)
{
    upstream->lane->open_count--;
    list_unlink(&upstream->node);
    free(upstream);
}

static void near_gone(void *context)
{
    upstream_free(context);
}

static void pass_head(void *context, int status, struct slice head)
{
    struct upstream *upstream = context;
    upstream->owner->head(upstream->context, status, head);
}

static enum err pass_data(void *context, struct slice bytes)
{
    struct upstream *upstream = context;
    return upstream->owner->data(upstream->context, bytes);
}

static void pass_ended(void *context, enum upstream_end how, const char *message)
{
    struct upstream *upstream = context;
    upstream->owner->ended(upstream->context, how, message);
    upstream_free(upstream);
}

static const struct upstream_owner passing = {pass_head, pass_data, pass_ended, NULL};

/* On this loop the owner is called without a detour: it is on the path of every token. */
static enum err begin(struct upstream *upstream, const struct upstream_request *request)
{
    const struct lane *lane = upstream->lane;
    if (!lane->crossing) {
        TRY(transfer_start(
            lane->transfers, request, upstream->owner, upstream->context, &upstream->transfer));
        transfer_on_gone(upstream->transfer, near_gone, upstream);
        return ERR_OK;
    }
    TRY(upstream_bridge_start(
        lane->crossing, lane->transfers, request, &passing, upstream, &upstream->bridge));
    upstream->upstreams->far_total++;
    return ERR_OK;
}

enum err upstream_start(struct upstreams *upstreams, const struct upstream_request *request,
    const struct upstream_owner *owner, void *context, struct upstream **out)
{
    struct upstream *upstream = calloc(1, sizeof *upstream);
    if (!upstream)
        return fault(ERR_NOMEM, "upstream");
    upstream->upstreams = upstreams;
    upstream->lane = next_lane(upstreams);
    upstream->lane->open_count++;
    upstream->owner = owner;
    upstream->context = context;
    list_init(&upstream->node);
    list_append(&upstreams->open, &upstream->node);
    enum err err = begin(upstream, request);
    if (err != ERR_OK) {
        upstream_free(upstream);
        return err;
    }
    *out = upstream;
    return ERR_OK;
}

void upstream_resume(struct upstream *upstream)
{
    if (upstream->transfer)
        transfer_resume(upstream->transfer);
    else
        upstream_bridge_resume(upstream->bridge);
}

void upstream_feed(struct upstream *upstream)
{
    if (upstream->transfer)
        transfer_feed(upstream->transfer);
    else
        upstream_bridge_feed(upstream->bridge);
}

void upstream_cancel(struct upstream *upstream)
{
    if (upstream->transfer)
        transfer_cancel(upstream->transfer);
    else
        upstream_bridge_cancel(upstream->bridge);
}
