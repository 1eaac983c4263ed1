/* slot — see slot.h for the states.
 *
 * A slot made ahead is prefilled under the name journal-NN.new and then renamed, so that a crash
 * leaves either a whole prefilled slot or a file that nobody takes for one. A slot made on the loop
 * thread, because none was ready, is only allocated: its first lap is slower, its bytes as safe. */
#include "storage/slot.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/base/own.h"

enum { SLOT_NAME_BYTES_MAX = 24 /* "/journal-63.new" and its NUL */ };

static enum slot_state state_of(const struct slot *slot)
{
    return atomic_load_explicit(&slot->state, memory_order_acquire);
}

static void set_state(struct slot *slot, enum slot_state state)
{
    atomic_store_explicit(&slot->state, state, memory_order_release);
}

bool slot_is_unavailable(const struct slot *slot)
{
    return state_of(slot) == SLOT_UNAVAILABLE;
}

bool slot_is_used(const struct slot *slot)
{
    return state_of(slot) == SLOT_USED;
}

/* claim — from `from` to BUSY, if no other thread was faster. */
static bool claim(struct slot *slot, enum slot_state from)
{
    return atomic_compare_exchange_strong_explicit(
        &slot->state, &from, SLOT_BUSY, memory_order_acq_rel, memory_order_acquire);
}

uint32_t slot_ring_index(const struct slot_ring *ring, const struct slot *slot)
{
    ASSERT(slot >= ring->slots && slot < ring->slots + SEGMENT_COUNT_MAX);
    return (uint32_t)(slot - ring->slots);
}

/* slot_path — owned by the caller; NULL: out of memory. */
static char *slot_path(const struct slot_ring *ring, uint32_t index, const char *suffix)
{
    size_t size = strlen(ring->path) + SLOT_NAME_BYTES_MAX;
    char *path = malloc(size);
    if (path)
        (void)snprintf(path, size, "%s/journal-%02u%s", ring->path, index, suffix);
    return path;
}

static enum err open_slot(struct slot_ring *ring, uint32_t index)
{
    struct slot *slot = &ring->slots[index];
    CLEANUP(cleanup_free) char *path = slot_path(ring, index, "");
    if (!path)
        return fault(ERR_NOMEM, "path of a journal slot");
    enum err err = ring->disk->ops->open(ring->disk, path, 0, &slot->file);
    if (err == ERR_NOTFOUND)
        return ERR_OK; /* stays ABSENT */
    TRY(err);
    set_state(slot, SLOT_USED);
    return ring->disk->ops->size(slot->file, &slot->bytes);
}

enum err slot_ring_open(struct slot_ring *ring, struct disk *disk, const char *path,
    uint64_t segment_bytes, uint32_t segment_count)
{
    ASSERT(segment_count >= SEGMENT_COUNT_MIN && segment_count <= SEGMENT_COUNT_MAX);
    memset(ring, 0, sizeof *ring);
    ring->disk = disk;
    ring->segment_bytes = segment_bytes;
    ring->segment_count = segment_count;
    ring->path = strdup(path);
    if (!ring->path)
        return fault(ERR_NOMEM, "path of the journal");
    for (uint32_t index = 0; index < SEGMENT_COUNT_MAX; index++)
        TRY(open_slot(ring, index));
    return ERR_OK;
}

void slot_ring_close(struct slot_ring *ring)
{
    for (struct slot *slot = ring->slots; slot < ring->slots + SEGMENT_COUNT_MAX; slot++)
        if (slot->file)
            ring->disk->ops->close(slot->file);
    free(ring->path);
    memset(ring, 0, sizeof *ring);
}

static struct slot *oldest_free(struct slot_ring *ring)
{
    struct slot *oldest = NULL;
    for (struct slot *slot = ring->slots; slot < ring->slots + ring->segment_count; slot++)
        if (state_of(slot) == SLOT_FREE && (!oldest || slot->generation < oldest->generation))
            oldest = slot;
    return oldest;
}

/* create — on the loop thread, so: allocated, not prefilled. */
static enum err create(struct slot_ring *ring, struct slot *slot)
{
    CLEANUP(cleanup_free) char *path = slot_path(ring, slot_ring_index(ring, slot), "");
    if (!path)
        return fault(ERR_NOMEM, "path of a journal slot");
    struct disk_file *file = NULL;
    TRY(ring->disk->ops->open(ring->disk, path, ring->segment_bytes, &file));
    enum err err = ring->disk->ops->sync_directory(ring->disk, ring->path);
    if (err != ERR_OK) {
        ring->disk->ops->close(file);
        return err;
    }
    slot->file = file;
    slot->bytes = ring->segment_bytes;
    return ERR_OK;
}

static struct slot *take_absent(struct slot_ring *ring)
{
    for (struct slot *slot = ring->slots; slot < ring->slots + ring->segment_count; slot++) {
        if (!claim(slot, SLOT_ABSENT))
            continue;
        if (create(ring, slot) == ERR_OK)
            return slot;
        set_state(slot, SLOT_UNAVAILABLE);
    }
    return NULL;
}

