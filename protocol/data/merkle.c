/* merkle — see merkle.h.
 *
 * The RFC defines roots and proofs by recursion: a tree of n > 1 leaves is split at k, the largest
 * power of two below n. Here the same is done in a loop over [first, first + count): the left
 * part is always a complete subtree, so that a part is either one `get` or the split of it, and
 * `range_root` folds the complete subtrees of a range from its right end. */
#include "protocol/data/merkle.h"

#include <string.h>

bool digest_equal(const struct digest *a, const struct digest *b)
{
    return memcmp(a->bytes, b->bytes, SHA256_BYTES) == 0;
}

struct digest merkle_leaf(struct slice data)
{
    enum { LEAF_BYTES_MAX = 4096 };
    uint8_t bytes[1 + LEAF_BYTES_MAX] = {0x00};
    struct digest leaf;
    ASSERT(data.size <= LEAF_BYTES_MAX);
    if (data.size)
        memcpy(bytes + 1, data.data, data.size);
    sha256(slice_of(bytes, 1 + data.size), leaf.bytes);
    return leaf;
}

struct digest merkle_inner(const struct digest *left, const struct digest *right)
{
    uint8_t bytes[1 + 2 * SHA256_BYTES] = {0x01};
    struct digest inner;
    memcpy(bytes + 1, left->bytes, SHA256_BYTES);
    memcpy(bytes + 1 + SHA256_BYTES, right->bytes, SHA256_BYTES);
    sha256(slice_of(bytes, sizeof bytes), inner.bytes);
    return inner;
}

static unsigned lowest_bit(uint64_t number)
{
    return (unsigned)__builtin_ctzll(number);
}

/* The largest power of two below `count`, which is 2 or more. */
static uint64_t split_of(uint64_t count)
{
    return 1ull << (63 - __builtin_clzll(count - 1));
}

/* ---- Keeping ---- */

enum err merkle_append(const struct merkle_source *source,
    enum err (*put)(void *context, unsigned level, uint64_t index, const struct digest *digest),
    uint64_t size, const struct digest *leaf)
{
    struct digest node = *leaf, left;
    uint64_t index = size;
    ASSERT(size < UINT64_MAX);
    TRY(put(source->context, 0, index, &node));
    for (unsigned level = 0; index & 1; level++) {
        TRY(source->get(source->context, level, index - 1, &left));
        node = merkle_inner(&left, &node);
        index /= 2;
        TRY(put(source->context, level + 1, index, &node));
    }
    return ERR_OK;
}

/* The root over [first, first + count); first is a multiple of the power of two at or above
 * count. */
static enum err range_root(
    const struct merkle_source *source, uint64_t first, uint64_t count, struct digest *out)
{
    struct digest node, left;
    ASSERT(count > 0);
    unsigned level = lowest_bit(count);
    TRY(source->get(source->context, level, (first + count - 1) >> level, &node));
    for (uint64_t rest = count & (count - 1); rest; rest &= rest - 1) {
        level = lowest_bit(rest);
        TRY(source->get(source->context, level, (first + rest - 1) >> level, &left));
        node = merkle_inner(&left, &node);
    }
    *out = node;
    return ERR_OK;
}

enum err merkle_root(const struct merkle_source *source, uint64_t size, struct digest *out)
{
    if (size > 0)
        return range_root(source, 0, size, out);
    sha256(SLICE_NONE, out->bytes);
    return ERR_OK;
}

/* ---- Proving ---- */

static void reverse(struct merkle_path *path)
{
    for (size_t i = 0, j = path->count; i + 1 < j; i++) {
        struct digest kept = path->digests[i];
        path->digests[i] = path->digests[--j];
        path->digests[j] = kept;
    }
}

static enum err push(
    const struct merkle_source *source, uint64_t first, uint64_t count, struct merkle_path *path)
{
    ASSERT(path->count < MERKLE_PATH_MAX);
    return range_root(source, first, count, &path->digests[path->count++]);
}

enum err merkle_prove(
    const struct merkle_source *source, uint64_t index, uint64_t size, struct merkle_path *out)
{
    struct merkle_path path = {.count = 0};
    uint64_t first = 0;
    ASSERT(index < size);
    for (uint64_t count = size; count > 1;) {
        uint64_t left = split_of(count);
        if (index - first < left) {
            TRY(push(source, first + left, count - left, &path));
            count = left;
        } else {
            TRY(push(source, first, left, &path));
            first += left;
            count -= left;
        }
    }
    reverse(&path);
    *out = path;
    return ERR_OK;
}

