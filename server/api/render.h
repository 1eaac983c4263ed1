/* render — recorded SSE blocks with their `id:` lines, many at once in one piece of memory: a replay
 * so costs a copy an event, and no segment, chunk head or reference of its own.
 *
 *     id: 8\n data: …\n\n   id: 9\n data: …\n\n   …
 *
 * What is recorded goes unchanged, but: a byte order mark at the stream's beginning would hide the
 * first field behind the id line, and a last block that lacks its blank line gets it.
 *
 * Events in memory are rendered for each reader, as they come; blocks of the store once for all.
 *
 *   thread  any                                                                                */
#ifndef TOKENLOG_SERVER_API_RENDER_H
#define TOKENLOG_SERVER_API_RENDER_H

#include "server/stream/reader.h"

enum {
    RENDER_BYTES_MAX = 64 * 1024, /* of one piece */
    RENDER_FRAME_BYTES_MAX = 32,  /* added to a frame: "id: ", 20 digits, a line end, "\n\n" */
};

struct rendering {
    uint8_t *bytes; /* the caller's, to free() */
    size_t size;
    uint32_t end; /* the frames before this index are in it */
};

/* render_sse — the view's frames from its first on, as many as fit `room` bytes.
 *   answers ERR_LIMIT not one does: it takes RENDER_FRAME_BYTES_MAX more than the frame
 *   faults  ERR_NOMEM */
enum err render_sse(const struct reader_view *view, size_t room, struct rendering *out) NODISCARD;

/* render_sse_block — all of a stored block, frame for frame: whatever readers send of it is then one
 * run of bytes. A reader_derivation. faults ERR_NOMEM */
enum err render_sse_block(const struct block *stored, struct block **out) NODISCARD;

#endif
