#include "storage/deletion.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>

enum { DELETION_HEAD_BYTES = 4 + ID_BYTES };

enum err deletion_new(uint32_t project, const struct id *id, uint64_t number, struct slice reason,
    struct deletion **out)
{
    if (reason.size > DELETE_REASON_BYTES_MAX)
        return ERR_LIMIT;
    struct deletion *deletion = calloc(1, sizeof *deletion);
    if (!deletion)
        return fault(ERR_NOMEM, "deletion");
    list_init(&deletion->node);
    deletion->project = project;
    deletion->number = number;
    deletion->id = *id;
    buf_init(&deletion->reason, DELETE_REASON_BYTES_MAX);
    enum err err = buf_append(&deletion->reason, reason);
    if (err != ERR_OK) {
        deletion_free(deletion);
        return err;
    }
    *out = deletion;
    return ERR_OK;
}

enum err deletion_decode(const struct record *record, struct deletion **out)
{
    struct slice payload = record->payload;
    uint32_t project;
    struct id id;
    if (payload.size < DELETION_HEAD_BYTES || payload.size > DELETION_BYTES_MAX)
        return fault(ERR_CORRUPT, "delete record of %zu bytes", payload.size);
    memcpy(&project, payload.data, sizeof project);
    memcpy(id.bytes, payload.data + sizeof project, ID_BYTES);
    struct slice reason = slice_sub(payload, DELETION_HEAD_BYTES, payload.size);
    return deletion_new(be32toh(project), &id, record->number, reason, out);
}

enum err deletion_journal(struct deletion *deletion, struct ledger *ledger, int64_t time_ns)
{
    uint8_t payload[DELETION_BYTES_MAX];
    uint32_t project = htobe32(deletion->project);
    memcpy(payload, &project, sizeof project);
    memcpy(payload + sizeof project, deletion->id.bytes, ID_BYTES);
    struct slice reason = buf_slice(&deletion->reason);
    if (reason.size > 0)
        memcpy(payload + DELETION_HEAD_BYTES, reason.data, reason.size);
    struct record record = {.type = RECORD_DELETE,
        .number = deletion->number,
        .time_ns = time_ns,
        .payload = slice_of(payload, DELETION_HEAD_BYTES + reason.size)};
    uint64_t lsn;
    TRY(ledger_append(ledger, &record, LEDGER_DELETE, deletion, &lsn));
    deletion->hold = ledger_hold(ledger, lsn);
    return ERR_OK;
}

struct deletion *deletion_free(struct deletion *deletion)
{
    if (!deletion)
        return NULL;
    list_unlink(&deletion->node);
    buf_deinit(&deletion->reason);
    free(deletion);
    return NULL;
}
