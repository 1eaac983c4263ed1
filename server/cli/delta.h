/* delta — the text that a provider's event adds, for reading along: OpenAI's chat, completions and
 * responses, Anthropic's messages. Other events add nothing.
 *
 *   thread  any; no state */
#ifndef TOKENLOG_SERVER_CLI_DELTA_H
#define TOKENLOG_SERVER_CLI_DELTA_H

#include "protocol/base/slice.h"

/* delta_text — from the event's data (JSON), appended. Answers and faults of buf_append; what is
 * not understood adds nothing. */
enum err delta_text(struct slice data, struct buf *out) NODISCARD;

#endif
