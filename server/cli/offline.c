/* offline — the journal's replay builds an overlay: a stream each, its newest row, how far its
 * events go, and for the one wanted stream the events themselves.
 *
 *     ROW      newest one wins; says how many events came before its record
 *     EVENT    parts, FIRST … LAST, of seq 0, 1, 2…; what is cut short is dropped
 *     DELETE   the stream is a tombstone
 *
 * The rules are those of storage/replay.c, without the bookkeeping of a storage that goes on. */
#include "server/cli/offline.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>

#include "protocol/base/list.h"
#include "protocol/base/map.h"
#include "protocol/base/own.h"
#include "storage/deletion.h"
#include "storage/mend.h"
#include "storage/tail.h"

enum {
    HOLDER_UNKNOWN = -1,
    EVENT_BYTES_MAX = 1024 * 1024 * 1024, /* no bound of ours: the journal's ring is smaller */
};

struct event {
    uint64_t seq;
    struct buf bytes;
};

/* A stream that the journal speaks of. */
struct overlay {
    struct map_node node; /* by number */
    uint64_t number;
    struct id id;
    bool has_row, is_deleted, is_broken, has_events;
    struct buf encoded; /* the newest row */
    struct row row;     /* decoded from it */
    uint64_t events;    /* that there are, in store and journal */
    uint64_t bytes;
    uint64_t partial_bytes; /* of the event whose last part has not come; */
    bool is_partial;        /* there is one */
};

struct offline {
    int lock_fd;
    struct store *store;
    struct block_codec *codec;
    struct journal *journal;
    struct disk *disk;
    struct journal_recovery recovery;
    struct map overlays;
    struct overlay **newest_first; /* those with a row; after the replay */
    size_t overlay_count;
    /* The wanted stream. */
    bool has_wanted;
    struct id wanted;
    bool is_known; /* its number is */
    uint64_t number;
    struct row row;
    struct buf row_bytes;
    uint64_t event_count;
    struct event *events; /* of the journal: dense, the last one perhaps not whole */
    size_t events_held, events_capacity;
    struct block *block; /* the last one read of the store */
};

/* ——— the lock ——— */

static int read_holder(int fd)
{
    char text[24];
    ssize_t size = pread(fd, text, sizeof text - 1, 0);
    if (size <= 0)
        return HOLDER_UNKNOWN;
    text[size] = '\0';
    long pid = strtol(text, NULL, 10);
    return pid > 0 && pid <= INT_MAX ? (int)pid : HOLDER_UNKNOWN;
}

/* answers ERR_NOTFOUND there is no lock, so no server was ever here · ERR_BUSY */
static enum err take_lock(const char *path, int *fd, int *holder_pid)
{
    char lock[PATH_MAX];
    if (snprintf(lock, sizeof lock, "%s/lock", path) >= (int)sizeof lock)
        return ERR_NOTFOUND;
    *fd = open(lock, O_RDONLY | O_CLOEXEC);
    if (*fd < 0)
        return errno == ENOENT || errno == ENOTDIR
                   ? ERR_NOTFOUND
                   : fault(ERR_IO, "open %s: %s", lock, strerror(errno));
    if (flock(*fd, LOCK_SH | LOCK_NB) == 0)
        return ERR_OK;
    if (errno != EWOULDBLOCK)
        return fault(ERR_IO, "flock %s: %s", lock, strerror(errno));
    *holder_pid = read_holder(*fd);
    return ERR_BUSY;
}

int offline_holder(const char *path)
{
    CLEANUP(cleanup_close) int fd = -1;
    int holder_pid = 0;
    return take_lock(path, &fd, &holder_pid) == ERR_BUSY ? holder_pid : 0;
}

/* ——— replay ——— */

static struct overlay *find_overlay(const struct offline *offline, uint64_t number)
{
    uint64_t hash = map_hash(slice_of(&number, sizeof number));
    for (struct map_node *node = map_first(&offline->overlays, hash); node; node = map_next(node)) {
        struct overlay *overlay = CONTAINER_OF(node, struct overlay, node);
        if (overlay->number == number)
            return overlay;
    }
    return NULL;
}

