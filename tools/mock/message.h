/* message — Amazon's binary event stream: an event as one message, its checksums with it.
 *
 *   total (4) · headers (4) · CRC-32 of these (4) · headers · data · CRC-32 of all before (4)
 *
 *   source  https://smithy.io/2.0/aws/amazon-eventstream.html */
#ifndef TOKENLOG_TOOLS_MOCK_MESSAGE_H
#define TOKENLOG_TOOLS_MOCK_MESSAGE_H

#include "protocol/base/slice.h"

/* message_put — an event of that name, or an exception if the name ends so; `*data_at`, unless NULL,
 * gets the offset of `data` in `out`.
 * message_size — what it comes to.
 * message_seal — the checksum anew, of a message whose data were changed in place. */
enum err message_put(
    const char *name, struct slice data, struct buf *out, size_t *data_at) NODISCARD;
size_t message_size(const char *name, size_t data_size);
void message_seal(uint8_t *message, size_t size);

#endif
