/* read_ahead — see the header.
 *
 * Pieces are numbered through all files; piece n lies in buffer n mod buffer_count:
 *
 *     looked at ≤ claimed by whoever reads next < looked at + buffer_count
 *
 * A buffer has room before its piece for the end of the piece before it: less than one view.     */
#include "storage/read_ahead.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/base/own.h"

struct piece {
    uint8_t *buffer;
    size_t file; /* which, of the files */
    uint64_t offset;
    size_t bytes;
    bool is_there, is_unreadable;
};

struct read_ahead {
    struct disk *disk;
    const struct read_ahead_file *files;
    size_t file_count;
    size_t piece_bytes; /* of all but a file's last */
    size_t view_bytes_max;
    size_t buffer_count;
    uint64_t piece_count;

    pthread_t threads[READ_AHEAD_THREADS];
    size_t thread_count;
    pthread_mutex_t
        lock;            /* of what follows, but for a piece that somebody reads into or looks at */
    pthread_cond_t came; /* a piece is there */
    pthread_cond_t wanted; /* a buffer is free, or it is over */
    struct piece pieces[READ_AHEAD_PIECES];
    uint64_t claimed, looked_at; /* numbers of the next piece to be read, and of the one in view */
    size_t next_file;            /* where the next piece begins */
    uint64_t next_offset;
    bool is_closing;

    /* What is in view: of one file, from..to. The looker's. */
    size_t file;
    const uint8_t *bytes;
    uint64_t from, to;
    bool is_unreadable;
};

bool read_what_can_be(
    struct disk *disk, struct disk_file *file, uint64_t offset, uint8_t *out, size_t size)
{
    if (disk->ops->read(file, offset, out, size) == ERR_OK)
        return true;
    bool is_whole = true;
    for (size_t at = 0; at < size; at += DISK_ALIGN) {
        if (disk->ops->read(file, offset + at, out + at, DISK_ALIGN) == ERR_OK)
            continue;
        memset(out + at, 0, DISK_ALIGN);
        is_whole = false;
    }
    return is_whole;
}

/* Reading. */

static struct piece *piece_of(struct read_ahead *ahead, uint64_t number)
{
    return &ahead->pieces[number % ahead->buffer_count];
}

static uint8_t *piece_start(const struct read_ahead *ahead, const struct piece *piece)
{
    return piece->buffer + ahead->view_bytes_max;
}

/* claim — the next piece, if there is one and a buffer for it. */
static struct piece *claim(struct read_ahead *ahead)
{
    while (ahead->next_file < ahead->file_count &&
           ahead->next_offset >= ahead->files[ahead->next_file].bytes) {
        ahead->next_file++;
        ahead->next_offset = 0;
    }
    if (ahead->next_file == ahead->file_count ||
        ahead->claimed == ahead->looked_at + ahead->buffer_count)
        return NULL;
    uint64_t rest = ahead->files[ahead->next_file].bytes - ahead->next_offset;
    struct piece *piece = piece_of(ahead, ahead->claimed++);
    piece->file = ahead->next_file;
    piece->offset = ahead->next_offset;
    piece->bytes = rest < ahead->piece_bytes ? (size_t)rest : ahead->piece_bytes;
    piece->is_there = false;
    ahead->next_offset += piece->bytes;
    return piece;
}

static void fill(const struct read_ahead *ahead, struct piece *piece)
{
    piece->is_unreadable = !read_what_can_be(ahead->disk, ahead->files[piece->file].file,
        piece->offset, piece_start(ahead, piece), piece->bytes);
}

static void *run(void *context)
{
    struct read_ahead *ahead = context;
    (void)pthread_mutex_lock(&ahead->lock);
    while (!ahead->is_closing) {
        struct piece *piece = claim(ahead);
        if (!piece) {
            (void)pthread_cond_wait(&ahead->wanted, &ahead->lock);
            continue;
        }
        (void)pthread_mutex_unlock(&ahead->lock);
        fill(ahead, piece);
        (void)pthread_mutex_lock(&ahead->lock);
        piece->is_there = true;
        (void)pthread_cond_signal(&ahead->came);
    }
    (void)pthread_mutex_unlock(&ahead->lock);
    return NULL;
}

/* Looking. */

/* await — the piece of this number; without threads it is read now. */
static struct piece *await(struct read_ahead *ahead, uint64_t number)
{
    struct piece *piece = piece_of(ahead, number);
    if (ahead->thread_count == 0) {
        struct piece *claimed = claim(ahead);
        ASSERT(claimed == piece);
        fill(ahead, claimed);
        return claimed;
    }
    (void)pthread_mutex_lock(&ahead->lock);
    while (ahead->claimed <= number || !piece->is_there)
        (void)pthread_cond_wait(&ahead->came, &ahead->lock);
    (void)pthread_mutex_unlock(&ahead->lock);
    return piece;
}

/* let_go — of the piece before this one: its buffer is free for another. */
static void let_go(struct read_ahead *ahead, uint64_t number)
{
    (void)pthread_mutex_lock(&ahead->lock);
    ahead->looked_at = number;
    (void)pthread_cond_signal(&ahead->wanted);
    (void)pthread_mutex_unlock(&ahead->lock);
}

