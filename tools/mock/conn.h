/* conn — connections: requests in, answers out, as fast as their schedules and the callers' sockets
 * allow.
 *
 *   thread  the loop's; conn_on_io and conn_on_timer never free their connection, conns_bury does
 */
#ifndef TOKENLOG_TOOLS_MOCK_CONN_H
#define TOKENLOG_TOOLS_MOCK_CONN_H

#include "protocol/base/list.h"
#include "tools/mock/desk.h"
#include "tools/mock/timer.h"
#include "tools/mock/transport.h"

struct conn;

/* What all connections share. */
struct conns {
    struct list live;
    struct list dead; /* closed in this turn */
    size_t count;
    int64_t now_ns;    /* monotonic, set once a turn */
    int epoll_fd;      /* borrowed */
    struct desk *desk; /* borrowed */
    struct tls *tls;   /* borrowed; NULL: plain */
    struct timers timers;
    struct buf scratch; /* one write */
    uint8_t *input;     /* READ_BYTES: one read */
};

enum err conns_init(
    struct conns *conns, int epoll_fd, struct desk *desk, struct tls *tls) NODISCARD;
void conns_deinit(struct conns *conns); /* closes every connection */
/* conns_open — takes a connected, non-blocking `fd`, also where it fails. faults ERR_NOMEM, ERR_IO
 */
enum err conns_open(struct conns *conns, int fd) NODISCARD;
/* conns_tick — runs what is due by now_ns. */
void conns_tick(struct conns *conns);
/* conns_bury — frees what was closed; to be called when no epoll event of this turn is left. */
void conns_bury(struct conns *conns);

/* conn_on_io — `events` of epoll for this connection, which was registered with its address as
 * data. */
void conn_on_io(struct conn *conn, uint32_t events);

#endif
