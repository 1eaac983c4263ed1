/* tail — see tail.h for the picture of a tail's blocks, and storage.h for what is promised.
 *
 * An event on its way in, when it is small and nothing of its tail waits:
 *
 *     room in the open block → journal_append → into the block       (so ERR_FULL changes nothing)
 *
 * and else: into blocks, part by part → tails_write, when the share allows → journal_append. Row
 * versions wait in the same order: a row that says N events is journalled after event N - 1 and
 * before event N. That order is what replay counts on, and what makes a final row final.
 *
 * Invariants:
 *   shipped_events ≤ durable_events ≤ journalled_events ≤ events
 *   the last `queued_frames` frames of the blocks are not journalled, all others are
 *   a live tail's newest durable row holds its stretch of the journal, shipped or not: the journal
 *   names each live stream. An ended tail's does until all of the tail is shipped: whatever replay
 *   finds of a stream, it finds its row too                                                     */
#include "storage/tail.h"

#include <stdlib.h>
#include <string.h>

/* The tails. */

void tails_init(struct tails *tails, const struct storage_host *host, bool is_memory)
{
    *tails = (struct tails){.host = host, .is_memory = is_memory, .share_bytes = BULK_SHARE_BYTES};
    map_init(&tails->by_number);
    list_init(&tails->changed);
    list_init(&tails->writing);
    list_init(&tails->aging);
    list_init(&tails->ready);
    list_init(&tails->live);
    list_init(&tails->leaving);
}

void tails_deinit(struct tails *tails)
{
    struct map_node *next;
    for (struct map_node *node = map_walk(&tails->by_number, NULL); node; node = next) {
        next = map_walk(&tails->by_number, node);
        tail_free(CONTAINER_OF(node, struct tail, by_number));
    }
    map_deinit(&tails->by_number);
    ledger_deinit(&tails->ledger);
}

static uint64_t hash_number(uint64_t number)
{
    return map_hash(slice_of(&number, sizeof number));
}

struct tail *tails_find(const struct tails *tails, uint64_t number)
{
    struct map_node *node = map_first(&tails->by_number, hash_number(number));
    for (; node; node = map_next(node)) {
        struct tail *tail = CONTAINER_OF(node, struct tail, by_number);
        if (tail->number == number)
            return tail;
    }
    return NULL;
}

enum err tails_add(struct tails *tails, uint64_t number, struct tail **out)
{
    struct tail *tail = calloc(1, sizeof *tail);
    if (!tail)
        return fault(ERR_NOMEM, "tail");
    tail->tails = tails;
    tail->number = number;
    tail->next_capacity = BLOCK_CAPACITY_MIN;
    list_init(&tail->changed);
    list_init(&tail->writing);
    list_init(&tail->ship);
    list_init(&tail->live);
    list_init(&tail->versions);
    list_init(&tail->body);
    list_init(&tail->asides);
    tail->body_next = &tail->body;
    enum err err = map_insert(&tails->by_number, &tail->by_number, hash_number(number));
    if (err != ERR_OK) {
        free(tail);
        return err;
    }
    *out = tail;
    return ERR_OK;
}

static void free_items(struct list *items)
{
    struct list *node;
    while ((node = list_pop(items)))
        archive_item_free(CONTAINER_OF(node, struct archive_item, node));
}

struct tail *tail_free(struct tail *tail)
{
    if (!tail)
        return NULL;
    tail_drop_queued_body(tail);
    tail_drop_blocks(tail, tail->block_count);
    struct list *node;
    while ((node = list_pop(&tail->versions)))
        row_version_free(CONTAINER_OF(node, struct row_version, node));
    free_items(&tail->body);
    free_items(&tail->asides);
    list_unlink(&tail->changed);
    list_unlink(&tail->writing);
    list_unlink(&tail->ship);
    list_unlink(&tail->live);
    map_remove(&tail->tails->by_number, &tail->by_number);
    free(tail->blocks);
    free(tail);
    return NULL;
}

/* Row versions. */

enum err row_version_new(const struct row *row, struct row_version **out)
{
    struct row_version *version = calloc(1, sizeof *version);
    if (!version)
        return fault(ERR_NOMEM, "row version");
    list_init(&version->node);
    buf_init(&version->bytes, ROW_BYTES_MAX);
    enum err err = row_encode(row, &version->bytes);
    if (err == ERR_OK)
        err = row_decode(buf_slice(&version->bytes), &version->row);
    if (err != ERR_OK) {
        row_version_free(version);
        return err;
    }
    *out = version;
    return ERR_OK;
}

