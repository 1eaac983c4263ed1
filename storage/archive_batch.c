/* archive_batch — one transaction of the archiver: the items of as many bundles as fit, in order, from
 * where progress says. What of a stream has rotted is that stream's damage and stops nothing. */
#include <stdio.h>

#include "storage/archive_state.h"

/* ---- Damage ---- */

void archiver_log_damage(struct archiver *archiver, const struct id *id, const char *what)
{
    char text[ID_TEXT_BYTES], message[MESSAGE_BYTES];
    id_format(id, text);
    (void)snprintf(message, sizeof message,
        "stream %s is damaged: %s cannot be read; `tokenlog verify` tells more", text, what);
    archiver->config.host->log(archiver->config.host->context, LOG_ERROR, message);
}

enum err archiver_blame(
    struct archiver *archiver, struct store_txn *txn, uint32_t project, uint64_t number)
{
    char what[DAMAGE_TEXT_BYTES];
    struct id id;
    bool is_news;
    if (store_damage_of(txn, project, number, what) != ERR_OK)
        return ERR_CORRUPT;
    enum err err = store_mark_damage(txn, project, number, slice_text(what), &id, &is_news);
    if (err == ERR_NOTFOUND)
        return ERR_OK;
    TRY(err);
    if (is_news) {
        atomic_fetch_add(&archiver->damaged, 1);
        archiver_log_damage(archiver, &id, what);
    }
    return ERR_OK;
}

/* ---- Items ---- */

enum err archiver_delete(
    struct archiver *archiver, struct store_txn *txn, const struct archive_item *item, size_t *left)
{
    struct store_deletion deletion = {.project = item->project,
        .id = item->id,
        .reason = buf_slice(&item->bytes),
        .now_ns = archiver_wall_ns(archiver),
        .tombstone_ttl_s = archiver->config.tombstone_ttl_s};
    enum err err = store_delete(txn, &deletion, left);
    if (err == ERR_DENIED)
        archiver_log(
            archiver, LOG_WARNING, "a delete was asked for before a hold; the hold counts", err);
    /* Dropped long ago, or never stored; or held meanwhile. */
    return err == ERR_NOTFOUND || err == ERR_DENIED ? ERR_OK : err;
}

static enum err amend(struct store_txn *txn, const struct archive_item *item, enum err *answer)
{
    struct store_amendment amendment = item->amendment;
    amendment.project = item->project;
    amendment.id = item->id;
    amendment.damage = buf_slice(&item->bytes);
    *answer = store_amend(txn, &amendment);
    return *answer == ERR_NOTFOUND || *answer == ERR_LIMIT ? ERR_OK : *answer;
}

/* ERR_AGAIN: this transaction's share of it is done, not all. */
static enum err put_item(struct archiver *archiver, struct archive_batch *batch,
    struct archive_bundle *bundle, const struct archive_item *item)
{
    struct store_txn *txn = batch->txn;
    uint32_t project = item->project;
    uint64_t number = item->number;
    struct slice bytes = buf_slice(&item->bytes);
    switch (item->kind) {
    case ARCHIVE_ROW: return store_put_row(txn, bytes);
    case ARCHIVE_BLOCKS: {
        struct block_run run = {item->blocks, item->block_count, item->last_frames};
        return store_put_blocks(txn, project, number, &run);
    }
    case ARCHIVE_BODY: return store_put_body(txn, project, number, item->position, bytes);
    case ARCHIVE_ASIDE:
        return store_put_aside(txn, project, number, item->index, item->position, bytes);
    case ARCHIVE_CLOSE: return store_close_stream(txn, bytes);
    case ARCHIVE_MERGE: return store_merge(txn, project, number, &batch->progress.merged);
    case ARCHIVE_DELETE: return archiver_delete(archiver, txn, item, &batch->values_left);
    case ARCHIVE_AMEND: return amend(txn, item, &bundle->answer);
    }
    return fault(ERR_CORRUPT, "an item of kind %d", (int)item->kind);
}

/* The bundle's items from where progress says. ERR_AGAIN: commit first */
static enum err put_bundle(
    struct archiver *archiver, struct archive_batch *batch, struct archive_bundle *bundle)
{
    struct archive_progress *progress = &batch->progress;
    struct list *node = progress->item ? progress->item : bundle->items.next;
    for (; node != &bundle->items; node = node->next) {
        progress->item = node;
        if (store_txn_bytes(batch->txn) >= ARCHIVE_TXN_BYTES_MAX)
            return ERR_AGAIN;
        enum err err = put_item(archiver, batch, bundle, archive_item_of(node));
        if (err == ERR_CORRUPT)
            err = archiver_blame(archiver, batch->txn, archive_item_of(node)->project,
                archive_item_of(node)->number);
        TRY(err);
        progress->merged = (struct block_position){0};
    }
    progress->item = NULL;
    return ERR_OK;
}

/* As many bundles as fit. */
static enum err put_bundles(struct archiver *archiver, struct archive_batch *batch)
{
    LIST_FOREACH (node, &archiver->bundles) {
        struct archive_bundle *bundle = archive_bundle_of(node);
        enum err err = put_bundle(archiver, batch, bundle);
        if (err == ERR_AGAIN)
            return ERR_OK;
        TRY(err);
        batch->completed++;
        if (bundle->absorbed_lsn)
            batch->absorbed_lsn = bundle->absorbed_lsn;
    }
    return ERR_OK;
}

enum err archive_batch_commit(struct archiver *archiver, struct archive_batch *batch)
{
    enum err err = put_bundles(archiver, batch);
    if (err != ERR_OK) {
        store_abort(batch->txn);
        return err;
    }
    uint64_t bytes = store_txn_bytes(batch->txn);
    TRY(store_commit(batch->txn, batch->absorbed_lsn));
    atomic_fetch_add(&archiver->transactions, 1);
    atomic_fetch_add(&archiver->bytes, bytes);
    return ERR_OK;
}
