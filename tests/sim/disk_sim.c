/* disk_sim — see disk_sim.h.
 *
 *   names     now: what open and rename see · durable: what the last sync_directory saw
 *             changes since then are a log; a power cut replays a random prefix of it
 *   bytes     of a file are what a reader sees; `pending` holds what is not safe, in order: writes
 *             in flight (not in the bytes yet) and, when syncs are ignored, done ones with what
 *             they replaced. A power cut first undoes the done ones, newest first, then lets some
 *             sectors of all of them happen                                                    */
#include "tests/sim/disk_sim.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/base/list.h"
#include "tests/sim/random.h"

struct sim_file {
    struct list node; /* in sim_disk.files */
    uint8_t *bytes;
    uint64_t size;
};

/* A name and the file it stands for. */
struct sim_name {
    struct list node;
    char *path;
    struct sim_file *file;
};

/* One change of names that no sync_directory has covered. `file` NULL: the name goes. */
struct sim_change {
    struct list node;
    char *path;
    struct sim_file *file;
    bool is_first_half; /* of a rename: its other half happens with it */
};

struct disk_file {
    struct list node; /* in sim_disk.handles */
    struct sim_disk *disk;
    struct sim_file *file; /* NULL: opened before a crash */
};

struct sim_pending {
    struct list node;
    struct sim_file *file;
    uint64_t offset;
    size_t size;
    uint8_t *bytes;
    uint8_t *replaced;        /* NULL while in flight */
    struct disk_write *write; /* NULL when done, or when nobody waits for it any more */
    bool is_orphan;           /* in flight, of a process that has ended */
};

struct sim_failure {
    uint64_t nth, count; /* in operations so far; nth 0: none */
    enum err err;
};

struct sim_disk {
    struct disk disk;
    pthread_mutex_t lock;
    struct sim_random random;
    struct list files, names, durable_names, changes, handles, pending;
    uint64_t operations[SIM_OPERATION_COUNT];
    struct sim_failure failures[SIM_OPERATION_COUNT];
    bool is_sync_ignored;
};

static const struct disk_ops sim_ops;

/* A test that runs out of memory is of no use. */
static void *must(void *pointer)
{
    ASSERT(pointer);
    return pointer;
}

static pthread_mutex_t *hold(struct sim_disk *sim)
{
    ASSERT(pthread_mutex_lock(&sim->lock) == 0);
    return &sim->lock;
}

static void let_go(pthread_mutex_t **held)
{
    ASSERT(pthread_mutex_unlock(*held) == 0);
}

/* HOLD — the lock, until the end of the block. */
#define HOLD(sim) __attribute__((cleanup(let_go), unused)) pthread_mutex_t *held_ = hold(sim)

static struct sim_disk *sim_of(struct disk *disk)
{
    return (struct sim_disk *)disk;
}

/* The lock is no part of what a caller sees of the disk. */
static struct sim_disk *const_sim_of(const struct disk *disk)
{
    return (struct sim_disk *)(uintptr_t)disk;
}

struct disk *sim_disk_new(uint64_t seed)
{
    struct sim_disk *sim = must(calloc(1, sizeof *sim));
    sim->disk.ops = &sim_ops;
    ASSERT(pthread_mutex_init(&sim->lock, NULL) == 0);
    sim->random = sim_random_new(seed);
    list_init(&sim->files);
    list_init(&sim->names);
    list_init(&sim->durable_names);
    list_init(&sim->changes);
    list_init(&sim->handles);
    list_init(&sim->pending);
    return &sim->disk;
}

/* ---- names ---- */

static struct sim_name *find_name(struct list *names, const char *path)
{
    LIST_FOREACH (node, names) {
        struct sim_name *name = CONTAINER_OF(node, struct sim_name, node);
        if (strcmp(name->path, path) == 0)
            return name;
    }
    return NULL;
}

static void free_name(struct sim_name *name)
{
    list_unlink(&name->node);
    free(name->path);
    free(name);
}

/* set_name — `file` NULL: no such name. */
static void set_name(struct list *names, const char *path, struct sim_file *file)
{
    struct sim_name *name = find_name(names, path);
    if (name)
        free_name(name);
    if (!file)
        return;
    name = must(calloc(1, sizeof *name));
    name->path = must(strdup(path));
    name->file = file;
    list_append(names, &name->node);
}

