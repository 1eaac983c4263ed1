/* merkle — the known vectors of Certificate Transparency, and every proof of every small tree,
 * against the RFC's recursive definitions. */
#include "protocol/data/merkle.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { LEAVES = 70, LEVELS = 8, VECTOR_COUNT = 8 };

/* A tree of complete subtrees, and the leaves for the naive one. */
static struct tree {
    struct digest nodes[LEVELS][LEAVES];
    bool has[LEVELS][LEAVES];
    struct digest leaves[LEAVES];
    uint64_t size;
    size_t gets;
} tree;

static enum err get(void *context, unsigned level, uint64_t index, struct digest *out)
{
    struct tree *t = context;
    assert_true(level < LEVELS && index < LEAVES && t->has[level][index]);
    *out = t->nodes[level][index];
    t->gets++;
    return ERR_OK;
}

static enum err put(void *context, unsigned level, uint64_t index, const struct digest *digest)
{
    struct tree *t = context;
    assert_true(level < LEVELS && index < LEAVES && !t->has[level][index]);
    t->nodes[level][index] = *digest;
    t->has[level][index] = true;
    return ERR_OK;
}

static const struct merkle_source source = {get, &tree};

static void grow(struct slice data)
{
    tree.leaves[tree.size] = merkle_leaf(data);
    assert_int_equal(merkle_append(&source, put, tree.size, &tree.leaves[tree.size]), ERR_OK);
    tree.size++;
}

static void grow_to(uint64_t size)
{
    while (tree.size < size) {
        uint8_t data[8] = {(uint8_t)tree.size, 7};
        grow(slice_of(data, tree.size % sizeof data + 1));
    }
}

static int clear(void **state)
{
    (void)state;
    tree = (struct tree){0};
    return 0;
}

/* ---- The RFC's words ---- */

static struct digest naive_root(const struct digest *leaves, uint64_t count)
{
    struct digest none, left, right;
    uint64_t k = 1;
    sha256(SLICE_NONE, none.bytes);
    if (count < 2)
        return count ? leaves[0] : none;
    while (k * 2 < count)
        k *= 2;
    left = naive_root(leaves, k);
    right = naive_root(leaves + k, count - k);
    return merkle_inner(&left, &right);
}

static void naive_path(
    const struct digest *leaves, uint64_t index, uint64_t count, struct merkle_path *path)
{
    uint64_t k = 1;
    if (count < 2)
        return;
    while (k * 2 < count)
        k *= 2;
    bool is_left = index < k;
    naive_path(
        is_left ? leaves : leaves + k, is_left ? index : index - k, is_left ? k : count - k, path);
    path->digests[path->count++] =
        is_left ? naive_root(leaves + k, count - k) : naive_root(leaves, k);
}

static void naive_proof(
    const struct digest *leaves, uint64_t m, uint64_t n, bool is_whole, struct merkle_path *path)
{
    uint64_t k = 1;
    if (m == n) {
        if (!is_whole)
            path->digests[path->count++] = naive_root(leaves, n);
        return;
    }
    while (k * 2 < n)
        k *= 2;
    if (m <= k) {
        naive_proof(leaves, m, k, is_whole, path);
        path->digests[path->count++] = naive_root(leaves + k, n - k);
    } else {
        naive_proof(leaves + k, m - k, n - k, false, path);
        path->digests[path->count++] = naive_root(leaves, k);
    }
}

static void assert_path(const struct merkle_path *path, const struct merkle_path *expected)
{
    assert_int_equal(path->count, expected->count);
    for (size_t i = 0; i < path->count; i++)
        assert_true(digest_equal(&path->digests[i], &expected->digests[i]));
}

/* ---- Known vectors: certificate-transparency, cpp/merkletree/merkle_tree_test.cc ---- */

static void assert_hex(const struct digest *digest, const char *hex)
{
    char text[2 * SHA256_BYTES + 1];
    hex_encode(slice_of(digest->bytes, SHA256_BYTES), text);
    assert_string_equal(text, hex);
}

static void grow_vectors(void)
{
    static const char *const leaves[VECTOR_COUNT] = {"", "00", "10", "2021", "3031", "40414243",
        "5051525354555657", "606162636465666768696a6b6c6d6e6f"};
    for (size_t i = 0; i < VECTOR_COUNT; i++) {
        uint8_t data[16];
        size_t size = strlen(leaves[i]) / 2;
        assert_int_equal(hex_decode(slice_text(leaves[i]), data, size), ERR_OK);
        grow(slice_of(data, size));
    }
}

