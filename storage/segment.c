/* segment — see segment.h; all numbers are little-endian.
 *
 *   header block  0 magic 8 | 8 version 4 | 12 slot 4 | 16 store UUID 16 | 32 generation 8
 *                 | 40 segment bytes 8 | 48 first batch 8 | 56 first LSN 8 | 64 CRC-32C of 0–63
 *   frame         0 magic 4 | 4 header bytes 4 | 8 payload bytes 4 | 12 CRC-32C 4 | 16 generation 8
 *                 | 24 batch number 8 | 32 first LSN 8 | 40 records 4 | 44 zero 4 | 48 payload
 *
 * Both headers lie inside one 512-byte sector, the unit a disk writes whole. The frame's CRC starts
 * from the store's UUID, so that no payload can pass for a batch, and covers the generation, so
 * that none passes in another segment, or another use of its slot, than it was written for. */
#include "storage/segment.h"

#include <endian.h>
#include <string.h>

#include "protocol/base/digest.h"

static const uint8_t segment_magic[8] = "tlogjrnl";
static const uint8_t batch_magic[4] = "tlgB";

enum { HEADER_CRC_AT = 64, FRAME_CRC_AT = 12, FRAME_AFTER_CRC = 16 };

static void put_u32(uint8_t *at, uint32_t value)
{
    value = htole32(value);
    memcpy(at, &value, sizeof value);
}

static void put_u64(uint8_t *at, uint64_t value)
{
    value = htole64(value);
    memcpy(at, &value, sizeof value);
}

static uint32_t get_u32(const uint8_t *at)
{
    uint32_t value;
    memcpy(&value, at, sizeof value);
    return le32toh(value);
}

static uint64_t get_u64(const uint8_t *at)
{
    uint64_t value;
    memcpy(&value, at, sizeof value);
    return le64toh(value);
}

void segment_header_encode(const struct segment_header *header, uint8_t block[SEGMENT_HEADER_BYTES])
{
    ASSERT(header->generation > 0 && header->first_batch > 0 && header->first_lsn > 0);
    memset(block, 0, SEGMENT_HEADER_BYTES);
    memcpy(block, segment_magic, sizeof segment_magic);
    put_u32(block + 8, SEGMENT_FORMAT_VERSION);
    put_u32(block + 12, header->slot);
    memcpy(block + 16, header->store_uuid, STORE_UUID_BYTES);
    put_u64(block + 32, header->generation);
    put_u64(block + 40, header->segment_bytes);
    put_u64(block + 48, header->first_batch);
    put_u64(block + 56, header->first_lsn);
    put_u32(block + HEADER_CRC_AT, crc32c(0, slice_of(block, HEADER_CRC_AT)));
}

static bool is_zero(const uint8_t *bytes, size_t size)
{
    return bytes[0] == 0 && memcmp(bytes, bytes + 1, size - 1) == 0;
}

enum err segment_header_decode(
    const uint8_t block[SEGMENT_HEADER_BYTES], struct segment_header *out)
{
    if (is_zero(block, SEGMENT_HEADER_BYTES))
        return ERR_NOTFOUND;
    if (memcmp(block, segment_magic, sizeof segment_magic) != 0 ||
        get_u32(block + HEADER_CRC_AT) != crc32c(0, slice_of(block, HEADER_CRC_AT)))
        return ERR_INVALID;
    if (get_u32(block + 8) != SEGMENT_FORMAT_VERSION)
        return fault(ERR_UNSUPPORTED, "journal segment of format %u; this program knows %d",
            get_u32(block + 8), SEGMENT_FORMAT_VERSION);
    *out = (struct segment_header){
        .slot = get_u32(block + 12),
        .generation = get_u64(block + 32),
        .segment_bytes = get_u64(block + 40),
        .first_batch = get_u64(block + 48),
        .first_lsn = get_u64(block + 56),
    };
    memcpy(out->store_uuid, block + 16, STORE_UUID_BYTES);
    return out->generation > 0 && out->first_batch > 0 && out->first_lsn > 0 ? ERR_OK : ERR_INVALID;
}

size_t batch_frame_bytes(size_t payload_bytes)
{
    return (BATCH_HEADER_BYTES + payload_bytes + DISK_ALIGN - 1) / DISK_ALIGN * DISK_ALIGN;
}

/* frame_crc — seeded by the store's UUID, over all of the frame but the CRC's own field. */
static uint32_t frame_crc(
    const uint8_t store_uuid[STORE_UUID_BYTES], const uint8_t *frame, size_t payload_bytes)
{
    uint32_t crc = crc32c(0, slice_of(store_uuid, STORE_UUID_BYTES));
    crc = crc32c(crc, slice_of(frame, FRAME_CRC_AT));
    return crc32c(crc,
        slice_of(frame + FRAME_AFTER_CRC, BATCH_HEADER_BYTES - FRAME_AFTER_CRC + payload_bytes));
}

void batch_encode(
    const struct batch_header *header, const uint8_t store_uuid[STORE_UUID_BYTES], uint8_t *frame)
{
    ASSERT(header->record_count > 0 && header->payload_bytes > 0);
    memcpy(frame, batch_magic, sizeof batch_magic);
    put_u32(frame + 4, BATCH_HEADER_BYTES);
    put_u32(frame + 8, header->payload_bytes);
    put_u64(frame + 16, header->generation);
    put_u64(frame + 24, header->number);
    put_u64(frame + 32, header->first_lsn);
    put_u32(frame + 40, header->record_count);
    put_u32(frame + 44, 0);
    put_u32(frame + FRAME_CRC_AT, frame_crc(store_uuid, frame, header->payload_bytes));
}

bool batch_peek(const uint8_t *frame, struct batch_header *out)
{
    if (memcmp(frame, batch_magic, sizeof batch_magic) != 0 ||
        get_u32(frame + 4) != BATCH_HEADER_BYTES)
        return false;
    struct batch_header claims = {
        .payload_bytes = get_u32(frame + 8),
        .generation = get_u64(frame + 16),
        .number = get_u64(frame + 24),
        .first_lsn = get_u64(frame + 32),
        .record_count = get_u32(frame + 40),
    };
    if (claims.payload_bytes == 0 || claims.payload_bytes > BATCH_BYTES - BATCH_HEADER_BYTES ||
        claims.record_count == 0 || claims.record_count > claims.payload_bytes ||
        claims.generation == 0 || claims.number == 0 || claims.first_lsn == 0 ||
        claims.first_lsn > UINT64_MAX - claims.record_count)
        return false;
    *out = claims;
    return true;
}

bool batch_is_intact(const struct batch_header *header, const uint8_t store_uuid[STORE_UUID_BYTES],
    const uint8_t *frame)
{
    return get_u32(frame + FRAME_CRC_AT) == frame_crc(store_uuid, frame, header->payload_bytes);
}
