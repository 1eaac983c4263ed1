/* list — an intrusive, circular, doubly linked list: the node lives in its owner, so that linking
 * never allocates and an element is unlinked without knowing its list. A node is in at most one
 * list; an unlinked node points to itself. */
#ifndef TOKENLOG_PROTOCOL_BASE_LIST_H
#define TOKENLOG_PROTOCOL_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct list {
    struct list *next;
    struct list *prev;
};

#define CONTAINER_OF(pointer, type, member)                                                        \
    ((type *)(void *)((char *)(pointer)-offsetof(type, member)))
#define LIST_FOREACH(node, head)                                                                   \
    for (struct list *node = (head)->next; node != (head); node = node->next)
/* The body may unlink or free `node`, and nothing else of the list. */
#define LIST_FOREACH_SAFE(node, head)                                                              \
    for (struct list *node = (head)->next, *node##_next = node->next; node != (head);              \
         node = node##_next, node##_next = node->next)

static inline void list_init(struct list *list)
{
    list->next = list->prev = list;
}

static inline bool list_is_empty(const struct list *list)
{
    return list->next == list;
}

static inline void list_insert_before(struct list *at, struct list *node)
{
    node->prev = at->prev;
    node->next = at;
    at->prev->next = node;
    at->prev = node;
}

static inline void list_append(struct list *list, struct list *node)
{
    list_insert_before(list, node);
}

static inline void list_unlink(struct list *node)
{
    node->prev->next = node->next;
    node->next->prev = node->prev;
    list_init(node);
}

/* list_pop — the first node, unlinked; NULL when empty. */
static inline struct list *list_pop(struct list *list)
{
    if (list_is_empty(list))
        return NULL;
    struct list *node = list->next;
    list_unlink(node);
    return node;
}

/* list_move — all nodes of `from` to the end of `to`. */
static inline void list_move(struct list *to, struct list *from)
{
    if (list_is_empty(from))
        return;
    from->next->prev = to->prev;
    to->prev->next = from->next;
    from->prev->next = to;
    to->prev = from->prev;
    list_init(from);
}

#endif