/* SUBPROOF: until the old tree is all of the range; its root is known to whoever checks if the
 * range is that tree from its beginning. */
enum err merkle_prove_prefix(
    const struct merkle_source *source, uint64_t old_size, uint64_t size, struct merkle_path *out)
{
    struct merkle_path path = {.count = 0};
    uint64_t first = 0, count = size;
    ASSERT(old_size > 0 && old_size <= size);
    while (old_size - first < count) {
        uint64_t left = split_of(count);
        if (old_size - first <= left) {
            TRY(push(source, first + left, count - left, &path));
            count = left;
        } else {
            TRY(push(source, first, left, &path));
            first += left;
            count -= left;
        }
    }
    if (first > 0)
        TRY(push(source, first, count, &path));
    reverse(&path);
    *out = path;
    return ERR_OK;
}

/* ---- Checking ---- */

bool merkle_check(const struct digest *leaf, uint64_t index, uint64_t size,
    const struct merkle_path *path, const struct digest *root)
{
    if (index >= size || path->count > MERKLE_PATH_MAX)
        return false;
    struct digest node = *leaf;
    uint64_t at = index, last = size - 1;
    for (size_t i = 0; i < path->count; i++) {
        if (last == 0)
            return false;
        if ((at & 1) || at == last) {
            node = merkle_inner(&path->digests[i], &node);
            for (; !(at & 1) && at; last >>= 1)
                at >>= 1;
        } else {
            node = merkle_inner(&node, &path->digests[i]);
        }
        at >>= 1;
        last >>= 1;
    }
    return last == 0 && digest_equal(&node, root);
}

/* The general case of §2.1.4.2: 0 < old_size < size. */
static bool check_growth(uint64_t old_size, const struct digest *old_root, uint64_t size,
    const struct digest *root, const struct merkle_path *path)
{
    uint64_t at = old_size - 1, last = size - 1;
    bool is_peak = (old_size & at) == 0; /* a power of two: the old root stands for itself */
    size_t next = is_peak ? 0 : 1;
    struct digest old_node = is_peak ? *old_root : path->digests[0], node = old_node;
    for (; at & 1; last >>= 1)
        at >>= 1;
    for (; next < path->count; next++) {
        const struct digest *sibling = &path->digests[next];
        if (last == 0)
            return false;
        if ((at & 1) || at == last) {
            old_node = merkle_inner(sibling, &old_node);
            node = merkle_inner(sibling, &node);
            for (; !(at & 1) && at; last >>= 1)
                at >>= 1;
        } else {
            node = merkle_inner(&node, sibling);
        }
        at >>= 1;
        last >>= 1;
    }
    return last == 0 && digest_equal(&old_node, old_root) && digest_equal(&node, root);
}

bool merkle_check_prefix(uint64_t old_size, const struct digest *old_root, uint64_t size,
    const struct digest *root, const struct merkle_path *path)
{
    struct digest none;
    sha256(SLICE_NONE, none.bytes);
    if (old_size > size || path->count > MERKLE_PATH_MAX)
        return false;
    if ((old_size == 0 && !digest_equal(old_root, &none)) ||
        (size == 0 && !digest_equal(root, &none)))
        return false;
    if (old_size == size)
        return path->count == 0 && digest_equal(old_root, root);
    if (old_size == 0)
        return path->count == 0;
    return path->count > 0 && check_growth(old_size, old_root, size, root, path);
}

/* ---- Walking ---- */

unsigned merkle_walk_add(struct merkle_walk *walk, const struct digest *leaf)
{
    struct digest node = *leaf;
    unsigned level = 0;
    ASSERT(walk->size < UINT64_MAX);
    for (; walk->size >> level & 1; level++)
        node = merkle_inner(&walk->peaks[level], &node);
    walk->peaks[level] = node;
    walk->size++;
    return level;
}

struct digest merkle_walk_root(const struct merkle_walk *walk)
{
    struct digest node;
    if (walk->size == 0) {
        sha256(SLICE_NONE, node.bytes);
        return node;
    }
    node = walk->peaks[lowest_bit(walk->size)];
    for (uint64_t rest = walk->size & (walk->size - 1); rest; rest &= rest - 1)
        node = merkle_inner(&walk->peaks[lowest_bit(rest)], &node);
    return node;
}
