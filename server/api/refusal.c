/* refusal — see the header. */
#include "server/api/refusal.h"

void refuse_stream(struct exchange *exchange, enum err err)
{
    if (err != ERR_FULL)
        exchange_retry_after(exchange, 1);
    if (err == ERR_LIMIT)
        exchange_error(exchange, 429, "too_many_streams", NULL,
            "the server's limit of generations under way is reached; try again in a moment");
    else if (err == ERR_AGAIN)
        exchange_error(exchange, 503, "overloaded", NULL,
            "as much goes on as this server keeps up with; nothing was asked for; try again in a "
            "moment");
    else
        exchange_error(exchange, 507, "storage_full", NULL,
            "the answer could not be recorded, so it was not asked for: the storage has no room, "
            "and "
            "waiting makes none");
}

void refuse_draining(struct exchange *exchange)
{
    exchange_retry_after(exchange, 1);
    exchange_error(exchange, 503, "shutting_down", NULL,
        "the server is finishing its work and takes no more; try again in a moment");
}

void refuse_route(struct exchange *exchange, enum err err, const struct buf *why)
{
    if (err == ERR_CLOSED)
        exchange_error(exchange, 503, "no_provider", "model",
            "no provider is configured: start the server with --provider NAME=URL, list "
            "providers in its file, or set the key of one that the catalogue knows");
    else if (err == ERR_NOTFOUND)
        exchange_error(
            exchange, 404, "model_not_found", "model", "%.*s", SLICE_PRINT(buf_slice(why)));
    else
        exchange_error(exchange, 503, "overloaded", NULL, "out of memory; try again");
}

void refuse_outbound(struct exchange *exchange, enum err err)
{
    if (err == ERR_LIMIT)
        exchange_error(exchange, 431, "request_too_long", NULL,
            "with what the provider is to be told, the request's target or its fields are too "
            "long");
    else
        exchange_error(exchange, 503, "overloaded", NULL,
            "the request could not be prepared for the provider: %s", err_text(err));
}

void refuse_token(struct exchange *exchange, const struct provider *provider, const char *why)
{
    exchange_error(exchange, 502, "provider_auth", NULL,
        "%s could not be told who calls, so nothing was asked of it: %s", provider->name, why);
}
