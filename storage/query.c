/* query — see the header. A canceled query waits for its turn like any other, which then costs
 * nothing: so cancelling needs no lock, and `done` is called exactly once. */
#include "storage/query.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

#include "storage/audit.h"

enum {
    QUERY_BYTES_MAX = 1024 * 1024,           /* an encoded row, or one piece of a body */
    QUERY_AUDIT_BYTES_MAX = 8 * 1024 * 1024, /* a proof that carries its stream along */
};

struct reader {
    struct query_readers *readers;
    struct block_codec *codec;
    pthread_t thread;
    bool is_running;
};

struct query_readers {
    struct query_config config;
    pthread_mutex_t lock; /* of what follows */
    pthread_cond_t wanted;
    struct storage_query *first, **last;
    size_t waiting;
    bool is_stopping;
    struct reader threads[READER_THREAD_COUNT]; /* inline: the first lends its codec */
};

/* On a reader thread. */

static enum err read_key(struct store *store, struct storage_query *query)
{
    TRY(store_find_key(store, query->project, query->key, &query->id));
    return store_get_row(store, query->project, &query->id, &query->bytes);
}

static enum err read_store(struct reader *reader, struct storage_query *query)
{
    struct store *store = reader->readers->config.store;
    struct block_codec *codec = reader->codec;
    switch (query->kind) {
    case STORAGE_BLOCK:
        return store_get_block(
            store, codec, query->project, query->number, query->seq, query->part, &query->block);
    case STORAGE_ROW: return store_get_row(store, query->project, &query->id, &query->bytes);
    case STORAGE_KEY: return read_key(store, query);
    case STORAGE_BODY:
        return store_get_body(
            store, codec, query->project, query->number, query->seq, &query->bytes);
    case STORAGE_OVER:
        return store_over(
            store, (int64_t)query->seq, query->rows_max, query->visit, query->context);
    case STORAGE_AUDIT: return audit_answer(store, codec, query->audit, &query->bytes);
    case STORAGE_LIST:
        return store_list(store, query->project, query->has_before ? &query->id : NULL,
            query->rows_max, query->visit, query->context);
    }
    return ERR_INVALID;
}

/* On the loop: the reader pool may be gone by now. */
static void run_done(struct task *task)
{
    struct storage_query *query = CONTAINER_OF(task, struct storage_query, task);
    query->done(query, query->err);
}

static void post(struct query_readers *readers, struct storage_query *query, enum err err)
{
    query->err = err;
    query->task.run = run_done;
    readers->config.host->post(readers->config.host->context, &query->task);
}

static struct storage_query *pop(struct query_readers *readers)
{
    struct storage_query *query = readers->first;
    if (!query)
        return NULL;
    readers->first = query->next;
    if (!readers->first)
        readers->last = &readers->first;
    readers->waiting--;
    query->next = NULL;
    return query;
}

/* The next query, or NULL when it is time to go. */
static struct storage_query *await(struct query_readers *readers)
{
    (void)pthread_mutex_lock(&readers->lock);
    while (!readers->first && !readers->is_stopping)
        (void)pthread_cond_wait(&readers->wanted, &readers->lock);
    struct storage_query *query = readers->is_stopping ? NULL : pop(readers);
    (void)pthread_mutex_unlock(&readers->lock);
    return query;
}

/* A fault is logged here: its origin is this thread's. What has rotted is looked at, and marked, by
 * the archiver. */
static void note_fault(
    struct query_readers *readers, const struct storage_query *query, enum err err)
{
    const struct query_config *config = &readers->config;
    if (!err_is_fault(err))
        return;
    config->host->log(config->host->context, 0, fault_origin());
    if (err == ERR_CORRUPT && config->archiver &&
        (query->kind == STORAGE_BLOCK || query->kind == STORAGE_BODY))
        archive_suspect(config->archiver, query->project, query->number);
}

static void answer(struct reader *reader, struct storage_query *query)
{
    struct query_readers *readers = reader->readers;
    enum err err = ERR_CANCELED;
    if (!atomic_load(&query->is_canceled))
        err = read_store(reader, query);
    note_fault(readers, query, err);
    post(readers, query, err);
}

