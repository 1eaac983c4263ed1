/* operator — probes and metrics. */
#include "server/api/routes_listing.h"

#include "protocol/base/own.h"

void health_get(struct api *api, struct exchange *exchange, struct slice id)
{
    (void)api, (void)id;
    exchange_reply(exchange, 200, "application/json", SLICE("{\"status\":\"ok\"}\n"));
}

/* Ready: new work would be taken. */
void ready_get(struct api *api, struct exchange *exchange, struct slice id)
{
    (void)id;
    if (api->is_draining)
        exchange_error(exchange, 503, "shutting_down", NULL, "the server is finishing its work");
    else if (api->is_stuck)
        exchange_error(exchange, 503, "read_only", NULL,
            "nothing can be made durable: see the log; recordings can be read");
    else if (hub_admits(api->hub))
        exchange_error(exchange, 503, "overloaded", NULL, "no new stream can begin at the moment");
    else
        exchange_reply(exchange, 200, "application/json", SLICE("{\"status\":\"ready\"}\n"));
}

static void take_gauges(struct api *api)
{
    struct storage_status status;
    struct store_size store;
    storage_status(hub_storage(api->hub), &status);
    storage_size(hub_storage(api->hub), &store);
    metrics_set(api->metrics, METRIC_journal_used_percent, status.journal.used_percent);
    metrics_set(api->metrics, METRIC_journal_backlog_bytes, status.journal.backlog_bytes);
    metrics_set(api->metrics, METRIC_tail_bytes, status.tail_bytes);
    metrics_set(api->metrics, METRIC_store_file_bytes, store.file_bytes);
    metrics_set(api->metrics, METRIC_store_used_bytes, store.used_bytes);
    metrics_set(api->metrics, METRIC_store_rows, store.rows);
    metrics_set(api->metrics, METRIC_archive_backlog_bytes, status.archive.backlog_bytes);
    metrics_set(api->metrics, METRIC_streams_expired_total, status.archive.expired);
    metrics_set(api->metrics, METRIC_streams_evicted_total, status.archive.evicted);
    metrics_set(api->metrics, METRIC_damaged_streams_total, status.archive.damaged);
    metrics_set(api->metrics, METRIC_cache_bytes, status.cache.bytes);
    metrics_set(api->metrics, METRIC_cache_hits_total, status.cache.hits);
    metrics_set(api->metrics, METRIC_cache_misses_total, status.cache.misses);
    metrics_set(api->metrics, METRIC_scrubbed_bytes_total, status.archive.scrubbed_bytes);
    metrics_set(api->metrics, METRIC_store_full, status.archive.is_full);
    metrics_set(api->metrics, METRIC_retention_paused, status.archive.is_retention_paused);
    metrics_set(api->metrics, METRIC_storage_stuck, status.journal.is_stuck);
}

void metrics_get(struct api *api, struct exchange *exchange, struct slice id)
{
    (void)id;
    take_gauges(api);
    CLEANUP(buf_deinit) struct buf text;
    buf_init(&text, REPLY_BYTES_MAX);
    if (metrics_print(&api->metrics, 1, &text) ||
        routes_measure(api->catalogues, api->health, loop_now_ns(api->loop), &text))
        exchange_error(exchange, 500, "internal", NULL, "the metrics do not fit");
    else
        exchange_reply(exchange, 200, "text/plain; version=0.0.4; charset=utf-8", buf_slice(&text));
}
