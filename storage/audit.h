/* audit — the audit log of each project, in the store: chains over events while they are
 * absorbed, the statements that close them, the leaves, and the tree over these (RFC 9162 §2.1).
 *
 *   blocks absorbed ──▶ chains: how far, and the last link      in the transaction of the blocks
 *   all absorbed ─────▶ chains: the statement; leaf, tree    in the one that completes the stream
 *   deleted ──────────▶ a leaf that says so; the statement goes, the leaves stay for ever
 *
 * What they say is drawn in chain.h, how they are stored in FORMAT.md. Appending a leaf and proving
 * one take O(log n) of the tree.
 *
 *   answers  ERR_FULL of putting · faults ERR_CORRUPT, ERR_IO, ERR_NOMEM                      */
#ifndef TOKENLOG_STORAGE_AUDIT_H
#define TOKENLOG_STORAGE_AUDIT_H

#include "protocol/data/proof.h"
#include "storage/store.h"
#include "storage/table.h"

/* Writing: the archiver's, within one of its transactions. Made for a call, owns nothing. */
struct audit {
    struct view *view;
    struct block_codec *codec;
    struct buf *value; /* for what is put */
};

/* audit_absorb — chain the frames of a run: those that are chained already are skipped. */
enum err audit_absorb(const struct audit *audit, uint32_t project, uint64_t number,
    const struct block_run *run) NODISCARD;
/* audit_close — everything of an ended stream is stored: its statement and its leaf. Does nothing
 * if it has them, and says nothing of a live row. A log that is damaged is left as it is, so that
 * the rest of the store goes on: audit_verify tells. */
enum err audit_close(const struct audit *audit, struct slice encoded_row) NODISCARD;
/* audit_bury — a stream is deleted; once. The same of a damaged log. */
enum err audit_bury(
    const struct audit *audit, uint64_t number, const struct store_deletion *deletion) NODISCARD;

/* Reading, any thread. audit_answer writes one JSON object (protocol/data/proof.h).
 *   HEAD         the signed head of a project
 *   PROOF        of a stream, by ID, that it is in the tree of the head
 *   CONSISTENCY  that the tree of old_size leaves is the beginning of that of size
 *   size         of the tree meant; 0: the present one
 *   answers  ERR_NOTFOUND the stream is not in the log (of that size) · ERR_INVALID there is no
 *            tree of that size · ERR_DENIED no key to sign with · ERR_LIMIT of `out` */
enum audit_kind { AUDIT_HEAD, AUDIT_PROOF, AUDIT_CONSISTENCY };
struct audit_request {
    enum audit_kind kind;
    uint32_t project;
    struct slice project_name;
    struct id id; /* PROOF */
    uint64_t size, old_size;
    bool has_contents; /* PROOF: with events, asides and the request's body */
    int64_t now_ns;    /* for the signature; Unix epoch */
};
enum err audit_answer(struct store *store, struct block_codec *codec,
    const struct audit_request *request, struct buf *out) NODISCARD;

/* audit_verify — recompute everything of every project: each stored stream against its statement,
 * each statement against its leaf, each inner node, and of the head's project its root.
 *   head        NULL: none was saved
 *   is_settled  the journal holds nothing that is not in the store: an ended stream without a
 *               leaf is a finding then, and else only counted
 *   report      each finding; `id` may be NULL. ERR_OK also with findings                       */
struct audit_summary {
    uint64_t leaves, finished, deleted, unlogged;
    uint64_t events, bytes; /* hashed again */
    bool has_head;          /* the project of the head was found */
};
struct audit_check {
    const struct head *head;
    bool is_settled;
    void (*report)(void *context, const struct id *id, const char *what);
    void *context;
};
enum err audit_verify(struct store *store, struct block_codec *codec,
    const struct audit_check *check, struct audit_summary *out) NODISCARD;

#endif
