/* provider — one that can be asked: what the configuration says of it, and for the rest the
 * catalogue, and for keys and options the environment.
 *
 *   thread  the builder's; read-only afterwards */
#ifndef TOKENLOG_SERVER_ROUTE_PROVIDER_H
#define TOKENLOG_SERVER_ROUTE_PROVIDER_H

#include "protocol/http/header.h"
#include "server/config/provider_auth.h"
#include "server/route/catalogue_file.h"

/* A Google service account (its JSON file). */
struct service_account {
    const char *email, *key_id, *private_key /* PEM */, *token_url;
};

struct provider {
    const char *name;
    const struct provider_spec *spec; /* what it is like; NULL: nothing the catalogue knows */
    const char *base_url;             /* no slash at its end, no braces */
    const char *api_prefix;     /* "/v1": takes the place of a caller's; NULL: no such calls */
    const char *dialect_prefix; /* NULL: where its own dialect has its calls */
    const char *dialect;        /* by name; may be one that this program does not know */
    /* What its calls under api_prefix are spoken in, of what callers speak, NULL-terminated; NULL:
     * nothing is known of it, and any call is passed on as it is. */
    const char *const *dialects;
    const char *native;  /* /NATIVE/… is passed on as it is */
    const char *ca_file; /* NULL: the system's */
    struct provider_auth auth;
    const char *keys[PROVIDER_KEY_COUNT_MAX + 1]; /* NULL-terminated */
    size_t key_count;
    struct service_account account;     /* for AUTH_GOOGLE */
    const char *const *headers;         /* sent unless the caller sends the same */
    const char *const *default_headers; /* the catalogue's, likewise, after those */
    const char *options[PROVIDER_OPTION_COUNT];
    bool resumes; /* streamed Responses are asked for in the background, so that it keeps them */
    bool takes_callers_keys;
    bool is_configured; /* named in the configuration; else found by its key alone */
};

/* provider_configure — one of the configuration. `spec` may be NULL. Texts are the config's, the
 * file's or `pool`'s: all three must outlive *out.
 *   answers  ERR_INVALID what is missing or wrong is in `why`, a line
 *   faults   ERR_NOMEM */
enum err provider_configure(const struct provider_config *config, const struct provider_spec *spec,
    char **environment, struct pool *pool, struct provider *out, struct buf *why) NODISCARD;
/* provider_callers_key — that a call brings for it, Tokenlog-Provider-Key: NAME=KEY, a field for each
 * provider; empty: it brings none, or the provider takes none. Borrowed. `headers` may be NULL.
 * provider_key_parts — such a field's value.   answers  ERR_INVALID it is none */
struct slice provider_callers_key(const struct provider *provider, const struct headers *headers);
enum err provider_key_parts(struct slice value, struct slice *name, struct slice *key) NODISCARD;
#define PROVIDER_KEY_FIELD "Tokenlog-Provider-Key"
/* provider_speaks — whether its calls under api_prefix are taken in this dialect. */
bool provider_speaks(const struct provider *provider, const char *dialect);
/* provider_discover — one of the catalogue, by the key and options in the environment alone.
 *   answers  ERR_NOTFOUND they are not there · ERR_INVALID, and faults: as above */
enum err provider_discover(const struct provider_spec *spec, char **environment, struct pool *pool,
    struct provider *out, struct buf *why) NODISCARD;

#endif