static void free_change(struct sim_change *change)
{
    list_unlink(&change->node);
    free(change->path);
    free(change);
}

static void change_name(
    struct sim_disk *sim, const char *path, struct sim_file *file, bool is_first_half)
{
    struct sim_change *change = must(calloc(1, sizeof *change));
    change->path = must(strdup(path));
    change->file = file;
    change->is_first_half = is_first_half;
    list_append(&sim->changes, &change->node);
    set_name(&sim->names, path, file);
}

/* settle_names — the first `count` changes become durable, the others never happened. */
static void settle_names(struct sim_disk *sim, uint64_t count)
{
    bool is_half = false;
    LIST_FOREACH_SAFE (node, &sim->changes) {
        struct sim_change *change = CONTAINER_OF(node, struct sim_change, node);
        if (count > 0 || is_half)
            set_name(&sim->durable_names, change->path, change->file);
        is_half = (count > 0 || is_half) && change->is_first_half;
        count -= count > 0;
        free_change(change);
    }
    while (!list_is_empty(&sim->names))
        free_name(CONTAINER_OF(sim->names.next, struct sim_name, node));
    LIST_FOREACH (node, &sim->durable_names) {
        struct sim_name *name = CONTAINER_OF(node, struct sim_name, node);
        set_name(&sim->names, name->path, name->file);
    }
}

static uint64_t list_length(const struct list *list)
{
    uint64_t length = 0;
    for (const struct list *node = list->next; node != list; node = node->next)
        length++;
    return length;
}

/* ---- bytes ---- */

static uint8_t *copy_of(const uint8_t *bytes, size_t size)
{
    uint8_t *copy = must(malloc(size));
    memcpy(copy, bytes, size);
    return copy;
}

static void free_pending(struct sim_pending *pending)
{
    list_unlink(&pending->node);
    free(pending->bytes);
    free(pending->replaced);
    free(pending);
}

/* happen — the whole write is in the file; not safe yet if the disk lies. */
static void happen(struct sim_disk *sim, struct sim_pending *pending)
{
    uint8_t *at = pending->file->bytes + pending->offset;
    if (sim->is_sync_ignored)
        pending->replaced = copy_of(at, pending->size);
    memcpy(at, pending->bytes, pending->size);
    pending->write = NULL;
    pending->is_orphan = false;
    if (!sim->is_sync_ignored)
        free_pending(pending);
}

/* tear — every sector happens or not. */
static void tear(struct sim_disk *sim, const struct sim_pending *pending)
{
    uint64_t kind = sim_random_below(&sim->random, 4); /* all, none, or a mixture */
    for (size_t at = 0; at < pending->size; at += SIM_SECTOR_BYTES)
        if (kind == 0 || (kind > 1 && sim_random_below(&sim->random, 2) == 0))
            memcpy(
                pending->file->bytes + pending->offset + at, pending->bytes + at, SIM_SECTOR_BYTES);
}

static struct sim_pending *add_pending(
    struct sim_disk *sim, struct sim_file *file, uint64_t offset, struct slice bytes)
{
    ASSERT(offset % DISK_ALIGN == 0 && bytes.size % DISK_ALIGN == 0 && bytes.size > 0);
    ASSERT((uintptr_t)bytes.data % DISK_ALIGN == 0);
    ASSERT(offset + bytes.size <= file->size); /* nothing of the journal's grows a file */
    struct sim_pending *pending = must(calloc(1, sizeof *pending));
    pending->file = file;
    pending->offset = offset;
    pending->size = bytes.size;
    pending->bytes = copy_of(bytes.data, bytes.size);
    list_append(&sim->pending, &pending->node);
    return pending;
}

/* failure — whether this operation is one that shall fail. */
static enum err failure(struct sim_disk *sim, enum sim_operation operation)
{
    uint64_t number = ++sim->operations[operation];
    const struct sim_failure *failure = &sim->failures[operation];
    bool fails =
        failure->nth > 0 && number >= failure->nth && number - failure->nth < failure->count;
    if (!fails)
        return ERR_OK;
    return err_is_fault(failure->err) ? fault(failure->err, "simulated") : failure->err;
}

/* ---- the seam ---- */

