/* reader — see reader.h.
 *
 *      ┌──────── tail has it ────────┐
 *   PLACE ── the tail says archived ─┼─▶ query ──▶ block ──▶ frames ──▶ PLACE…
 *      └── nothing yet ─▶ parked     └── the stream is wholly archived
 */
#include "server/stream/reader.h"

#include <stdlib.h>
#include <string.h>

#include "protocol/base/own.h"

struct reader {
    struct stream *stream;
    struct stream_watcher watcher;
    struct block_position at;
    uint64_t limit; /* not following: stop before this seq */
    bool follows;
    bool is_closed; /* waits for its query only */
    bool is_waited; /* ERR_AGAIN was answered: a wake is owed */
    enum err err;   /* what the last query failed with */
    struct block *block;
    uint32_t index, end;
    bool is_derived; /* the block */
    reader_derivation *derive;
    struct storage_query *query; /* while one is under way: most readers wait without */
    void (*wake)(void *context);
    void *context;
};

static void watcher_wake(struct stream_watcher *watcher)
{
    struct reader *reader = CONTAINER_OF(watcher, struct reader, watcher);
    if (!reader->is_waited || reader->query)
        return;
    reader->is_waited = false;
    reader->wake(reader->context);
}

enum err reader_new(struct stream *stream, uint64_t from, bool follow, void (*wake)(void *context),
    void *context, struct reader **out)
{
    if (from > stream_watermark(stream))
        return ERR_LIMIT;
    struct reader *reader = calloc(1, sizeof *reader);
    if (!reader)
        return fault(ERR_NOMEM, "reader");
    *reader = (struct reader){.stream = stream,
        .at = {from, 0},
        .limit = follow ? UINT64_MAX : stream_watermark(stream),
        .follows = follow,
        .wake = wake,
        .context = context};
    reader->watcher.wake = watcher_wake;
    stream_watch(stream, &reader->watcher);
    *out = reader;
    return ERR_OK;
}

void reader_derive(struct reader *reader, reader_derivation *derive)
{
    ASSERT(!reader->block && !reader->query);
    reader->derive = derive;
}

void reader_touches(struct reader *reader, const void *const objects[STREAM_TOUCHED_MAX])
{
    memcpy(reader->watcher.touches, objects, sizeof reader->watcher.touches);
}

struct stream *reader_stream(const struct reader *reader)
{
    return reader->stream;
}

uint64_t reader_seq(const struct reader *reader)
{
    return reader->at.seq;
}

static void reader_free(struct reader *reader)
{
    block_unref(reader->block);
    stream_unref(reader->stream);
    free(reader);
}

struct reader *reader_close(struct reader *reader)
{
    if (!reader)
        return NULL;
    ASSERT(!reader->is_closed);
    stream_unwatch(reader->stream, &reader->watcher);
    if (reader->query) {
        reader->is_closed = true;
        storage_cancel(reader->query);
    } else {
        reader_free(reader);
    }
    return NULL;
}

/* The reader takes over the block. */
static enum err reader_begin(struct reader *reader, struct block *block, bool is_derived)
{
    enum err err = block_find(block, reader->at.seq, &reader->index);
    if (err) {
        block_unref(block);
        return err;
    }
    reader->block = block;
    reader->end = block->frame_count;
    reader->is_derived = is_derived;
    return ERR_OK;
}

static void keep(struct reader *reader, enum block_kind kind, struct block *block)
{
    struct storage *storage = hub_storage(stream_hub(reader->stream));
    if (storage) /* or it is closed: what was read before is told after */
        storage_keep(storage, kind, stream_row(reader->stream)->number, block);
}

/* The same of a block of the store. */
static enum err reader_begin_stored(struct reader *reader, struct block *stored)
{
    if (!reader->derive)
        return reader_begin(reader, stored, false);
    struct block *derived;
    enum err err = reader->derive(stored, &derived);
    block_unref(stored);
    TRY(err);
    keep(reader, BLOCK_DERIVED, derived);
    return reader_begin(reader, derived, true);
}

