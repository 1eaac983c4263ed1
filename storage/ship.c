/* ship — see the header for the way of a tail. What a bundle holds of one stream, in this order:
 *
 *     BLOCKS whole events · BODY · ASIDE · ROW · CLOSE, MERGE when that was the last of it
 *
 * A live stream's row goes with each of its blocks and says what the store then has. A final row
 * goes when all blocks are before it. An event never lies in two bundles: replay would begin in its
 * middle. Only sealed blocks go, since the archiver reads them on its own thread. */
#include "storage/ship.h"

#include <stdio.h>
#include <stdlib.h>

#include "storage/tail_block.h"
#include "storage/tail_write.h"

/* A tail's part of a shipment. */
struct parcel {
    struct tail *tail;
    size_t blocks;
};

struct shipment {
    struct archive_bundle bundle;
    struct shipper *shipper;
    struct list node;
    struct parcel *parcels;
    size_t parcel_count, parcel_capacity;
};

void shipper_init(struct shipper *shipper, struct tails *tails, int64_t archive_after_ns)
{
    *shipper = (struct shipper){.tails = tails, .archive_after_ns = archive_after_ns};
    list_init(&shipper->flights);
    list_init(&shipper->deletions);
}

void shipper_start(struct shipper *shipper, struct archiver *archiver, struct journal *journal)
{
    shipper->archiver = archiver;
    shipper->journal = journal;
}

static struct shipment *shipment_free(struct shipment *shipment)
{
    struct list *node;
    while ((node = list_pop(&shipment->bundle.items)))
        archive_item_free(CONTAINER_OF(node, struct archive_item, node));
    list_unlink(&shipment->node);
    free(shipment->parcels);
    free(shipment);
    return NULL;
}

void shipper_deinit(struct shipper *shipper)
{
    while (!list_is_empty(&shipper->flights))
        shipment_free(CONTAINER_OF(shipper->flights.next, struct shipment, node));
    while (!list_is_empty(&shipper->deletions))
        deletion_free(CONTAINER_OF(shipper->deletions.next, struct deletion, node));
}

void shipper_delete(struct shipper *shipper, struct deletion *deletion, bool is_durable)
{
    list_append(&shipper->deletions, &deletion->node);
    if (is_durable)
        shipper_deletion_durable(shipper, deletion);
}

void shipper_deletion_durable(struct shipper *shipper, struct deletion *deletion)
{
    ASSERT(!deletion->is_durable);
    deletion->is_durable = true;
    shipper->durable_deletions++;
}

/* Back from the archiver. */

static void parcel_landed(struct tail *tail)
{
    ASSERT(tail->flights > 0);
    tail->flights--;
    if (tail->is_finished && tail->flights == 0)
        tail_set_place(tail, TAIL_LEAVING);
    tail_check_leaving(tail);
}

static void parcel_stored(const struct parcel *parcel)
{
    tail_drop_acknowledged(parcel->tail, parcel->blocks);
    tail_set_changed(parcel->tail);
    parcel_landed(parcel->tail);
}

static void note_failure(struct shipper *shipper, enum err err)
{
    const struct storage_host *host = shipper->tails->host;
    char message[160];
    if (shipper->failure == ERR_OK) {
        (void)snprintf(message, sizeof message,
            "archiver stopped (%s): new streams are refused; what is recorded stays in the journal",
            err_text(err));
        host->log(host->context, 0, message);
    }
    shipper->failure = err;
}

/* The blocks of a failed shipment stay in their tails, and its records in the journal. */
static void shipment_done(struct archive_bundle *bundle, enum err err)
{
    struct shipment *shipment = CONTAINER_OF(bundle, struct shipment, bundle);
    struct shipper *shipper = shipment->shipper;
    shipper->flight_bytes -= bundle->bytes;
    if (err == ERR_OK) {
        journal_absorbed(shipper->journal, bundle->absorbed_lsn);
        archive_wake(shipper->archiver); /* a slot may be free, and want preparing */
        for (size_t i = 0; i < shipment->parcel_count; i++)
            parcel_stored(&shipment->parcels[i]);
    } else {
        note_failure(shipper, err);
    }
    shipment_free(shipment);
}

