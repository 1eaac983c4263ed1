/* policy — what a call allows of its attempts: its route's policy (config_route.h), and over that what the
 * call itself asks for.
 *
 *   thread  any; pure */
#ifndef TOKENLOG_SERVER_ROUTE_POLICY_H
#define TOKENLOG_SERVER_ROUTE_POLICY_H

#include "server/config/config_route.h"

/* A wish for nothing: every field is PLAN_UNSAID, or NULL. */
extern const struct plan_policy plan_policy_unsaid;
/* policy_overlay — what the wish says takes the place of what stood there; but for continue_message, which
 * whoever keeps the policy has to copy. */
void policy_overlay(struct plan_policy *policy, const struct plan_policy *wish);

#endif
