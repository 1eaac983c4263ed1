/* ending — a generation stopped, a recording deleted, for whoever has an answer of their own for it.
 *
 *   thread  loop */
#ifndef TOKENLOG_SERVER_API_ENDING_H
#define TOKENLOG_SERVER_API_ENDING_H

#include "server/api/visit.h"

/* ending_stop, ending_remove — a visit's `found`: visit->settled is called once the end is visible, or the
 * recording gone, to answer the exchange (which is held until then) and to visit_free. What goes wrong is
 * answered here. Of one that had ended nothing is stopped; a live one is not deleted.
 * visit->is_late: the recording goes as soon as the disk lets it. */
void ending_stop(struct visit *visit, struct stream *stream);
void ending_remove(struct visit *visit, struct stream *stream);

#endif