/* Into a bundle. Each step moves its thing and its accounts together: one that fails for want of
 * memory leaves the rest for the next time. */

static struct shipment *shipment_new(struct shipper *shipper)
{
    struct shipment *shipment = calloc(1, sizeof *shipment);
    if (!shipment)
        return NULL;
    shipment->shipper = shipper;
    shipment->bundle.done = shipment_done;
    list_init(&shipment->bundle.items);
    list_init(&shipment->bundle.node);
    list_init(&shipment->node);
    return shipment;
}

static bool shipment_is_full(const struct shipment *shipment)
{
    return shipment->bundle.bytes >= SHIP_BYTES_MAX || shipment->parcel_count >= SHIP_STREAMS_MAX;
}

static void add_item(struct shipment *shipment, struct archive_item *item, uint64_t bytes)
{
    list_append(&shipment->bundle.items, &item->node);
    shipment->bundle.bytes += bytes;
}

static enum err add_parcel(struct shipment *shipment, struct tail *tail)
{
    enum { PARCELS_MIN = 16 };
    if (shipment->parcel_count == shipment->parcel_capacity) {
        size_t capacity = shipment->parcel_capacity ? shipment->parcel_capacity * 2 : PARCELS_MIN;
        struct parcel *parcels = realloc(shipment->parcels, capacity * sizeof *parcels);
        if (!parcels)
            return fault(ERR_NOMEM, "shipment of %zu tails", capacity);
        shipment->parcels = parcels;
        shipment->parcel_capacity = capacity;
    }
    shipment->parcels[shipment->parcel_count++] = (struct parcel){tail, 0};
    tail->flights++;
    return ERR_OK;
}

/* How many blocks go: until the bundle is full, but to the end of an event. */
static size_t count_blocks(const struct shipment *shipment, const struct tail *tail)
{
    uint64_t bytes = shipment->bundle.bytes;
    size_t at = tail->shipped_blocks;
    bool is_cut = false;
    while (at < tail->block_count && (is_cut || bytes < SHIP_BYTES_MAX) &&
           tail_block_is_shippable(tail, at)) {
        const struct block *block = tail_block_at(tail, at++)->block;
        bytes += block->size;
        is_cut = block->frames[block->frame_count - 1].flags & FRAME_MORE;
    }
    ASSERT(!is_cut);
    return at - tail->shipped_blocks;
}

static enum err gather_blocks(struct shipment *shipment, struct tail *tail)
{
    size_t count = count_blocks(shipment, tail);
    if (count == 0)
        return ERR_OK;
    struct archive_item *item = archive_item_new(ARCHIVE_BLOCKS, tail->project, tail->number);
    if (item)
        item->blocks = calloc(count, sizeof *item->blocks);
    if (!item || !item->blocks) {
        archive_item_free(item);
        return fault(ERR_NOMEM, "shipment of %zu blocks", count);
    }
    uint64_t bytes = 0;
    for (size_t i = 0; i < count; i++) {
        struct tail_block *entry = tail_block_at(tail, tail->shipped_blocks++);
        ledger_release(&tail->tails->ledger, &entry->hold);
        item->blocks[item->block_count++] = block_ref(entry->block);
        bytes += entry->block->size;
        tail->shipped_events = entry->block->first_seq + entry->block->frame_count;
        tail->shipped_bytes = entry->block->first_offset + entry->block->size;
    }
    shipment->parcels[shipment->parcel_count - 1].blocks += count;
    tail->block_items++;
    tail->is_aged &= tail->shipped_blocks + (tail->open ? 1 : 0) < tail->block_count;
    add_item(shipment, item, bytes);
    return ERR_OK;
}

