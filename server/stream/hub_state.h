/* hub_state — what the files below share, and nobody else includes: the structs, and
 * the steps in a stream's life.
 *
 *   hub.c     the maps, what storage says, what is durable
 *   stream.c  one stream: its references, its row, its writer, its watchers
 *   sweep.c   open ones whose time is over
 *   duplicates.c  requests without a key that come again
 *   lookup.c  streams by ID and by key: the store asked, the one producer elected
 *
 * A stream is in memory while it has a tail or a reference. `tail` is NULL once storage has said
 * `gone`; the row is then the
 * stream's own copy. */
#ifndef TOKENLOG_SERVER_STREAM_HUB_STATE_H
#define TOKENLOG_SERVER_STREAM_HUB_STATE_H

#include "server/stream/duplicates.h"
#include "server/stream/hub.h"
#include "server/stream/sweep.h"

struct hub {
    struct hub_config config;
    struct storage *storage;
    struct map by_id, by_key, by_upstream, claims;
    struct duplicates duplicates;
    uint64_t live_count, watcher_count;
    uint64_t appended_count; /* streams that clients write, with a tail */
    bool is_paused, is_stuck;
    struct list barriers; /* by LSN */
    struct list waiting;  /* barriers whose LSN is durable, for more of their stream */
    struct timer again;   /* set when those who waited gave more to be written */
    struct sweep *sweep;
    bool (*over)(void *context, struct stream *stream); /* may be NULL */
    void *over_context;
    struct overload overload;
    struct timer probe; /* set while generations are under way, if there is a bound */
    int64_t probe_due_ns;
};

/* What each event touches comes first. */
struct stream {
    struct hub *hub;
    struct tail *tail;
    struct producer *producer;
    const struct stream_writer *writer;
    struct list watchers;
    size_t watcher_count;
    size_t references;
    bool was_first_event_seen;
    bool is_keyed;    /* in by_key */
    bool is_upstream; /* in by_upstream */
    bool is_live;     /* counted */
    bool is_appended; /* a client writes it: its tail leaves with the last reference (append.h) */
    bool is_left;     /* to the next start */
    bool is_deleted;
    bool outlives_callers; /* whatever the project says of those that nobody watches */
    unsigned holds_pending;
    struct map_node by_id, by_key, by_upstream;
    struct project *project;
    uint32_t project_number;
    struct id id;
    uint64_t key_hash;
    int64_t touched_ns; /* read last, as far as is known here… */
    int64_t noted_ns;   /* …and asked to be noted */
    struct timer unwatched;
    struct duplicate *duplicate; /* NULL: none is to be told from it */
    struct buf row_bytes;        /* when there is no tail */
    struct row row;
};

/* hub_hash — of a name in a project. hub_find, hub_find_key, hub_find_upstream — borrowed; NULL: not in
 * memory. */
uint64_t hub_hash(uint32_t project, struct slice name);
uint64_t hub_hash_id(uint32_t project, const struct id *id);
struct stream *hub_find(struct hub *hub, uint32_t project, const struct id *id);
struct stream *hub_find_key(struct hub *hub, uint32_t project, struct slice key);
struct stream *hub_find_upstream(struct hub *hub, uint32_t project, struct slice upstream_id);

/* stream_new — one reference for the caller, not yet of any tail. stream_from_row — the same, of
 * what the store has.
 * stream_take_tail — the tail holds a reference from here on, until stream_leave_tail. stream_index_key — the newest
 * attempt of a key is found by it.
 * stream_count_live — keeps the hub's count. */
enum err stream_new(struct hub *hub, struct project *project, uint32_t project_number,
    const struct id *id, struct stream **out) NODISCARD;
enum err stream_index_key(struct stream *stream, const struct row *row) NODISCARD;
void stream_free(struct stream *stream);    /* no tail, watcher, producer is left */
void stream_unindex(struct stream *stream); /* its key and its upstream_id */
void stream_take_tail(struct stream *stream, struct tail *tail);
void stream_leave_tail(struct stream *stream); /* the reference is the caller's then */
enum err stream_from_row(struct hub *hub, struct project *project, uint32_t project_number,
    struct slice encoded, struct stream **out) NODISCARD;
/* stream_reopen — an open one that a client writes, of what `query` has read: it has a tail again.
 *   answers  ERR_AGAIN query again · ERR_LIMIT APPENDED_OPEN_MAX are in memory */
enum err stream_reopen(struct stream *stream, const struct storage_query *query) NODISCARD;
void stream_count_live(struct stream *stream, bool is_live);
/* stream_adopt — what the store said of a stream becomes a stream in memory, unless one came up
 *   meanwhile; a reference. `project` may be NULL: it is not known yet.
 *   answers  ERR_AGAIN what the store said is out of date: query again · ERR_LIMIT */
enum err stream_adopt(struct hub *hub, struct project *project, uint32_t project_number,
    const struct storage_query *query, struct slice encoded, struct stream **out) NODISCARD;

#endif