struct row_version *row_version_free(struct row_version *version)
{
    if (!version)
        return NULL;
    ASSERT(list_is_empty(&version->node));
    buf_deinit(&version->bytes);
    free(version);
    return NULL;
}

struct row_version *tail_newest(const struct tail *tail)
{
    return list_is_empty(&tail->versions)
               ? NULL
               : CONTAINER_OF(tail->versions.prev, struct row_version, node);
}

void tail_set_durable(struct tail *tail, struct row_version *version)
{
    tail->durable = version;
    while (tail->versions.next != &version->node) {
        struct list *node = list_pop(&tail->versions);
        struct row_version *old = CONTAINER_OF(node, struct row_version, node);
        ledger_release(&tail->tails->ledger, &old->hold);
        row_version_free(old);
    }
}

/* A version is made of the caller's row, and of what only the tail knows. */
static enum err make_version(const struct tail *tail, const struct row *row, uint64_t events,
    uint64_t bytes, int64_t last_event_ns, struct row_version **out)
{
    struct row full = *row;
    full.id = tail->id;
    full.number = tail->number;
    full.project = tail->project;
    full.events = events;
    full.bytes = bytes;
    full.last_event_ns = last_event_ns;
    return row_version_new(&full, out);
}

/* Blocks. */

struct tail_block *tail_block_at(const struct tail *tail, size_t index)
{
    ASSERT(index < tail->block_count);
    return &tail->blocks[tail->block_first + index];
}

static struct block *open_block(const struct tail *tail)
{
    return tail->is_open ? tail_block_at(tail, tail->block_count - 1)->block : NULL;
}

static bool has_empty_block(const struct tail *tail)
{
    return tail->is_open && open_block(tail)->frame_count == 0;
}

void tail_drop_blocks(struct tail *tail, size_t count)
{
    ASSERT(count <= tail->block_count);
    for (; count > 0; count--) {
        struct tail_block *last = tail_block_at(tail, tail->block_count - 1);
        tail->tails->block_bytes -= last->block->capacity;
        ledger_release(&tail->tails->ledger, &last->hold);
        block_unref(last->block);
        tail->block_count--;
        tail->is_open = false;
    }
}

void tail_drop_acknowledged(struct tail *tail, size_t count)
{
    ASSERT(count <= tail->shipped_blocks);
    for (size_t i = 0; i < count; i++) {
        struct tail_block *entry = tail_block_at(tail, i);
        ASSERT(entry->hold == 0);
        tail->tails->block_bytes -= entry->block->capacity;
        block_unref(entry->block);
    }
    tail->block_first += count;
    tail->block_count -= count;
    tail->shipped_blocks -= count;
    if (tail->queued_frames > 0)
        tail->write_block -= count;
}

/* Room for one more entry: what was dropped from the front is used first, then the array doubles. */
static enum err grow_blocks(struct tail *tail)
{
    enum { BLOCKS_MIN = 4 /* a short answer needs no more */ };
    if (tail->block_first + tail->block_count < tail->block_capacity)
        return ERR_OK;
    if (tail->block_first >= tail->block_capacity / 2 && tail->block_first > 0) {
        memmove(tail->blocks, tail->blocks + tail->block_first,
            tail->block_count * sizeof *tail->blocks);
        tail->block_first = 0;
        return ERR_OK;
    }
    size_t capacity = tail->block_capacity ? tail->block_capacity * 2 : BLOCKS_MIN;
    struct tail_block *blocks = realloc(tail->blocks, capacity * sizeof *blocks);
    if (!blocks)
        return fault(ERR_NOMEM, "table of %zu blocks", capacity);
    tail->blocks = blocks;
    tail->block_capacity = capacity;
    return ERR_OK;
}

static enum err add_block(struct tail *tail, uint32_t part, uint64_t offset, size_t capacity)
{
    TRY(grow_blocks(tail));
    struct block *block;
    TRY(block_new(tail->events, part, offset, (uint32_t)capacity, &block));
    tail->blocks[tail->block_first + tail->block_count++] = (struct tail_block){block, 0};
    tail->tails->block_bytes += block->capacity;
    tail->is_open = true;
    return ERR_OK;
}