static enum err sim_open(struct disk *disk, const char *path, uint64_t size, struct disk_file **out)
{
    struct sim_disk *sim = sim_of(disk);
    HOLD(sim);
    struct sim_name *name = find_name(&sim->names, path);
    if (!name && size == 0)
        return ERR_NOTFOUND;
    struct sim_file *file = name ? name->file : NULL;
    if (!file) {
        TRY(failure(sim, SIM_OPEN));
        file = must(calloc(1, sizeof *file));
        file->bytes = must(calloc(1, size));
        file->size = size;
        list_append(&sim->files, &file->node);
        change_name(sim, path, file, false);
    }
    struct disk_file *handle = must(calloc(1, sizeof *handle));
    handle->disk = sim;
    handle->file = file;
    list_append(&sim->handles, &handle->node);
    *out = handle;
    return ERR_OK;
}

static void sim_close(struct disk_file *file)
{
    if (!file)
        return;
    HOLD(file->disk);
    list_unlink(&file->node);
    free(file);
}

static enum err check_alive(const struct disk_file *file)
{
    return file->file ? ERR_OK : fault(ERR_IO, "file of a process that has crashed");
}

static enum err sim_size(struct disk_file *file, uint64_t *out)
{
    HOLD(file->disk);
    TRY(check_alive(file));
    *out = file->file->size;
    return ERR_OK;
}

static enum err sim_read(struct disk_file *file, uint64_t offset, void *out, size_t size)
{
    HOLD(file->disk);
    TRY(check_alive(file));
    TRY(failure(file->disk, SIM_READ));
    ASSERT(offset % DISK_ALIGN == 0 && size % DISK_ALIGN == 0);
    ASSERT((uintptr_t)out % DISK_ALIGN == 0);
    uint64_t there = offset < file->file->size ? file->file->size - offset : 0;
    size_t got = there < size ? (size_t)there : size;
    if (got > 0)
        memcpy(out, file->file->bytes + offset, got);
    memset((uint8_t *)out + got, 0, size - got);
    return ERR_OK;
}

static enum err sim_prefill(struct disk_file *file, uint64_t size)
{
    HOLD(file->disk);
    TRY(check_alive(file));
    TRY(failure(file->disk, SIM_PREFILL));
    ASSERT(size <= file->file->size);
    memset(file->file->bytes, 0, size);
    return ERR_OK;
}

static enum err sim_write_now(struct disk_file *file, uint64_t offset, struct slice bytes)
{
    struct sim_disk *sim = file->disk;
    HOLD(sim);
    TRY(check_alive(file));
    struct sim_pending *pending = add_pending(sim, file->file, offset, bytes);
    enum err err = failure(sim, SIM_WRITE);
    if (err != ERR_OK) {
        tear(sim, pending);
        free_pending(pending);
        return err;
    }
    happen(sim, pending);
    return ERR_OK;
}

static void sim_write_durable(struct disk *disk, struct disk_write *write)
{
    struct sim_disk *sim = sim_of(disk);
    HOLD(sim);
    ASSERT(write->file->file);
    add_pending(sim, write->file->file, write->offset, write->bytes)->write = write;
}

static bool sim_register_buffers(struct disk *disk, const struct slice *buffers, size_t count)
{
    (void)buffers, (void)count;
    struct sim_disk *sim = sim_of(disk);
    HOLD(sim);
    return sim_random_below(&sim->random, 2) == 0;
}

static enum err sim_sync_directory(struct disk *disk, const char *path)
{
    (void)path; /* there is one */
    struct sim_disk *sim = sim_of(disk);
    HOLD(sim);
    TRY(failure(sim, SIM_SYNC_DIRECTORY));
    settle_names(sim, UINT64_MAX);
    return ERR_OK;
}

static enum err sim_remove(struct disk *disk, const char *path)
{
    struct sim_disk *sim = sim_of(disk);
    HOLD(sim);
    if (!find_name(&sim->names, path))
        return ERR_NOTFOUND;
    change_name(sim, path, NULL, false);
    return ERR_OK;
}

static enum err sim_rename(struct disk *disk, const char *from, const char *to)
{
    struct sim_disk *sim = sim_of(disk);
    HOLD(sim);
    struct sim_name *name = find_name(&sim->names, from);
    if (!name)
        return fault(ERR_IO, "rename of nothing");
    change_name(sim, to, name->file, true);
    change_name(sim, from, NULL, false);
    return ERR_OK;
}

