/* map — an intrusive hash table: nodes live in their owners, buckets are chained and double when
 * the load passes 1. The caller hashes (map_hash) and compares; map_first/map_next walk the nodes
 * of one hash.
 *
 *   thread  the owner's; no locks */
#ifndef TOKENLOG_PROTOCOL_BASE_MAP_H
#define TOKENLOG_PROTOCOL_BASE_MAP_H

#include "protocol/base/slice.h"

struct map_node {
    struct map_node *next;
    uint64_t hash;
};

struct map {
    struct map_node **buckets;
    size_t bucket_count; /* a power of two, or 0 before the first insert */
    size_t count;
};

void map_init(struct map *map);
void map_deinit(struct map *map); /* frees the buckets; the nodes are their owners' */
uint64_t map_hash(struct slice key);
/* map_insert — faults ERR_NOMEM only while the table is still empty of buckets; later growth that
 * fails is skipped. */
enum err map_insert(struct map *map, struct map_node *node, uint64_t hash) NODISCARD;
void map_remove(struct map *map, struct map_node *node);
struct map_node *map_first(const struct map *map, uint64_t hash);
struct map_node *map_next(const struct map_node *node); /* the next of the same hash, or NULL */
/* map_walk — each node once: start with NULL, go on with the last result until NULL. O(buckets) in
 * all; the node last returned may be removed only after the next one has been asked for. */
struct map_node *map_walk(const struct map *map, const struct map_node *last);

#endif
