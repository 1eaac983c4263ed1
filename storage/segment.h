/* segment — the bytes of the journal: a segment's header block and a batch's frame. Drawn in
 * FORMAT.md; here are the only two places that write and read them.
 *
 *   thread  any; no state, no allocation */
#ifndef TOKENLOG_STORAGE_SEGMENT_H
#define TOKENLOG_STORAGE_SEGMENT_H

#include "storage/bounds.h"
#include "storage/disk.h"

enum {
    SEGMENT_FORMAT_VERSION = 1,
    SEGMENT_HEADER_BYTES = DISK_ALIGN, /* the first batch begins behind it */
    BATCH_HEADER_BYTES = 48,
    STORE_UUID_BYTES = 16,
};

/* What a segment says of itself. Its batches are those of its generation from first_batch on, up to
 * the first_batch of the next newer segment. */
struct segment_header {
    uint8_t store_uuid[STORE_UUID_BYTES];
    uint32_t slot;
    uint64_t generation; /* from 1; one counter for all segments, raised with each one begun */
    uint64_t segment_bytes;
    uint64_t first_batch, first_lsn; /* of the first batch to be written in it */
};

void segment_header_encode(
    const struct segment_header *header, uint8_t block[SEGMENT_HEADER_BYTES]);
/* segment_header_decode
 *   answers ERR_NOTFOUND never written (zeros) · ERR_INVALID damaged or foreign
 *   faults  ERR_UNSUPPORTED a newer format */
enum err segment_header_decode(
    const uint8_t block[SEGMENT_HEADER_BYTES], struct segment_header *out) NODISCARD;

struct batch_header {
    uint64_t generation, number, first_lsn;
    uint32_t record_count;
    uint32_t payload_bytes; /* encoded records */
};

/* batch_frame_bytes — on disk: header and payload, padded to DISK_ALIGN. */
size_t batch_frame_bytes(size_t payload_bytes);
/* batch_encode — write the header of a payload that lies at frame + BATCH_HEADER_BYTES. The zeros
 * behind it, up to the frame's end, are the caller's. */
void batch_encode(
    const struct batch_header *header, const uint8_t store_uuid[STORE_UUID_BYTES], uint8_t *frame);
/* batch_peek — whether `frame` (DISK_ALIGN bytes) begins like a batch; its claims, unchecked. */
bool batch_peek(const uint8_t *frame, struct batch_header *out);
/* batch_is_intact — the checksum over header and payload, for a header that batch_peek gave;
 * `frame` holds batch_frame_bytes. */
bool batch_is_intact(const struct batch_header *header, const uint8_t store_uuid[STORE_UUID_BYTES],
    const uint8_t *frame);

#endif
