/* query — the reader threads: cold reads of the store block on page faults, so they are made here.
 *
 *     loop: query_submit ──▶ queue (≤ READ_QUEUE_MAX) ──▶ a thread ──▶ host->post ──▶ loop: done
 *
 * Answers to one reader's queries may overtake each other: whoever needs an order has one under
 * way.
 *
 *   thread  query_submit and query_readers_stop: the loop's */
#ifndef TOKENLOG_STORAGE_QUERY_H
#define TOKENLOG_STORAGE_QUERY_H

#include "storage/storage.h"

struct query_readers;

struct query_config {
    struct store *store;
    const struct storage_host *host;
    struct archiver *archiver; /* told of streams that could not be read; NULL: nobody is */
    int zstd_level;
    bool is_inline; /* without threads: query_submit reads and posts the answer */
};
/* query_readers_start — all that `config` names is borrowed until the stop. */
enum err query_readers_start(
    const struct query_config *config, struct query_readers **out) NODISCARD;
/* query_readers_stop — what waits is answered ERR_CANCELED, what runs is awaited; NULL is taken.
 * Their tasks touch nothing but the queries, and may run later. */
struct query_readers *query_readers_stop(struct query_readers *readers);
/* query_submit — answers ERR_LIMIT. */
enum err query_submit(struct query_readers *readers, struct storage_query *query) NODISCARD;
uint64_t query_waiting(struct query_readers *readers);

#endif
