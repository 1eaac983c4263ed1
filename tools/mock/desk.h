/* desk — decides what a request gets: a control answer, an error, or a generation.
 *
 *   thread  the loop's */
#ifndef TOKENLOG_TOOLS_MOCK_DESK_H
#define TOKENLOG_TOOLS_MOCK_DESK_H

#include "tools/mock/background.h"
#include "tools/mock/prediction.h"
#include "tools/mock/request.h"
#include "tools/mock/stats.h"
#include "tools/mock/stream.h"

struct desk {
    struct stats *stats; /* owned */
    struct predictions predictions;
    struct backgrounds backgrounds;
    struct request *last;    /* owned: the last inference request; NULL before the first */
    const char *require_key; /* borrowed for good; NULL: none needed */
};

enum err desk_init(struct desk *desk, const char *require_key) NODISCARD; /* faults ERR_NOMEM */
void desk_deinit(struct desk *desk);

struct desk_answer {
    struct stream *stream; /* owned by the caller; NULL: all of the answer is in `out`, but for */
    uint64_t blob_bytes;   /* that are made behind it (blob.h) */
    bool closes;           /* without a stream: the connection ends after this answer */
};

/* desk_serve — the answer to a whole request. Takes an inference `*request`, which is NULL then.
 *   out     gets the bytes of an answer that is no stream
 *   faults  ERR_NOMEM */
enum err desk_serve(struct desk *desk, struct request **request, int64_t now_ns, struct buf *out,
    struct desk_answer *answer) NODISCARD;
/* desk_refuse — an error answer to what is no request; the connection ends after it. */
enum err desk_refuse(unsigned status, const char *message, struct buf *out) NODISCARD;

#endif