void tail_seal(struct tail *tail)
{
    if (has_empty_block(tail))
        tail_drop_blocks(tail, 1);
    tail->is_open = false;
}

static bool block_has_room(const struct block *block, size_t size)
{
    return block && size <= block->capacity - block->size &&
           block->frame_count < block->frame_capacity;
}

enum err tail_room(struct tail *tail, size_t size)
{
    ASSERT(size <= FRAME_BYTES_MAX);
    if (block_has_room(open_block(tail), size))
        return ERR_OK;
    tail_seal(tail);
    size_t capacity = tail->next_capacity > size ? tail->next_capacity : size;
    TRY(add_block(tail, 0, tail->bytes, capacity));
    if (tail->next_capacity < BLOCK_BYTES_MAX)
        tail->next_capacity *= 2;
    return ERR_OK;
}

void tail_put(struct tail *tail, struct slice bytes, int64_t time_ns)
{
    enum err err = block_append(open_block(tail), bytes, time_ns, 0);
    ASSERT(err == ERR_OK); /* tail_room went before */
    tail->events++;
    tail->bytes += bytes.size;
    tail->last_event_ns = time_ns;
}

enum err tail_add_part(struct tail *tail, uint32_t part, uint64_t offset, struct slice bytes,
    int64_t time_ns, bool is_last)
{
    tail_seal(tail);
    TRY(add_block(tail, part, offset, bytes.size > 0 ? bytes.size : 1));
    enum err err = block_append(open_block(tail), bytes, time_ns, is_last ? 0 : FRAME_MORE);
    ASSERT(err == ERR_OK);
    tail->is_open = false;
    return ERR_OK;
}

bool tail_block_is_shippable(const struct tail *tail, size_t index)
{
    const struct block *block = tail_block_at(tail, index)->block;
    bool is_open = tail->is_open && index == tail->block_count - 1;
    return !is_open && block->first_seq + block->frame_count <= tail->durable_events;
}

/* Into the journal. */

static bool has_queued_row(const struct tail *tail)
{
    struct row_version *newest = tail_newest(tail);
    return newest && !newest->is_journalled;
}

bool tail_has_queue(const struct tail *tail)
{
    return tail->queued_frames > 0 || has_queued_row(tail);
}

static bool has_work(const struct tail *tail)
{
    return tail_has_queue(tail) || tail->body_next != &tail->body;
}

static void queue_work(struct tail *tail)
{
    if (list_is_empty(&tail->writing))
        list_append(&tail->tails->writing, &tail->writing);
}

void tail_set_changed(struct tail *tail)
{
    if (list_is_empty(&tail->changed))
        list_append(&tail->tails->changed, &tail->changed);
}

/* Something was given: in memory mode that is all that is needed for it to be visible. */
static void note_given(struct tail *tail)
{
    if (tail->tails->is_memory)
        tail_set_changed(tail);
}

/* The share of the journal is for what waits, between two commits; the room is for all but rows. */

static void spend_share(struct tails *tails, size_t bytes)
{
    tails->share_bytes -= bytes < tails->share_bytes ? bytes : tails->share_bytes;
}

static bool has_room(const struct tails *tails, size_t bytes)
{
    return bytes + RECORD_OVERHEAD_BYTES_MAX <= tails->room_bytes;
}

static void spend_room(struct tails *tails, size_t bytes)
{
    bytes += RECORD_OVERHEAD_BYTES_MAX;
    tails->room_bytes -= bytes < tails->room_bytes ? bytes : tails->room_bytes;
}

static enum err journal_event(struct tail *tail, struct tail_block *entry, struct slice bytes,
    int64_t time_ns, bool is_first, bool is_last)
{
    struct ledger *ledger = &tail->tails->ledger;
    struct record record = {.type = RECORD_EVENT,
        .flags = (uint8_t)((is_first ? TAIL_RECORD_FIRST : 0) | (is_last ? RECORD_LAST : 0)),
        .number = tail->number,
        .seq = tail->journalled_events,
        .time_ns = time_ns,
        .payload = bytes};
    uint64_t lsn;
    TRY(ledger_append(ledger, &record, is_last ? LEDGER_EVENT : LEDGER_PART, tail, &lsn));
    spend_room(tail->tails, bytes.size);
    if (entry->hold == 0)
        entry->hold = ledger_hold(ledger, lsn);
    if (is_last)
        tail->journalled_events++;
    tail_touch(tail);
    return ERR_OK;
}

