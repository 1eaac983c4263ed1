/* cost — what a call cost, by the catalogue's prices.
 *
 *   thread  any; pure */
#ifndef TOKENLOG_SERVER_ROUTE_COST_H
#define TOKENLOG_SERVER_ROUTE_COST_H

#include "protocol/data/row.h"
#include "server/route/catalogue_file.h"

enum { COST_UNKNOWN = -1 };

/* cost_of — in nano-dollars (1e-9 US$), rounded up; COST_UNKNOWN where a count or its price is not known,
 * or `model` is NULL. Cached input is priced as such, and reasoning as such, where the catalogue says;
 * else as input and output. What a provider asks for writing to its cache is not in `usage`, and so not
 * in the cost. */
int64_t cost_of(const struct model *model, const struct usage *usage);

#endif
