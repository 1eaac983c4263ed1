/* recordings — whole recordings of a data directory: events with their times, and request bodies,
 * out of the store and of what the journal holds that is not archived yet. Nothing is written.
 *
 * What is not archived is held in memory, as the server does at its start: so much at the most as
 * the journal's ring has room for.
 *
 *   thread  one */
#ifndef TOKENLOG_SERVER_CLI_RECORDINGS_H
#define TOKENLOG_SERVER_CLI_RECORDINGS_H

#include "protocol/data/transcript.h"
#include "server/cli/offline.h"

struct recordings;

/* recordings_open — `offline` is opened without a wanted stream, and borrowed; `path` as there.
 *   faults  of journal_open · ERR_NOMEM */
enum err recordings_open(
    struct offline *offline, const char *path, struct recordings **out) NODISCARD;
struct recordings *recordings_close(struct recordings *recordings); /* NULL is taken */

/* recordings_read — one recording as records to `visit`: its row, events, request if it is wanted,
 * and end; slices are borrowed for the call. An answer of `visit` but ERR_OK ends it and is the
 * result.
 *   answers  ERR_NOTFOUND no such stream, or deleted
 *   faults   ERR_CORRUPT events are missing or damaged · of the store                          */
enum err recordings_read(struct recordings *recordings, const struct id *id, bool has_request,
    enum err (*visit)(void *context, const struct transcript_record *record),
    void *context) NODISCARD;

#endif
