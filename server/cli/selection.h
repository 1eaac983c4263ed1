/* selection — which recordings an export is of: by project, state, metadata and time.
 *
 *   thread  any; no state */
#ifndef TOKENLOG_SERVER_CLI_SELECTION_H
#define TOKENLOG_SERVER_CLI_SELECTION_H

#include "server/cli/manifest.h"

struct json;

/* As given on the command line; NULL: anything. */
struct selection_flags {
    const char *project, *state, *metadata, *from, *to;
};
/* selection_read — answers ERR_INVALID, and a sentence in *wrong */
enum err selection_read(const struct selection_flags *flags, int64_t now_ns,
    struct manifest_filter *out, const char **wrong) NODISCARD;
/* selection_is_same — but for the times: relative ones move. */
bool selection_is_same(const struct manifest_filter *a, const struct manifest_filter *b);
/* selection_is_before — the stream was made before the filter's time: so are all that follow it in
 * a list. The time of a stream is that in its ID. */
bool selection_is_before(const struct manifest_filter *filter, const struct id *id);
/* selection_takes — whether a row, as row_json shows it, is wanted; its time is looked at only at
 * its end (`to`). A metadata's value that is no string is compared as it is written: "try=2". */
bool selection_takes(const struct manifest_filter *filter, const struct json *row);

#endif