static enum err take_overlay(struct offline *offline, uint64_t number, struct overlay **out)
{
    *out = find_overlay(offline, number);
    if (*out)
        return ERR_OK;
    struct overlay *overlay = calloc(1, sizeof *overlay);
    if (!overlay)
        return fault(ERR_NOMEM, "stream of the journal");
    overlay->number = number;
    buf_init(&overlay->encoded, ROW_BYTES_MAX);
    uint64_t hash = map_hash(slice_of(&number, sizeof number));
    enum err err = map_insert(&offline->overlays, &overlay->node, hash);
    if (err != ERR_OK) {
        free(overlay);
        return err;
    }
    *out = overlay;
    return ERR_OK;
}

static struct event *last_event(struct offline *offline)
{
    ASSERT(offline->events_held > 0);
    return &offline->events[offline->events_held - 1];
}

static void drop_partial(struct offline *offline, struct overlay *overlay)
{
    if (overlay->is_partial && offline->is_known && overlay->number == offline->number) {
        buf_deinit(&last_event(offline)->bytes);
        offline->events_held--;
    }
    overlay->is_partial = false;
    overlay->partial_bytes = 0;
}

static enum err replay_row(struct offline *offline, const struct record *record)
{
    struct overlay *overlay;
    TRY(take_overlay(offline, record->number, &overlay));
    drop_partial(offline, overlay);
    buf_clear(&overlay->encoded);
    TRY(buf_append(&overlay->encoded, record->payload));
    TRY(row_decode(buf_slice(&overlay->encoded), &overlay->row));
    if (overlay->has_events && overlay->row.events != overlay->events)
        overlay->is_broken = true;
    else
        overlay->events = overlay->row.events;
    overlay->bytes = overlay->row.bytes;
    overlay->id = overlay->row.id;
    overlay->has_row = overlay->has_events = true;
    if (offline->has_wanted && id_equal(&overlay->id, &offline->wanted)) {
        offline->is_known = true;
        offline->number = overlay->number;
    }
    return ERR_OK;
}

/* A part of an event of the wanted stream. */
static enum err keep_part(struct offline *offline, const struct record *record, bool is_first)
{
    if (is_first && offline->events_held == offline->events_capacity) {
        size_t capacity = offline->events_capacity ? offline->events_capacity * 2 : 256;
        struct event *events = reallocarray(offline->events, capacity, sizeof *events);
        if (!events)
            return fault(ERR_NOMEM, "events of the journal");
        offline->events = events;
        offline->events_capacity = capacity;
    }
    if (is_first) {
        struct event *event = &offline->events[offline->events_held++];
        event->seq = record->seq;
        buf_init(&event->bytes, EVENT_BYTES_MAX);
    }
    return buf_append(&last_event(offline)->bytes, record->payload);
}

static enum err replay_event(struct offline *offline, const struct record *record)
{
    struct overlay *overlay;
    bool is_first = record->flags & TAIL_RECORD_FIRST;
    TRY(take_overlay(offline, record->number, &overlay));
    if (is_first)
        drop_partial(offline, overlay);
    if (is_first && !overlay->has_events)
        overlay->events = record->seq; /* those before it are in the store */
    overlay->has_events |= is_first;
    if (!is_first && !overlay->is_partial)
        return ERR_OK; /* the rest of what the store has */
    if (overlay->is_broken || record->seq != overlay->events) {
        overlay->is_broken = true;
        return ERR_OK;
    }
    if (offline->is_known && overlay->number == offline->number)
        TRY(keep_part(offline, record, is_first));
    overlay->is_partial = true;
    overlay->partial_bytes += record->payload.size;
    if (record->flags & RECORD_LAST) {
        overlay->events++;
        overlay->bytes += overlay->partial_bytes;
        overlay->is_partial = false;
        overlay->partial_bytes = 0;
    }
    return ERR_OK;
}

static enum err replay_delete(struct offline *offline, const struct record *record)
{
    struct deletion *deletion;
    struct overlay *overlay;
    TRY(deletion_decode(record, &deletion));
    enum err err = take_overlay(offline, record->number, &overlay);
    if (err == ERR_OK) {
        overlay->id = deletion->id;
        overlay->is_deleted = true;
    }
    deletion_free(deletion);
    return err;
}