static enum err journal_row(struct tail *tail, struct row_version *version)
{
    struct tails *tails = tail->tails;
    ASSERT(!version->is_journalled && version->row.events == tail->journalled_events);
    struct record record = {.type = RECORD_ROW,
        .number = tail->number,
        .seq = tail->aside_count,
        .time_ns = version->row.last_event_ns,
        .payload = buf_slice(&version->bytes)};
    uint64_t lsn;
    TRY(ledger_append(&tails->ledger, &record, LEDGER_ROW, tail, &lsn));
    version->is_journalled = true;
    version->hold = ledger_hold(&tails->ledger, lsn);
    tail->row_position = tails->commit_bytes;
    list_unlink(&tail->live);
    if (stream_state_is_live(version->row.state))
        list_append(&tails->live, &tail->live);
    tail_touch(tail);
    return ERR_OK;
}

enum err tail_forward(struct tail *tail)
{
    struct row_version *newest = tail_newest(tail), *copy;
    if (tail_has_queue(tail) || newest != tail->durable || tail->forward_hold)
        return ERR_AGAIN;
    struct tails *tails = tail->tails;
    TRY(make_version(tail, &newest->row, tail->events, tail->bytes, tail->last_event_ns, &copy));
    struct record record = {.type = RECORD_ROW,
        .number = tail->number,
        .seq = tail->aside_count,
        .time_ns = tail->last_event_ns,
        .payload = buf_slice(&copy->bytes)};
    uint64_t lsn;
    enum err err = ledger_append(&tails->ledger, &record, LEDGER_FORWARD, tail, &lsn);
    row_version_free(copy);
    TRY(err);
    tail->forward_hold = ledger_hold(&tails->ledger, lsn);
    tail->row_position = tails->commit_bytes;
    list_unlink(&tail->live);
    list_append(&tails->live, &tail->live);
    return ERR_OK;
}

static struct row_version *first_queued_row(const struct tail *tail)
{
    LIST_FOREACH (node, &tail->versions) {
        struct row_version *version = CONTAINER_OF(node, struct row_version, node);
        if (!version->is_journalled)
            return version;
    }
    return NULL;
}

/* The last frame of a stream and its final row go into one batch. */
static bool is_final(const struct tail *tail, const struct row_version *row)
{
    return row && tail->queued_frames == 1 && !stream_state_is_live(row->row.state) &&
           row->row.events == tail->journalled_events + 1;
}

static enum err write_frame(struct tail *tail, struct row_version *row)
{
    struct tails *tails = tail->tails;
    struct tail_block *entry = tail_block_at(tail, tail->write_block);
    const struct block *block = entry->block;
    const struct frame *frame = &block->frames[tail->write_frame];
    struct slice bytes = block_frame(block, tail->write_frame);
    bool is_first = block->part == 0 || tail->write_frame > 0;
    bool is_last = !(frame->flags & FRAME_MORE);
    bool is_end = is_final(tail, row);
    if (!has_room(tails, bytes.size))
        return ERR_FULL;
    if (is_end)
        TRY(ledger_reserve(&tails->ledger, bytes.size + row->bytes.size, 2));
    TRY(journal_event(tail, entry, bytes, frame->time_ns, is_first, is_last));
    tail->queued_frames--;
    if (++tail->write_frame == block->frame_count && tail->queued_frames > 0) {
        tail->write_block++;
        tail->write_frame = 0;
    }
    tails->queued_bytes -= bytes.size;
    tails->queued_event_bytes -= bytes.size;
    spend_share(tails, bytes.size);
    if (!is_end)
        return ERR_OK;
    enum err err = journal_row(tail, row);
    ASSERT(err == ERR_OK); /* reserved */
    return ERR_OK;
}

