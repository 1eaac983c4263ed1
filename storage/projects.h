/* projects — projects by their names. Each has a number, by which all that it has is kept: from 1, in the
 * order in which they were first seen, and for good.
 *
 *   thread  loop */
#ifndef TOKENLOG_STORAGE_PROJECTS_H
#define TOKENLOG_STORAGE_PROJECTS_H

#include "protocol/base/map.h"
#include "protocol/base/slice.h"

struct projects {
    struct map by_name;
    uint32_t last;
};

void projects_init(struct projects *projects);
void projects_deinit(struct projects *projects);
/* projects_know — of the store's walk and of replay: what is known already is not news. faults ERR_NOMEM */
enum err projects_know(void *projects, uint32_t number, struct slice name) NODISCARD;
/* projects_number — of a project, new or known.
 *   answers  ERR_LIMIT the name is empty, or longer than PROJECT_NAME_BYTES_MAX · faults ERR_NOMEM */
enum err projects_number(struct projects *projects, struct slice name, uint32_t *out) NODISCARD;

#endif
