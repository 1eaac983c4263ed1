/* schema — see schema.h, whose table is the picture. Nothing else in storage/ knows how a key of
 * the store is laid out. */
#include "storage/schema.h"

#include <string.h>

#include "storage/bounds.h"

enum {
    PROJECT_AT_END = 4,
    ROW_KEY_BYTES = 4 + ID_BYTES,
    NUMBER_KEY_BYTES = 4 + 8,
    BLOCK_KEY_BYTES = NUMBER_KEY_BYTES + 8 + 4,
    EXPIRY_KEY_BYTES = 8 + ROW_KEY_BYTES,
    NODE_KEY_BYTES = 4 + 1 + 8,
};

static_assert(sizeof META_NAME - 1 + PROJECT_NAME_BYTES_MAX <= SCHEMA_KEY_BYTES_MAX,
    "a project's name fits its key");
static_assert(ROW_BYTES_MAX + SCHEMA_SEAL_BYTES <= BLOCK_STORED_BYTES_MAX, "a row wastes no page");

static const char *const table_names[] = {
    [TABLE_META] = "meta",
    [TABLE_ROWS] = "rows",
    [TABLE_NUMBERS] = "numbers",
    [TABLE_KEYS] = "keys",
    [TABLE_BLOCKS] = "blocks",
    [TABLE_BODIES] = "bodies",
    [TABLE_ASIDES] = "asides",
    [TABLE_EXPIRY] = "expiry",
    [TABLE_CHAINS] = "chains",
    [TABLE_LEAVES] = "leaves",
    [TABLE_NODES] = "nodes",
    [TABLE_LEAF_IDS] = "leaf_ids",
};
static_assert(sizeof table_names / sizeof *table_names == TABLE_COUNT, "every table has a name");

const char *schema_table_name(enum table table)
{
    ASSERT(table < TABLE_COUNT);
    return table_names[table];
}

void pack_u32(uint8_t *out, uint32_t value)
{
    value = __builtin_bswap32(value);
    memcpy(out, &value, sizeof value);
}

void pack_u64(uint8_t *out, uint64_t value)
{
    value = __builtin_bswap64(value);
    memcpy(out, &value, sizeof value);
}

uint32_t unpack_u32(const uint8_t *bytes)
{
    uint32_t value;
    memcpy(&value, bytes, sizeof value);
    return __builtin_bswap32(value);
}

uint64_t unpack_u64(const uint8_t *bytes)
{
    uint64_t value;
    memcpy(&value, bytes, sizeof value);
    return __builtin_bswap64(value);
}
static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "swapping makes it big-endian");

struct slice schema_key_slice(const struct schema_key *key)
{
    return (struct slice){key->bytes, key->size};
}

static void key_bytes(struct schema_key *key, struct slice bytes)
{
    ASSERT(bytes.size <= sizeof key->bytes - key->size);
    memcpy(key->bytes + key->size, bytes.data, bytes.size);
    key->size += bytes.size;
}

static void key_u32(struct schema_key *key, uint32_t value)
{
    uint8_t bytes[4];
    pack_u32(bytes, value);
    key_bytes(key, slice_of(bytes, sizeof bytes));
}

static void key_u64(struct schema_key *key, uint64_t value)
{
    uint8_t bytes[8];
    pack_u64(bytes, value);
    key_bytes(key, slice_of(bytes, sizeof bytes));
}

struct schema_key schema_meta(const char *name)
{
    struct schema_key key = {.size = 0};
    key_bytes(&key, slice_text(name));
    return key;
}

struct schema_key schema_project(uint32_t number)
{
    struct schema_key key = schema_meta(META_PROJECT);
    key_u32(&key, number);
    return key;
}

struct schema_key schema_project_name(struct slice name)
{
    struct schema_key key = schema_meta(META_NAME);
    if (name.size)
        key_bytes(&key, name);
    return key;
}

struct schema_key schema_rows(uint32_t project)
{
    struct schema_key key = {.size = 0};
    key_u32(&key, project);
    return key;
}

struct schema_key schema_row(uint32_t project, const struct id *id)
{
    struct schema_key key = schema_rows(project);
    key_bytes(&key, id_slice(id));
    return key;
}

struct schema_key schema_number(uint32_t project, uint64_t number)
{
    struct schema_key key = {.size = 0};
    key_u32(&key, project);
    key_u64(&key, number);
    return key;
}

struct schema_key schema_caller(uint32_t project, struct slice caller)
{
    uint8_t digest[SHA256_BYTES];
    sha256(caller, digest);
    struct schema_key key = {.size = 0};
    key_u32(&key, project);
    key_bytes(&key, slice_of(digest, sizeof digest));
    return key;
}

struct schema_key schema_block(uint32_t project, uint64_t number, uint64_t seq, uint32_t part)
{
    struct schema_key key = schema_number(project, number);
    key_u64(&key, seq);
    key_u32(&key, part);
    return key;
}