static enum err write_body(struct tail *tail)
{
    struct tails *tails = tail->tails;
    struct archive_item *item = CONTAINER_OF(tail->body_next, struct archive_item, node);
    bool is_last = item->node.next == &tail->body;
    struct record record = {.type = RECORD_BODY,
        .flags = is_last ? RECORD_LAST : 0,
        .number = tail->number,
        .seq = item->position,
        .payload = buf_slice(&item->bytes)};
    uint64_t lsn;
    if (!has_room(tails, item->bytes.size))
        return ERR_FULL;
    TRY(ledger_append(&tails->ledger, &record, LEDGER_BODY, tail, &lsn));
    spend_room(tails, item->bytes.size);
    if (tail->body_hold == 0)
        tail->body_hold = ledger_hold(&tails->ledger, lsn);
    tail->body_next = item->node.next;
    tails->queued_bytes -= item->bytes.size;
    spend_share(tails, item->bytes.size);
    tail_touch(tail);
    return ERR_OK;
}

static enum err write_step(struct tail *tail)
{
    struct row_version *row = first_queued_row(tail);
    if (row && row->row.events == tail->journalled_events)
        return journal_row(tail, row);
    if (tail->queued_frames > 0)
        return write_frame(tail, row);
    return write_body(tail);
}

static bool is_amid_event(const struct tail *tail)
{
    return tail->queued_frames > 0 && tail->write_frame == 0 &&
           tail_block_at(tail, tail->write_block)->block->part > 0;
}

void tails_write(struct tails *tails)
{
    while (tails->share_bytes > 0 && !list_is_empty(&tails->writing)) {
        struct tail *tail = CONTAINER_OF(tails->writing.next, struct tail, writing);
        if (write_step(tail) != ERR_OK)
            return; /* full, or no memory: the next tick tries again */
        if (is_amid_event(tail))
            continue;
        list_unlink(&tail->writing);
        if (has_work(tail))
            queue_work(tail);
    }
}

/* Writing. */

static bool is_closed(const struct tail *tail)
{
    return !stream_state_is_live(tail_newest(tail)->row.state);
}

static bool has_queue_room(const struct tails *tails, size_t size)
{
    return tails->queued_bytes == 0 || tails->queued_bytes + size <= WRITE_QUEUE_BYTES_MAX;
}

/* An event longer than a frame: a block a part. On failure what was added is dropped again. */
static enum err add_parts(struct tail *tail, struct slice event, int64_t time_ns)
{
    tail_seal(tail);
    size_t had = tail->block_count;
    uint32_t part = 0;
    for (size_t at = 0; at < event.size; at += FRAME_BYTES_MAX, part++) {
        struct slice bytes = slice_sub(event, at, FRAME_BYTES_MAX);
        enum err err = tail_add_part(
            tail, part, tail->bytes + at, bytes, time_ns, at + bytes.size == event.size);
        if (err != ERR_OK) {
            tail_drop_blocks(tail, tail->block_count - had);
            return err;
        }
    }
    tail->events++;
    tail->bytes += event.size;
    tail->last_event_ns = time_ns;
    return ERR_OK;
}

static enum err queue_event(struct tail *tail, struct slice event, int64_t time_ns)
{
    struct tails *tails = tail->tails;
    if (event.size > tails->event_bytes_max)
        return ERR_LIMIT;
    if (!has_queue_room(tails, event.size))
        return ERR_FULL;
    size_t frames = 1, block, frame = 0;
    if (event.size <= FRAME_BYTES_MAX) {
        TRY(tail_room(tail, event.size));
        block = tail->block_count - 1;
        frame = open_block(tail)->frame_count;
        tail_put(tail, event, time_ns);
    } else {
        TRY(add_parts(tail, event, time_ns));
        frames = (event.size + FRAME_BYTES_MAX - 1) / FRAME_BYTES_MAX;
        block = tail->block_count - frames;
    }
    if (tail->queued_frames == 0) {
        tail->write_block = block;
        tail->write_frame = (uint32_t)frame;
    }
    tail->queued_frames += frames;
    tails->queued_bytes += event.size;
    tails->queued_event_bytes += event.size;
    queue_work(tail);
    return ERR_OK;
}

static enum err journal_and_put(struct tail *tail, struct slice event, int64_t time_ns)
{
    struct tail_block *entry = tail_block_at(tail, tail->block_count - 1);
    TRY(journal_event(tail, entry, event, time_ns, true, true));
    tail_put(tail, event, time_ns);
    return ERR_OK;
}