static void query_done(struct storage_query *query, enum err err)
{
    struct reader *reader = query->owner;
    struct block *block = query->block;
    free(query);
    reader->query = NULL;
    if (!err && !reader->derive)
        keep(reader, BLOCK_STORED, block);
    if (!err)
        err = reader_begin_stored(reader, block);
    if (reader->is_closed) {
        reader_free(reader);
        return;
    }
    reader->err = err;
    reader->is_waited = false;
    reader->wake(reader->context);
}

static enum err reader_submit(struct reader *reader, struct storage *storage)
{
    const struct row *row = stream_row(reader->stream);
    struct storage_query *query = malloc(sizeof *query);
    if (!query)
        return fault(ERR_NOMEM, "a reader's query");
    *query = (struct storage_query){.kind = STORAGE_BLOCK,
        .project = row->project,
        .number = row->number,
        .seq = reader->at.seq,
        .part = reader->at.part,
        .done = query_done,
        .owner = reader};
    enum err err = storage_query(storage, query);
    if (err) {
        free(query);
        return err;
    }
    reader->query = query;
    return ERR_AGAIN;
}

/* The store's blocks begin where it suits the store: of an event cut there, the part that was sent
 * already is in an earlier one. */
static enum err reader_query(struct reader *reader)
{
    struct storage *storage = hub_storage(stream_hub(reader->stream));
    uint64_t number = stream_row(reader->stream)->number;
    struct block *block;
    if (reader->derive && (block = storage_cached(storage, BLOCK_DERIVED, number, reader->at)))
        return reader_begin(reader, block, true);
    block = storage_cached(storage, BLOCK_STORED, number, reader->at);
    return block ? reader_begin_stored(reader, block) : reader_submit(reader, storage);
}

/* The next block, from wherever it is. */
static enum err reader_fetch(struct reader *reader)
{
    struct tail *tail = stream_tail(reader->stream);
    if (!tail)
        return reader->at.seq >= stream_row(reader->stream)->events ? ERR_CLOSED
                                                                    : reader_query(reader);
    reader->is_derived = false;
    enum err err = tail_read(
        tail, reader->at.seq, reader->at.part, &reader->block, &reader->index, &reader->end);
    bool is_all = stream_is_left(reader->stream) || hub_is_stuck(stream_hub(reader->stream));
    if (err == ERR_AGAIN && is_all)
        return ERR_FULL;
    return err == ERR_NOTFOUND ? reader_query(reader) : err;
}

/* How far the block may be shown to one who does not follow. */
static uint32_t clip(const struct reader *reader)
{
    uint64_t frames = reader->limit - reader->block->first_seq;
    return frames < reader->end ? (uint32_t)frames : reader->end;
}

static enum err reader_wait(struct reader *reader)
{
    reader->is_waited = true;
    reader->watcher.is_parked = true;
    return ERR_AGAIN;
}

enum err reader_peek(struct reader *reader, struct reader_view *view)
{
    if (reader->err)
        return reader->err;
    if (reader->query)
        return ERR_AGAIN;
    if (reader->at.seq >= reader->limit)
        return ERR_CLOSED;
    if (!reader->block) {
        enum err err = reader_fetch(reader);
        if (err == ERR_AGAIN)
            return reader_wait(reader);
        TRY(err);
    }
    reader->end = clip(reader);
    *view = (struct reader_view){reader->block, reader->index, reader->end, reader->is_derived};
    return ERR_OK;
}

void reader_take(struct reader *reader, uint32_t index)
{
    ASSERT(reader->block && index > reader->index && index <= reader->end);
    reader->at = block_next(reader->block, index - 1);
    reader->index = index;
    if (index == reader->end)
        reader->block = block_unref(reader->block);
}
