/* upload — see upload.h.
 *
 *   written, taken   bytes so far, of the ring; their difference waits in it
 *   is_waiting       the writer found no room. It looks again after it said so, and the reader looks at it
 *                    after it has taken: in that order (seq_cst) one of the two sees the other */
#include "server/io/upload.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum upload_end { UPLOAD_OPEN, UPLOAD_WHOLE, UPLOAD_CUT };

struct upload {
    /* The writer's. */
    size_t references;
    void (*room)(void *context);
    void *room_context;
    void (*fed)(void *context);
    void *fed_context;
    bool is_closed;
    int64_t length;
    /* Between them. */
    _Atomic uint64_t written, taken;
    _Atomic int end;
    _Atomic bool is_waiting, is_digested;
    /* The reader's. */
    struct sha256 *sha;
    uint8_t digest[SHA256_BYTES];
    struct buf first;
    _Atomic uint64_t first_taken;
    uint8_t ring[UPLOAD_BYTES];
};

static_assert((UPLOAD_BYTES & (UPLOAD_BYTES - 1)) == 0, "places in the ring are counts, masked");

/* ---- the writer ------------------------------------------------------------------------------ */

enum err upload_new(struct slice first, int64_t length, struct upload **out)
{
    struct upload *upload = calloc(1, sizeof *upload);
    if (!upload)
        return fault(ERR_NOMEM, "upload");
    upload->references = 1;
    upload->length = length;
    buf_init(&upload->first, first.size);
    enum err err = sha256_new(&upload->sha);
    if (!err)
        err = buf_append(&upload->first, first);
    if (err) {
        upload_unref(upload);
        return err;
    }
    sha256_begin(upload->sha);
    *out = upload;
    return ERR_OK;
}

struct upload *upload_ref(struct upload *upload)
{
    upload->references++;
    return upload;
}

struct upload *upload_unref(struct upload *upload)
{
    if (!upload || --upload->references > 0)
        return NULL;
    sha256_free(upload->sha);
    buf_deinit(&upload->first);
    free(upload);
    return NULL;
}

void upload_on_room(struct upload *upload, void (*room)(void *context), void *context)
{
    upload->room = room;
    upload->room_context = context;
}

void upload_on_fed(struct upload *upload, void (*fed)(void *context), void *context)
{
    upload->fed = fed;
    upload->fed_context = context;
}

static size_t room_of(struct upload *upload)
{
    uint64_t taken = atomic_load(&upload->taken);
    return (size_t)(UPLOAD_BYTES -
                    (atomic_load_explicit(&upload->written, memory_order_relaxed) - taken));
}

size_t upload_room(struct upload *upload)
{
    if (upload->is_closed)
        return SIZE_MAX;
    size_t room = room_of(upload);
    if (room > 0)
        return room;
    atomic_store(&upload->is_waiting, true);
    return room_of(upload);
}

static void tell_fed(struct upload *upload)
{
    if (upload->fed)
        upload->fed(upload->fed_context);
}

void upload_put(struct upload *upload, struct slice bytes)
{
    if (upload->is_closed || bytes.size == 0)
        return;
    uint64_t written = atomic_load_explicit(&upload->written, memory_order_relaxed);
    size_t at = (size_t)written & (UPLOAD_BYTES - 1);
    size_t before = bytes.size < UPLOAD_BYTES - at ? bytes.size : UPLOAD_BYTES - at;
    ASSERT(bytes.size <= room_of(upload));
    memcpy(upload->ring + at, bytes.data, before);
    memcpy(upload->ring, bytes.data + before, bytes.size - before);
    atomic_store_explicit(&upload->written, written + bytes.size, memory_order_release);
    tell_fed(upload);
}

static void set_end(struct upload *upload, enum upload_end end)
{
    int open = UPLOAD_OPEN;
    if (atomic_compare_exchange_strong(&upload->end, &open, end))
        tell_fed(upload);
}

void upload_end(struct upload *upload)
{
    set_end(upload, UPLOAD_WHOLE);
}

