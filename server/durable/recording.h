/* recording — an inference stream, read as a stream of this protocol: GET and HEAD of
 * /v1/stream/-/streams/{id}. Its events are its appends, and bytes to this protocol; the media type of
 * the recorded response is in Upstream-Content-Type. It is closed when the generation has ended. Nobody writes it but its producer.
 *
 *   thread  loop */
#ifndef TOKENLOG_SERVER_DURABLE_RECORDING_H
#define TOKENLOG_SERVER_DURABLE_RECORDING_H

#include "protocol/base/id.h"
#include "server/http/exchange.h"

/* recording_is_named — whether the name is one of a recording, whatever its ID; *id is what stands there.
 * recording_refuse — 405 for what would write one. False: the name is another's. */
bool recording_is_named(struct slice name, struct slice *id);
bool recording_refuse(struct exchange *exchange, struct slice name) NODISCARD;

#endif
