/* yaml_tree — libyaml's document, whose nodes are known by number, behind places. */
#include "server/config/yaml_tree.h"

#include <stdlib.h>
#include <string.h>
#include <yaml.h>

struct yaml_tree {
    yaml_document_t document;
};

enum err yaml_tree_parse(struct slice text, struct yaml_tree **out)
{
    yaml_parser_t parser;
    struct yaml_tree *tree = calloc(1, sizeof *tree);
    if (!tree || !yaml_parser_initialize(&parser)) {
        free(tree);
        return fault(ERR_NOMEM, "YAML");
    }
    yaml_parser_set_input_string(&parser, text.data, text.size);
    bool is_read = yaml_parser_load(&parser, &tree->document);
    bool is_starved = parser.error == YAML_MEMORY_ERROR;
    yaml_parser_delete(&parser);
    if (is_read && yaml_document_get_root_node(&tree->document)) {
        *out = tree;
        return ERR_OK;
    }
    if (is_read)
        yaml_document_delete(&tree->document);
    free(tree);
    return is_starved ? fault(ERR_NOMEM, "YAML") : ERR_INVALID;
}

struct yaml_tree *yaml_tree_free(struct yaml_tree *tree)
{
    if (!tree)
        return NULL;
    yaml_document_delete(&tree->document);
    free(tree);
    return NULL;
}

void yaml_tree_cleanup(struct yaml_tree **tree)
{
    yaml_tree_free(*tree);
}

struct yaml_place yaml_root(const struct yaml_tree *tree)
{
    return (struct yaml_place){tree, 1}; /* libyaml counts from 1 */
}

/* libyaml takes a document that it may change, and does not. */
static const yaml_node_t *node_of(struct yaml_place place)
{
    return place.node > 0 ? yaml_document_get_node(
                                (yaml_document_t *)(uintptr_t)&place.tree->document, place.node)
                          : NULL;
}

enum yaml_kind yaml_kind(struct yaml_place place)
{
    const yaml_node_t *node = node_of(place);
    switch (node ? node->type : YAML_NO_NODE) {
    case YAML_NO_NODE: return YAML_NOTHING;
    case YAML_SCALAR_NODE: return YAML_TEXT;
    case YAML_SEQUENCE_NODE: return YAML_LIST;
    case YAML_MAPPING_NODE: return YAML_MAP;
    }
    return YAML_NOTHING;
}

size_t yaml_line(struct yaml_place place)
{
    const yaml_node_t *node = node_of(place);
    return node ? node->start_mark.line + 1 : 0;
}

const char *yaml_text(struct yaml_place place)
{
    const yaml_node_t *node = node_of(place);
    return node && node->type == YAML_SCALAR_NODE ? (const char *)node->data.scalar.value : "";
}

size_t yaml_count(struct yaml_place place)
{
    const yaml_node_t *node = node_of(place);
    if (node && node->type == YAML_SEQUENCE_NODE)
        return (size_t)(node->data.sequence.items.top - node->data.sequence.items.start);
    if (node && node->type == YAML_MAPPING_NODE)
        return (size_t)(node->data.mapping.pairs.top - node->data.mapping.pairs.start);
    return 0;
}

struct yaml_place yaml_item(struct yaml_place list, size_t index)
{
    const yaml_node_t *node = node_of(list);
    if (!node || node->type != YAML_SEQUENCE_NODE || index >= yaml_count(list))
        return (struct yaml_place){0};
    return (struct yaml_place){list.tree, node->data.sequence.items.start[index]};
}

void yaml_pair(
    struct yaml_place map, size_t index, struct yaml_place *key, struct yaml_place *value)
{
    const yaml_node_t *node = node_of(map);
    *key = *value = (struct yaml_place){0};
    if (!node || node->type != YAML_MAPPING_NODE || index >= yaml_count(map))
        return;
    *key = (struct yaml_place){map.tree, node->data.mapping.pairs.start[index].key};
    *value = (struct yaml_place){map.tree, node->data.mapping.pairs.start[index].value};
}

struct yaml_place yaml_get(struct yaml_place map, const char *key)
{
    struct yaml_place name, value;
    for (size_t i = 0; i < yaml_count(map); i++) {
        yaml_pair(map, i, &name, &value);
        if (strcmp(yaml_text(name), key) == 0)
            return value;
    }
    return (struct yaml_place){0};
}
