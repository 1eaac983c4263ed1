/* translated — a call whose provider speaks another dialect than its caller: what is sent in its place.
 *
 *   thread  loop */
#ifndef TOKENLOG_SERVER_API_TRANSLATED_H
#define TOKENLOG_SERVER_API_TRANSLATED_H

#include "protocol/dialect/continuation.h"
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

/* How a response that broke off is to be gone on with (continuation.h); all borrowed. */
struct going_on {
    const struct continuation *shown;
    bool takes_prefill; /* the target does */
    enum continuation_by by;
    struct slice message;
};
/* translated_find_next — as translated_find, of a call that asks the provider to go on with another's
 * response: it may speak the caller's dialect. False: calls to this path cannot be gone on with.
 * translated_make_next — as translated_make. */
bool translated_find_next(
    struct translated *translated, struct slice path, const struct provider *provider);
enum err translated_make_next(struct translated *translated, struct slice body,
    const struct headers *headers, const struct route_choice *choice, struct slice model,
    const struct going_on *going_on) NODISCARD;

#endif
