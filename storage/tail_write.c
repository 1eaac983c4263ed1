/* tail_write — what a stream's producer gives, on its way into the journal.
 *
 * An event on its way in, when it is small and nothing of its tail waits:
 *
 *     room in the open block → journal_append → into the block       (so ERR_FULL changes nothing)
 *
 * and else: into blocks, part by part → tails_write, when the share allows → journal_append. Row
 * versions wait in the same order: a row that says N events is journalled after event N - 1 and
 * before event N, and a final one after the whole request body. That order is what replay counts
 * on, and what makes a final row final.                                                         */
#include "storage/tail_write.h"

#include <string.h>

#include "storage/tail_block.h"

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
    const struct row_version *newest = tail_newest(tail);
    if (newest) { /* which the writer knows nothing of */
        full.is_held = newest->row.is_held;
        full.touched_ns = newest->row.touched_ns;
    }
    return row_version_new(&full, out);
}

/* Into the journal. */

bool tail_has_queue(const struct tail *tail)
{
    return tail->queued_frames > 0 || tail->queued_rows > 0;
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

/* Something was given: in memory mode that is all that is needed for it to be visible. */
static void note_given(struct tail *tail)
{
    if (tail->tails->is_memory)
        tail_set_changed(tail);
}

/* Somebody waits for its commit. In memory mode nobody does. */
static void hurry(const struct tail *tail)
{
    if (!tail->tails->is_memory)
        journal_hurry(tail->tails->ledger.journal);
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

/* `entry` is NULL for a block that holds its place already. */
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
    if (entry && entry->hold == 0)
        entry->hold = ledger_hold(ledger, lsn);
    if (is_last)
        tail->journalled_events++;
    tail_touch(tail);
    hurry(tail);
    return ERR_OK;
}

/* Before its first event nobody sees anything of a generation that has no key. */
static bool is_unseen(const struct tail *tail, const struct row *row)
{
    return stream_state_is_live(row->state) && !row->is_appended && row->key.size == 0 &&
           tail->journalled_events == 0;
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
    tail->is_unnamed = false;
    tail->queued_rows -= !list_is_empty(&version->node); /* it was one of them */
    version->hold = ledger_hold(&tails->ledger, lsn);
    tail->row_position = tails->commit_bytes;
    list_unlink(&tail->live);
    if (stream_state_is_live(version->row.state))
        list_append(&tails->live, &tail->live);
    tail_touch(tail);
    if (!is_unseen(tail, &version->row))
        hurry(tail);
    return ERR_OK;
}

static bool is_amid_event(const struct tail *tail)
{
    return tail->queued_frames > 0 && tail->write_frame == 0 &&
           tail_block_at(tail, tail->write_block)->block->part > 0;
}

/* What is in the journal: bytes of whole events, and when the last of them was received, about. */
static void journalled_so_far(const struct tail *tail, uint64_t *size, int64_t *last_event_ns)
{
    *size = tail->bytes;
    *last_event_ns = tail->last_event_ns;
    if (tail->queued_frames == 0)
        return;
    const struct block *block = tail_block_at(tail, tail->write_block)->block;
    uint32_t before = tail->write_frame ? tail->write_frame - 1 : 0;
    *size = block->first_offset + (tail->write_frame ? block->frames[before].end : 0);
    *last_event_ns = block->frames[before].time_ns;
}

static const struct row_version *newest_journalled(const struct tail *tail)
{
    const struct row_version *newest = NULL;
    LIST_FOREACH (node, &tail->versions) {
        const struct row_version *version = CONTAINER_OF(node, struct row_version, node);
        if (version->is_journalled)
            newest = version;
    }
    return newest;
}

/* One that gives more than the journal takes always has events that wait, and maybe its end behind them:
 * its row goes before those. */
enum err tail_forward(struct tail *tail)
{
    struct row_version *copy;
    if (is_amid_event(tail) || !tail->durable || newest_journalled(tail) != tail->durable ||
        tail->forward_hold)
        return ERR_AGAIN;
    struct tails *tails = tail->tails;
    uint64_t size;
    int64_t last_event_ns;
    journalled_so_far(tail, &size, &last_event_ns);
    TRY(make_version(
        tail, &tail->durable->row, tail->journalled_events, size, last_event_ns, &copy));
    struct record record = {.type = RECORD_ROW,
        .number = tail->number,
        .seq = tail->aside_count,
        .time_ns = last_event_ns,
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

static const struct frame *next_frame(const struct tail *tail)
{
    return &tail_block_at(tail, tail->write_block)->block->frames[tail->write_frame];
}

/* An event's last frame and the row that comes next go into one batch: it may have been given with
 * the event. */
static bool is_row_due(const struct tail *tail, const struct row_version *row)
{
    return row && tail->queued_frames > 0 && row->row.events == tail->journalled_events + 1 &&
           !(next_frame(tail)->flags & FRAME_MORE);
}

static enum err write_frame(struct tail *tail, struct row_version *row)
{
    struct tails *tails = tail->tails;
    struct tail_block *entry = tail_block_at(tail, tail->write_block);
    const struct block *block = entry->block;
    const struct frame *frame = next_frame(tail);
    struct slice bytes = block_frame(block, tail->write_frame);
    bool is_first = block->part == 0 || tail->write_frame > 0;
    bool is_last = !(frame->flags & FRAME_MORE);
    bool has_row = is_row_due(tail, row);
    if (!has_room(tails, bytes.size))
        return ERR_FULL;
    if (has_row)
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
    if (!has_row)
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

/* What has ended is wholly recorded, its request too. */
static bool is_body_first(const struct tail *tail, const struct row_version *row)
{
    return tail->body_next != &tail->body && row && !stream_state_is_live(row->row.state) &&
           (row->row.events == tail->journalled_events || is_row_due(tail, row));
}

static enum err write_step(struct tail *tail)
{
    struct row_version *row = first_queued_row(tail);
    if (is_body_first(tail, row))
        return write_body(tail);
    if (row && row->row.events == tail->journalled_events)
        return journal_row(tail, row);
    if (tail->queued_frames > 0)
        return write_frame(tail, row);
    return write_body(tail);
}

/* A stream whose shares all end amid events is never between two of them when a tick looks. */
static enum err forward_if_due(struct tail *tail)
{
    const struct tails *tails = tail->tails;
    bool is_due = tails->forward_bytes && !list_is_empty(&tail->live) &&
                  tails->commit_bytes - tail->row_position >= tails->forward_bytes;
    enum err err = is_due ? tail_forward(tail) : ERR_OK;
    return err == ERR_AGAIN ? ERR_OK : err;
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
        if (forward_if_due(tail) != ERR_OK)
            return;
    }
}

/* Writing. */

static bool has_queue_room(const struct tails *tails, size_t size)
{
    return tails->queued_bytes == 0 || tails->queued_bytes + size <= tails->queue_bytes_max;
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
        frame = tail_block_at(tail, block)->block->frame_count;
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
    bool is_held = tail->open->frame_count > 0; /* nothing of the tail waits: by its first frame */
    struct tail_block *entry = is_held ? NULL : tail_block_at(tail, tail->block_count - 1);
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
    ASSERT(!tail->is_closed && tail->place != TAIL_LEAVING);
    if (tail->is_unnamed)
        return tail_step(tail, event, time_ns, tail_row(tail));
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
    ASSERT(!tail->is_closed);
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
    tail_add_version(tail, version);
    note_given(tail);
    return ERR_OK;
}

enum err tail_update(struct tail *tail, const struct row *row)
{
    ASSERT(!tail->is_closed && stream_state_is_live(row->state));
    struct row_version *version;
    TRY(make_version(tail, row, tail->events, tail->bytes, tail->last_event_ns, &version));
    enum err err = put_row(tail, version);
    if (err != ERR_OK)
        row_version_free(version);
    return err;
}

static enum err step_now(
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
static enum err step_queued(
    struct tail *tail, struct slice event, int64_t time_ns, struct row_version *version)
{
    if (event.size > 0)
        TRY(queue_event(tail, event, time_ns));
    tail_add_version(tail, version);
    queue_work(tail);
    note_given(tail);
    tails_write(tail->tails);
    return ERR_OK;
}

/* An event, if any, and the row that counts it. */
static enum err give_step(
    struct tail *tail, struct slice event, int64_t time_ns, const struct row *row)
{
    bool has_event = event.size > 0;
    struct row_version *version;
    ASSERT(tail->place != TAIL_LEAVING);
    TRY(make_version(tail, row, tail->events + has_event, tail->bytes + event.size,
        has_event ? time_ns : tail->last_event_ns, &version));
    bool is_now = event.size <= FRAME_BYTES_MAX && !has_work(tail);
    enum err err = is_now ? step_now(tail, event, time_ns, version)
                          : step_queued(tail, event, time_ns, version);
    if (err != ERR_OK)
        row_version_free(version);
    return err;
}

enum err tail_step(struct tail *tail, struct slice event, int64_t time_ns, const struct row *row)
{
    ASSERT(!tail->is_closed && stream_state_is_live(row->state));
    if (!has_room(tail->tails, event.size + ROW_BYTES_MAX))
        return ERR_FULL;
    TRY(give_step(tail, event, time_ns, row));
    spend_room(tail->tails, tail_newest(tail)->bytes.size);
    return ERR_OK;
}

/* Every slot of the ring can be taken by the few records of lives that were short, so that nothing
 * gets in before something gets out. An interruption needs no record: should a crash take it back,
 * the stream is found live with the same events, and is interrupted again. */
static bool may_end_in_place(const struct tail *tail, const struct row *row)
{
    return row->state == STREAM_INTERRUPTED && tail->durable &&
           tail->durable == tail_newest(tail) && tail->durable_events == tail->events &&
           !tail->forward_hold && !has_work(tail);
}

static enum err end_in_place(struct tail *tail, const struct row *row)
{
    struct row_version *version;
    TRY(make_version(tail, row, tail->events, tail->bytes, tail->last_event_ns, &version));
    version->is_journalled = true;
    version->hold = tail->durable->hold;
    tail->durable->hold = 0;
    tail_add_version(tail, version);
    list_unlink(&tail->live);
    tail_set_durable(tail, version);
    tail_seal(tail);
    tail_set_changed(tail);
    tail_make_ready(tail);
    return ERR_OK;
}

enum err tail_end(
    struct tail *tail, struct slice last_event, int64_t time_ns, const struct row *row)
{
    ASSERT(!tail->is_closed && !stream_state_is_live(row->state));
    enum err err = give_step(tail, last_event, time_ns, row);
    if (err == ERR_FULL && last_event.size == 0 && may_end_in_place(tail, row))
        return end_in_place(tail, row);
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
