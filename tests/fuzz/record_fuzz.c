/* record — a run of records as in a batch: each that decodes lies inside the input and round-trips.
 * */
#include "protocol/base/own.h"
#include "protocol/data/record.h"

#include "tests/fuzz/fuzz.h"

static void check_record(const struct record *record)
{
    size_t capacity = record->payload.size + RECORD_OVERHEAD_BYTES_MAX, size = 0;
    CLEANUP(cleanup_free) uint8_t *bytes = malloc(capacity);
    struct record again;
    ASSERT(bytes && record_encode(record, bytes, capacity, &size) == ERR_OK);
    struct slice rest = {bytes, size};
    ASSERT(record_decode(&rest, &again) == ERR_OK && rest.size == 0);
    ASSERT(again.type == record->type && again.flags == record->flags);
    ASSERT(again.number == record->number && again.seq == record->seq);
    ASSERT(again.time_ns == record->time_ns && slice_equal(again.payload, record->payload));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice rest = {data, size};
    struct record record;
    while (rest.size > 0) {
        size_t before = rest.size;
        enum err err = record_decode(&rest, &record);
        ASSERT(err == ERR_OK || (err == ERR_CORRUPT && rest.size == before));
        if (err != ERR_OK)
            break;
        ASSERT(rest.size < before);
        ASSERT(
            record.payload.size == 0 || record.payload.data + record.payload.size <= data + size);
        check_record(&record);
    }
    return 0;
}