enum err slot_ring_take(struct slot_ring *ring, struct slot **out)
{
    struct slot *slot = oldest_free(ring);
    if (!slot)
        slot = take_absent(ring);
    if (!slot)
        return ERR_FULL;
    ASSERT(slot->file && slot != ring->newest);
    set_state(slot, SLOT_USED);
    ring->newest = slot;
    *out = slot;
    return ERR_OK;
}

void slot_ring_release(struct slot_ring *ring, uint64_t absorbed_lsn)
{
    for (uint32_t index = 0; index < SEGMENT_COUNT_MAX; index++) {
        struct slot *slot = &ring->slots[index];
        if (state_of(slot) != SLOT_USED || slot == ring->newest || slot->last_lsn > absorbed_lsn)
            continue;
        bool fits = index < ring->segment_count && slot->bytes == ring->segment_bytes;
        set_state(slot, fits ? SLOT_FREE : SLOT_OBSOLETE);
    }
}

uint32_t slot_ring_free_count(const struct slot_ring *ring)
{
    uint32_t count = 0;
    for (const struct slot *slot = ring->slots; slot < ring->slots + ring->segment_count; slot++) {
        enum slot_state state = state_of(slot);
        count += state == SLOT_FREE || state == SLOT_ABSENT || state == SLOT_BUSY;
    }
    return count;
}

static bool remove_obsolete(struct slot_ring *ring, struct slot *slot)
{
    if (!claim(slot, SLOT_OBSOLETE))
        return false;
    CLEANUP(cleanup_free) char *path = slot_path(ring, slot_ring_index(ring, slot), "");
    if (!path || ring->disk->ops->remove(ring->disk, path) != ERR_OK) {
        set_state(slot, SLOT_OBSOLETE);
        return false;
    }
    (void)ring->disk->ops->sync_directory(ring->disk, ring->path); /* else it is removed again */
    ring->disk->ops->close(slot->file);
    slot->file = NULL;
    slot->generation = 0;
    set_state(slot, SLOT_ABSENT);
    return true;
}

enum err slot_ring_clean(struct slot_ring *ring)
{
    for (uint32_t index = 0; index < SEGMENT_COUNT_MAX; index++) {
        (void)remove_obsolete(ring, &ring->slots[index]); /* slot_ring_prepare tries again */
        CLEANUP(cleanup_free) char *path = slot_path(ring, index, ".new");
        if (path)
            (void)ring->disk->ops->remove(ring->disk, path); /* as does make_ahead */
    }
    return ring->disk->ops->sync_directory(ring->disk, ring->path);
}

/* finish — prefill the new file, then give it the slot's name. */
static enum err finish(
    struct slot_ring *ring, struct disk_file *file, const char *from, const char *to)
{
    TRY(ring->disk->ops->prefill(file, ring->segment_bytes));
    TRY(ring->disk->ops->rename(ring->disk, from, to));
    return ring->disk->ops->sync_directory(ring->disk, ring->path);
}

static enum err make_ahead(struct slot_ring *ring, struct slot *slot)
{
    uint32_t index = slot_ring_index(ring, slot);
    CLEANUP(cleanup_free) char *from = slot_path(ring, index, ".new");
    CLEANUP(cleanup_free) char *to = slot_path(ring, index, "");
    if (!from || !to)
        return fault(ERR_NOMEM, "path of a journal slot");
    enum err err = ring->disk->ops->remove(ring->disk, from); /* a crash may have left one */
    if (err != ERR_NOTFOUND)
        TRY(err);
    struct disk_file *file = NULL;
    TRY(ring->disk->ops->open(ring->disk, from, ring->segment_bytes, &file));
    err = finish(ring, file, from, to);
    if (err != ERR_OK) {
        ring->disk->ops->close(file);
        (void)ring->disk->ops->remove(ring->disk, from);
        return err;
    }
    slot->file = file;
    slot->bytes = ring->segment_bytes;
    return ERR_OK;
}

bool slot_ring_prepare(struct slot_ring *ring)
{
    bool did = false;
    bool has_free = false;
    for (struct slot *slot = ring->slots; slot < ring->slots + SEGMENT_COUNT_MAX; slot++) {
        did = remove_obsolete(ring, slot) || did;
        has_free = has_free || state_of(slot) == SLOT_FREE;
    }
    for (uint32_t index = 0; index < ring->segment_count && !has_free && !did; index++) {
        struct slot *slot = &ring->slots[index];
        if (!claim(slot, SLOT_UNAVAILABLE) && !claim(slot, SLOT_ABSENT))
            continue;
        if (make_ahead(ring, slot) != ERR_OK) {
            set_state(slot, SLOT_UNAVAILABLE);
            return did;
        }
        set_state(slot, SLOT_FREE);
        return true;
    }
    return did;
}
