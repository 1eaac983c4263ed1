/* carriage — what carries one transfer to its provider and back: libcurl (carriage_curl.h), or our own
 * HTTP/1.1 over a socket (carriage_plain.h). A transfer keeps what both have in common: its phases and
 * what bounds each, its owner's calls, and that nothing is called back from inside a call.
 *
 *   transfer ─▶ begin, unpause, drop ─▶ carriage
 *   transfer ◀─ transfer_dispatches ◀─ transfer_heads ◀─ transfer_takes* ◀─ transfer_ends ─ carriage
 *
 *   thread  the loop's */
#ifndef TOKENLOG_SERVER_IO_CARRIAGE_H
#define TOKENLOG_SERVER_IO_CARRIAGE_H

#include "server/io/transfer.h"

struct carriage;

struct carriage_kind {
    /* Connects, and sends. It may end the transfer from in here. */
    void (*begin)(struct carriage *carriage);
    /* What of these held the carriage back, holds it back no more: transfer_takes said ERR_AGAIN, the
     * upload had nothing. May take, and end. */
    void (*unpause)(struct carriage *carriage, bool may_receive, bool may_send);
    /* Freed; nothing more is told. */
    void (*drop)(struct carriage *carriage);
    /* The carriage knows itself when it has connected for too long. */
    bool times_connect;
};

/* Embedded in each kind's own, as the first member. */
struct carriage {
    const struct carriage_kind *kind;
    struct transfer *transfer;
};

enum phase { TRANSFER_QUEUED, TRANSFER_CONNECTING, TRANSFER_DISPATCHED, TRANSFER_FLOWING };
enum phase transfer_phase(const struct transfer *transfer);

/* transfer_dispatches — the request's first byte is about to go out, once. */
void transfer_dispatches(struct transfer *transfer);
/* transfer_heads — the final response's head, as upstream_owner.head has it. */
void transfer_heads(struct transfer *transfer, int status, struct slice head);
/* transfer_takes — a part of the body. ERR_AGAIN: not now; the same bytes again after unpause. Any
 * other answer is ERR_OK, and what a cancelled transfer gets is thrown away. */
enum err transfer_takes(struct transfer *transfer, struct slice bytes) NODISCARD;
/* transfer_sends — the next part of the upload; as upload_take. After ERR_AGAIN: not before unpause. */
enum err transfer_sends(
    struct transfer *transfer, uint8_t *out, size_t size, size_t *taken) NODISCARD;
/* transfer_ends — frees transfer and carriage (by drop). `message` for the log, borrowed. What it says
 * counts for less than that the transfer was cancelled, or its upload cut. */
void transfer_ends(struct transfer *transfer, enum upstream_end how, const char *message);

/* transfer_touches — what its calls above touch, the transfer itself first; NULL where there is no more. */
enum { TRANSFER_TOUCHED_MAX = 2 + UPSTREAM_TOUCHED_MAX };
void transfer_touches(const struct transfer *transfer, const void *addresses[TRANSFER_TOUCHED_MAX]);

/* request_has_header — `name` with its colon, in any case. */
bool request_has_header(const struct upstream_request *request, struct slice name);

#endif
