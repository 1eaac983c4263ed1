/* proof — what is written is read and holds; every changed character of it is noticed or changes
 * nothing that is claimed. */
#include "protocol/data/proof.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "protocol/base/own.h"

enum { TEXT_BYTES_MAX = 65536 };

static const uint8_t seed[ED25519_BYTES] = {1, 2, 3};

static struct row some_row(void)
{
    return (struct row){.number = 9,
        .state = STREAM_COMPLETED,
        .project_name = SLICE("p"),
        .model = SLICE("m"),
        .ended_ns = 2,
        .events = 1,
        .bytes = 2,
        .request_bytes = 4,
        .usage = USAGE_UNKNOWN};
}

/* A proof in a log of two leaves, with contents. */
static void write_proof(struct buf *out)
{
    CLEANUP(buf_deinit) struct buf record;
    struct row row = some_row();
    struct proof proof = {.has_statement = true, .head = {.project = SLICE("p"), .size = 2}};
    struct chain_frame frame = {.time_ns = 7, .bytes = SLICE("hi")};
    struct chain chain = {.seq = 0};
    struct json_writer writer;
    struct sha256 *sha;
    buf_init(&record, ROW_BYTES_MAX);
    assert_int_equal(sha256_new(&sha), ERR_OK);
    assert_int_equal(chain_add(sha, CHAIN_EVENTS, &chain, &frame), ERR_OK);
    sha256_free(sha);
    assert_int_equal(id_parse(SLICE("01890a5d-ac96-774b-bcce-b302099a8057"), &row.id), ERR_OK);
    assert_int_equal(statement_of_row(&row, &proof.statement), ERR_OK);
    assert_int_equal(statement_record(&row, &record), ERR_OK);
    proof.statement.event_chain = chain.digest;
    sha256(SLICE("body"), proof.statement.body.bytes);
    proof.record = buf_slice(&record);
    proof.finished.leaf = leaf_of_statement(&row.id, &proof.statement);
    proof.finished.index = 1;
    proof.finished.path.count = 1;
    proof.finished.path.digests[0] = merkle_leaf(SLICE("another"));
    struct digest leaf = leaf_digest(&proof.finished.leaf);
    proof.head.root = merkle_inner(&proof.finished.path.digests[0], &leaf);
    assert_int_equal(head_sign(&proof.head, seed), ERR_OK);
    json_writer_init(&writer, out);
    proof_write(&writer, &proof);
    json_key(&writer, "events");
    json_open(&writer, '[');
    proof_write_frame(&writer, &frame);
    json_close(&writer, ']');
    json_key(&writer, "asides");
    json_raw(&writer, SLICE("[]"));
    json_key(&writer, "body");
    json_string(&writer, SLICE("626f6479"));
    json_close(&writer, '}');
    assert_int_equal(writer.err, ERR_OK);
}

static enum err check(struct slice text, struct proof_result *out)
{
    CLEANUP(json_cleanup) struct json *json = NULL;
    CLEANUP(buf_deinit) struct buf record;
    const char *why;
    buf_init(&record, ROW_BYTES_MAX);
    TRY(json_parse(text, &json));
    return proof_check(json, &record, out, &why);
}

static void test_written_and_read(void **state)
{
    CLEANUP(buf_deinit) struct buf text;
    struct proof_result result;
    (void)state;
    buf_init(&text, TEXT_BYTES_MAX);
    write_proof(&text);
    assert_int_equal(check(buf_slice(&text), &result), ERR_OK);
    assert_true(result.has_row && result.has_events && result.has_asides && result.has_body);
    assert_int_equal(result.events, 1);
}

/* Where a proof with one character changed still holds, it carries less, and claims nothing else. */
static void test_every_changed_character(void **state)
{
    CLEANUP(buf_deinit) struct buf text;
    struct proof_result whole, result;
    (void)state;
    buf_init(&text, TEXT_BYTES_MAX);
    write_proof(&text);
    assert_int_equal(check(buf_slice(&text), &whole), ERR_OK);
    for (size_t i = 0; i < text.size; i++) {
        uint8_t kept = text.data[i];
        text.data[i] = kept == '1' ? '2' : '1';
        if (check(buf_slice(&text), &result) == ERR_OK) {
            assert_true(id_equal(&result.proof.finished.leaf.id, &whole.proof.finished.leaf.id));
            assert_true(digest_equal(&result.proof.head.root, &whole.proof.head.root));
            assert_int_equal(result.proof.head.size, whole.proof.head.size);
            assert_int_equal(result.proof.finished.index, whole.proof.finished.index);
            assert_true(digest_equal(
                &result.proof.finished.leaf.digest, &whole.proof.finished.leaf.digest));
        }
        text.data[i] = kept;
    }
}

static void test_heads(void **state)
{
    struct head head = {.project = SLICE("default"), .size = 7, .time_ns = 8};
    (void)state;
    assert_int_equal(head_sign(&head, seed), ERR_OK);
    assert_true(head_check(&head));
    struct head other = head;
    other.size++;
    assert_false(head_check(&other));
    other = head;
    other.time_ns++;
    assert_false(head_check(&other));
    other = head;
    other.root.bytes[5] ^= 1;
    assert_false(head_check(&other));
    other = head;
    other.store[0] ^= 1;
    assert_false(head_check(&other));
    other = head;
    other.project = SLICE("defaulT");
    assert_false(head_check(&other));
    other = head;
    other.key[0] ^= 1;
    assert_false(head_check(&other));
}

static void test_paths(void **state)
{
    CLEANUP(buf_deinit) struct buf text;
    struct merkle_path path = {.count = MERKLE_PATH_MAX}, read;
    struct json_writer writer;
    (void)state;
    buf_init(&text, TEXT_BYTES_MAX);
    json_writer_init(&writer, &text);
    path_write(&writer, &path);
    CLEANUP(json_cleanup) struct json *json = NULL;
    assert_int_equal(json_parse(buf_slice(&text), &json), ERR_OK);
    assert_int_equal(path_read(json, &read), ERR_OK);
    assert_int_equal(read.count, path.count);
    text.size--;
    assert_int_equal(buf_append_text(&text, ",\"00\"]"), ERR_OK);
    CLEANUP(json_cleanup) struct json *longer = NULL;
    assert_int_equal(json_parse(buf_slice(&text), &longer), ERR_OK);
    assert_int_equal(path_read(longer, &read), ERR_INVALID);
    assert_int_equal(path_read(NULL, &read), ERR_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_written_and_read),
        cmocka_unit_test(test_every_changed_character),
        cmocka_unit_test(test_heads),
        cmocka_unit_test(test_paths),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
