/* place — whose an address is: of one that a peer names, whether a secret meant for that peer may go there.
 *
 *   thread  any; pure */
#ifndef TOKENLOG_PROTOCOL_HTTP_PLACE_H
#define TOKENLOG_PROTOCOL_HTTP_PLACE_H

#include "protocol/base/slice.h"

/* place_is_own — whether `url` leads to whom `known` leads to: the same scheme, host and port; over https
 * also another host of the same domain, by its last two labels (api.replicate.com and
 * stream.replicate.com). Not if it names a user, or is no absolute http or https URL. */
bool place_is_own(struct slice known, struct slice url);

#endif
