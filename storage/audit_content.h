/* audit_content — what the audit log has of a stream, and what of it is stored, hashed.
 *
 * Internal to audit.c, which appends and proves, and audit_verify.c, which recomputes.
 *
 *   thread  the view's */
#ifndef TOKENLOG_STORAGE_AUDIT_CONTENT_H
#define TOKENLOG_STORAGE_AUDIT_CONTENT_H

#include "protocol/data/chain.h"
#include "storage/block.h"
#include "storage/table.h"

struct audit_content {
    struct chain events, asides;
    struct digest body;
    uint64_t body_bytes;
};
/* audit_hash — all of it, from the stored blocks. faults ERR_CORRUPT, ERR_IO, ERR_NOMEM */
enum err audit_hash(struct view *view, struct block_codec *codec, struct sha256 *sha,
    uint32_t project, uint64_t number, struct audit_content *out) NODISCARD;

/* Answers ERR_NOTFOUND; audit_size is 0 of a project without a log. */
enum err audit_statement(
    struct view *view, uint32_t project, uint64_t number, struct statement *out) NODISCARD;
enum err audit_leaf(
    struct view *view, uint32_t project, uint64_t index, struct leaf *out) NODISCARD;
enum err audit_find(struct view *view, uint32_t project, const struct id *id, enum leaf_kind kind,
    uint64_t *index) NODISCARD;
enum err audit_size(struct view *view, uint32_t project, uint64_t *out) NODISCARD;

#endif