static enum err append_now(struct tail *tail, struct slice event, int64_t time_ns)
{
    if (!has_room(tail->tails, event.size))
        return ERR_FULL;
    TRY(tail_room(tail, event.size));
    return journal_and_put(tail, event, time_ns);
}

enum err tail_append(struct tail *tail, struct slice event, int64_t time_ns)
{
    ASSERT(!is_closed(tail));
    if (event.size <= FRAME_BYTES_MAX && !tail_has_queue(tail)) {
        TRY(append_now(tail, event, time_ns));
    } else {
        TRY(queue_event(tail, event, time_ns));
        tails_write(tail->tails);
    }
    note_given(tail);
    return ERR_OK;
}

enum err tail_aside(struct tail *tail, struct slice event, int64_t time_ns)
{
    ASSERT(!is_closed(tail));
    struct ledger *ledger = &tail->tails->ledger;
    if (event.size > FRAGMENT_BYTES_MAX)
        return ERR_LIMIT;
    if (!has_room(tail->tails, event.size))
        return ERR_FULL;
    struct archive_item *item = archive_item_new(ARCHIVE_ASIDE, tail->project, tail->number);
    if (!item)
        return fault(ERR_NOMEM, "aside");
    struct record record = {.type = RECORD_ASIDE,
        .flags = RECORD_LAST,
        .number = tail->number,
        .seq = tail->events,
        .time_ns = time_ns,
        .payload = event};
    uint64_t lsn;
    item->position = tail->events;
    buf_init(&item->bytes, FRAGMENT_BYTES_MAX);
    enum err err = buf_append(&item->bytes, event);
    if (err == ERR_OK)
        err = ledger_append(ledger, &record, LEDGER_ASIDE, tail, &lsn);
    if (err != ERR_OK) {
        archive_item_free(item);
        return err;
    }
    item->index = tail->aside_count++;
    list_append(&tail->asides, &item->node);
    if (tail->asides_hold == 0)
        tail->asides_hold = ledger_hold(ledger, lsn);
    tail_touch(tail);
    return ERR_OK;
}

/* The version is the tail's if it is taken. */
static enum err put_row(struct tail *tail, struct row_version *version)
{
    if (tail_has_queue(tail))
        queue_work(tail);
    else
        TRY(journal_row(tail, version));
    list_append(&tail->versions, &version->node);
    note_given(tail);
    return ERR_OK;
}

enum err tail_update(struct tail *tail, const struct row *row)
{
    ASSERT(!is_closed(tail) && stream_state_is_live(row->state));
    struct row_version *version;
    TRY(make_version(tail, row, tail->events, tail->bytes, tail->last_event_ns, &version));
    enum err err = put_row(tail, version);
    if (err != ERR_OK)
        row_version_free(version);
    return err;
}

static enum err end_now(
    struct tail *tail, struct slice event, int64_t time_ns, struct row_version *version)
{
    if (event.size == 0)
        return put_row(tail, version);
    TRY(tail_room(tail, event.size));
    TRY(ledger_reserve(&tail->tails->ledger, event.size + version->bytes.size, 2));
    enum err err = journal_and_put(tail, event, time_ns);
    ASSERT(err == ERR_OK); /* reserved */
    err = put_row(tail, version);
    ASSERT(err == ERR_OK);
    return ERR_OK;
}

/* The row is in the queue before anything is written: only so its batch can be shared. */
static enum err end_queued(
    struct tail *tail, struct slice event, int64_t time_ns, struct row_version *version)
{
    if (event.size > 0)
        TRY(queue_event(tail, event, time_ns));
    list_append(&tail->versions, &version->node);
    queue_work(tail);
    note_given(tail);
    tails_write(tail->tails);
    return ERR_OK;
}

enum err tail_end(
    struct tail *tail, struct slice last_event, int64_t time_ns, const struct row *row)
{
    ASSERT(!is_closed(tail) && !stream_state_is_live(row->state));
    bool has_event = last_event.size > 0;
    struct row_version *version;
    TRY(make_version(tail, row, tail->events + has_event, tail->bytes + last_event.size,
        has_event ? time_ns : tail->last_event_ns, &version));
    bool is_now = last_event.size <= FRAME_BYTES_MAX && !tail_has_queue(tail);
    enum err err = is_now ? end_now(tail, last_event, time_ns, version)
                          : end_queued(tail, last_event, time_ns, version);
    if (err != ERR_OK)
        row_version_free(version);
    return err;
}

