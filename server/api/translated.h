/* translated — a call whose provider speaks another dialect than its caller: what is sent in its place.
 *
 *   thread  loop */
#ifndef TOKENLOG_SERVER_API_TRANSLATED_H
#define TOKENLOG_SERVER_API_TRANSLATED_H

#include "protocol/dialect/translate.h"
#include "protocol/http/header.h"
#include "server/route/catalogue.h"

struct translated {
    const struct codec *caller, *provider; /* NULL: they speak the same */
    const char *prefix;                    /* of sent.path, if it is the provider's own dialect's;
                                            * NULL: its api_prefix, as of calls that are passed on */
    struct translated_request sent;
    struct neutral_report report; /* what could not be said, and what was left out */
    struct headers headers;       /* to send: borrowed from the caller's, and from `sent` */
};
void translated_init(struct translated *translated);
void translated_deinit(struct translated *translated);

/* translated_find — whether a call to `path` is to be translated for this provider: chats of the three
 * dialects that callers speak, where the provider does not speak theirs. Sets caller, provider, prefix. */
bool translated_find(
    struct translated *translated, struct slice path, const struct provider *provider);

/* translated_make — the rest, from the caller's request. `headers` are borrowed as long as *translated is.
 *   answers  ERR_INVALID the provider's dialect has no words for something: `report` says for what
 *            ERR_LIMIT   it is too large
 *   faults   ERR_NOMEM */
enum err translated_make(struct translated *translated, struct slice body,
    const struct headers *headers, const struct route_choice *choice, struct slice model) NODISCARD;

#endif
