/* call — one inference call that is being answered; what the parts of inference share, and nobody else
 * includes.
 *
 *   inference.c  claims, starts, attaches      call_read.c  the request, read
 *   sending.c    what is sent to one target    attempts.c   whom it is sent to, one after another */
#ifndef TOKENLOG_SERVER_API_CALL_H
#define TOKENLOG_SERVER_API_CALL_H

#include "server/api/attempts.h"
#include "server/api/inference.h"
#include "server/api/run_step.h"

/* Tokenlog-On-Interrupted: what a key's stream that broke off is answered with. */
enum on_interrupted {
    ON_INTERRUPTED_REPLAY,   /* what there is of it */
    ON_INTERRUPTED_RESTART,  /* another one, asked anew */
    ON_INTERRUPTED_CONTINUE, /* another one, that begins with what there is and goes on with it */
};

/* Lives until its look-up is done. */
struct call {
    struct api *api;
    struct exchange *exchange; /* NULL: the caller is gone */
    struct hub_lookup lookup;
    const struct dialect *dialect;
    struct dialect_request request;
    struct slice native_target; /* behind the provider's base URL, if it is passed on as it is */
    bool is_api;                /* …or behind the place of OpenAI's calls there */
    inference_answer *answer;   /* NULL: the recording, or as the request asks */
    struct upload *upload;      /* the body, which arrives still; NULL: it is whole */
    struct slice key, metadata;
    int64_t ttl_s; /* 0: for ever */
    bool is_sliding;
    bool never_attaches; /* Tokenlog-Attach: never */
    enum on_interrupted on_interrupted;
    struct run_step_call run_step;
    uint8_t fingerprint[SHA256_BYTES];
    struct plan_policy wish; /* what the call itself asks for */
    /* Where it goes, by the catalogue as it was when the request came. */
    struct attempts *attempts; /* NULL: given to the producer, or: */
    enum err plan_err;
    struct buf why;
};

/* call_needs — capabilities that the body asks for, as far as its outermost members tell: tools (`tools`,
 * `functions`), json_schema (the word in `response_format`, `text`, `output_format`), and vision, documents
 * and audio by the types of content parts in `messages` or `input`. 1u << CAPABILITY_… */
uint32_t call_needs(struct slice body);
/* call_read — the body and the header fields, from the exchange. False: answered. */
bool call_read(struct call *call);

#endif
