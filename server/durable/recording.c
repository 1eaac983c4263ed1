/* recording — see recording.h. */
#include "server/durable/recording.h"

#include "server/durable/call.h"

bool recording_is_named(struct slice name, struct slice *id)
{
    static const struct slice root = SLICE("-/streams/");
    if (!slice_has_prefix(name, root))
        return false;
    *id = slice_sub(name, root.size, name.size);
    return true;
}

bool recording_refuse(struct exchange *exchange, struct slice name)
{
    struct slice id;
    if (!recording_is_named(name, &id))
        return false;
    durable_secure(exchange);
    if (exchange_add_header(exchange, SLICE("Allow"), SLICE("GET, HEAD")))
        exchange_error(exchange, 503, "overloaded", NULL, "out of memory; try again");
    exchange_error(exchange, 405, "read_only", NULL,
        "a recorded inference stream is read here and nothing else; DELETE /v1/streams/{id} "
        "deletes it");
    return true;
}
