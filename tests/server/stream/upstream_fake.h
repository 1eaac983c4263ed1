/* upstream_fake — providers that do what the test says: server/io/upstream.h, picked by linking.
 *
 *   upstream_start ──▶ fake_last ─▶ fake_head ─▶ fake_data* ─▶ fake_end
 *
 * As with the real ones nothing is called back from inside a call: what is cancelled ends at the next
 * fake_run. */
#ifndef TOKENLOG_TESTS_SERVER_STREAM_UPSTREAM_FAKE_H
#define TOKENLOG_TESTS_SERVER_STREAM_UPSTREAM_FAKE_H

#include "server/io/upstream.h"

/* fake_started — transfers begun so far; fake_open — of them, not ended; fake_last — the youngest of
 * those, or NULL. */
size_t fake_started(const struct upstreams *upstreams);
size_t fake_open(const struct upstreams *upstreams);
struct upstream *fake_last(struct upstreams *upstreams);
/* fake_at — the open transfers, oldest first; NULL past the last. */
struct upstream *fake_at(struct upstreams *upstreams, size_t index);
/* What was asked: borrowed until the transfer ends. */
const char *fake_url(const struct upstream *upstream);
struct slice fake_body(const struct upstream *upstream);
bool fake_has_header(const struct upstream *upstream, const char *line);
bool fake_is_canceled(const struct upstream *upstream);
bool fake_is_paused(const struct upstream *upstream);

/* fake_head — `head` as "Name: value\r\n" each. fake_data — true: taken; false: the transfer is paused
 * and brings the same bytes again, by itself, once it is resumed. fake_end — the last call. */
void fake_head(struct upstream *upstream, int status, const char *head);
bool fake_data(struct upstream *upstream, struct slice bytes);
bool fake_text(struct upstream *upstream, const char *text);
void fake_end(struct upstream *upstream, enum upstream_end how);
/* fake_sse — the head of an event stream, with status 200. */
void fake_sse(struct upstream *upstream);

/* fake_run — resumed transfers bring what they held, cancelled ones end: at each turn. */
void fake_run(struct upstreams *upstreams);
/* fake_cancel_all — as if each had been cancelled: the next fake_run ends them. */
void fake_cancel_all(struct upstreams *upstreams);
/* fake_refuse — upstream_start fails from now on, or no more. */
void fake_refuse(struct upstreams *upstreams, bool is_refusing);

#endif