static void test_known_roots(void **state)
{
    static const char *const roots[VECTOR_COUNT + 1] = {
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"};
    (void)state;
    grow_vectors();
    for (uint64_t size = 0; size <= VECTOR_COUNT; size++) {
        struct digest root;
        assert_int_equal(merkle_root(&source, size, &root), ERR_OK);
        assert_hex(&root, roots[size]);
    }
}

static void test_known_paths(void **state)
{
    static const struct {
        uint64_t from, size;
        bool is_prefix;
        const char *path[4];
    } vectors[] = {
        {0, 8, false,
            {"96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
                "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
                "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4"}},
        {5, 8, false,
            {"bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
                "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
                "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7"}},
        {2, 3, false, {"fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"}},
        {1, 8, true,
            {"96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
                "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
                "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4"}},
        {6, 8, true,
            {"0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
                "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
                "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7"}},
        {2, 5, true,
            {"5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
                "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b"}},
    };
    (void)state;
    grow_vectors();
    for (size_t v = 0; v < sizeof vectors / sizeof *vectors; v++) {
        struct merkle_path path;
        enum err err = vectors[v].is_prefix
                           ? merkle_prove_prefix(&source, vectors[v].from, vectors[v].size, &path)
                           : merkle_prove(&source, vectors[v].from, vectors[v].size, &path);
        assert_int_equal(err, ERR_OK);
        size_t count = 0;
        while (count < 4 && vectors[v].path[count])
            count++;
        assert_int_equal(path.count, count);
        for (size_t i = 0; i < count; i++)
            assert_hex(&path.digests[i], vectors[v].path[i]);
    }
}

/* ---- All small trees ---- */

static void test_roots_and_walks(void **state)
{
    struct merkle_walk walk = {.size = 0};
    (void)state;
    grow_to(LEAVES);
    for (uint64_t size = 0; size <= LEAVES; size++) {
        struct digest root, naive = naive_root(tree.leaves, size);
        tree.gets = 0;
        assert_int_equal(merkle_root(&source, size, &root), ERR_OK);
        assert_int_equal(tree.gets, __builtin_popcountll(size));
        assert_true(digest_equal(&root, &naive));
        root = merkle_walk_root(&walk);
        assert_true(digest_equal(&root, &naive));
        if (size == LEAVES)
            break;
        unsigned levels = merkle_walk_add(&walk, &tree.leaves[size]);
        assert_true(tree.has[levels][size >> levels]);
        assert_true(digest_equal(&walk.peaks[levels], &tree.nodes[levels][size >> levels]));
    }
}

/* A path with one bit turned, one digest less or more proves nothing. */
static void assert_no_variant(const struct merkle_path *path,
    bool (*holds)(const struct merkle_path *path, void *context), void *context)
{
    for (size_t i = 0; i < path->count; i++) {
        struct merkle_path bad = *path;
        bad.digests[i].bytes[i % SHA256_BYTES] ^= 4;
        assert_false(holds(&bad, context));
    }
    struct merkle_path bad = *path;
    bad.digests[bad.count++] = tree.leaves[0];
    assert_false(holds(&bad, context));
    bad.count -= 2;
    if (path->count > 0)
        assert_false(holds(&bad, context));
}

struct claim {
    uint64_t from, size;
    struct digest leaf, root;
};

static bool is_in(const struct merkle_path *path, void *context)
{
    const struct claim *claim = context;
    return merkle_check(&claim->leaf, claim->from, claim->size, path, &claim->root);
}

static bool is_prefix(const struct merkle_path *path, void *context)
{
    const struct claim *claim = context;
    return merkle_check_prefix(claim->from, &claim->leaf, claim->size, &claim->root, path);
}

static void test_inclusion(void **state)
{
    (void)state;
    grow_to(LEAVES);
    for (uint64_t size = 1; size <= LEAVES; size++)
        for (uint64_t index = 0; index < size; index++) {
            struct merkle_path path, naive = {.count = 0};
            struct claim claim = {index, size, tree.leaves[index], naive_root(tree.leaves, size)};
            assert_int_equal(merkle_prove(&source, index, size, &path), ERR_OK);
            naive_path(tree.leaves, index, size, &naive);
            assert_path(&path, &naive);
            assert_true(is_in(&path, &claim));
            assert_no_variant(&path, is_in, &claim);
            claim.from = index + 1;
            assert_false(is_in(&path, &claim));
            claim.from = index;
            claim.leaf.bytes[0] ^= 1;
            assert_false(is_in(&path, &claim));
        }
}

static void test_growth(void **state)
{
    (void)state;
    grow_to(LEAVES);
    for (uint64_t size = 1; size <= LEAVES; size++)
        for (uint64_t old = 1; old <= size; old++) {
            struct merkle_path path, naive = {.count = 0};
            struct claim claim = {
                old, size, naive_root(tree.leaves, old), naive_root(tree.leaves, size)};
            assert_int_equal(merkle_prove_prefix(&source, old, size, &path), ERR_OK);
            naive_proof(tree.leaves, old, size, true, &naive);
            assert_path(&path, &naive);
            assert_true(is_prefix(&path, &claim));
            assert_no_variant(&path, is_prefix, &claim);
            claim.leaf.bytes[31] ^= 1;
            assert_false(is_prefix(&path, &claim));
        }
}

static void test_empty_trees(void **state)
{
    struct merkle_path none = {.count = 0};
    struct digest empty, root;
    (void)state;
    grow_to(3);
    assert_int_equal(merkle_root(&source, 0, &empty), ERR_OK);
    assert_int_equal(merkle_root(&source, 3, &root), ERR_OK);
    assert_true(merkle_check_prefix(0, &empty, 3, &root, &none));
    assert_true(merkle_check_prefix(0, &empty, 0, &empty, &none));
    assert_false(merkle_check_prefix(0, &root, 3, &root, &none));
    assert_false(merkle_check_prefix(3, &root, 2, &root, &none));
    assert_false(merkle_check_prefix(2, &root, 3, &root, &none));
    assert_false(merkle_check(&tree.leaves[0], 0, 0, &none, &root));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_known_roots, clear),
        cmocka_unit_test_setup(test_known_paths, clear),
        cmocka_unit_test_setup(test_roots_and_walks, clear),
        cmocka_unit_test_setup(test_inclusion, clear),
        cmocka_unit_test_setup(test_growth, clear),
        cmocka_unit_test_setup(test_empty_trees, clear),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
