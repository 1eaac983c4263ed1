#include "storage/amend.h"

#include <stdlib.h>

#include "protocol/base/own.h"
#include "storage/tail_block.h"

struct amending {
    struct list node;
    struct amendments *all;
    struct storage_amendment request;
    struct archive_bundle bundle;
};

void amendments_init(struct amendments *amendments, struct tails *tails)
{
    *amendments = (struct amendments){.tails = tails};
    list_init(&amendments->waiting);
    list_init(&amendments->flying);
}

void amendments_start(struct amendments *amendments, struct archiver *archiver)
{
    amendments->archiver = archiver;
}

static void amending_free(struct amending *amending)
{
    struct list *node;
    while ((node = list_pop(&amending->bundle.items)))
        archive_item_free(CONTAINER_OF(node, struct archive_item, node));
    list_unlink(&amending->node);
    amending->all->count--;
    free(amending);
}

void amendments_deinit(struct amendments *amendments)
{
    while (!list_is_empty(&amendments->waiting))
        amending_free(CONTAINER_OF(amendments->waiting.next, struct amending, node));
    while (!list_is_empty(&amendments->flying))
        amending_free(CONTAINER_OF(amendments->flying.next, struct amending, node));
}

/* What is stored is shown from now on. */
static void show(const struct tails *tails, const struct storage_amendment *request)
{
    struct tail *tail = tails_find(tails, request->number);
    if (!tail)
        return;
    LIST_FOREACH (node, &tail->versions) {
        struct row *row = &CONTAINER_OF(node, struct row_version, node)->row;
        if (request->kind == AMEND_HOLD || request->kind == AMEND_RELEASE)
            row->is_held = request->kind == AMEND_HOLD;
        if (request->kind == AMEND_TOUCH && request->time_ns > row->touched_ns)
            row->touched_ns = request->time_ns;
    }
}

static void on_stored(struct archive_bundle *bundle, enum err err)
{
    struct amending *amending = CONTAINER_OF(bundle, struct amending, bundle);
    struct storage_amendment request = amending->request;
    if (err == ERR_OK)
        show(amending->all->tails, &request);
    amending_free(amending);
    if (request.done)
        request.done(request.owner, err);
}

enum err amendments_add(struct amendments *amendments, const struct storage_amendment *request)
{
    ASSERT(request->kind != AMEND_DAMAGE); /* the archiver's own to find */
    if (amendments->count >= AMENDMENTS_MAX)
        return ERR_LIMIT;
    struct amending *amending = calloc(1, sizeof *amending);
    struct archive_item *item = archive_item_new(ARCHIVE_AMEND, request->project, request->number);
    if (!amending || !item) {
        archive_item_free(item);
        free(amending);
        return fault(ERR_NOMEM, "amendment");
    }
    item->id = request->id;
    item->amendment.kind = request->kind;
    item->amendment.time_ns = request->time_ns;
    amending->all = amendments;
    amending->request = *request;
    amending->bundle.done = on_stored;
    list_init(&amending->node);
    list_init(&amending->bundle.node);
    list_init(&amending->bundle.items);
    list_append(&amending->bundle.items, &item->node);
    list_append(&amendments->waiting, &amending->node);
    amendments->count++;
    return ERR_OK;
}

/* Bundles are stored in order: what was shipped is there before. */
static bool is_row_shipped(struct tail *tail)
{
    if (!tail || tail->is_finished || (tail->durable && tail->durable->is_shipped))
        return true;
    if (tail->durable) {
        tail_seal(tail);
        tail_make_ready(tail);
    }
    return false;
}

void amendments_tick(struct amendments *amendments)
{
    LIST_FOREACH_SAFE (node, &amendments->waiting) {
        struct amending *amending = CONTAINER_OF(node, struct amending, node);
        if (!is_row_shipped(tails_find(amendments->tails, amending->request.number)))
            continue;
        list_unlink(&amending->node);
        list_append(&amendments->flying, &amending->node);
        archive_submit(amendments->archiver, &amending->bundle);
    }
}

bool amendments_are_idle(const struct amendments *amendments)
{
    return amendments->count == 0;
}

/* A row that cannot be read says nothing, and is mended by the tail's. */
static enum err recover_tail(struct tail *tail, struct store *store)
{
    CLEANUP(buf_deinit) struct buf bytes;
    struct row row;
    buf_init(&bytes, ROW_BYTES_MAX);
    enum err err = store_get_row(store, tail->project, &tail->id, &bytes);
    if (err == ERR_OK)
        err = row_decode(buf_slice(&bytes), &row);
    if (err == ERR_NOTFOUND || err == ERR_CORRUPT)
        return ERR_OK;
    TRY(err);
    struct storage_amendment hold = {.number = tail->number, .kind = AMEND_HOLD};
    struct storage_amendment touch = {
        .number = tail->number, .kind = AMEND_TOUCH, .time_ns = row.touched_ns};
    if (row.is_held)
        show(tail->tails, &hold);
    show(tail->tails, &touch);
    return ERR_OK;
}

enum err amendments_recover(struct tails *tails, struct store *store)
{
    const struct map *map = &tails->by_number;
    for (struct map_node *node = map_walk(map, NULL); node; node = map_walk(map, node)) {
        struct tail *tail = CONTAINER_OF(node, struct tail, by_number);
        if (tail_newest(tail))
            TRY(recover_tail(tail, store));
    }
    return ERR_OK;
}
