/* background — OpenAI's Responses and Google's interactions in the background: they go on without whoever
 * asked, and are given out again, from behind any event.
 *
 *   POST /v1/responses {"background": true, "stream": true}   ─▶ the events, as they come
 *   GET  /v1/responses/ID?stream=true&starting_after=N        ─▶ those after number N: at once what has come, then the rest
 *   POST /v1/responses/ID/cancel                              ─▶ the object
 *   the same at /v1beta/interactions, with last_event_id=…
 *
 * A response is paid for when it is asked for: its readings, of which the first is the answer to that, are in
 * no books. They share one schedule, so that a token is due when it is, whoever reads.
 *
 *   thread  the loop's
 *   source  https://platform.openai.com/docs/guides/background (2026-08); google-genai 3.4.0 (Python) */
#ifndef TOKENLOG_TOOLS_MOCK_BACKGROUND_H
#define TOKENLOG_TOOLS_MOCK_BACKGROUND_H

#include "tools/mock/bounds.h"
#include "tools/mock/stream.h"

struct background;

struct backgrounds {
    struct background *held[BACKGROUNDS_MAX]; /* owned; by generation, the last ones of all */
};

void backgrounds_deinit(struct backgrounds *backgrounds);
/* background_begin — puts it into the books, as over, and keeps it: `order` is of its first reading then.
 *   faults  ERR_NOMEM */
enum err background_begin(
    struct backgrounds *backgrounds, struct stats *stats, struct stream_order *order) NODISCARD;
/* background_find — by a path.  answers ERR_NOTFOUND no such, not any more, or it was asked to be forgotten
 *   is_cancel  the path is that of its end */
enum err background_find(const struct backgrounds *backgrounds, struct slice path,
    struct background **out, bool *is_cancel) NODISCARD;
bool background_is_place(struct slice path); /* of one, there or not */
/* background_is_busy — this reading is to be put off (busy=N). Each call counts.
 * background_read — what a reading gets that begins with event `from`; the text is borrowed.
 * background_cancel — what comes after is nothing. */
bool background_is_busy(struct background *background);
struct stream_order background_read(struct background *background, uint64_t from);
void background_cancel(struct background *background);
/* background_render — as much of the object as tells what became of it.  faults ERR_NOMEM */
enum err background_render(const struct background *background, struct buf *out) NODISCARD;

#endif
