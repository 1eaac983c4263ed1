/* link — TCP connections to providers, kept for the next request.
 *
 *   links_origin ─▶ link_open ─▶ a kept one, or a new one that connects ─▶ ready(events)*
 *                      ▲                                                      │
 *                      └── idle, watched: gone once the peer closes ◀── link_keep    link_drop: closed
 *
 * Bytes are sent and received by plain calls on link_socket.
 *
 *   thread  the loop's */
#ifndef TOKENLOG_SERVER_IO_LINK_H
#define TOKENLOG_SERVER_IO_LINK_H

#include "server/io/address.h"
#include "server/io/watch.h"

struct links;
struct origin; /* an address, and the connections to it that nobody uses */
struct link;   /* one connection in use */

/* links_new — `ready`: as of watch_owner, with link_open's context. Faults of watches_new. */
enum err links_new(
    struct loop *loop, void (*ready)(void *context, short events), struct links **out) NODISCARD;
/* links_free — all links were kept or dropped, all origins returned. */
struct links *links_free(struct links *links);

/* links_origin — one reference. faults ERR_NOMEM. origin_unref takes NULL. */
enum err links_origin(
    struct links *links, const struct sockaddr_storage *address, struct origin **out) NODISCARD;
void origin_unref(struct origin *origin);
const struct sockaddr_storage *origin_address(const struct origin *origin);

/* link_open — the connection that was used last and is still open, else a new one. It wants POLLIN if it
 * is there, POLLOUT while it connects: then ready() tells, and link_connected what of. 0, or errno: why
 * there is none. */
int link_open(struct origin *origin, void *context, struct link **out) NODISCARD;
bool link_is_connecting(const struct link *link);
bool link_was_kept(const struct link *link);
/* link_connected — after ready(): 0 it is, or errno. */
int link_connected(struct link *link);
int link_socket(const struct link *link);
/* link_touches — what ready() will touch beside the context: it is fetched into the caches shortly
 * before, and never read. NULLs are taken. */
enum { LINK_TOUCHED_MAX = 5 };
void link_touches(struct link *link, const void *const addresses[LINK_TOUCHED_MAX]);
/* link_acknowledged — bytes sent since link_open that the peer's kernel has acknowledged.
 *   source  tcp(7) TCP_INFO: tcpi_bytes_acked */
uint64_t link_acknowledged(const struct link *link);
enum err link_want(struct link *link, short events) NODISCARD; /* as watch_want */
/* link_keep — for the next request to this origin, at most UPSTREAM_KEPT_S. */
void link_keep(struct link *link);
void link_drop(struct link *link); /* closed; NULL is taken */

#endif