static enum err replay(void *context, const struct record *record, uint64_t lsn)
{
    struct offline *offline = context;
    (void)lsn;
    switch (record->type) {
    case RECORD_ROW: return replay_row(offline, record);
    case RECORD_EVENT: return replay_event(offline, record);
    case RECORD_DELETE: return replay_delete(offline, record);
    case RECORD_BODY:
    case RECORD_ASIDE: return ERR_OK;
    default:
        return record_type_may_be_skipped(record->type)
                   ? ERR_OK
                   : fault(ERR_UNSUPPORTED, "journal record type %d of a later version",
                         record->type);
    }
}

static int later_first(const void *a, const void *b)
{
    const struct overlay *const *left = a;
    const struct overlay *const *right = b;
    return memcmp((*right)->id.bytes, (*left)->id.bytes, ID_BYTES);
}

/* After the replay: what is cut short goes, and the streams are put in order. */
static enum err settle(struct offline *offline)
{
    size_t room = offline->overlays.count;
    offline->newest_first = calloc(room ? room : 1, sizeof(struct overlay *));
    if (!offline->newest_first)
        return fault(ERR_NOMEM, "streams of the journal");
    struct map_node *node = NULL;
    while ((node = map_walk(&offline->overlays, node))) {
        struct overlay *overlay = CONTAINER_OF(node, struct overlay, node);
        drop_partial(offline, overlay);
        if (overlay->has_row || overlay->is_deleted)
            offline->newest_first[offline->overlay_count++] = overlay;
    }
    qsort(offline->newest_first, offline->overlay_count, sizeof(struct overlay *), later_first);
    return ERR_OK;
}

/* ——— rows ——— */

/* The row as it is to be shown. */
static void show(const struct overlay *overlay, struct row *row)
{
    if (overlay && overlay->has_row)
        *row = overlay->row;
    if (overlay && overlay->is_deleted) {
        row->state = STREAM_DELETED;
        row->reason = SLICE("deleted");
    }
    if (!stream_state_is_live(row->state))
        return;
    if (!row->is_appended) /* what a client writes stays open */
        row->state = STREAM_INTERRUPTED;
    if (overlay && overlay->events >= row->events) {
        row->events = overlay->events;
        row->bytes = overlay->bytes;
    }
}

struct search {
    struct offline *offline;
    const struct id *id;
    struct buf *out;
    enum err err;
};

static enum err search_project(void *context, uint32_t number, struct slice name)
{
    struct search *search = context;
    (void)name;
    search->err = store_get_row(search->offline->store, number, search->id, search->out);
    return search->err == ERR_NOTFOUND ? ERR_OK : ERR_CLOSED;
}

/* A row of the store, whichever project it is of. */
static enum err find_stored(
    struct offline *offline, const struct id *id, struct buf *bytes, struct row *out)
{
    struct search search = {offline, id, bytes, ERR_NOTFOUND};
    enum err err = store_project_walk(offline->store, search_project, &search);
    if (err != ERR_OK && err != ERR_CLOSED)
        return err;
    TRY(search.err);
    return row_decode(buf_slice(bytes), out);
}

static struct overlay *find_by_id(const struct offline *offline, const struct id *id)
{
    for (size_t i = 0; i < offline->overlay_count; i++)
        if (id_equal(&offline->newest_first[i]->id, id))
            return offline->newest_first[i];
    return NULL;
}

enum err offline_row(struct offline *offline, const struct id *id, struct row *out)
{
    ASSERT(offline->has_wanted && id_equal(id, &offline->wanted));
    const struct overlay *overlay = find_by_id(offline, id);
    if (!offline->is_known)
        return ERR_NOTFOUND;
    *out = offline->row;
    show(overlay, out);
    return ERR_OK;
}

/* ——— listing: two sorted lists merged ——— */

struct merge {
    struct offline *offline;
    size_t next; /* of newest_first */
    enum err (*visit)(void *context, const struct row *row);
    void *context;
    bool is_over;
};

static enum err merge_visit(struct merge *merge, const struct row *row)
{
    enum err err = merge->visit(merge->context, row);
    merge->is_over = err == ERR_CLOSED;
    return err;
}

