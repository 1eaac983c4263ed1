/* listing — the projects of a store, and their rows, newest first.
 *
 *   thread  the view's                                                                         */
#ifndef TOKENLOG_STORAGE_LISTING_H
#define TOKENLOG_STORAGE_LISTING_H

#include "storage/table.h"

/* Both as store_project_walk and store_list say. */
enum err listing_projects(struct view *view,
    enum err (*visit)(void *context, uint32_t number, struct slice name), void *context) NODISCARD;

struct listing_visit {
    size_t rows_max;
    enum err (*visit)(void *context, const struct row *row);
    void *context;
};
enum err listing_rows(struct view *view, uint32_t project, const struct id *before,
    const struct listing_visit *visit) NODISCARD;

#endif