static const struct disk_ops sim_ops = {
    .open = sim_open,
    .close = sim_close,
    .size = sim_size,
    .read = sim_read,
    .prefill = sim_prefill,
    .write_now = sim_write_now,
    .write_durable = sim_write_durable,
    .register_buffers = sim_register_buffers,
    .sync_directory = sim_sync_directory,
    .remove = sim_remove,
    .rename = sim_rename,
};

/* ---- completing ---- */

static struct sim_pending *oldest_in_flight(struct sim_disk *sim)
{
    LIST_FOREACH (node, &sim->pending) {
        struct sim_pending *pending = CONTAINER_OF(node, struct sim_pending, node);
        if (pending->write)
            return pending;
    }
    return NULL;
}

size_t sim_disk_in_flight(const struct disk *disk)
{
    struct sim_disk *sim = const_sim_of(disk);
    HOLD(sim);
    size_t count = 0;
    LIST_FOREACH (node, &sim->pending) {
        count += CONTAINER_OF(node, struct sim_pending, node)->write != NULL;
    }
    return count;
}

/* perform — the oldest write in flight; NULL: there is none. */
static struct disk_write *perform(struct sim_disk *sim, enum err *err)
{
    HOLD(sim);
    struct sim_pending *pending = oldest_in_flight(sim);
    if (!pending)
        return NULL;
    struct disk_write *write = pending->write;
    *err = failure(sim, SIM_WRITE);
    if (*err == ERR_OK) {
        happen(sim, pending);
    } else {
        tear(sim, pending);
        free_pending(pending);
    }
    return write;
}

size_t sim_disk_complete(struct disk *disk, size_t count)
{
    size_t done = 0;
    enum err err = ERR_OK;
    for (struct disk_write *write; done < count; done++) {
        write = perform(sim_of(disk), &err);
        if (!write)
            break;
        write->done(write, err);
    }
    return done;
}

/* ---- crashes ---- */

/* undo_done — writes that the disk acknowledged and did not make safe, newest first. */
static void undo_done(struct sim_disk *sim)
{
    for (struct list *node = sim->pending.prev; node != &sim->pending; node = node->prev) {
        struct sim_pending *pending = CONTAINER_OF(node, struct sim_pending, node);
        if (pending->replaced)
            memcpy(pending->file->bytes + pending->offset, pending->replaced, pending->size);
    }
}

static void forget_process(struct sim_disk *sim)
{
    LIST_FOREACH (node, &sim->handles) {
        CONTAINER_OF(node, struct disk_file, node)->file = NULL;
    }
    for (size_t i = 0; i < SIM_OPERATION_COUNT; i++)
        sim->failures[i].nth = 0;
}

static void forget_pending(struct sim_disk *sim)
{
    while (!list_is_empty(&sim->pending))
        free_pending(CONTAINER_OF(sim->pending.next, struct sim_pending, node));
}

void sim_disk_power_cut(struct disk *disk)
{
    struct sim_disk *sim = sim_of(disk);
    HOLD(sim);
    undo_done(sim);
    LIST_FOREACH (node, &sim->pending) {
        tear(sim, CONTAINER_OF(node, struct sim_pending, node));
    }
    forget_pending(sim);
    forget_process(sim);
    settle_names(sim, sim_random_below(&sim->random, list_length(&sim->changes) + 1));
}

void sim_disk_power_cut_keeping(struct disk *disk, uint64_t sectors)
{
    struct sim_disk *sim = sim_of(disk);
    HOLD(sim);
    undo_done(sim);
    unsigned int index = 0;
    LIST_FOREACH (node, &sim->pending) {
        struct sim_pending *pending = CONTAINER_OF(node, struct sim_pending, node);
        for (size_t at = 0; at < pending->size; at += SIM_SECTOR_BYTES) {
            if (sectors >> index & 1)
                memcpy(pending->file->bytes + pending->offset + at, pending->bytes + at,
                    SIM_SECTOR_BYTES);
            index += index < 63;
        }
    }
    forget_pending(sim);
    forget_process(sim);
    settle_names(sim, UINT64_MAX);
}