static bool is_in_view(const struct read_ahead *ahead, const struct disk_file *file)
{
    return ahead->bytes && ahead->files[ahead->file].file == file;
}

/* advance — the next piece comes into view, and before it what is left of the last one, if that is
 * of the `file` that is wanted, from `offset` on. */
static void advance(struct read_ahead *ahead, const struct disk_file *file, uint64_t offset)
{
    uint64_t number = ahead->bytes ? ahead->looked_at + 1 : 0;
    ASSERT(number < ahead->piece_count);
    struct piece *piece = await(ahead, number);
    bool goes_on = is_in_view(ahead, file) && offset < ahead->to;
    size_t rest = goes_on ? (size_t)(ahead->to - offset) : 0;
    ASSERT(rest <= ahead->view_bytes_max);
    if (rest > 0)
        memcpy(piece_start(ahead, piece) - rest, ahead->bytes + (offset - ahead->from), rest);
    ahead->file = piece->file;
    ahead->bytes = piece_start(ahead, piece) - rest;
    ahead->from = piece->offset - rest;
    ahead->to = piece->offset + piece->bytes;
    ahead->is_unreadable = ahead->is_unreadable || piece->is_unreadable;
    let_go(ahead, number);
}

const uint8_t *read_ahead_view(
    struct read_ahead *ahead, const struct disk_file *file, uint64_t offset, size_t size)
{
    ASSERT(size <= ahead->view_bytes_max);
    while (!is_in_view(ahead, file) || offset + size > ahead->to)
        advance(ahead, file, offset);
    ASSERT(offset >= ahead->from);
    return ahead->bytes + (offset - ahead->from);
}

bool read_ahead_is_unreadable(const struct read_ahead *ahead)
{
    return ahead->is_unreadable;
}

/* Its life. */

/* Signals are the loop's: a new thread starts with all of them blocked. */
static void start_threads(struct read_ahead *ahead)
{
    sigset_t all, before;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    while (ahead->thread_count < READ_AHEAD_THREADS &&
           pthread_create(&ahead->threads[ahead->thread_count], NULL, run, ahead) == 0)
        ahead->thread_count++;
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
}

/* No piece is larger than the largest file, and no view. */
static void choose_sizes(struct read_ahead *ahead)
{
    uint64_t largest = DISK_ALIGN;
    for (size_t i = 0; i < ahead->file_count; i++)
        if (ahead->files[i].bytes > largest)
            largest = ahead->files[i].bytes;
    ahead->view_bytes_max = largest < BATCH_BYTES ? (size_t)largest : (size_t)BATCH_BYTES;
    ahead->piece_bytes =
        largest < READ_AHEAD_PIECE_BYTES ? (size_t)largest : (size_t)READ_AHEAD_PIECE_BYTES;
    for (size_t i = 0; i < ahead->file_count; i++)
        ahead->piece_count += (ahead->files[i].bytes + ahead->piece_bytes - 1) / ahead->piece_bytes;
}

/* Without threads: the piece in view, and the next one. */
static enum err make_buffers(struct read_ahead *ahead)
{
    ahead->buffer_count = ahead->disk->reads_ahead ? READ_AHEAD_PIECES : 2;
    for (size_t i = 0; i < ahead->buffer_count; i++) {
        uint8_t *buffer = aligned_alloc(DISK_ALIGN, ahead->view_bytes_max + ahead->piece_bytes);
        if (!buffer)
            return fault(ERR_NOMEM, "buffers of reading ahead");
        ahead->pieces[i].buffer = buffer;
    }
    return ERR_OK;
}

enum err read_ahead_open(
    struct disk *disk, const struct read_ahead_file *files, size_t count, struct read_ahead **out)
{
    struct read_ahead *ahead = calloc(1, sizeof *ahead);
    if (!ahead)
        return fault(ERR_NOMEM, "reading ahead");
    ahead->disk = disk;
    ahead->files = files;
    ahead->file_count = count;
    choose_sizes(ahead);
    (void)pthread_mutex_init(&ahead->lock, NULL);
    (void)pthread_cond_init(&ahead->came, NULL);
    (void)pthread_cond_init(&ahead->wanted, NULL);
    enum err err = make_buffers(ahead);
    if (err != ERR_OK) {
        read_ahead_close(ahead);
        return err;
    }
    if (disk->reads_ahead)
        start_threads(ahead);
    *out = ahead;
    return ERR_OK;
}

static void stop_threads(struct read_ahead *ahead)
{
    (void)pthread_mutex_lock(&ahead->lock);
    ahead->is_closing = true;
    (void)pthread_cond_broadcast(&ahead->wanted);
    (void)pthread_mutex_unlock(&ahead->lock);
    for (size_t i = 0; i < ahead->thread_count; i++)
        (void)pthread_join(ahead->threads[i], NULL);
}

struct read_ahead *read_ahead_close(struct read_ahead *ahead)
{
    if (!ahead)
        return NULL;
    stop_threads(ahead);
    for (size_t i = 0; i < READ_AHEAD_PIECES; i++)
        free(ahead->pieces[i].buffer);
    (void)pthread_cond_destroy(&ahead->wanted);
    (void)pthread_cond_destroy(&ahead->came);
    (void)pthread_mutex_destroy(&ahead->lock);
    free(ahead);
    return NULL;
}
