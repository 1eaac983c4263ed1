/* evict — which streams go first when the store is larger than it may be: the oldest that have
 * ended, of all projects together, but none that is held.
 *
 *   thread  the view's                                                                         */
#ifndef TOKENLOG_STORAGE_EVICT_H
#define TOKENLOG_STORAGE_EVICT_H

#include "storage/store.h"
#include "storage/table.h"

/* evict_find — see store_oldest. At most EVICT_LOOK_ROWS of each project are looked at.
 *   faults ERR_CORRUPT, ERR_IO, ERR_NOMEM */
enum err evict_find(struct view *view, struct id *after, struct store_expired *out, size_t count,
    size_t *found, bool *is_end) NODISCARD;

#endif
