/* lookup — streams by their ID and by their caller's key; see hub.h on election.
 *
 *   claim   one key that is being looked up in the store, and all who wait for the answer, in
 *   line */
#include "server/stream/hub_state.h"

#include <stdlib.h>
#include <string.h>

#include "protocol/base/own.h"

struct claim {
    struct map_node node;
    struct hub *hub;
    struct project *project;
    struct buf key;
    struct list waiters;
    size_t waiter_count;
    struct storage_query query;
    struct buf row_bytes; /* what the store knew */
};

enum err stream_adopt(struct hub *hub, struct project *project, uint32_t project_number,
    const struct storage_query *query, struct slice encoded, struct stream **out)
{
    struct row row;
    TRY(row_decode(encoded, &row));
    struct stream *stream = hub_find(hub, project_number, &row.id);
    if (stream) {
        *out = stream_ref(stream);
        return ERR_OK;
    }
    TRY(stream_from_row(hub, project, project_number, encoded, &stream));
    bool is_open = row.is_appended && stream_state_is_live(row.state);
    enum err err = is_open ? stream_reopen(stream, query) : ERR_OK;
    if (err)
        stream_unref(stream);
    else
        *out = stream;
    return err;
}

static enum err adopt(struct hub *hub, struct project *project, const struct storage_query *query,
    struct slice encoded, struct stream **out)
{
    return stream_adopt(hub, project, project->number, query, encoded, out);
}

static void open_done(struct storage_query *query, enum err err)
{
    struct hub_lookup *lookup = query->owner;
    struct stream *stream = NULL;
    struct buf bytes = query->bytes;
    query->bytes = (struct buf){0};
    if (!err)
        err = adopt(lookup->hub, lookup->project, query, buf_slice(&bytes), &stream);
    buf_deinit(&bytes);
    if (err == ERR_AGAIN) {
        err = storage_query(lookup->hub->storage, query);
        if (!err)
            return;
    }
    lookup->done(lookup, err, stream);
}

static struct stream *adopt_project(struct stream *stream, struct project *project)
{
    if (!stream->project) /* recovered before its project's key was seen */
        stream->project = project;
    return stream_ref(stream);
}

/* What is in memory, or else what `query` finds in the store. */
static void open_stream(
    struct hub *hub, struct project *project, struct stream *stream, struct hub_lookup *lookup)
{
    if (stream && !stream_visible_row(stream)) {
        lookup->done(lookup, ERR_NOTFOUND, NULL); /* nobody can have been told its ID */
        return;
    }
    if (stream) {
        lookup->done(lookup, ERR_OK, adopt_project(stream, project));
        return;
    }
    lookup->hub = hub;
    lookup->project = project;
    lookup->query.project = project->number;
    lookup->query.done = open_done;
    lookup->query.owner = lookup;
    enum err err = storage_query(hub->storage, &lookup->query);
    if (err)
        lookup->done(lookup, err, NULL);
}

void hub_open(
    struct hub *hub, struct project *project, const struct id *id, struct hub_lookup *lookup)
{
    lookup->query = (struct storage_query){.kind = STORAGE_ROW, .id = *id};
    open_stream(hub, project, hub_find(hub, project->number, id), lookup);
}

void hub_open_upstream(
    struct hub *hub, struct project *project, struct slice key, struct hub_lookup *lookup)
{
    ASSERT(key.size > 1 && key.data[0] == KEY_SPACE_UPSTREAM);
    struct slice upstream_id = slice_sub(key, 1, key.size);
    lookup->query = (struct storage_query){.kind = STORAGE_KEY, .key = key};
    open_stream(hub, project, hub_find_upstream(hub, project->number, upstream_id), lookup);
}

static struct claim *find_claim(struct hub *hub, struct project *project, struct slice key)
{
    struct map_node *node = map_first(&hub->claims, hub_hash(project->number, key));
    for (; node; node = map_next(node)) {
        struct claim *claim = CONTAINER_OF(node, struct claim, node);
        if (claim->project->number == project->number && slice_equal(buf_slice(&claim->key), key))
            return claim;
    }
    return NULL;
}

static void claim_free(struct claim *claim)
{
    ASSERT(list_is_empty(&claim->waiters));
    map_remove(&claim->hub->claims, &claim->node);
    buf_deinit(&claim->key);
    buf_deinit(&claim->row_bytes);
    free(claim);
}

/* One in line: the map first, since the one before may have created the stream; then what the
 * store knew. ERR_AGAIN: that is out of date, and nobody was answered. */
static enum err claim_answer(struct claim *claim, struct hub_lookup *lookup, enum err err)
{
    struct stream *stream =
        hub_find_key(claim->hub, claim->project->number, buf_slice(&claim->key));
    if (stream) {
        list_unlink(&lookup->node);
        lookup->done(lookup, ERR_OK, adopt_project(stream, claim->project));
        return ERR_OK;
    }
    if (!err)
        err =
            adopt(claim->hub, claim->project, &claim->query, buf_slice(&claim->row_bytes), &stream);
    if (err == ERR_AGAIN)
        return ERR_AGAIN;
    list_unlink(&lookup->node);
    lookup->done(lookup, err, stream);
    return ERR_OK;
}

static void claim_done(struct storage_query *query, enum err err);

static enum err claim_ask(struct claim *claim)
{
    claim->query = (struct storage_query){.kind = STORAGE_KEY,
        .project = claim->project->number,
        .key = buf_slice(&claim->key),
        .done = claim_done,
        .owner = claim};
    return storage_query(claim->hub->storage, &claim->query);
}

static void claim_done(struct storage_query *query, enum err err)
{
    struct claim *claim = query->owner;
    buf_deinit(&claim->row_bytes);
    claim->row_bytes = query->bytes;
    query->bytes = (struct buf){0};
    while (!list_is_empty(&claim->waiters)) {
        struct hub_lookup *lookup = CONTAINER_OF(claim->waiters.next, struct hub_lookup, node);
        if (claim_answer(claim, lookup, err) != ERR_AGAIN)
            continue;
        err = claim_ask(claim);
        if (!err)
            return;
    }
    claim_free(claim);
}

static enum err claim_new(
    struct hub *hub, struct project *project, struct slice key, struct claim **out)
{
    struct claim *claim = calloc(1, sizeof *claim);
    if (!claim)
        return fault(ERR_NOMEM, "claim");
    claim->hub = hub;
    claim->project = project;
    list_init(&claim->waiters);
    buf_init(&claim->key, KEY_BYTES_MAX);
    enum err err = buf_append(&claim->key, key);
    if (!err)
        err = map_insert(&hub->claims, &claim->node, hub_hash(project->number, key));
    if (err) {
        buf_deinit(&claim->key);
        free(claim);
        return err;
    }
    err = claim_ask(claim);
    if (err)
        claim_free(claim);
    else
        *out = claim;
    return err;
}

void hub_claim(
    struct hub *hub, struct project *project, struct slice key, struct hub_lookup *lookup)
{
    lookup->hub = hub;
    lookup->project = project;
    struct stream *stream = hub_find_key(hub, project->number, key);
    if (stream) {
        lookup->done(lookup, ERR_OK, adopt_project(stream, project));
        return;
    }
    struct claim *claim = find_claim(hub, project, key);
    enum err err = claim ? ERR_OK : claim_new(hub, project, key, &claim);
    if (!err && claim->waiter_count >= CLAIM_WAITERS_MAX)
        err = ERR_LIMIT;
    if (err) {
        lookup->done(lookup, err, NULL);
        return;
    }
    claim->waiter_count++;
    list_append(&claim->waiters, &lookup->node);
}
