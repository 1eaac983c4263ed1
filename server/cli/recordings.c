/* recordings — per stream, the store's blocks come first, then what the journal had of it:
 *
 *     store    | block | block | blo…          journal          | event | event | event |
 *              seq 0                                            ▲ held.first_seq
 *
 * The journal's rules are those of storage/replay.c: an event is there when its last part is. */
#include "server/cli/recordings.h"

#include <stdlib.h>
#include <string.h>

#include "protocol/base/map.h"
#include "protocol/base/own.h"
#include "storage/tail.h"

enum {
    HELD_BYTES_MAX = 1024 * 1024 * 1024, /* of one stream: no bound of ours, the ring is smaller */
};

struct held_event {
    int64_t time_ns;
    size_t end; /* in held.bytes */
};

/* What the journal has of one stream. */
struct held {
    struct map_node node; /* by number */
    uint64_t number;
    bool has_events, is_broken, is_partial, has_body;
    uint64_t first_seq;
    struct buf bytes, partial;
    struct held_event *events;
    size_t count, capacity;
    uint64_t body_offset;
    struct buf body;
};

struct recordings {
    struct offline *offline;
    struct block_codec *codec;
    struct map held;
};

/* ——— the journal ——— */

static struct held *find_held(const struct recordings *recordings, uint64_t number)
{
    uint64_t hash = map_hash(slice_of(&number, sizeof number));
    for (struct map_node *node = map_first(&recordings->held, hash); node; node = map_next(node))
        if (CONTAINER_OF(node, struct held, node)->number == number)
            return CONTAINER_OF(node, struct held, node);
    return NULL;
}

static enum err take_held(struct recordings *recordings, uint64_t number, struct held **out)
{
    *out = find_held(recordings, number);
    if (*out)
        return ERR_OK;
    struct held *held = calloc(1, sizeof *held);
    if (!held)
        return fault(ERR_NOMEM, "stream of the journal");
    held->number = number;
    buf_init(&held->bytes, HELD_BYTES_MAX);
    buf_init(&held->partial, HELD_BYTES_MAX);
    buf_init(&held->body, HELD_BYTES_MAX);
    enum err err =
        map_insert(&recordings->held, &held->node, map_hash(slice_of(&number, sizeof number)));
    if (err != ERR_OK) {
        free(held);
        return err;
    }
    *out = held;
    return ERR_OK;
}

static void drop_partial(struct held *held)
{
    held->is_partial = false;
    buf_clear(&held->partial);
}

static enum err keep_event(struct held *held, int64_t time_ns)
{
    if (held->count == held->capacity) {
        size_t capacity = held->capacity ? held->capacity * 2 : 64;
        struct held_event *events = reallocarray(held->events, capacity, sizeof *events);
        if (!events)
            return fault(ERR_NOMEM, "events of the journal");
        held->events = events;
        held->capacity = capacity;
    }
    TRY(buf_append(&held->bytes, buf_slice(&held->partial)));
    held->events[held->count++] = (struct held_event){time_ns, held->bytes.size};
    drop_partial(held);
    return ERR_OK;
}

static enum err replay_event(struct held *held, const struct record *record)
{
    bool is_first = record->flags & TAIL_RECORD_FIRST;
    if (is_first)
        drop_partial(held);
    if (is_first && !held->has_events)
        held->first_seq = record->seq;
    held->has_events |= is_first;
    if (held->is_broken || (!is_first && !held->is_partial))
        return ERR_OK;
    if (record->seq != held->first_seq + held->count) {
        held->is_broken = true;
        return ERR_OK;
    }
    held->is_partial = true;
    TRY(buf_append(&held->partial, record->payload));
    return record->flags & RECORD_LAST ? keep_event(held, record->time_ns) : ERR_OK;
}

static enum err replay(void *context, const struct record *record, uint64_t lsn)
{
    struct recordings *recordings = context;
    struct held *held;
    (void)lsn;
    if (record->type != RECORD_EVENT && record->type != RECORD_BODY && record->type != RECORD_ROW)
        return ERR_OK; /* offline.h has looked at the others */
    TRY(take_held(recordings, record->number, &held));
    if (record->type == RECORD_EVENT)
        return replay_event(held, record);
    if (record->type == RECORD_ROW) {
        drop_partial(held);
        return ERR_OK;
    }
    if (!held->has_body)
        held->body_offset = record->seq;
    held->has_body = true;
    if (record->seq != held->body_offset + held->body.size)
        return ERR_OK; /* a gap: it ends before */
    return buf_append(&held->body, record->payload);
}

