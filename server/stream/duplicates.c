/* duplicates — see the header. What is over is found by looking at a few of the oldest with each step:
 * those that are still wanted go to the end of the line. */
#include "server/stream/duplicates.h"

#include <stdlib.h>

#include "protocol/base/own.h"
#include "server/stream/hub_state.h"

struct duplicate {
    struct map_node node;
    struct list order;
    struct stream *stream;
    bool is_dropped;
    int64_t left_ns; /* wall clock */
};

void duplicates_init(struct duplicates *duplicates)
{
    map_init(&duplicates->by_fingerprint);
    list_init(&duplicates->order);
    duplicates->count = 0;
}

static void forget(struct duplicates *duplicates, struct duplicate *duplicate)
{
    map_remove(&duplicates->by_fingerprint, &duplicate->node);
    list_unlink(&duplicate->order);
    duplicates->count--;
    duplicate->stream->duplicate = NULL;
    stream_unref(duplicate->stream);
    free(duplicate);
}

static struct duplicate *oldest(struct duplicates *duplicates)
{
    return list_is_empty(&duplicates->order)
               ? NULL
               : CONTAINER_OF(duplicates->order.next, struct duplicate, order);
}

void duplicates_clear(struct duplicates *duplicates)
{
    while (oldest(duplicates))
        forget(duplicates, oldest(duplicates));
}

void duplicates_deinit(struct duplicates *duplicates)
{
    duplicates_clear(duplicates);
    map_deinit(&duplicates->by_fingerprint);
}

/* Whether its window has passed, or it has come to an end that nobody is answered from. */
static bool is_over(const struct duplicate *duplicate, int64_t now_ns)
{
    const struct stream *stream = duplicate->stream;
    const struct row *row = stream_row(stream);
    int64_t window_ns = stream->project->attach_duplicates_s * 1000000000;
    int64_t since_ns = row->ended_ns > duplicate->left_ns ? row->ended_ns : duplicate->left_ns;
    if (stream_is_deleted(stream) || row->status >= 400)
        return true;
    if (stream_state_is_live(row->state))
        return false;
    return row->state != STREAM_COMPLETED || now_ns - since_ns > window_ns;
}

static void tidy(struct hub *hub)
{
    struct duplicates *duplicates = &hub->duplicates;
    int64_t now_ns = loop_wall_ns(hub->config.loop);
    for (size_t i = 0; i < DUPLICATES_TIDIED && oldest(duplicates); i++) {
        struct duplicate *duplicate = oldest(duplicates);
        if (is_over(duplicate, now_ns)) {
            forget(duplicates, duplicate);
            continue;
        }
        list_unlink(&duplicate->order);
        list_append(&duplicates->order, &duplicate->order);
    }
}

/* A fingerprint is a SHA-256 already: no caller makes it collide. */
static uint64_t hash(uint32_t project, struct slice fingerprint)
{
    return map_hash(fingerprint) ^ project;
}

static struct duplicate *find(struct hub *hub, uint32_t project, struct slice fingerprint)
{
    struct map_node *node = map_first(&hub->duplicates.by_fingerprint, hash(project, fingerprint));
    for (; node; node = map_next(node)) {
        struct duplicate *duplicate = CONTAINER_OF(node, struct duplicate, node);
        const struct stream *stream = duplicate->stream;
        if (stream->project_number == project &&
            slice_equal(stream_row(stream)->fingerprint, fingerprint))
            return duplicate;
    }
    return NULL;
}

void duplicates_note(struct stream *stream)
{
    struct hub *hub = stream->hub;
    struct duplicates *duplicates = &hub->duplicates;
    struct slice fingerprint = stream_row(stream)->fingerprint;
    ASSERT(!stream->duplicate);
    if (!stream->project || stream->project->attach_duplicates_s == 0)
        return;
    tidy(hub);
    struct duplicate *older = find(hub, stream->project_number, fingerprint);
    if (!older && duplicates->count == DUPLICATES_MAX)
        older = oldest(duplicates);
    if (older)
        forget(duplicates, older);
    struct duplicate *duplicate = calloc(1, sizeof *duplicate);
    if (!duplicate || map_insert(&duplicates->by_fingerprint, &duplicate->node,
                          hash(stream->project_number, fingerprint))) {
        free(duplicate); /* its duplicate asks anew */
        return;
    }
    duplicate->stream = stream_ref(stream);
    stream->duplicate = duplicate;
    list_append(&duplicates->order, &duplicate->order);
    duplicates->count++;
}

void duplicates_left(struct stream *stream, bool is_first)
{
    if (!stream->duplicate || !(is_first || stream->duplicate->is_dropped))
        return;
    stream->duplicate->is_dropped = true;
    stream->duplicate->left_ns = loop_wall_ns(stream->hub->config.loop);
}

struct stream *duplicates_find(
    struct hub *hub, struct project *project, struct slice fingerprint, bool is_retry)
{
    struct duplicate *duplicate = find(hub, project->number, fingerprint);
    if (!duplicate || !(duplicate->is_dropped || is_retry))
        return NULL;
    if (is_over(duplicate, loop_wall_ns(hub->config.loop))) {
        forget(&hub->duplicates, duplicate);
        return NULL;
    }
    return stream_ref(duplicate->stream);
}
