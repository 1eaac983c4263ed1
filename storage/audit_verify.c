/* audit_verify — see audit.h. What is stored is hashed anew from the bottom up:
 *
 *   blocks, asides, body, row ─▶ statement ─▶ leaf ─▶ root
 *                                = the stored one   = the head's
 *
 * A stream is gone only if the log says that it was deleted. Each leaf is looked at in a view of
 * its own; the log may grow meanwhile, and what comes later is not looked at. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "protocol/base/own.h"
#include "storage/audit.h"
#include "storage/audit_content.h"
#include "storage/bounds.h"
#include "storage/roll.h"

enum { FINDING_BYTES = 200 };

struct checking {
    struct store *store;
    struct view *view; /* of this step */
    struct block_codec *codec;
    struct sha256 *sha;
    const struct audit_check *check;
    struct audit_summary *summary;
    uint32_t project;
    bool is_project_of_head;
};

static void PRINTF(3, 4)
    report(const struct checking *checking, const struct id *id, const char *format, ...)
{
    char text[FINDING_BYTES];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    checking->check->report(checking->check->context, id, text);
}

/* ---- A stream against its statement ---- */

static void check_events(const struct checking *checking, const struct row *row,
    const struct statement *said, const struct chain *chain)
{
    if (chain->seq != said->events || chain->part != 0)
        report(checking, &row->id, "audit: %" PRIu64 " events are stored, the log says %" PRIu64,
            chain->seq, said->events);
    else if (!digest_equal(&chain->digest, &said->event_chain))
        report(checking, &row->id, "audit: its events are not those that were logged");
}

static enum err check_content(
    const struct checking *checking, const struct row *row, const struct statement *said)
{
    struct audit_content content;
    struct statement now;
    enum err err = audit_hash(
        checking->view, checking->codec, checking->sha, row->project, row->number, &content);
    if (err == ERR_CORRUPT) {
        report(
            checking, &row->id, "audit: what is stored of it can not be read: %s", fault_origin());
        return ERR_OK;
    }
    TRY(err);
    TRY(statement_of_row(row, &now));
    checking->summary->events += content.events.seq;
    checking->summary->bytes += row->bytes + content.body_bytes;
    if (!digest_equal(&now.record, &said->record))
        report(checking, &row->id, "audit: its row is not the one that was logged");
    check_events(checking, row, said, &content.events);
    if (said->is_cut)
        return ERR_OK;
    if (!digest_equal(&content.body, &said->body))
        report(checking, &row->id, "audit: its request is not the one that was logged");
    if (content.asides.seq != said->asides ||
        !digest_equal(&content.asides.digest, &said->aside_chain))
        report(checking, &row->id, "audit: its asides are not those that were logged");
    return ERR_OK;
}

static enum err check_kept(
    const struct checking *checking, const struct leaf *leaf, const struct row *row)
{
    struct statement said;
    enum err err = audit_statement(checking->view, row->project, row->number, &said);
    if (err == ERR_NOTFOUND || err == ERR_CORRUPT) {
        report(checking, &leaf->id, "audit: its statement is missing or damaged");
        return ERR_OK;
    }
    TRY(err);
    struct leaf expected = leaf_of_statement(&leaf->id, &said);
    if (!digest_equal(&expected.digest, &leaf->digest) || expected.time_ns != leaf->time_ns) {
        report(checking, &leaf->id, "audit: its statement is not the one that was logged");
        return ERR_OK;
    }
    return check_content(checking, row, &said);
}

/* ---- Leaves ---- */

static bool has_leaf(const struct checking *checking, const struct id *id, enum leaf_kind kind)
{
    uint64_t index;
    return audit_find(checking->view, checking->project, id, kind, &index) == ERR_OK;
}