/* Pieces of the body, or asides: the durable ones at the front of a list. */
static void gather_items(struct shipment *shipment, struct list *items, size_t *durable)
{
    while (*durable > 0 && shipment->bundle.bytes < SHIP_BYTES_MAX) {
        struct list *node = list_pop(items);
        struct archive_item *item = CONTAINER_OF(node, struct archive_item, node);
        add_item(shipment, item, item->bytes.size);
        --*durable;
    }
}

/* One hold serves a list. When no durable item is left in it, those that are journalled all lie
 * behind the durable position. */
static void move_hold(struct ledger *ledger, size_t durable, bool has_journalled, uint64_t *hold)
{
    if (durable > 0 || *hold == 0)
        return;
    uint64_t young = has_journalled ? ledger_hold(ledger, ledger->durable_lsn + 1) : 0;
    ledger_release(ledger, hold);
    *hold = young;
}

static void gather_body_and_asides(struct shipment *shipment, struct tail *tail)
{
    struct ledger *ledger = &tail->tails->ledger;
    gather_items(shipment, &tail->body, &tail->body_durable);
    move_hold(ledger, tail->body_durable, tail->body.next != tail->body_next, &tail->body_hold);
    gather_items(shipment, &tail->asides, &tail->asides_durable);
    move_hold(ledger, tail->asides_durable, !list_is_empty(&tail->asides), &tail->asides_hold);
}

static bool wants_row(const struct tail *tail, bool has_blocks)
{
    if (!tail->durable)
        return false;
    if (!tail_is_ended_durably(tail))
        return has_blocks || !tail->durable->is_shipped;
    return !tail->durable->is_shipped && tail->shipped_blocks == tail->block_count;
}

static enum err gather_row(struct shipment *shipment, struct tail *tail, bool has_blocks)
{
    if (!wants_row(tail, has_blocks))
        return ERR_OK;
    struct row row = tail->durable->row;
    if (!tail_is_ended_durably(tail)) {
        row.events = tail->shipped_events;
        row.bytes = tail->shipped_bytes;
    }
    struct archive_item *item = archive_item_new(ARCHIVE_ROW, tail->project, tail->number);
    if (!item)
        return fault(ERR_NOMEM, "shipment of a row");
    buf_init(&item->bytes, ROW_BYTES_MAX);
    enum err err = row_encode(&row, &item->bytes);
    if (err != ERR_OK) {
        archive_item_free(item);
        return err;
    }
    tail->durable->is_shipped = true;
    add_item(shipment, item, item->bytes.size);
    return ERR_OK;
}

/* Into the audit log, with the final row, which may have gone in an earlier bundle. */
static enum err gather_close(struct shipment *shipment, struct tail *tail)
{
    struct archive_item *item = archive_item_new(ARCHIVE_CLOSE, tail->project, tail->number);
    if (!item)
        return fault(ERR_NOMEM, "shipment of a stream's end");
    buf_init(&item->bytes, ROW_BYTES_MAX);
    enum err err = buf_append(&item->bytes, buf_slice(&tail->durable->bytes));
    if (err != ERR_OK) {
        archive_item_free(item);
        return err;
    }
    add_item(shipment, item, item->bytes.size);
    return ERR_OK;
}

/* A merge that cannot be asked for is done without: it saves space and nothing else. */
static void finish(struct shipment *shipment, struct tail *tail)
{
    ledger_release(&tail->tails->ledger, &tail->durable->hold);
    tail->is_finished = true;
    tail_set_place(tail, TAIL_CLEAN);
    struct archive_item *item =
        tail->block_items > 1 ? archive_item_new(ARCHIVE_MERGE, tail->project, tail->number) : NULL;
    if (item)
        add_item(shipment, item, 0);
}

