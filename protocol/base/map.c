#include "protocol/base/map.h"

#include <stdlib.h>
#include <string.h>

enum { MAP_BUCKETS_MIN = 16 };

void map_init(struct map *map)
{
    *map = (struct map){0};
}

void map_deinit(struct map *map)
{
    free(map->buckets);
    *map = (struct map){0};
}

/* FNV-1a with a final mix (MurmurHash3's fmix64): keys are UUIDs and hashed names, so speed matters
 * more than defence; callers' own names are hashed with SHA-256 before they come here. */
uint64_t map_hash(struct slice key)
{
    uint64_t hash = 0xcbf29ce484222325u;
    for (size_t i = 0; i < key.size; i++)
        hash = (hash ^ key.data[i]) * 0x100000001b3u;
    hash ^= hash >> 33;
    hash *= 0xff51afd7ed558ccdu;
    hash ^= hash >> 33;
    hash *= 0xc4ceb9fe1a85ec53u;
    return hash ^ (hash >> 33);
}

static void map_link(struct map_node **buckets, size_t bucket_count, struct map_node *node)
{
    struct map_node **bucket = &buckets[node->hash & (bucket_count - 1)];
    node->next = *bucket;
    *bucket = node;
}

static void map_grow(struct map *map)
{
    size_t bucket_count = map->bucket_count ? map->bucket_count * 2 : MAP_BUCKETS_MIN;
    struct map_node **buckets = calloc(bucket_count, sizeof *buckets);
    if (!buckets)
        return;
    for (size_t i = 0; i < map->bucket_count; i++) {
        struct map_node *next;
        for (struct map_node *node = map->buckets[i]; node; node = next) {
            next = node->next;
            map_link(buckets, bucket_count, node);
        }
    }
    free(map->buckets);
    map->buckets = buckets;
    map->bucket_count = bucket_count;
}

enum err map_insert(struct map *map, struct map_node *node, uint64_t hash)
{
    if (map->count >= map->bucket_count)
        map_grow(map);
    if (map->bucket_count == 0)
        return fault(ERR_NOMEM, "map of %d buckets", MAP_BUCKETS_MIN);
    node->hash = hash;
    map_link(map->buckets, map->bucket_count, node);
    map->count++;
    return ERR_OK;
}

void map_remove(struct map *map, struct map_node *node)
{
    ASSERT(map->bucket_count > 0);
    struct map_node **at = &map->buckets[node->hash & (map->bucket_count - 1)];
    while (*at != node) {
        ASSERT(*at);
        at = &(*at)->next;
    }
    *at = node->next;
    map->count--;
}

static struct map_node *map_match(struct map_node *node, uint64_t hash)
{
    while (node && node->hash != hash)
        node = node->next;
    return node;
}

struct map_node *map_first(const struct map *map, uint64_t hash)
{
    if (map->bucket_count == 0)
        return NULL;
    return map_match(map->buckets[hash & (map->bucket_count - 1)], hash);
}

struct map_node *map_next(const struct map_node *node)
{
    return map_match(node->next, node->hash);
}

struct map_node *map_walk(const struct map *map, const struct map_node *last)
{
    if (last && last->next)
        return last->next;
    size_t i = last ? (last->hash & (map->bucket_count - 1)) + 1 : 0;
    for (; i < map->bucket_count; i++)
        if (map->buckets[i])
            return map->buckets[i];
    return NULL;
}
