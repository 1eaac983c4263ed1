/* policy — see the header. */
#include "server/route/policy.h"

#include "protocol/base/err.h"

const struct plan_policy plan_policy_unsaid = {
    .retries = PLAN_UNSAID,
    .backoff = PLAN_UNSAID,
    .backoff_ms = PLAN_UNSAID,
    .backoff_max_ms = PLAN_UNSAID,
    .connect_timeout_ms = PLAN_UNSAID,
    .first_byte_timeout_ms = PLAN_UNSAID,
    .idle_timeout_ms = PLAN_UNSAID,
    .on_death = PLAN_UNSAID,
    .continue_by = PLAN_UNSAID,
    .holds_tools = PLAN_UNSAID,
    .hedge_after_ms = PLAN_UNSAID,
    .hedge_after_permil = PLAN_UNSAID,
};

void policy_overlay(struct plan_policy *policy, const struct plan_policy *wish)
{
#define OVERLAY(field) policy->field = wish->field == PLAN_UNSAID ? policy->field : wish->field
    OVERLAY(retries);
    OVERLAY(backoff);
    OVERLAY(backoff_ms);
    OVERLAY(backoff_max_ms);
    OVERLAY(connect_timeout_ms);
    OVERLAY(first_byte_timeout_ms);
    OVERLAY(idle_timeout_ms);
    OVERLAY(on_death);
    OVERLAY(continue_by);
    OVERLAY(holds_tools);
    OVERLAY(hedge_after_ms);
    OVERLAY(hedge_after_permil);
#undef OVERLAY
    ASSERT(policy->retries >= 0 && policy->retries <= PLAN_RETRIES_MAX);
}