static enum err check_finished(const struct checking *checking, const struct leaf *leaf)
{
    struct slice content;
    struct row row;
    struct schema_key key = schema_row(checking->project, &leaf->id);
    enum err err = content_get(checking->view, TABLE_ROWS, key, &content);
    bool is_deleted = has_leaf(checking, &leaf->id, LEAF_DELETED);
    if (err == ERR_OK)
        err = row_decode(content, &row);
    if (err == ERR_CORRUPT)
        report(checking, &leaf->id, "audit: its row can not be read: %s", fault_origin());
    else if (err == ERR_NOTFOUND && !is_deleted)
        report(checking, &leaf->id, "audit: it is gone, and the log does not say why");
    if (err == ERR_CORRUPT || err == ERR_NOTFOUND)
        return ERR_OK;
    TRY(err);
    if (row.state == STREAM_DELETED && !is_deleted)
        report(checking, &leaf->id, "audit: it is deleted, and the log does not say so");
    else if (row.state != STREAM_DELETED && is_deleted)
        report(checking, &leaf->id, "audit: the log says that it was deleted, and it is there");
    return row.state == STREAM_DELETED || is_deleted ? ERR_OK : check_kept(checking, leaf, &row);
}

/* The reason is known as long as the tombstone is. */
static enum err check_deleted(const struct checking *checking, const struct leaf *leaf)
{
    struct slice content;
    struct row row;
    struct digest reason;
    struct schema_key key = schema_row(checking->project, &leaf->id);
    if (content_get(checking->view, TABLE_ROWS, key, &content) != ERR_OK ||
        row_decode(content, &row) != ERR_OK || row.state != STREAM_DELETED)
        return ERR_OK; /* told by the other leaf */
    sha256(row.reason, reason.bytes);
    if (!digest_equal(&reason, &leaf->digest) || row.ended_ns != leaf->time_ns)
        report(checking, &leaf->id, "audit: its tombstone is not what was logged");
    return ERR_OK;
}

static enum err check_leaf(struct checking *checking, const struct leaf *leaf, uint64_t index)
{
    uint64_t found = UINT64_MAX;
    struct audit_summary *summary = checking->summary;
    summary->leaves++;
    if (audit_find(checking->view, checking->project, &leaf->id, leaf->kind, &found) != ERR_OK ||
        found != index)
        report(checking, &leaf->id, "audit: leaf %" PRIu64 " is not found by its ID", index);
    *(leaf->kind == LEAF_DELETED ? &summary->deleted : &summary->finished) += 1;
    return leaf->kind == LEAF_DELETED ? check_deleted(checking, leaf)
                                      : check_finished(checking, leaf);
}

/* The inner node that the leaf before `size` completed at each level is the one that is stored. */
static enum err check_nodes(
    const struct checking *checking, const struct merkle_walk *before, struct digest node)
{
    for (unsigned level = 0; before->size >> level & 1; level++) {
        struct slice content;
        uint64_t index = before->size >> (level + 1);
        struct schema_key key = schema_node(checking->project, level + 1, index);
        node = merkle_inner(&before->peaks[level], &node);
        enum err err = content_get(checking->view, TABLE_NODES, key, &content);
        if (err != ERR_OK && err != ERR_NOTFOUND && err != ERR_CORRUPT)
            return err;
        if (err != ERR_OK || content.size != SHA256_BYTES ||
            memcmp(content.data, node.bytes, SHA256_BYTES) != 0)
            report(checking, NULL, "audit: node %u/%" PRIu64 " of the tree is wrong", level + 1,
                index);
    }
    return ERR_OK;
}

static void check_root(const struct checking *checking, const struct merkle_walk *walk)
{
    const struct head *head = checking->check->head;
    if (!checking->is_project_of_head || walk->size != head->size)
        return;
    struct digest root = merkle_walk_root(walk);
    checking->summary->has_head = true;
    if (!digest_equal(&root, &head->root))
        report(checking, NULL,
            "audit: the log's first %" PRIu64 " leaves are not those of the saved head",
            head->size);
}

/* answers ERR_CLOSED: no leaf of this index, nor after it */
static enum err check_next(struct checking *checking, struct merkle_walk *walk, uint64_t size)
{
    struct leaf leaf;
    if (walk->size >= size)
        return ERR_CLOSED;
    enum err err = audit_leaf(checking->view, checking->project, walk->size, &leaf);
    if (err == ERR_NOTFOUND || err == ERR_CORRUPT) {
        report(checking, NULL, "audit: leaf %" PRIu64 " is missing or damaged", walk->size);
        return ERR_CLOSED; /* nothing is known of the tree from here on */
    }
    TRY(err);
    struct digest digest = leaf_digest(&leaf);
    TRY(check_nodes(checking, walk, digest));
    TRY(check_leaf(checking, &leaf, walk->size));
    (void)merkle_walk_add(walk, &digest);
    check_root(checking, walk);
    return ERR_OK;
}

