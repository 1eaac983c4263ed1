/* call — one inference call that is being answered; what the parts of inference share, and nobody else
 * includes.
 *
 *   inference.c  claims, starts, attaches      call_read.c  the request, read
 *   sending.c    what is sent to one target    */
#ifndef TOKENLOG_SERVER_API_CALL_H
#define TOKENLOG_SERVER_API_CALL_H

#include "server/api/api.h"
#include "server/api/sending.h"

/* Lives until its look-up is done. */
struct call {
    struct api *api;
    struct exchange *exchange; /* NULL: the caller is gone */
    struct hub_lookup lookup;
    const struct dialect *dialect;
    struct dialect_request request;
    struct slice native_target; /* behind the provider's base URL, if it is passed on as it is */
    struct slice key, metadata;
    int64_t ttl_s; /* 0: for ever */
    bool is_sliding;
    bool never_attaches; /* Tokenlog-Attach: never */
    bool restarts;       /* Tokenlog-On-Interrupted: restart */
    uint8_t fingerprint[SHA256_BYTES];
    /* Where it goes, by the catalogue as it was when the request came. */
    struct catalogue *catalogue;
    struct route_choice choice;
    enum err choice_err; /* catalogue_pick's */
    struct buf why;
    struct token_wait wait;
};

/* call_read — the body and the header fields, from the exchange. False: answered. */
bool call_read(struct call *call);

#endif
