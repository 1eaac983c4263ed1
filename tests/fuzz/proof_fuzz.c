/* proof — any JSON is checked without harm; a head that reads is written and reads again. */
#include "protocol/base/own.h"
#include "protocol/data/proof.h"

#include "tests/fuzz/fuzz.h"

static void check_head_again(const struct head *head)
{
    CLEANUP(buf_deinit) struct buf text;
    struct json_writer writer;
    struct head again;
    buf_init(&text, 1 << 20);
    json_writer_init(&writer, &text);
    head_write(&writer, head);
    ASSERT(writer.err == ERR_OK);
    CLEANUP(json_cleanup) struct json *json = NULL;
    ASSERT(json_parse(buf_slice(&text), &json) == ERR_OK);
    ASSERT(head_read(json, &again) == ERR_OK);
    ASSERT(again.size == head->size && again.time_ns == head->time_ns);
    ASSERT(head_check(&again) == head_check(head));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    CLEANUP(json_cleanup) struct json *json = NULL;
    CLEANUP(buf_deinit) struct buf record;
    struct proof_result result;
    struct merkle_path path;
    struct head head;
    const char *why;
    buf_init(&record, 1 << 20);
    if (json_parse(slice_of(data, size), &json) != ERR_OK)
        return 0;
    enum err err = proof_check(json, &record, &result, &why);
    ASSERT(err == ERR_OK || (err == ERR_INVALID && why[0]));
    if (head_read(json, &head) == ERR_OK)
        check_head_again(&head);
    if (path_read(json_get(json, "path"), &path) == ERR_OK)
        ASSERT(path.count <= MERKLE_PATH_MAX);
    return 0;
}
