/* schema — the one table of key layouts of the store, how numbers become bytes, and what every
 * value begins with.
 *
 *   table     key                                                 content of the value
 *   meta      a name (below)                                      number, UUID or text
 *   rows      project u32 ‖ id 16                                 row (protocol/data/row.h)
 *   numbers   project u32 ‖ number u64                            id 16 ‖ is deleted u8
 *   keys      project u32 ‖ SHA-256(caller's key) 32              id 16 ‖ attempt u32 ‖ the key
 *   blocks    project u32 ‖ number u64 ‖ first seq u64 ‖ part u32 stored block (block.h)
 *   bodies    the same; seq 0: the request body as one event      stored block
 *   asides    the same; seq = index of the aside                  stored block: place u64 ‖ event
 *   expiry    expires_ns u64 ‖ project u32 ‖ id 16                (no value)
 *   chains    project u32 ‖ number u64                            0 ‖ chain, or 1 ‖ statement
 *   leaves    project u32 ‖ index u64                             leaf      (these: data/chain.h)
 *   nodes     project u32 ‖ level u8 ‖ index u64                  digest 32 of a full subtree
 *   leaf_ids  project u32 ‖ id 16 ‖ leaf's kind u8                index u64
 *
 * All numbers are big-endian, so that the byte order of keys is the order of things. Every value
 * begins with a version byte and the CRC-32C of all that follows:
 *
 *   | version 1 | crc 4 | content … |
 *
 *   thread  any; no state                                                                       */
#ifndef TOKENLOG_STORAGE_SCHEMA_H
#define TOKENLOG_STORAGE_SCHEMA_H

#include "protocol/data/row.h"

enum {
    SCHEMA_FORMAT = 1, /* of the whole store; raised when an older program may not write it */
    SCHEMA_VALUE_VERSION = 1,  /* of a value's frame */
    SCHEMA_SEAL_BYTES = 5,     /* version and CRC */
    SCHEMA_KEY_BYTES_MAX = 80, /* a project's name with its prefix is the longest */
    SCHEMA_NUMBER_VALUE_BYTES = ID_BYTES + 1,
    SCHEMA_CALLER_VALUE_BYTES = ID_BYTES + 4, /* and the key itself */
};

enum table {
    TABLE_META,
    TABLE_ROWS,
    TABLE_NUMBERS,
    TABLE_KEYS,
    TABLE_BLOCKS,
    TABLE_BODIES,
    TABLE_ASIDES,
    TABLE_EXPIRY,
    TABLE_CHAINS,
    TABLE_LEAVES,
    TABLE_NODES,
    TABLE_LEAF_IDS,
    TABLE_COUNT,
};
const char *schema_table_name(enum table table);

/* Names in the table meta, and what they hold. */
#define META_FORMAT   "format"   /* u32 */
#define META_UUID     "uuid"     /* 16 bytes, random */
#define META_EPOCH    "epoch"    /* u32: how often a server has opened the store */
#define META_ABSORBED "absorbed" /* u64: LSN */
#define META_CLOSED   "closed"   /* u64: the journal's last LSN at an orderly close, or 0 */
#define META_PROJECT  "project/" /* ‖ number u32: the project's name */
#define META_NAME     "name/"    /* ‖ name: the project's number, u32 */

void pack_u32(uint8_t *out, uint32_t value);
void pack_u64(uint8_t *out, uint64_t value);
uint32_t unpack_u32(const uint8_t *bytes);
uint64_t unpack_u64(const uint8_t *bytes);

struct schema_key {
    uint8_t bytes[SCHEMA_KEY_BYTES_MAX];
    size_t size;
};
struct slice schema_key_slice(const struct schema_key *key); /* borrowed from `key` */

struct schema_key schema_meta(const char *name);
struct schema_key schema_project(uint32_t number);
struct schema_key schema_project_name(struct slice name); /* ≤ PROJECT_NAME_BYTES_MAX */
struct schema_key schema_rows(uint32_t project);          /* a prefix of its rows' */
struct schema_key schema_row(uint32_t project, const struct id *id);
struct schema_key schema_number(uint32_t project, uint64_t number); /* a prefix of its blocks' */
struct schema_key schema_caller(uint32_t project, struct slice key);
struct schema_key schema_block(uint32_t project, uint64_t number, uint64_t seq, uint32_t part);
struct schema_key schema_leaf(uint32_t project, uint64_t index);
struct schema_key schema_node(uint32_t project, unsigned level, uint64_t index);
struct schema_key schema_leaf_id(uint32_t project, const struct id *id, uint8_t kind);
struct schema_key schema_expiry(int64_t expires_ns, uint32_t project, const struct id *id);

/* schema_…_read — the parts of a key; false: it has another size. */
bool schema_project_read(struct slice key, uint32_t *number);
bool schema_row_read(struct slice key, uint32_t *project, struct id *id);
bool schema_number_read(struct slice key, uint32_t *project, uint64_t *number);
bool schema_block_read(
    struct slice key, uint32_t *project, uint64_t *number, uint64_t *seq, uint32_t *part);
bool schema_node_read(struct slice key, uint32_t *project, unsigned *level, uint64_t *index);
bool schema_expiry_read(struct slice key, int64_t *expires_ns, uint32_t *project, struct id *id);

/* The content of a number's and of a caller's key's value; false: it has another size. */
struct schema_caller_value {
    struct id id;
    uint32_t attempt;
    struct slice key; /* the caller's, borrowed from `content` */
};
bool schema_caller_value_read(struct slice content, struct schema_caller_value *out);
bool schema_number_value_read(struct slice content, struct id *id, bool *is_deleted);

/* value_seal — `parts` one after another behind version and CRC, as the whole of `out`.
 *   answers ERR_LIMIT of `out` · faults ERR_NOMEM
 * value_open — the content, borrowed from `value`. faults ERR_CORRUPT */
enum err value_seal(const struct slice *parts, size_t count, struct buf *out) NODISCARD;
enum err value_open(struct slice value, struct slice *content) NODISCARD;

#endif