static enum err check_log(struct checking *checking)
{
    struct merkle_walk walk = {.size = 0};
    uint64_t size;
    TRY(view_begin(store_tables(checking->store), false, &checking->view));
    enum err err = audit_size(checking->view, checking->project, &size);
    checking->view = view_abort(checking->view);
    TRY(err);
    check_root(checking, &walk);
    while (err == ERR_OK) {
        TRY(view_begin(store_tables(checking->store), false, &checking->view));
        err = check_next(checking, &walk, size);
        checking->view = view_abort(checking->view);
    }
    const struct head *head = checking->check->head;
    if (checking->is_project_of_head && walk.size < head->size)
        report(checking, NULL, "audit: the log has %" PRIu64 " leaves, the saved head %" PRIu64,
            walk.size, head->size);
    return err == ERR_CLOSED ? ERR_OK : err;
}

/* ---- Rows that the log does not know ---- */

static enum err check_row(void *context, const struct row *row)
{
    struct checking *checking = context;
    bool is_ended = !stream_state_is_live(row->state) && row->state != STREAM_DELETED;
    if (!is_ended || has_leaf(checking, &row->id, LEAF_FINISHED))
        return ERR_OK;
    checking->summary->unlogged++;
    if (checking->check->is_settled)
        report(checking, &row->id, "audit: it has ended, and is not in the log");
    return ERR_OK;
}

static enum err check_rows(struct checking *checking)
{
    TRY(view_begin(store_tables(checking->store), false, &checking->view));
    enum err err =
        store_list(checking->store, checking->project, NULL, SIZE_MAX, check_row, checking);
    checking->view = view_abort(checking->view);
    if (err != ERR_CORRUPT)
        return err;
    report(checking, NULL, "audit: the rows can not be walked: %s", fault_origin());
    return ERR_OK;
}

/* ---- Projects ---- */

struct projects {
    uint32_t numbers[LIST_PROJECTS_MAX];
    size_t count;
    const struct head *head;
    uint32_t of_head;
    bool has_head;
};

static enum err note_project(void *context, uint32_t number, struct slice name)
{
    struct projects *projects = context;
    if (projects->count == LIST_PROJECTS_MAX)
        return ERR_LIMIT;
    projects->numbers[projects->count++] = number;
    if (projects->head && slice_equal(projects->head->project, name)) {
        projects->of_head = number;
        projects->has_head = true;
    }
    return ERR_OK;
}

static enum err check_project(struct checking *checking, const struct projects *projects, size_t i)
{
    checking->project = projects->numbers[i];
    checking->is_project_of_head = projects->has_head && projects->of_head == checking->project;
    TRY(check_log(checking));
    return check_rows(checking);
}

static void check_identity(const struct checking *checking, const struct projects *projects)
{
    const struct head *head = checking->check->head;
    uint8_t uuid[HEAD_STORE_BYTES];
    store_uuid(checking->store, uuid);
    if (memcmp(uuid, head->store, HEAD_STORE_BYTES) != 0)
        report(checking, NULL, "audit: the saved head is of another store");
    if (!head_check(head))
        report(checking, NULL, "audit: the saved head's signature is not that of its key");
    if (!projects->has_head && head->size > 0)
        report(checking, NULL, "audit: the saved head's project is not here");
}

enum err audit_verify(struct store *store, struct block_codec *codec,
    const struct audit_check *check, struct audit_summary *out)
{
    static_assert(sizeof(struct projects) < 64 * 1024, "it lies on the stack");
    struct projects projects = {.head = check->head};
    struct checking checking = {.store = store, .codec = codec, .check = check, .summary = out};
    *out = (struct audit_summary){.leaves = 0};
    TRY(store_project_walk(store, note_project, &projects));
    TRY(sha256_new(&checking.sha));
    enum err err = ERR_OK;
    if (check->head)
        check_identity(&checking, &projects);
    for (size_t i = 0; i < projects.count && err == ERR_OK; i++)
        err = check_project(&checking, &projects, i);
    sha256_free(checking.sha);
    return err;
}
