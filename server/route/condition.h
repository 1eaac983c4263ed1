/* condition — whether a target may be asked for this call: what its `when` wants, and what is known of
 * its model.
 *
 *   thread  loop; pure */
#ifndef TOKENLOG_SERVER_ROUTE_CONDITION_H
#define TOKENLOG_SERVER_ROUTE_CONDITION_H

#include "server/route/plan.h"
#include "server/route/routes.h"

/* condition_fails — NULL if it may be; else why not, a part of a sentence: "its project is another".
 * Nothing is held against a model that the catalogue does not know. */
const char *condition_fails(const struct route_target *target, const struct plan_ask *ask);

#endif
