/* provider_auth — how a provider is told who calls, as one line of configuration:
 *
 *   none
 *   bearer                        Authorization: Bearer KEY
 *   x-api-key                     x-api-key: KEY
 *   NAME: TEXT {key}              any header; `{key}` is where the key goes
 *   ?NAME={key}                   a parameter of the query
 *   aws-sigv4                     AWS Signature Version 4; the key is ID:SECRET[:SESSION TOKEN]
 *   google-service-account        OAuth 2.0 by a signed JWT; the key is the account's JSON file
 *
 *   thread  any; pure */
#ifndef TOKENLOG_SERVER_CONFIG_PROVIDER_AUTH_H
#define TOKENLOG_SERVER_CONFIG_PROVIDER_AUTH_H

#include "protocol/base/slice.h"

enum provider_auth_kind { AUTH_NONE, AUTH_HEADER, AUTH_QUERY, AUTH_AWS_SIGV4, AUTH_GOOGLE };

struct provider_auth {
    enum provider_auth_kind kind;
    struct slice name;          /* of the header or parameter; the rest is for these two only */
    struct slice before, after; /* around the key in a header's value */
};

#define PROVIDER_AUTH_WORDS                                                                        \
    "auth is bearer, x-api-key, none, `NAME: … {key} …` (a header), `?NAME={key}` (a query), " \
    "aws-sigv4 or google-service-account"

/* provider_auth_parse — borrows from `text`.  answers ERR_INVALID */
enum err provider_auth_parse(struct slice text, struct provider_auth *out) NODISCARD;

#endif
