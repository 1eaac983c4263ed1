/* call_index — parts of a request by their IDs: dialects that name the function in a tool's result
 * look up its call.
 *
 * Internal to protocol/dialect.
 *
 *   thread  one at a time; the parts are borrowed                                                */
#ifndef TOKENLOG_PROTOCOL_DIALECT_CALL_INDEX_H
#define TOKENLOG_PROTOCOL_DIALECT_CALL_INDEX_H

#include "protocol/base/map.h"
#include "protocol/dialect/neutral.h"

struct call_index {
    struct map map;
    struct arena arena; /* what the map holds */
};

void call_index_init(struct call_index *index);
void call_index_deinit(struct call_index *index);
/* call_index_note — the newest of an ID counts.  answers ERR_LIMIT · faults ERR_NOMEM
 * call_index_find — NULL: there is none. */
enum err call_index_note(struct call_index *index, const struct neutral_part *part) NODISCARD;
const struct neutral_part *call_index_find(const struct call_index *index, struct slice id);

#endif
