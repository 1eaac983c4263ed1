/* ttl — Tokenlog-TTL: how long what is recorded is to be kept, within what the server allows.
 *
 *   thread  loop */
#ifndef TOKENLOG_SERVER_API_TTL_H
#define TOKENLOG_SERVER_API_TTL_H

#include "server/api/api.h"

enum { TTL_WHY_BYTES = 160 /* of a sentence with one number in it, and its NUL */ };

/* ttl_read — *ttl_s; 0: for ever. Without the field it is what the project has.
 *   answers  ERR_INVALID `why` is what the field has to be */
enum err ttl_read(const struct api *api, const struct exchange *exchange, int64_t *ttl_s,
    char why[TTL_WHY_BYTES]) NODISCARD;

#endif