static void *run_reader(void *argument)
{
    struct reader *reader = argument;
    struct storage_query *query;
    while ((query = await(reader->readers)))
        answer(reader, query);
    return NULL;
}

/* On the loop. */

/* Signals are the loop's: a new thread starts with all of them blocked. */
static enum err start_thread(struct reader *reader)
{
    sigset_t all, before;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    int failed = pthread_create(&reader->thread, NULL, run_reader, reader);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failed)
        return fault(ERR_NOMEM, "thread for reading: error %d", failed);
    reader->is_running = true;
    return ERR_OK;
}

static enum err start_threads(struct query_readers *readers)
{
    for (size_t i = 0; i < READER_THREAD_COUNT; i++) {
        struct reader *reader = &readers->threads[i];
        reader->readers = readers;
        TRY(block_codec_new(readers->config.zstd_level, &reader->codec));
        if (readers->config.is_inline)
            return ERR_OK;
        TRY(start_thread(reader));
    }
    return ERR_OK;
}

enum err query_readers_start(const struct query_config *config, struct query_readers **out)
{
    struct query_readers *readers = calloc(1, sizeof *readers);
    if (!readers)
        return fault(ERR_NOMEM, "reader threads");
    readers->config = *config;
    readers->last = &readers->first;
    (void)pthread_mutex_init(&readers->lock, NULL);
    (void)pthread_cond_init(&readers->wanted, NULL);
    enum err err = start_threads(readers);
    if (err != ERR_OK) {
        query_readers_stop(readers);
        return err;
    }
    *out = readers;
    return ERR_OK;
}

static void stop_threads(struct query_readers *readers)
{
    (void)pthread_mutex_lock(&readers->lock);
    readers->is_stopping = true;
    (void)pthread_cond_broadcast(&readers->wanted);
    (void)pthread_mutex_unlock(&readers->lock);
    for (size_t i = 0; i < READER_THREAD_COUNT; i++)
        if (readers->threads[i].is_running)
            (void)pthread_join(readers->threads[i].thread, NULL);
}

struct query_readers *query_readers_stop(struct query_readers *readers)
{
    if (!readers)
        return NULL;
    stop_threads(readers);
    struct storage_query *query;
    while ((query = pop(readers)))
        post(readers, query, ERR_CANCELED);
    for (size_t i = 0; i < READER_THREAD_COUNT; i++)
        block_codec_free(readers->threads[i].codec);
    (void)pthread_cond_destroy(&readers->wanted);
    (void)pthread_mutex_destroy(&readers->lock);
    free(readers);
    return NULL;
}

enum err query_submit(struct query_readers *readers, struct storage_query *query)
{
    enum err err = ERR_LIMIT;
    buf_init(&query->bytes,
        query->kind == STORAGE_AUDIT ? (size_t)QUERY_AUDIT_BYTES_MAX : (size_t)QUERY_BYTES_MAX);
    query->block = NULL;
    query->next = NULL;
    atomic_store(&query->is_canceled, false);
    if (readers->config.is_inline) {
        answer(&readers->threads[0], query);
        return ERR_OK;
    }
    (void)pthread_mutex_lock(&readers->lock);
    if (readers->waiting < READ_QUEUE_MAX) {
        *readers->last = query;
        readers->last = &query->next;
        readers->waiting++;
        err = ERR_OK;
    }
    (void)pthread_mutex_unlock(&readers->lock);
    if (err == ERR_OK) /* not within the lock: who is woken would run into it, and sleep again */
        (void)pthread_cond_signal(&readers->wanted);
    return err;
}

uint64_t query_waiting(struct query_readers *readers)
{
    (void)pthread_mutex_lock(&readers->lock);
    uint64_t waiting = readers->waiting;
    (void)pthread_mutex_unlock(&readers->lock);
    return waiting;
}

void storage_cancel(struct storage_query *query)
{
    atomic_store(&query->is_canceled, true);
}
