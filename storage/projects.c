/* projects — see the header. */
#include "storage/projects.h"

#include <stdlib.h>

#include "protocol/base/list.h"
#include "protocol/base/own.h"
#include "storage/bounds.h"

struct project {
    struct map_node by_name;
    uint32_t number;
    struct buf name;
};

void projects_init(struct projects *projects)
{
    map_init(&projects->by_name);
    projects->last = 0;
}

static struct project *project_free(struct project *project)
{
    buf_deinit(&project->name);
    free(project);
    return NULL;
}

void projects_deinit(struct projects *projects)
{
    struct map_node *next;
    for (struct map_node *node = map_walk(&projects->by_name, NULL); node; node = next) {
        next = map_walk(&projects->by_name, node);
        project_free(CONTAINER_OF(node, struct project, by_name));
    }
    map_deinit(&projects->by_name);
}

static const struct project *find(const struct projects *projects, struct slice name)
{
    struct map_node *node = map_first(&projects->by_name, map_hash(name));
    for (; node; node = map_next(node)) {
        struct project *project = CONTAINER_OF(node, struct project, by_name);
        if (slice_equal(buf_slice(&project->name), name))
            return project;
    }
    return NULL;
}

static enum err add(struct projects *projects, uint32_t number, struct slice name)
{
    struct project *project = calloc(1, sizeof *project);
    if (!project)
        return fault(ERR_NOMEM, "project");
    project->number = number;
    buf_init(&project->name, name.size);
    enum err err = buf_append(&project->name, name);
    if (err == ERR_OK)
        err = map_insert(&projects->by_name, &project->by_name, map_hash(name));
    if (err != ERR_OK) {
        project_free(project);
        return err;
    }
    if (number > projects->last)
        projects->last = number;
    return ERR_OK;
}

enum err projects_know(void *context, uint32_t number, struct slice name)
{
    struct projects *projects = context;
    return find(projects, name) ? ERR_OK : add(projects, number, name);
}

enum err projects_number(struct projects *projects, struct slice name, uint32_t *out)
{
    if (name.size == 0 || name.size > PROJECT_NAME_BYTES_MAX)
        return ERR_LIMIT;
    if (!find(projects, name))
        TRY(add(projects, projects->last + 1, name));
    *out = find(projects, name)->number;
    return ERR_OK;
}
