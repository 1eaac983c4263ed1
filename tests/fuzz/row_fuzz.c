/* row — what decodes encodes again, to a row that decodes to the same encoding; its JSON is valid.
 * */
#include "protocol/base/own.h"
#include "protocol/data/json.h"
#include "protocol/data/row.h"

#include "tests/fuzz/fuzz.h"

static void check_json(const struct row *row)
{
    CLEANUP(buf_deinit) struct buf text;
    const char *why;
    size_t at;
    buf_init(&text, 1 << 20);
    ASSERT(row_json(row, &text) == ERR_OK);
    ASSERT(json_object_check(buf_slice(&text), &why, &at) == ERR_OK);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    CLEANUP(buf_deinit) struct buf once, twice;
    struct row row, again;
    buf_init(&once, ROW_BYTES_MAX);
    buf_init(&twice, ROW_BYTES_MAX);
    enum err err = row_decode((struct slice){data, size}, &row);
    ASSERT(err == ERR_OK || err == ERR_CORRUPT);
    if (err != ERR_OK)
        return 0;
    check_json(&row);
    err = row_encode(&row, &once);
    if (err == ERR_LIMIT) /* `data` wrote bytes as text, whose head is shorter */
        return 0;
    ASSERT(err == ERR_OK);
    ASSERT(row_decode(buf_slice(&once), &again) == ERR_OK);
    ASSERT(row_encode(&again, &twice) == ERR_OK);
    ASSERT(slice_equal(buf_slice(&once), buf_slice(&twice)));
    return 0;
}
