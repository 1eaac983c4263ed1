/* roll — who is stored: rows, and what leads to them (numbers, keys, expiry), kept in step.
 *
 *   invariants  a row's expiry entry is at row_expires_ns(row); or, while its deletion is under
 *               way, at 0, so that a crash leaves it due at once
 *               a number says deleted exactly when its row is a tombstone
 *   answers     ERR_FULL of putting · faults ERR_CORRUPT, ERR_IO, ERR_NOMEM
 *   thread      the view's; a roll is made for a call, and owns nothing                        */
#ifndef TOKENLOG_STORAGE_ROLL_H
#define TOKENLOG_STORAGE_ROLL_H

#include "storage/store.h"
#include "storage/table.h"

struct roll {
    struct view *view;
    struct buf *value; /* for what is put */
};

/* content_get — a value without its seal, borrowed from the view. answers ERR_NOTFOUND
 * content_put, content_put_small — sealed, by view_put and view_put_small */
enum err content_get(
    struct view *view, enum table table, struct schema_key key, struct slice *out) NODISCARD;
enum err content_put(const struct roll *roll, enum table table, struct schema_key key,
    struct slice content) NODISCARD;
enum err content_put_small(const struct roll *roll, enum table table, struct schema_key key,
    struct slice content) NODISCARD;

/* roll_put_row, roll_amend, roll_drop_row, roll_expired — see store_put_row, store_amend,
 * store_mark_damage, store_drop_row, store_expired; roll_over — see store_over. */
enum err roll_put_row(const struct roll *roll, struct slice encoded_row) NODISCARD;
enum err roll_amend(const struct roll *roll, const struct store_amendment *amendment) NODISCARD;
enum err roll_mark_damage(const struct roll *roll, uint32_t project, uint64_t number,
    struct slice damage, struct id *id, bool *is_news) NODISCARD;
enum err roll_drop_row(const struct roll *roll, uint32_t project, const struct id *id) NODISCARD;
enum err roll_over(struct view *view, int64_t now_ns, size_t rows_max,
    enum err (*visit)(void *context, const struct row *row), void *context) NODISCARD;
enum err roll_expired(struct view *view, int64_t now_ns, struct store_expired *out, size_t count,
    size_t *found) NODISCARD;

/* roll_bury — the row becomes a tombstone, if it is not one, and its deletion is under way; *number
 *   is whose values are to go.
 * roll_rest — they are gone.
 *   answers ERR_NOTFOUND no such row · ERR_DENIED it is held */
enum err roll_bury(
    const struct roll *roll, const struct store_deletion *deletion, uint64_t *number) NODISCARD;
enum err roll_rest(const struct roll *roll, uint32_t project, const struct id *id) NODISCARD;

/* roll_is_deleted — whether nothing is to be stored for it; an unknown number is not deleted. */
enum err roll_is_deleted(
    const struct roll *roll, uint32_t project, uint64_t number, bool *out) NODISCARD;
/* roll_find_caller — what a caller's key leads to. answers ERR_NOTFOUND */
enum err roll_find_caller(struct view *view, uint32_t project, struct slice key,
    struct schema_caller_value *out) NODISCARD;

#endif