static enum err gather(struct shipment *shipment, struct tail *tail)
{
    TRY(add_parcel(shipment, tail));
    size_t had = tail->shipped_blocks;
    TRY(gather_blocks(shipment, tail));
    gather_body_and_asides(shipment, tail);
    TRY(gather_row(shipment, tail, tail->shipped_blocks > had));
    if (tail_is_ended_durably(tail) && !tail_has_unshipped(tail)) {
        TRY(gather_close(shipment, tail));
        finish(shipment, tail);
        return ERR_OK;
    }
    bool has_more = tail->body_durable > 0 || tail->asides_durable > 0 ||
                    (tail->shipped_blocks < tail->block_count &&
                        tail_block_is_shippable(tail, tail->shipped_blocks));
    if (has_more)
        return ERR_AGAIN;
    tail_set_place(tail, tail_has_unshipped(tail) ? TAIL_AGING : TAIL_CLEAN);
    return ERR_OK;
}

/* A stream that is to be deleted goes at once, and what of its body was not journalled not at
 * all. */
static void ready_for_deletion(struct shipper *shipper)
{
    LIST_FOREACH (node, &shipper->deletions) {
        struct deletion *deletion = CONTAINER_OF(node, struct deletion, node);
        struct tail *tail = tails_find(shipper->tails, deletion->number);
        if (!deletion->is_durable || !tail || tail->is_finished)
            continue;
        if (tail_is_ended_durably(tail))
            tail_drop_queued_body(tail);
        tail_seal(tail);
        tail_make_ready(tail);
    }
}

static enum err gather_deletions(struct shipment *shipment)
{
    struct shipper *shipper = shipment->shipper;
    LIST_FOREACH_SAFE (node, &shipper->deletions) {
        struct deletion *deletion = CONTAINER_OF(node, struct deletion, node);
        struct tail *tail = tails_find(shipper->tails, deletion->number);
        if (!deletion->is_durable || (tail && !tail->is_finished))
            continue;
        struct archive_item *item =
            archive_item_new(ARCHIVE_DELETE, deletion->project, deletion->number);
        if (!item)
            return fault(ERR_NOMEM, "shipment of a deletion");
        item->id = deletion->id;
        item->bytes = deletion->reason;
        buf_init(&deletion->reason, 0);
        add_item(shipment, item, item->bytes.size);
        ledger_release(&shipper->tails->ledger, &deletion->hold);
        shipper->durable_deletions--;
        deletion_free(deletion);
    }
    return ERR_OK;
}

/* Until the bundle is full or nothing is ready; ERR_AGAIN: there is more. */
static enum err fill(struct shipment *shipment)
{
    struct tails *tails = shipment->shipper->tails;
    while (!list_is_empty(&tails->ready)) {
        if (shipment_is_full(shipment))
            return ERR_AGAIN;
        TRY(gather(shipment, CONTAINER_OF(tails->ready.next, struct tail, ship)));
    }
    return gather_deletions(shipment);
}

static void submit(struct shipment *shipment)
{
    struct shipper *shipper = shipment->shipper;
    shipment->bundle.absorbed_lsn = ledger_absorbed(&shipper->tails->ledger);
    shipper->flight_bytes += shipment->bundle.bytes;
    list_append(&shipper->flights, &shipment->node);
    archive_submit(shipper->archiver, &shipment->bundle);
}

/* Tails that had nothing to give are not in flight. */
static void dismiss(struct shipment *shipment)
{
    for (size_t i = 0; i < shipment->parcel_count; i++)
        parcel_landed(shipment->parcels[i].tail);
    shipment_free(shipment);
}

static void ship(struct shipper *shipper)
{
    enum err err = ERR_AGAIN;
    ready_for_deletion(shipper);
    while (err == ERR_AGAIN) {
        struct shipment *shipment = shipment_new(shipper);
        if (!shipment)
            break;
        err = fill(shipment);
        if (list_is_empty(&shipment->bundle.items) && !shipper->tails->is_forwarded)
            dismiss(shipment);
        else
            submit(shipment);
        shipper->tails->is_forwarded = false;
    }
    shipper->ready_since_ns = 0;
    shipper->tails->ready_bytes = 0;
    shipper->tails->is_ended_ready = false;
}