static int64_t no_time(void *context)
{
    (void)context;
    return 0; /* a journal that is only read never asks what time it is */
}

static enum err read_journal(struct recordings *recordings, const char *path)
{
    struct store *store = offline_store(recordings->offline);
    struct journal_recovery found;
    struct journal *journal = NULL;
    struct disk *disk = disk_plain_new();
    if (!disk)
        return fault(ERR_NOMEM, "disk");
    struct journal_config config = {
        .disk = disk,
        .path = path,
        .segment_bytes = SEGMENT_BYTES_DEFAULT, /* for new ones: none are made */
        .segment_count = SEGMENT_COUNT_MAX,
        .is_read_only = true,
        .now_ns = no_time,
        .context = recordings,
    };
    store_uuid(store, config.store_uuid);
    enum err err = journal_open(&config, store_absorbed_lsn(store), replay, &found, &journal);
    journal_close(journal);
    disk_plain_free(disk);
    return err;
}

enum err recordings_open(struct offline *offline, const char *path, struct recordings **out)
{
    struct recordings *recordings = calloc(1, sizeof *recordings);
    if (!recordings)
        return fault(ERR_NOMEM, "recordings");
    recordings->offline = offline;
    map_init(&recordings->held);
    enum err err = block_codec_new(1, &recordings->codec);
    if (err == ERR_OK && offline_recovery(offline)->records)
        err = read_journal(recordings, path);
    if (err != ERR_OK) {
        recordings_close(recordings);
        return err;
    }
    *out = recordings;
    return ERR_OK;
}

struct recordings *recordings_close(struct recordings *recordings)
{
    if (!recordings)
        return NULL;
    struct map_node *node = map_walk(&recordings->held, NULL);
    while (node) {
        struct map_node *next = map_walk(&recordings->held, node);
        struct held *held = CONTAINER_OF(node, struct held, node);
        buf_deinit(&held->bytes);
        buf_deinit(&held->partial);
        buf_deinit(&held->body);
        free(held->events);
        free(held);
        node = next;
    }
    map_deinit(&recordings->held);
    block_codec_free(recordings->codec);
    free(recordings);
    return NULL;
}

/* ——— one recording ——— */

struct reading {
    struct recordings *recordings;
    struct row row;
    struct buf encoded;
    const struct held *held; /* NULL: all is in the store */
    enum err (*visit)(void *context, const struct transcript_record *record);
    void *context;
};

struct search {
    const struct id *id;
    struct buf *encoded;
    bool is_found;
};

static enum err search_visit(void *context, const struct row *row)
{
    struct search *search = context;
    if (id_equal(&row->id, search->id) && row->state != STREAM_DELETED) {
        TRY(row_encode(row, search->encoded));
        search->is_found = true;
    }
    return ERR_CLOSED;
}

/* The list from just after it begins with it. */
static enum err find_row(struct reading *reading, const struct id *id)
{
    struct search search = {id, &reading->encoded, false};
    struct id after = *id;
    for (size_t i = ID_BYTES; i-- > 0 && ++after.bytes[i] == 0;)
        continue;
    TRY(offline_list(reading->recordings->offline, &after, search_visit, &search));
    if (!search.is_found)
        return ERR_NOTFOUND;
    return row_decode(buf_slice(&reading->encoded), &reading->row);
}

static enum err give_part(
    struct reading *reading, uint64_t seq, struct slice bytes, int64_t time_ns, bool is_more)
{
    const struct transcript_record record = {.kind = TRANSCRIPT_EVENT,
        .seq = seq,
        .time_ns = time_ns,
        .is_more = is_more,
        .bytes = bytes};
    return reading->visit(reading->context, &record);
}

/* The frames of a block before event `end`; `at` moves past them. */
static enum err give_block(
    struct reading *reading, const struct block *block, uint64_t end, struct block_position *at)
{
    uint32_t index;
    if (block_find(block, at->seq, &index) != ERR_OK)
        return fault(ERR_CORRUPT, "event %llu is missing", (unsigned long long)at->seq);
    for (; index < block->frame_count && block_seq(block, index) < end; index++) {
        const struct frame *frame = &block->frames[index];
        TRY(give_part(reading, block_seq(block, index), block_frame(block, index), frame->time_ns,
            frame->flags & FRAME_MORE));
        *at = block_next(block, index);
    }
    return ERR_OK;
}

