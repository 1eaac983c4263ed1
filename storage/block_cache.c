/* block_cache — see block_cache.h.
 *
 *     by_number ──▶ row of a stream and a kind: blocks in order ■ ■ ■ ■   (binary search)
 *                                                            ▲ ▲ ▲
 *     by_use    ───────────────────────── oldest ────────────┴─┴─┴──── newest
 *
 * A merge replaces stored blocks by larger ones: a row may so have some that overlap. The last that
 * begins at or before a place is looked at; should an earlier, larger one hold the place, it is
 * missed once, and covered by what the store then gives. */
#include "storage/block_cache.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/base/list.h"
#include "protocol/base/map.h"

enum {
    SLOTS_MIN = 4,         /* of a row; it doubles */
    FORGOTTEN_COUNT = 256, /* streams deleted last: a read takes less long than so many deletions */
};

struct entry {
    struct list by_use;
    struct cache_row *row;
    struct block *block;
};

struct cache_row {
    struct map_node by_number;
    uint64_t number;
    enum block_kind kind;
    struct entry **entries; /* by the place where they begin */
    size_t count, capacity;
};

struct block_cache {
    pthread_mutex_t lock; /* of all that follows */
    uint64_t bytes_max;
    struct map by_number;
    struct list by_use;
    struct block_cache_status status;
    uint64_t forgotten[FORGOTTEN_COUNT]; /* a ring */
    size_t forgotten_next;
};

enum err block_cache_new(uint64_t bytes_max, struct block_cache **out)
{
    struct block_cache *cache = calloc(1, sizeof *cache);
    if (!cache)
        return fault(ERR_NOMEM, "a cache of blocks");
    cache->bytes_max = bytes_max;
    map_init(&cache->by_number);
    list_init(&cache->by_use);
    memset(cache->forgotten, 0xff, sizeof cache->forgotten); /* no stream has this number */
    (void)pthread_mutex_init(&cache->lock, NULL);
    *out = cache;
    return ERR_OK;
}

/* ---- Rows ---- */

static uint64_t hash_number(uint64_t number)
{
    return map_hash(slice_of(&number, sizeof number));
}

static struct cache_row *find_row(
    const struct block_cache *cache, enum block_kind kind, uint64_t number)
{
    struct map_node *node = map_first(&cache->by_number, hash_number(number));
    for (; node; node = map_next(node)) {
        struct cache_row *row = CONTAINER_OF(node, struct cache_row, by_number);
        if (row->number == number && row->kind == kind)
            return row;
    }
    return NULL;
}

static struct cache_row *row_new(struct block_cache *cache, enum block_kind kind, uint64_t number)
{
    struct cache_row *row = calloc(1, sizeof *row);
    if (!row)
        return NULL;
    row->number = number;
    row->kind = kind;
    if (map_insert(&cache->by_number, &row->by_number, hash_number(number)) != ERR_OK) {
        free(row);
        return NULL;
    }
    return row;
}

static void drop_empty_row(struct block_cache *cache, struct cache_row *row)
{
    if (row->count > 0)
        return;
    map_remove(&cache->by_number, &row->by_number);
    free(row->entries);
    free(row);
}

static bool is_before(struct block_position a, struct block_position b)
{
    return a.seq < b.seq || (a.seq == b.seq && a.part < b.part);
}

static struct block_position beginning(const struct block *block)
{
    return (struct block_position){block->first_seq, block->part};
}

