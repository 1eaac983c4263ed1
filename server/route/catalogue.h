/* catalogue — which provider a model's name leads to: what the program, or its own file, knows of the
 * world, with the configuration laid over it. A snapshot is never changed: a reload makes another
 * one, and those who hold the old one keep it.
 *
 *   catalogue file ─┐
 *   configuration  ─┼─▶ catalogue_build ─▶ snapshot ─▶ catalogues_set ─▶ catalogues_get … unref
 *   environment    ─┘
 *
 * Names, in this order:
 *   PROVIDER/MODEL   a provider of the configuration by its name, or by a name the catalogue has for
 *                    what it is like; else one whose key is in the environment. What follows the
 *                    slash is sent as it is, known or not
 *   ALIAS, ID        of a model the catalogue knows: the first provider of the configuration that is
 *                    its provider; else, where nothing is configured, the one of the environment
 *   anything else    unchanged to the first provider of the configuration
 *
 * A bare name never goes to a provider that is known by a variable of the environment alone while
 * others are configured: nobody asked for that.
 *
 *   thread  a snapshot: any; catalogues: any, one sets */
#ifndef TOKENLOG_SERVER_ROUTE_CATALOGUE_H
#define TOKENLOG_SERVER_ROUTE_CATALOGUE_H

#include "server/route/provider.h"

struct catalogue;

/* catalogue_build — takes `config` over: it is freed with the snapshot, also if this fails, unless
 * is_config_borrowed.
 *   answers  ERR_INVALID `why` has a line for what is wrong · faults ERR_NOMEM */
struct catalogue_source {
    struct config *config;
    bool is_config_borrowed; /* it outlives the snapshot */
    char **environment;      /* outlives the snapshot */
};
enum err catalogue_build(
    const struct catalogue_source *source, struct catalogue **out, struct buf *why) NODISCARD;
struct catalogue *catalogue_ref(struct catalogue *catalogue);
struct catalogue *catalogue_unref(struct catalogue *catalogue); /* NULL is taken; returns NULL */
void catalogue_cleanup(struct catalogue **catalogue);           /* for CLEANUP */

/* The providers that can be asked: the configured ones in their order, then those of the environment. */
const struct provider *catalogue_providers(const struct catalogue *catalogue, size_t *count);
/* catalogue_native — the provider whose calls are under /NATIVE/….  answers ERR_NOTFOUND */
enum err catalogue_native(
    const struct catalogue *catalogue, struct slice native, const struct provider **out) NODISCARD;

/* All models that are known, whether or not their provider can be asked. */
const struct model *catalogue_models(const struct catalogue *catalogue, size_t *count);
/* catalogue_model — by ID or alias.  answers ERR_NOTFOUND
 * catalogue_model_of — what is known of a model as this provider calls it; NULL: nothing. */
enum err catalogue_model(
    const struct catalogue *catalogue, struct slice name, const struct model **out) NODISCARD;
const struct model *catalogue_model_of(
    const struct catalogue *catalogue, const struct provider *provider, struct slice name);

struct route_choice {
    const struct provider *provider; /* the snapshot's, as is `model` */
    const struct model *known;       /* NULL: nothing is known of it */
    struct slice model;              /* to send instead of the caller's name, of which it may be a
                                        part; empty: leave the body as it is */
};
/* catalogue_pick — answers ERR_CLOSED there is no provider at all · ERR_NOTFOUND no such model, or
 * its provider has no key: `why` has a sentence for the caller, with the nearest names
 *   faults  ERR_NOMEM */
enum err catalogue_pick(const struct catalogue *catalogue, struct slice name,
    struct route_choice *out, struct buf *why) NODISCARD;
/* catalogue_why_not — the sentence for a name that catalogue_model does not know. */
enum err catalogue_why_not(
    const struct catalogue *catalogue, struct slice name, struct buf *why) NODISCARD;
/* catalogue_explain — the sentence for a name that leads nowhere: what its provider wants, or that. */
enum err catalogue_explain(
    const struct catalogue *catalogue, struct slice name, struct buf *why) NODISCARD;

/* The configuration's routes (routes.h). catalogue_route — by the name that callers ask for.
 *   answers  ERR_NOTFOUND */
struct route;
const struct route *catalogue_routes(const struct catalogue *catalogue, size_t *count);
enum err catalogue_route(
    const struct catalogue *catalogue, struct slice name, const struct route **out) NODISCARD;

/* The snapshot in force, handed from the one who reloads to all who serve. */
struct catalogues;
enum err catalogues_new(
    struct catalogue *first, struct catalogues **out) NODISCARD; /* takes it over */
struct catalogues *catalogues_free(struct catalogues *catalogues);
struct catalogue *catalogues_get(struct catalogues *catalogues);            /* a reference */
void catalogues_set(struct catalogues *catalogues, struct catalogue *next); /* takes it over */

#endif