/* The body becomes the archiver's items right away: it is copied once. */
static enum err cut_body(struct tail *tail, struct slice body)
{
    for (size_t at = 0; at < body.size; at += FRAGMENT_BYTES_MAX) {
        struct archive_item *item = archive_item_new(ARCHIVE_BODY, tail->project, tail->number);
        if (!item)
            return fault(ERR_NOMEM, "piece of a body");
        list_append(&tail->body, &item->node);
        item->position = at;
        buf_init(&item->bytes, FRAGMENT_BYTES_MAX);
        TRY(buf_append(&item->bytes, slice_sub(body, at, FRAGMENT_BYTES_MAX)));
    }
    return ERR_OK;
}

static enum err begin(struct tail *tail, const struct row *row, struct slice body)
{
    struct row_version *version;
    TRY(cut_body(tail, body));
    TRY(make_version(tail, row, 0, 0, 0, &version));
    enum err err = put_row(tail, version);
    if (err != ERR_OK)
        row_version_free(version);
    return err;
}

enum err tail_create(
    struct tails *tails, const struct row *row, struct slice body, struct tail **out)
{
    ASSERT(stream_state_is_live(row->state));
    struct tail *tail;
    if (!has_queue_room(tails, body.size) || !has_room(tails, ROW_BYTES_MAX))
        return ERR_FULL;
    TRY(tails_add(tails, row->number, &tail));
    tail->id = row->id;
    tail->project = row->project;
    enum err err = begin(tail, row, body);
    if (err != ERR_OK) {
        tail_free(tail);
        return err;
    }
    tail->body_next = tail->body.next;
    tails->queued_bytes += body.size;
    if (body.size > 0) {
        queue_work(tail);
        tails_write(tails);
    }
    *out = tail;
    return ERR_OK;
}

void tail_drop_queued_body(struct tail *tail)
{
    while (tail->body_next != &tail->body) {
        struct archive_item *item = CONTAINER_OF(tail->body_next, struct archive_item, node);
        tail->body_next = item->node.next;
        tail->tails->queued_bytes -= item->bytes.size;
        list_unlink(&item->node);
        archive_item_free(item);
    }
    if (!tail_has_queue(tail))
        list_unlink(&tail->writing);
}

/* What a commit brought. */

static void row_is_durable(struct tail *tail)
{
    struct list *node = tail->durable ? tail->durable->node.next : tail->versions.next;
    ASSERT(node != &tail->versions);
    struct row_version *version = CONTAINER_OF(node, struct row_version, node);
    ASSERT(version->is_journalled);
    tail_set_durable(tail, version);
    if (!stream_state_is_live(version->row.state))
        tail_seal(tail);
}

void tail_durable(struct tail *tail, enum ledger_kind kind)
{
    switch (kind) {
    case LEDGER_PART: return;
    case LEDGER_EVENT: tail->durable_events++; break;
    case LEDGER_ROW: row_is_durable(tail); break;
    case LEDGER_FORWARD:
        ledger_release(&tail->tails->ledger, &tail->durable->hold);
        tail->durable->hold = tail->forward_hold;
        tail->forward_hold = 0;
        tail->tails->is_forwarded = true;
        return;
    case LEDGER_ASIDE: tail->asides_durable++; break;
    case LEDGER_BODY: tail->body_durable++; break;
    case LEDGER_DELETE: ASSERT(false); /* its owner is no tail */
    }
    ASSERT(tail->durable_events <= tail->journalled_events);
    bool is_visible = kind == LEDGER_EVENT || kind == LEDGER_ROW;
    if (is_visible && !tail->tails->is_memory)
        tail_set_changed(tail);
    tail_check_ready(tail);
}

/* On the way to the store. */

bool tail_is_ended_durably(const struct tail *tail)
{
    return tail->durable && !stream_state_is_live(tail->durable->row.state);
}

bool tail_has_unshipped(const struct tail *tail)
{
    size_t blocks = tail->block_count - tail->shipped_blocks - (has_empty_block(tail) ? 1 : 0);
    return blocks > 0 || !list_is_empty(&tail->body) || !list_is_empty(&tail->asides) ||
           !tail_newest(tail)->is_shipped;
}