static enum err give_stored(struct reading *reading, uint64_t end)
{
    struct recordings *recordings = reading->recordings;
    struct block_position at = {0};
    while (at.seq < end) {
        struct block *block = NULL;
        enum err err = store_get_block(offline_store(recordings->offline), recordings->codec,
            reading->row.project, reading->row.number, at.seq, at.part, &block);
        if (err == ERR_NOTFOUND)
            return fault(ERR_CORRUPT, "event %llu is missing", (unsigned long long)at.seq);
        TRY(err);
        err = give_block(reading, block, end, &at);
        block_unref(block);
        TRY(err);
    }
    return ERR_OK;
}

/* Cut as storage cuts it. */
static enum err give_held(struct reading *reading, size_t index)
{
    const struct held *held = reading->held;
    size_t at = index ? held->events[index - 1].end : 0;
    size_t end = held->events[index].end;
    do {
        size_t size = end - at < FRAME_BYTES_MAX ? end - at : FRAME_BYTES_MAX;
        TRY(give_part(reading, held->first_seq + index, slice_of(held->bytes.data + at, size),
            held->events[index].time_ns, at + size < end));
        at += size;
    } while (at < end);
    return ERR_OK;
}

static enum err give_events(struct reading *reading)
{
    const struct held *held = reading->held;
    uint64_t end = reading->row.events;
    bool has_held = held && held->has_events && held->first_seq < end;
    TRY(give_stored(reading, has_held ? held->first_seq : end));
    if (!has_held)
        return ERR_OK;
    uint64_t count = end - held->first_seq;
    if (count > held->count)
        return fault(ERR_CORRUPT, "event %llu is missing in the journal",
            (unsigned long long)(held->first_seq + held->count));
    for (size_t i = 0; i < count; i++)
        TRY(give_held(reading, i));
    return ERR_OK;
}

static enum err give_request_piece(struct reading *reading, uint64_t offset, struct slice piece)
{
    const struct transcript_record record = {
        .kind = TRANSCRIPT_REQUEST, .seq = offset, .bytes = piece};
    return reading->visit(reading->context, &record);
}

/* Of a crash in the midst of it a body may be cut short: then that is what there is. */
static enum err give_request(struct reading *reading)
{
    struct recordings *recordings = reading->recordings;
    const struct held *held = reading->held && reading->held->has_body ? reading->held : NULL;
    CLEANUP(buf_deinit) struct buf piece;
    buf_init(&piece, HELD_BYTES_MAX);
    for (uint64_t offset = 0; offset < reading->row.request_bytes;) {
        struct slice bytes;
        if (held && offset >= held->body_offset) {
            bytes = slice_sub(
                buf_slice(&held->body), offset - held->body_offset, TRANSCRIPT_PIECE_BYTES_MAX);
        } else {
            buf_clear(&piece);
            enum err err = store_get_body(offline_store(recordings->offline), recordings->codec,
                reading->row.project, reading->row.number, offset, &piece);
            if (err != ERR_CLOSED && err != ERR_NOTFOUND)
                TRY(err);
            bytes = slice_sub(buf_slice(&piece), 0, TRANSCRIPT_PIECE_BYTES_MAX);
        }
        if (bytes.size == 0)
            break;
        TRY(give_request_piece(reading, offset, bytes));
        offset += bytes.size;
    }
    return ERR_OK;
}

static enum err give_all(struct reading *reading, bool has_request)
{
    const struct row *row = &reading->row;
    struct transcript_record record = {
        .kind = TRANSCRIPT_STREAM, .bytes = buf_slice(&reading->encoded)};
    TRY(reading->visit(reading->context, &record));
    TRY(give_events(reading));
    if (has_request)
        TRY(give_request(reading));
    record = (struct transcript_record){.kind = TRANSCRIPT_END,
        .id = row->id,
        .state = slice_text(stream_state_name(row->state)),
        .reason = row->reason,
        .event_count = row->events,
        .byte_count = row->bytes};
    return reading->visit(reading->context, &record);
}

enum err recordings_read(struct recordings *recordings, const struct id *id, bool has_request,
    enum err (*visit)(void *context, const struct transcript_record *record), void *context)
{
    struct reading reading = {.recordings = recordings, .visit = visit, .context = context};
    buf_init(&reading.encoded, ROW_BYTES_MAX);
    enum err err = find_row(&reading, id);
    if (err == ERR_OK) {
        reading.held = find_held(recordings, reading.row.number);
        err = give_all(&reading, has_request);
    }
    buf_deinit(&reading.encoded);
    return err;
}
