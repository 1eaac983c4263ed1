/* sending — what is sent to one target for a call: where, who calls, and the body in the words that the
 * target takes. It is made of the caller's request alone, so that it can be made for another target.
 *
 *   thread  loop */
#ifndef TOKENLOG_SERVER_API_SENDING_H
#define TOKENLOG_SERVER_API_SENDING_H

#include "server/api/api.h"
#include "server/api/translated.h"
#include "server/route/outbound.h"

/* The caller's request. Borrowed while something is made of it. */
struct asked {
    const struct dialect *dialect;         /* the caller's */
    const struct dialect_request *request; /* read from `body` */
    struct slice method, target, path;     /* as they came; path is target's */
    struct slice native_target; /* behind the provider's base URL, if it is passed on as it is */
    bool is_api;                /* …or behind the place of OpenAI's calls there */
    struct slice body;
    struct upload *upload; /* instead, of one that is passed on as it is; NULL: it is whole */
    const struct headers *headers;
    const struct going_on *going_on; /* with a response that broke off; NULL: it is asked anew */
};

struct sending {
    struct buf body, target;
    struct buf path; /* as it is recorded: a key in it is not */
    struct outbound outbound;
    char method[PRODUCER_METHOD_BYTES], content_type[CONTENT_TYPE_BYTES_MAX];
    bool hides_usage;
    bool is_kept; /* as producer_request has it */
    const struct headers *headers;
    struct translated translated;
    enum { SENDING_ROUTE, SENDING_TOKEN, SENDING_TRANSLATION, SENDING_OUTBOUND } step;
    const char *why; /* at SENDING_TOKEN; borrowed until the loop's turn ends */
};

/* sending_init — bounds what is made by the size of the body. sending_deinit — also of half made ones. */
void sending_init(struct sending *sending, const struct asked *asked);
void sending_deinit(struct sending *sending);
/* sending_make — with the provider's `key`; borrows from `asked`. If it fails, `step` says where:
 *   ROUTE        ERR_NOTFOUND the provider has no calls of this kind
 *   TOKEN        ERR_AGAIN none yet: tokens_wait · ERR_CLOSED it could not be had: `why`
 *   TRANSLATION  ERR_INVALID its dialect has no words for something, or such a call cannot be gone on with:
 *                translated.report · ERR_LIMIT
 *   OUTBOUND     ERR_LIMIT it is too long
 *   faults       ERR_NOMEM */
enum err sending_make(struct sending *sending, struct api *api, const struct asked *asked,
    const struct route_choice *choice, size_t key) NODISCARD;
/* sending_refuse — answers the exchange after a failure. */
void sending_refuse(const struct sending *sending, enum err err, const struct provider *provider,
    struct exchange *exchange);
/* sending_request — for the producer; borrowed from all three. *translate is filled in if it is needed. */
struct producer_request sending_request(const struct sending *sending, const struct asked *asked,
    const struct route_choice *choice, struct producer_translate *translate);

#endif