/* The journal's own streams that are newer than `id`; all that are left if NULL. */
static enum err merge_newer(struct merge *merge, const struct id *id)
{
    struct offline *offline = merge->offline;
    for (; merge->next < offline->overlay_count; merge->next++) {
        const struct overlay *overlay = offline->newest_first[merge->next];
        if (id && memcmp(overlay->id.bytes, id->bytes, ID_BYTES) <= 0)
            return ERR_OK;
        struct row row;
        if (!overlay->has_row)
            continue; /* a delete of what is in the store: met there */
        show(overlay, &row);
        TRY(merge_visit(merge, &row));
    }
    return ERR_OK;
}

static enum err merge_stored(void *context, const struct row *stored)
{
    struct merge *merge = context;
    struct offline *offline = merge->offline;
    struct row row = *stored;
    const struct overlay *overlay = NULL;
    TRY(merge_newer(merge, &stored->id));
    if (merge->next < offline->overlay_count &&
        id_equal(&offline->newest_first[merge->next]->id, &stored->id))
        overlay = offline->newest_first[merge->next++];
    show(overlay, &row);
    return merge_visit(merge, &row);
}

enum err offline_list(struct offline *offline, const struct id *before,
    enum err (*visit)(void *context, const struct row *row), void *context)
{
    struct merge merge = {.offline = offline, .visit = visit, .context = context};
    while (before && merge.next < offline->overlay_count &&
           memcmp(offline->newest_first[merge.next]->id.bytes, before->bytes, ID_BYTES) >= 0)
        merge.next++;
    TRY(store_list(offline->store, 0, before, SIZE_MAX, merge_stored, &merge));
    if (merge.is_over)
        return ERR_OK;
    enum err err = merge_newer(&merge, NULL);
    return err == ERR_CLOSED ? ERR_OK : err;
}

/* ——— events ——— */

static enum err stored_block(struct offline *offline, uint64_t seq, uint32_t part)
{
    offline->block = block_unref(offline->block);
    return store_get_block(offline->store, offline->codec, offline->row.project, offline->number,
        seq, part, &offline->block);
}

/* Event `seq`, part by part. A block may end in the middle of it. */
static enum err stored_event(struct offline *offline, uint64_t seq, struct buf *out)
{
    for (uint32_t part = 0;; part++) {
        uint32_t index;
        if (part || !offline->block || block_find(offline->block, seq, &index) != ERR_OK ||
            (index == 0 && offline->block->part != 0)) {
            TRY(stored_block(offline, seq, part));
            TRY(block_find(offline->block, seq, &index));
        }
        TRY(buf_append(out, block_frame(offline->block, index)));
        if (!(offline->block->frames[index].flags & FRAME_MORE))
            return ERR_OK;
    }
}

enum err offline_event(struct offline *offline, uint64_t seq, struct buf *out)
{
    ASSERT(offline->has_wanted);
    if (!offline->is_known || seq >= offline->event_count)
        return ERR_CLOSED;
    if (offline->events_held && seq >= offline->events[0].seq) {
        size_t index = (size_t)(seq - offline->events[0].seq);
        if (index < offline->events_held)
            return buf_append(out, buf_slice(&offline->events[index].bytes));
    }
    enum err err = stored_event(offline, seq, out);
    return err == ERR_NOTFOUND
               ? fault(ERR_CORRUPT, "event %llu is missing", (unsigned long long)seq)
               : err;
}

/* The row of a live stream may be older than its last blocks in the store. */
static uint64_t count_stored(struct offline *offline, uint64_t events)
{
    while (stored_block(offline, events, 0) == ERR_OK) {
        const struct block *block = offline->block;
        uint32_t last = block->frame_count - 1;
        bool is_whole = !(block->frames[last].flags & FRAME_MORE);
        uint64_t end = block_seq(block, last) + is_whole;
        if (end <= events)
            break; /* an event of several blocks: it is counted by its row, or not at all */
        events = end;
    }
    return events;
}

static enum err find_wanted(struct offline *offline)
{
    enum err err = find_stored(offline, &offline->wanted, &offline->row_bytes, &offline->row);
    if (err == ERR_NOTFOUND)
        return ERR_OK; /* the journal may know it */
    TRY(err);
    offline->is_known = true;
    offline->number = offline->row.number;
    return ERR_OK;
}