/* When. */

/* Unshipped events keep the journal from being absorbed: the fuller it is, the faster they age. The
 * way there is a gentle one, or else thousands of streams would ship a few events each. */
static int64_t age_ns(const struct shipper *shipper)
{
    int64_t after_ns = shipper->archive_after_ns;
    if (shipper->is_draining)
        return 0;
    if (shipper->used_percent <= SHIP_CALM_PERCENT || after_ns <= SHIP_INTERVAL_NS)
        return after_ns;
    if (shipper->used_percent >= JOURNAL_REFUSE_PERCENT)
        return SHIP_INTERVAL_NS;
    int64_t left = JOURNAL_REFUSE_PERCENT - shipper->used_percent;
    return SHIP_INTERVAL_NS +
           (after_ns - SHIP_INTERVAL_NS) * left / (JOURNAL_REFUSE_PERCENT - SHIP_CALM_PERCENT);
}

/* What would only wait for the archiver may as well go on growing: its blocks will be fewer. */
static bool is_archiver_busy(const struct shipper *shipper)
{
    return !shipper->is_draining &&
           shipper->flight_bytes + shipper->tails->ready_bytes >= SHIP_FLIGHT_BYTES;
}

static void age(struct shipper *shipper, int64_t now_ns)
{
    struct tails *tails = shipper->tails;
    while (!list_is_empty(&tails->aging) && !is_archiver_busy(shipper)) {
        struct tail *tail = CONTAINER_OF(tails->aging.next, struct tail, ship);
        if (now_ns - tail->aging_since_ns < age_ns(shipper))
            return;
        tail_seal(tail);
        tail->is_aged = tail->shipped_blocks < tail->block_count;
        tail_make_ready(tail);
    }
}

static void note_ready(struct shipper *shipper, int64_t now_ns)
{
    const struct tails *tails = shipper->tails;
    if (list_is_empty(&tails->ready) && shipper->durable_deletions == 0 && !tails->is_forwarded)
        shipper->ready_since_ns = 0;
    else if (shipper->ready_since_ns == 0)
        shipper->ready_since_ns = now_ns;
}

static int64_t ready_ns(const struct shipper *shipper)
{
    const struct tails *tails = shipper->tails;
    if (shipper->ready_since_ns == 0)
        return INT64_MAX;
    if (shipper->is_draining || tails->ready_bytes >= SHIP_BYTES)
        return 0;
    bool is_soon = tails->is_ended_ready || shipper->durable_deletions > 0;
    return shipper->ready_since_ns + (is_soon ? SHIP_ENDED_INTERVAL_NS : SHIP_INTERVAL_NS);
}

void shipper_tick(struct shipper *shipper, int64_t now_ns)
{
    if (shipper->failure != ERR_OK)
        return;
    age(shipper, now_ns);
    note_ready(shipper, now_ns);
    if (ready_ns(shipper) <= now_ns)
        ship(shipper);
}

/* While draining, what ages waits for a commit, and that ends in a tick. */
int64_t shipper_wake_ns(const struct shipper *shipper)
{
    const struct tails *tails = shipper->tails;
    int64_t ready = ready_ns(shipper);
    if (shipper->failure != ERR_OK)
        return INT64_MAX;
    if (shipper->is_draining || list_is_empty(&tails->aging) || is_archiver_busy(shipper))
        return ready;
    const struct tail *oldest = CONTAINER_OF(tails->aging.next, struct tail, ship);
    int64_t old = oldest->aging_since_ns + age_ns(shipper);
    return old < ready ? old : ready;
}

bool shipper_is_idle(const struct shipper *shipper)
{
    const struct tails *tails = shipper->tails;
    return list_is_empty(&tails->aging) && list_is_empty(&tails->ready) &&
           list_is_empty(&tails->leaving) && !tails->is_forwarded &&
           list_is_empty(&shipper->flights) && list_is_empty(&shipper->deletions);
}
