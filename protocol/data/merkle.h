/* merkle — the append-only tree of RFC 9162 (Certificate Transparency 2.0) §2.1, whose §2.1.1 is
 * RFC 6962's: its root for any size, proofs that a leaf is in it and that one tree is the beginning
 * of another, and their checking.
 *
 *   leaf       SHA-256(0x00 ‖ data)
 *   inner      SHA-256(0x01 ‖ left ‖ right)
 *   no leaf    SHA-256()
 *
 *   level 2            h(2,0)                  h(level, i) is the root of the complete subtree over
 *   level 1      h(1,0)      h(1,1)            leaves [i << level, (i + 1) << level). Such a one
 *   level 0    d0     d1   d2     d3   d4      never changes once it is full; all else is made of
 *                                              at most 64 of them.
 *
 * Whoever keeps a tree keeps complete subtrees, and hands in how to get one.
 *
 *   thread  any; no state                                                                       */
#ifndef TOKENLOG_PROTOCOL_DATA_MERKLE_H
#define TOKENLOG_PROTOCOL_DATA_MERKLE_H

#include "protocol/base/digest.h"

enum {
    MERKLE_LEVELS_MAX = 64,                  /* a size is a u64 */
    MERKLE_PATH_MAX = MERKLE_LEVELS_MAX + 1, /* digests of one proof */
};

struct digest {
    uint8_t bytes[SHA256_BYTES];
};
bool digest_equal(const struct digest *a, const struct digest *b);

struct digest merkle_leaf(struct slice data);
struct digest merkle_inner(const struct digest *left, const struct digest *right);

/* Complete subtrees. Answers and faults of `get` and `put` go up unchanged. */
struct merkle_source {
    enum err (*get)(void *context, unsigned level, uint64_t index, struct digest *out);
    void *context;
};

/* merkle_append — leaf number `size`, to a tree of that many: `put` gets each subtree that it
 * completes, the leaf itself first (level 0), with at most one `get` for each. */
enum err merkle_append(const struct merkle_source *source,
    enum err (*put)(void *context, unsigned level, uint64_t index, const struct digest *digest),
    uint64_t size, const struct digest *leaf) NODISCARD;
/* merkle_root — of the first `size` leaves: O(log size) gets. */
enum err merkle_root(
    const struct merkle_source *source, uint64_t size, struct digest *out) NODISCARD;

struct merkle_path {
    struct digest digests[MERKLE_PATH_MAX];
    size_t count;
};
/* merkle_prove — PATH(index, D[size]) (§2.1.3.1); index < size.
 * merkle_prove_prefix — PROOF(old_size, D[size]) (§2.1.4.1); 0 < old_size ≤ size. Both: O(log²
 * size) gets at the worst, O(log size) of them distinct. */
enum err merkle_prove(const struct merkle_source *source, uint64_t index, uint64_t size,
    struct merkle_path *out) NODISCARD;
enum err merkle_prove_prefix(const struct merkle_source *source, uint64_t old_size, uint64_t size,
    struct merkle_path *out) NODISCARD;

/* merkle_check — whether the path leads from the leaf to the root (§2.1.3.2).
 * merkle_check_prefix — whether it shows the old root's tree to be the beginning of the new root's
 * (§2.1.4.2). Of two trees of one size: that they are the same, and the path empty. An empty tree
 * is the beginning of every other. */
bool merkle_check(const struct digest *leaf, uint64_t index, uint64_t size,
    const struct merkle_path *path, const struct digest *root);
bool merkle_check_prefix(uint64_t old_size, const struct digest *old_root, uint64_t size,
    const struct digest *root, const struct merkle_path *path);

/* A tree that is gone through once, leaf by leaf, in constant space: for those who recompute it. */
struct merkle_walk {
    struct digest peaks[MERKLE_LEVELS_MAX]; /* of a complete subtree where `size` has a bit */
    uint64_t size;
};
/* merkle_walk_add — answers how many levels it completed above the leaf's own; `peaks[level]` of
 * each level that it passed is no longer there. */
unsigned merkle_walk_add(struct merkle_walk *walk, const struct digest *leaf);
struct digest merkle_walk_root(const struct merkle_walk *walk);

#endif
