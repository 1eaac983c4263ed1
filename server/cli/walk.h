/* walk — through the file of an export, stream by stream, each checked: that its records are whole
 * and in order, and that its end is, to the byte, what follows from them.
 *
 * A few records of the file are in memory at a time, however long it is.
 *
 *   thread  one */
#ifndef TOKENLOG_SERVER_CLI_WALK_H
#define TOKENLOG_SERVER_CLI_WALK_H

#include "server/cli/cli.h"
#include "server/cli/manifest.h"

struct walk {
    FILE *file;
    enum transcript_format format;
    uint64_t offset; /* in the file, of window.data + at */
    size_t at;       /* what is before it in the window was read */
    struct buf window, scratch;
    struct buf row; /* of the stream under way, encoded */
    struct sha256 *sha;
    bool is_at_end;
};

/* walk_open — answers ERR_NOTFOUND · faults ERR_IO, ERR_NOMEM
 * walk_close — also one that is all zeros */
enum err walk_open(const char *path, enum transcript_format format, struct walk *out) NODISCARD;
void walk_close(struct walk *walk);
/* walk_seek — the next stream begins there.  faults ERR_IO */
enum err walk_seek(struct walk *walk, uint64_t offset) NODISCARD;

/* walk_stream — one stream: its records to `visit` (may be NULL; slices are borrowed for the call),
 * the END only if all is well. `entry` is written on success. An answer of `visit` but ERR_OK ends it
 * and is the result.
 *   answers  ERR_CLOSED the file is over
 *   faults   ERR_CORRUPT it is damaged or cut short · ERR_IO, ERR_NOMEM                       */
enum err walk_stream(struct walk *walk,
    enum err (*visit)(void *context, const struct transcript_record *record), void *context,
    struct manifest_entry *entry) NODISCARD;

/* walk_check — FILE against its manifest: each stream, their order and their sum. What does not fit
 * is said, by name.
 *   returns  an exit code; `head` (may be NULL) gets the manifest's format and filter, `totals` its
 *            sums */
int walk_check(const struct cli *cli, const char *path, struct manifest *head,
    struct manifest_totals *totals) NODISCARD;

#endif