void upload_cut(struct upload *upload)
{
    set_end(upload, UPLOAD_CUT);
}

bool upload_was_cut(const struct upload *upload)
{
    return atomic_load(&upload->end) == UPLOAD_CUT;
}

void upload_tell_room(struct upload *upload)
{
    if (upload->room)
        upload->room(upload->room_context);
}

void upload_close(struct upload *upload)
{
    upload->is_closed = true;
    upload_on_fed(upload, NULL, NULL);
    upload_tell_room(upload);
}

/* ---- the reader ------------------------------------------------------------------------------ */

static size_t take_first(struct upload *upload, uint8_t *out, size_t size)
{
    uint64_t at = atomic_load_explicit(&upload->first_taken, memory_order_relaxed);
    struct slice part = slice_sub(buf_slice(&upload->first), (size_t)at, size);
    if (part.size == 0)
        return 0;
    memcpy(out, part.data, part.size);
    atomic_store_explicit(&upload->first_taken, at + part.size, memory_order_relaxed);
    return part.size;
}

static size_t take_ring(struct upload *upload, uint8_t *out, size_t size)
{
    uint64_t taken = atomic_load_explicit(&upload->taken, memory_order_relaxed);
    uint64_t waiting = atomic_load_explicit(&upload->written, memory_order_acquire) - taken;
    size_t at = (size_t)taken & (UPLOAD_BYTES - 1);
    if (size > waiting)
        size = (size_t)waiting;
    if (size > UPLOAD_BYTES - at)
        size = UPLOAD_BYTES - at; /* the rest is for the next time */
    if (size == 0)
        return 0;
    memcpy(out, upload->ring + at, size);
    atomic_store(&upload->taken, taken + size);
    return size;
}

/* Not for every byte: once half of the ring is free, or all that was put is taken. */
static bool is_room_wanted(struct upload *upload)
{
    uint64_t waiting = atomic_load_explicit(&upload->written, memory_order_acquire) -
                       atomic_load_explicit(&upload->taken, memory_order_relaxed);
    return waiting <= UPLOAD_BYTES / 2 && atomic_exchange(&upload->is_waiting, false);
}

static void finish_digest(struct upload *upload)
{
    if (atomic_load_explicit(&upload->is_digested, memory_order_relaxed))
        return;
    sha256_end(upload->sha, upload->digest);
    atomic_store_explicit(&upload->is_digested, true, memory_order_release);
}

/* What was put before it ended is visible once its end is: so the end is looked at first. */
enum err upload_take(
    struct upload *upload, uint8_t *out, size_t size, size_t *taken, bool *wants_room)
{
    int end = atomic_load(&upload->end);
    *wants_room = false;
    if (end == UPLOAD_CUT)
        return ERR_CANCELED;
    size_t got = take_first(upload, out, size);
    if (got == 0)
        got = take_ring(upload, out, size);
    *wants_room = is_room_wanted(upload);
    *taken = got;
    if (got == 0 && end == UPLOAD_OPEN)
        return ERR_AGAIN;
    sha256_add(upload->sha, slice_of(out, got));
    if (got == 0 || (uint64_t)upload->length == upload_taken(upload)) /* then nobody asks again */
        finish_digest(upload);
    return got > 0 ? ERR_OK : ERR_CLOSED;
}

/* ---- any ------------------------------------------------------------------------------------- */

int64_t upload_length(const struct upload *upload)
{
    return upload->length;
}

uint64_t upload_taken(const struct upload *upload)
{
    return atomic_load_explicit(&upload->first_taken, memory_order_relaxed) +
           atomic_load_explicit(&upload->taken, memory_order_relaxed);
}

bool upload_is_taken(const struct upload *upload)
{
    return atomic_load_explicit(&upload->is_digested, memory_order_acquire);
}

bool upload_digest(const struct upload *upload, uint8_t out[SHA256_BYTES])
{
    if (!upload_is_taken(upload))
        return false;
    memcpy(out, upload->digest, SHA256_BYTES);
    return true;
}