/* How many of the row's blocks begin before `at`, or at it if `and_at`. */
static size_t count_before(const struct cache_row *row, struct block_position at, bool and_at)
{
    size_t low = 0, high = row->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        struct block_position begin = beginning(row->entries[middle]->block);
        if (is_before(begin, at) || (and_at && !is_before(at, begin)))
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* ---- Entries ---- */

static uint64_t cost_of(const struct block *block)
{
    return sizeof *block + (uint64_t)block->frame_capacity * sizeof *block->frames +
           block->capacity + sizeof(struct entry) + sizeof(struct entry *);
}

/* The entries [from, to) of a row; the row itself stays. */
static void drop_range(struct block_cache *cache, struct cache_row *row, size_t from, size_t to)
{
    for (size_t i = from; i < to; i++) {
        struct entry *entry = row->entries[i];
        cache->status.bytes -= cost_of(entry->block);
        cache->status.blocks--;
        list_unlink(&entry->by_use);
        block_unref(entry->block);
        free(entry);
    }
    if (from < to)
        memmove(row->entries + from, row->entries + to, (row->count - to) * sizeof(struct entry *));
    row->count -= to - from;
}

static void drop_oldest(struct block_cache *cache)
{
    struct entry *entry = CONTAINER_OF(cache->by_use.next, struct entry, by_use);
    struct cache_row *row = entry->row;
    size_t at = count_before(row, beginning(entry->block), false);
    ASSERT(row->entries[at] == entry);
    drop_range(cache, row, at, at + 1);
    drop_empty_row(cache, row);
}

static bool grow_row(struct cache_row *row)
{
    if (row->count < row->capacity)
        return true;
    size_t capacity = row->capacity ? row->capacity * 2 : SLOTS_MIN;
    struct entry **entries = realloc(row->entries, capacity * sizeof(struct entry *));
    if (!entries)
        return false;
    row->entries = entries;
    row->capacity = capacity;
    return true;
}

/* What the block covers goes: it is the same, in smaller pieces. */
static bool insert(struct block_cache *cache, struct cache_row *row, struct block *block)
{
    struct block_position begin = beginning(block);
    size_t from = count_before(row, begin, false);
    size_t to = count_before(row, block_next(block, block->frame_count - 1), false);
    struct entry *entry = calloc(1, sizeof *entry);
    if (!entry || !grow_row(row)) {
        free(entry);
        return false;
    }
    drop_range(cache, row, from, to);
    memmove(
        row->entries + from + 1, row->entries + from, (row->count - from) * sizeof(struct entry *));
    *entry = (struct entry){.row = row, .block = block_ref(block)};
    row->entries[from] = entry;
    row->count++;
    list_append(&cache->by_use, &entry->by_use);
    cache->status.bytes += cost_of(block);
    cache->status.blocks++;
    return true;
}

static bool is_forgotten(const struct block_cache *cache, uint64_t number)
{
    for (size_t i = 0; i < FORGOTTEN_COUNT; i++)
        if (cache->forgotten[i] == number)
            return true;
    return false;
}

/* ---- All of it ---- */

static void lock(struct block_cache *cache)
{
    (void)pthread_mutex_lock(&cache->lock);
}

static void unlock(struct block_cache *cache)
{
    (void)pthread_mutex_unlock(&cache->lock);
}

struct block_cache *block_cache_free(struct block_cache *cache)
{
    if (!cache)
        return NULL;
    while (!list_is_empty(&cache->by_use))
        drop_oldest(cache);
    map_deinit(&cache->by_number);
    (void)pthread_mutex_destroy(&cache->lock);
    free(cache);
    return NULL;
}

static struct entry *find_entry(const struct block_cache *cache, enum block_kind kind,
    uint64_t number, struct block_position at)
{
    const struct cache_row *row = find_row(cache, kind, number);
    size_t count = row ? count_before(row, at, true) : 0;
    if (count == 0)
        return NULL;
    struct entry *entry = row->entries[count - 1];
    return block_holds(entry->block, at) ? entry : NULL;
}

struct block *block_cache_find(
    struct block_cache *cache, enum block_kind kind, uint64_t number, struct block_position at)
{
    if (!cache)
        return NULL;
    struct block *block = NULL;
    lock(cache);
    struct entry *entry = find_entry(cache, kind, number, at);
    if (entry) {
        block = block_ref(entry->block);
        list_unlink(&entry->by_use);
        list_append(&cache->by_use, &entry->by_use);
        cache->status.hits++;
    } else {
        cache->status.misses++;
    }
    unlock(cache);
    return block;
}

static void put(
    struct block_cache *cache, enum block_kind kind, uint64_t number, struct block *block)
{
    uint64_t cost = cost_of(block);
    if (cost > cache->bytes_max || is_forgotten(cache, number))
        return;
    while (cache->status.bytes > cache->bytes_max - cost)
        drop_oldest(cache);
    struct cache_row *row = find_row(cache, kind, number);
    if (!row)
        row = row_new(cache, kind, number);
    if (row && !insert(cache, row, block))
        drop_empty_row(cache, row);
}

void block_cache_put(
    struct block_cache *cache, enum block_kind kind, uint64_t number, struct block *block)
{
    ASSERT(block->frame_count > 0);
    if (!cache)
        return;
    lock(cache);
    put(cache, kind, number, block);
    unlock(cache);
}

static void drop_row(struct block_cache *cache, enum block_kind kind, uint64_t number)
{
    struct cache_row *row = find_row(cache, kind, number);
    if (!row)
        return;
    drop_range(cache, row, 0, row->count);
    drop_empty_row(cache, row);
}

void block_cache_forget(struct block_cache *cache, uint64_t number)
{
    if (!cache)
        return;
    lock(cache);
    drop_row(cache, BLOCK_STORED, number);
    drop_row(cache, BLOCK_DERIVED, number);
    if (!is_forgotten(cache, number)) {
        cache->forgotten[cache->forgotten_next] = number;
        cache->forgotten_next = (cache->forgotten_next + 1) % FORGOTTEN_COUNT;
    }
    unlock(cache);
}

void block_cache_status(struct block_cache *cache, struct block_cache_status *out)
{
    lock(cache);
    *out = cache->status;
    unlock(cache);
}