struct schema_key schema_leaf(uint32_t project, uint64_t index)
{
    return schema_number(project, index);
}

struct schema_key schema_node(uint32_t project, unsigned level, uint64_t index)
{
    struct schema_key key = schema_rows(project);
    key_bytes(&key, slice_of(&(uint8_t){(uint8_t)level}, 1));
    key_u64(&key, index);
    return key;
}

struct schema_key schema_leaf_id(uint32_t project, const struct id *id, uint8_t kind)
{
    struct schema_key key = schema_row(project, id);
    key_bytes(&key, slice_of(&kind, 1));
    return key;
}

struct schema_key schema_expiry(int64_t expires_ns, uint32_t project, const struct id *id)
{
    ASSERT(expires_ns >= 0);
    struct schema_key key = {.size = 0};
    key_u64(&key, (uint64_t)expires_ns);
    key_u32(&key, project);
    key_bytes(&key, id_slice(id));
    return key;
}

bool schema_project_read(struct slice key, uint32_t *number)
{
    struct slice prefix = SLICE(META_PROJECT);
    if (!slice_has_prefix(key, prefix) || key.size != prefix.size + PROJECT_AT_END)
        return false;
    *number = unpack_u32(key.data + prefix.size);
    return true;
}

bool schema_row_read(struct slice key, uint32_t *project, struct id *id)
{
    if (key.size != ROW_KEY_BYTES)
        return false;
    *project = unpack_u32(key.data);
    memcpy(id->bytes, key.data + 4, ID_BYTES);
    return true;
}

bool schema_number_read(struct slice key, uint32_t *project, uint64_t *number)
{
    if (key.size != NUMBER_KEY_BYTES)
        return false;
    *project = unpack_u32(key.data);
    *number = unpack_u64(key.data + 4);
    return true;
}

bool schema_block_read(
    struct slice key, uint32_t *project, uint64_t *number, uint64_t *seq, uint32_t *part)
{
    if (key.size != BLOCK_KEY_BYTES)
        return false;
    *project = unpack_u32(key.data);
    *number = unpack_u64(key.data + 4);
    *seq = unpack_u64(key.data + NUMBER_KEY_BYTES);
    *part = unpack_u32(key.data + NUMBER_KEY_BYTES + 8);
    return true;
}

bool schema_node_read(struct slice key, uint32_t *project, unsigned *level, uint64_t *index)
{
    if (key.size != NODE_KEY_BYTES)
        return false;
    *project = unpack_u32(key.data);
    *level = key.data[4];
    *index = unpack_u64(key.data + 5);
    return true;
}

bool schema_expiry_read(struct slice key, int64_t *expires_ns, uint32_t *project, struct id *id)
{
    if (key.size != EXPIRY_KEY_BYTES || unpack_u64(key.data) > INT64_MAX)
        return false;
    *expires_ns = (int64_t)unpack_u64(key.data);
    return schema_row_read(slice_sub(key, 8, ROW_KEY_BYTES), project, id);
}

bool schema_caller_value_read(struct slice content, struct schema_caller_value *out)
{
    if (content.size < SCHEMA_CALLER_VALUE_BYTES)
        return false;
    memcpy(out->id.bytes, content.data, ID_BYTES);
    out->attempt = unpack_u32(content.data + ID_BYTES);
    out->key = slice_sub(content, SCHEMA_CALLER_VALUE_BYTES, content.size);
    return true;
}

bool schema_number_value_read(struct slice content, struct id *id, bool *is_deleted)
{
    if (content.size != SCHEMA_NUMBER_VALUE_BYTES)
        return false;
    memcpy(id->bytes, content.data, ID_BYTES);
    *is_deleted = content.data[ID_BYTES] != 0;
    return true;
}

enum err value_seal(const struct slice *parts, size_t count, struct buf *out)
{
    uint8_t seal[SCHEMA_SEAL_BYTES] = {SCHEMA_VALUE_VERSION};
    uint32_t crc = 0;
    for (size_t i = 0; i < count; i++)
        crc = crc32c(crc, parts[i]);
    pack_u32(seal + 1, crc);
    buf_clear(out);
    TRY(buf_append(out, slice_of(seal, sizeof seal)));
    for (size_t i = 0; i < count; i++)
        TRY(buf_append(out, parts[i]));
    return ERR_OK;
}

enum err value_open(struct slice value, struct slice *content)
{
    if (value.size < SCHEMA_SEAL_BYTES || value.data[0] != SCHEMA_VALUE_VERSION)
        return fault(ERR_CORRUPT, "a value of %zu bytes has an unknown version", value.size);
    struct slice rest = slice_sub(value, SCHEMA_SEAL_BYTES, value.size);
    if (crc32c(0, rest) != unpack_u32(value.data + 1))
        return fault(ERR_CORRUPT, "a value of %zu bytes fails its checksum", value.size);
    *content = rest;
    return ERR_OK;
}
