/* multipart — the fields of a multipart/form-data body, or of as much of it as is here.
 *
 *     --boundary CRLF
 *     Content-Disposition: form-data; name="model" CRLF CRLF
 *     whisper-1 CRLF                                        ◀ the field's value
 *     --boundary CRLF
 *     Content-Disposition: form-data; name="file"; filename="a.mp3" CRLF … CRLF CRLF
 *     bytes CRLF
 *     --boundary-- CRLF
 *
 *   thread  any; pure · source  RFC 7578, RFC 2046 §5.1 */
#ifndef TOKENLOG_PROTOCOL_HTTP_MULTIPART_H
#define TOKENLOG_PROTOCOL_HTTP_MULTIPART_H

#include "protocol/base/slice.h"

/* multipart_is_form — whether a Content-Type says multipart/form-data, with a boundary. */
bool multipart_is_form(struct slice content_type);

/* multipart_field — the value of the first part of that name that is no file; borrowed from `body`. Names are
 * compared as they are written between the quotes.
 *   answers  ERR_AGAIN not in this, and the body goes on · ERR_NOTFOUND not in all of it
 *            ERR_INVALID no form, or no multipart body */
enum err multipart_field(
    struct slice content_type, struct slice body, const char *name, struct slice *value) NODISCARD;

#endif
