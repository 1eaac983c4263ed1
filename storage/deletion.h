/* deletion — one delete on its way: journalled, durable, then handed to the archiver behind what is
 * left of its stream.
 *
 *     payload of a DELETE record   | project u32, big-endian | id 16 | reason… |
 *
 * The record says which row it means, since a deleted stream has no tail that would.
 *
 *   thread  the loop's                                                                          */
#ifndef TOKENLOG_STORAGE_DELETION_H
#define TOKENLOG_STORAGE_DELETION_H

#include "protocol/base/list.h"
#include "storage/ledger.h"
#include "protocol/base/id.h"

enum { DELETION_BYTES_MAX = 4 + ID_BYTES + DELETE_REASON_BYTES_MAX /* of its record's payload */ };

struct deletion {
    struct list node;
    uint64_t hold;
    uint64_t number;
    uint32_t project;
    struct id id;
    struct buf reason;
    bool is_durable;
};

/* deletion_new — copies the reason. answers ERR_LIMIT past DELETE_REASON_BYTES_MAX · faults
 * ERR_NOMEM
 * deletion_decode — from a record. faults ERR_CORRUPT, ERR_NOMEM
 * deletion_journal — append its record. answers ERR_FULL · faults ERR_NOMEM */
enum err deletion_new(uint32_t project, const struct id *id, uint64_t number, struct slice reason,
    struct deletion **out) NODISCARD;
enum err deletion_decode(const struct record *record, struct deletion **out) NODISCARD;
enum err deletion_journal(
    struct deletion *deletion, struct ledger *ledger, int64_t time_ns) NODISCARD;
struct deletion *deletion_free(struct deletion *deletion);

#endif