static void settle_wanted(struct offline *offline)
{
    const struct overlay *overlay = find_overlay(offline, offline->number);
    if (!offline->is_known)
        return;
    bool is_ended = !stream_state_is_live(offline->row.state);
    if (overlay && overlay->has_row)
        offline->row = overlay->row;
    struct row shown = offline->row;
    show(overlay, &shown);
    offline->event_count = shown.events;
    if (shown.state == STREAM_DELETED)
        offline->event_count = 0;
    else if (!is_ended && !(overlay && overlay->has_events))
        offline->event_count = count_stored(offline, shown.events);
    offline->row.events = offline->event_count;
}

/* ——— opening ——— */

static int64_t no_time(void *context)
{
    (void)context;
    return 0; /* a journal that is only read never asks what time it is */
}

static enum err open_journal(struct offline *offline, const char *path)
{
    offline->disk = disk_plain_new();
    if (!offline->disk)
        return fault(ERR_NOMEM, "disk");
    struct journal_config config = {
        .disk = offline->disk,
        .path = path,
        .segment_bytes = SEGMENT_BYTES_DEFAULT, /* for new ones: none are made */
        .segment_count = SEGMENT_COUNT_MAX,
        .is_read_only = true,
        .now_ns = no_time,
        .context = offline,
    };
    store_uuid(offline->store, config.store_uuid);
    return journal_open(
        &config, store_absorbed_lsn(offline->store), replay, &offline->recovery, &offline->journal);
}

static enum err open_all(struct offline *offline, const char *path)
{
    TRY(store_open(path, true, 1, &offline->store));
    TRY(block_codec_new(1, &offline->codec));
    if (offline->has_wanted)
        TRY(find_wanted(offline));
    TRY(open_journal(offline, path));
    mend_expect(offline->store, &offline->recovery);
    TRY(settle(offline));
    if (offline->has_wanted)
        settle_wanted(offline);
    return ERR_OK;
}

enum err offline_open(
    const char *path, const struct id *wanted, int *holder_pid, struct offline **out)
{
    struct offline *offline = calloc(1, sizeof *offline);
    if (!offline)
        return fault(ERR_NOMEM, "offline");
    offline->lock_fd = -1;
    map_init(&offline->overlays);
    buf_init(&offline->row_bytes, ROW_BYTES_MAX);
    offline->has_wanted = wanted != NULL;
    if (wanted)
        offline->wanted = *wanted;
    enum err err = take_lock(path, &offline->lock_fd, holder_pid);
    if (err == ERR_OK)
        err = open_all(offline, path);
    if (err != ERR_OK) {
        offline_close(offline);
        return err;
    }
    *out = offline;
    return ERR_OK;
}

static void free_overlays(struct map *overlays)
{
    struct map_node *node = map_walk(overlays, NULL);
    while (node) {
        struct map_node *next = map_walk(overlays, node);
        struct overlay *overlay = CONTAINER_OF(node, struct overlay, node);
        buf_deinit(&overlay->encoded);
        free(overlay);
        node = next;
    }
    map_deinit(overlays);
}

struct offline *offline_close(struct offline *offline)
{
    if (!offline)
        return NULL;
    for (size_t i = 0; i < offline->events_held; i++)
        buf_deinit(&offline->events[i].bytes);
    free(offline->events);
    free(offline->newest_first);
    free_overlays(&offline->overlays);
    block_unref(offline->block);
    buf_deinit(&offline->row_bytes);
    journal_close(offline->journal);
    disk_plain_free(offline->disk);
    block_codec_free(offline->codec);
    store_close(offline->store);
    cleanup_close(&offline->lock_fd);
    free(offline);
    return NULL;
}

struct store *offline_store(struct offline *offline)
{
    return offline->store;
}

const struct journal_recovery *offline_recovery(const struct offline *offline)
{
    return &offline->recovery;
}

void offline_walk_damage(struct offline *offline,
    void (*report)(void *context, const struct id *id, const char *what), void *context)
{
    for (size_t i = 0; i < offline->overlay_count; i++)
        if (offline->newest_first[i]->is_broken)
            report(context, &offline->newest_first[i]->id,
                "journal: records of it are missing; it ends before them");
}
