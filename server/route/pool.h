/* pool — text and tables that live and die together: what a snapshot of the catalogue owns.
 *
 *   thread  the builder's; afterwards what was handed out is read by any */
#ifndef TOKENLOG_SERVER_ROUTE_POOL_H
#define TOKENLOG_SERVER_ROUTE_POOL_H

#include "protocol/base/slice.h"

struct pool_piece;
struct pool {
    struct pool_piece *pieces; /* all zero is an empty pool */
    size_t used;               /* of the first piece */
};

/* pool_take — `size` zeroed bytes, aligned for any type; valid until pool_deinit.
 * pool_text — a NUL-terminated copy.   Both: faults ERR_NOMEM */
enum err pool_take(struct pool *pool, size_t size, void **out) NODISCARD;
enum err pool_text(struct pool *pool, struct slice text, const char **out) NODISCARD;
void pool_deinit(struct pool *pool);

#endif