void sim_disk_orphan(struct disk *disk)
{
    struct sim_disk *sim = sim_of(disk);
    HOLD(sim);
    LIST_FOREACH (node, &sim->pending) {
        struct sim_pending *pending = CONTAINER_OF(node, struct sim_pending, node);
        pending->is_orphan = pending->is_orphan || pending->write;
        pending->write = NULL;
    }
    forget_process(sim);
}

void sim_disk_land(struct disk *disk)
{
    struct sim_disk *sim = sim_of(disk);
    HOLD(sim);
    LIST_FOREACH_SAFE (node, &sim->pending) {
        struct sim_pending *pending = CONTAINER_OF(node, struct sim_pending, node);
        if (pending->is_orphan)
            happen(sim, pending);
    }
}

void sim_disk_kill(struct disk *disk)
{
    struct sim_disk *sim = sim_of(disk);
    HOLD(sim);
    LIST_FOREACH_SAFE (node, &sim->pending) {
        struct sim_pending *pending = CONTAINER_OF(node, struct sim_pending, node);
        if (!pending->write)
            continue; /* done, and the lying disk still has power */
        if (sim_random_below(&sim->random, 2) == 0)
            happen(sim, pending);
        else
            free_pending(pending);
    }
    forget_process(sim);
}

size_t sim_disk_sectors_in_flight(const struct disk *disk)
{
    struct sim_disk *sim = const_sim_of(disk);
    HOLD(sim);
    size_t count = 0;
    LIST_FOREACH (node, &sim->pending) {
        const struct sim_pending *pending = CONTAINER_OF(node, struct sim_pending, node);
        count += pending->write ? pending->size / SIM_SECTOR_BYTES : 0;
    }
    return count;
}

/* ---- what a test asks for ---- */

void sim_disk_fail(
    struct disk *disk, enum sim_operation operation, uint64_t nth, uint64_t count, enum err err)
{
    struct sim_disk *sim = sim_of(disk);
    HOLD(sim);
    sim->failures[operation] = (struct sim_failure){
        .nth = nth > 0 ? sim->operations[operation] + nth : 0,
        .count = count,
        .err = err,
    };
}

uint64_t sim_disk_operations(const struct disk *disk, enum sim_operation operation)
{
    struct sim_disk *sim = const_sim_of(disk);
    HOLD(sim);
    return sim->operations[operation];
}

void sim_disk_ignore_sync(struct disk *disk, bool is_ignored)
{
    struct sim_disk *sim = sim_of(disk);
    HOLD(sim);
    sim->is_sync_ignored = is_ignored;
}

uint8_t *sim_disk_bytes(struct disk *disk, const char *path, uint64_t *size)
{
    struct sim_disk *sim = sim_of(disk);
    HOLD(sim);
    struct sim_name *name = find_name(&sim->names, path);
    if (!name)
        return NULL;
    *size = name->file->size;
    return name->file->bytes;
}

void sim_disk_flip_bit(struct disk *disk, const char *path, uint64_t bit)
{
    uint64_t size = 0;
    uint8_t *bytes = sim_disk_bytes(disk, path, &size);
    ASSERT(bytes && bit / 8 < size);
    bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
}

size_t sim_disk_file_count(const struct disk *disk)
{
    struct sim_disk *sim = const_sim_of(disk);
    HOLD(sim);
    return (size_t)list_length(&sim->names);
}

struct disk *sim_disk_free(struct disk *disk)
{
    if (!disk)
        return NULL;
    struct sim_disk *sim = sim_of(disk);
    ASSERT(list_is_empty(&sim->handles));
    forget_pending(sim);
    settle_names(sim, 0);
    while (!list_is_empty(&sim->names))
        free_name(CONTAINER_OF(sim->names.next, struct sim_name, node));
    while (!list_is_empty(&sim->durable_names))
        free_name(CONTAINER_OF(sim->durable_names.next, struct sim_name, node));
    for (struct list *node; (node = list_pop(&sim->files));) {
        struct sim_file *file = CONTAINER_OF(node, struct sim_file, node);
        free(file->bytes);
        free(file);
    }
    ASSERT(pthread_mutex_destroy(&sim->lock) == 0);
    free(sim);
    return NULL;
}