void tail_set_place(struct tail *tail, enum tail_place place)
{
    struct tails *tails = tail->tails;
    struct list *to[] = {[TAIL_CLEAN] = NULL,
        [TAIL_AGING] = &tails->aging,
        [TAIL_READY] = &tails->ready,
        [TAIL_LEAVING] = &tails->leaving};
    ASSERT(tail->place != TAIL_LEAVING);
    list_unlink(&tail->ship);
    if (to[place])
        list_append(to[place], &tail->ship);
    if (place == TAIL_AGING)
        tail->aging_since_ns = tails->host->now_ns(tails->host->context);
    tail->place = place;
}

void tail_touch(struct tail *tail)
{
    if (tail->place == TAIL_CLEAN)
        tail_set_place(tail, TAIL_AGING);
}

void tail_make_ready(struct tail *tail)
{
    if (tail->place == TAIL_READY)
        return;
    for (size_t i = tail->shipped_blocks; i < tail->block_count; i++)
        tail->tails->ready_bytes += tail_block_at(tail, i)->block->size;
    if (tail_is_ended_durably(tail))
        tail->tails->is_ended_ready = true;
    tail_set_place(tail, TAIL_READY);
}

void tail_check_ready(struct tail *tail)
{
    if (tail->place == TAIL_READY || tail->is_finished)
        return;
    bool has_block = tail->shipped_blocks < tail->block_count &&
                     tail_block_is_shippable(tail, tail->shipped_blocks);
    if (has_block || tail_is_ended_durably(tail))
        tail_make_ready(tail);
}

/* Looking. */

static uint64_t visible_events(const struct tail *tail)
{
    return tail->tails->is_memory ? tail->events : tail->durable_events;
}

static const struct row_version *visible_row(const struct tail *tail)
{
    return tail->tails->is_memory ? tail_newest(tail) : tail->durable;
}

const struct row *tail_row(const struct tail *tail)
{
    return &tail_newest(tail)->row;
}

bool tail_is_row_durable(const struct tail *tail)
{
    return visible_row(tail) == tail_newest(tail);
}

const struct row *tail_durable_row(const struct tail *tail)
{
    const struct row_version *version = visible_row(tail);
    return version ? &version->row : NULL;
}

uint64_t tail_events(const struct tail *tail)
{
    return tail->events;
}

uint64_t tail_watermark(const struct tail *tail)
{
    return visible_events(tail);
}

bool tail_has_ended(const struct tail *tail)
{
    const struct row_version *version = visible_row(tail);
    return version && !stream_state_is_live(version->row.state);
}

void tail_set_owner(struct tail *tail, void *owner)
{
    tail->owner = owner;
}

void *tail_owner(const struct tail *tail)
{
    return tail->owner;
}

static bool is_past(const struct block *block, uint64_t seq, uint32_t part)
{
    return block->first_seq > seq || (block->first_seq == seq && block->part > part);
}

/* The last block that begins at or before (seq, part); false: all begin after it. */
static bool find_block(const struct tail *tail, uint64_t seq, uint32_t part, size_t *index)
{
    size_t low = 0, high = tail->block_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (is_past(tail_block_at(tail, middle)->block, seq, part))
            high = middle;
        else
            low = middle + 1;
    }
    *index = low - 1;
    return low > 0;
}

enum err tail_read(struct tail *tail, uint64_t seq, uint32_t part, struct block **block,
    uint32_t *index, uint32_t *end)
{
    uint64_t visible = visible_events(tail);
    if (seq >= visible)
        return tail_has_ended(tail) ? ERR_CLOSED : ERR_AGAIN;
    size_t at;
    if (!find_block(tail, seq, part, &at))
        return ERR_NOTFOUND;
    struct block *found = tail_block_at(tail, at)->block;
    uint64_t frame = seq - found->first_seq;
    if (frame >= found->frame_count || (frame == 0 ? found->part : 0) != part)
        return ERR_NOTFOUND;
    uint64_t readable = visible - found->first_seq;
    *block = block_ref(found);
    *index = (uint32_t)frame;
    *end = readable < found->frame_count ? (uint32_t)readable : found->frame_count;
    return ERR_OK;
}
