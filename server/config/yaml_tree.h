/* yaml_tree — a YAML document whose form no schema can hold: lists of texts and maps together, maps with
 * any keys. Each place knows its line.
 *
 * Internal to server/config.
 *
 *   thread  start-up
 *   source  /usr/include/yaml.h (libyaml 0.2.5); <yaml.h> is included by yaml_tree.c */
#ifndef TOKENLOG_SERVER_CONFIG_YAML_TREE_H
#define TOKENLOG_SERVER_CONFIG_YAML_TREE_H

#include "protocol/base/slice.h"

struct yaml_tree;
enum yaml_kind { YAML_NOTHING, YAML_TEXT, YAML_LIST, YAML_MAP };

/* A value in the tree, which it borrows from; all zero is none, and everything may be asked of it. */
struct yaml_place {
    const struct yaml_tree *tree;
    int node;
};

/* yaml_tree_parse — answers ERR_INVALID it is no YAML, or holds nothing · faults ERR_NOMEM */
enum err yaml_tree_parse(struct slice text, struct yaml_tree **out) NODISCARD;
struct yaml_tree *yaml_tree_free(struct yaml_tree *tree);
void yaml_tree_cleanup(struct yaml_tree **tree); /* for CLEANUP */
struct yaml_place yaml_root(const struct yaml_tree *tree);

enum yaml_kind yaml_kind(struct yaml_place place);
size_t yaml_line(struct yaml_place place); /* from 1; 0: none */
/* yaml_text — of what is no text: "". Valid as long as the tree. */
const char *yaml_text(struct yaml_place place);
/* yaml_count — of a list's items, or of a map's pairs. yaml_item — of a list. yaml_pair — of a map, in
 * its order. yaml_get — the value of a key. */
size_t yaml_count(struct yaml_place place);
struct yaml_place yaml_item(struct yaml_place list, size_t index);
void yaml_pair(
    struct yaml_place map, size_t index, struct yaml_place *key, struct yaml_place *value);
struct yaml_place yaml_get(struct yaml_place map, const char *key);

#endif
