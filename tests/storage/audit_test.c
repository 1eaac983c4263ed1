/* audit — the log of a store: repeats change nothing, deletions stay provable, and whatever is
 * changed in a store behind the program's back shows against a head that was saved before. */
#include "storage/audit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "protocol/base/own.h"
#include "tests/storage/store_rig.h"

enum { ANSWER_BYTES_MAX = 8 * 1024 * 1024, NOW_NS = 1234567890 };

static struct store_rig rig;

static int open_rig(void **state)
{
    (void)state;
    store_rig_open(&rig, 0);
    return 0;
}

static int close_rig(void **state)
{
    (void)state;
    store_rig_close(&rig);
    return 0;
}

/* ---- Streams ---- */

static struct row row_of(uint64_t number, uint64_t events)
{
    struct row row = store_rig_row(number, STREAM_COMPLETED, events);
    row.request_bytes = 5;
    return row;
}

static void close_in(struct store_txn *txn, const struct row *row)
{
    CLEANUP(buf_deinit) struct buf encoded;
    buf_init(&encoded, ROW_BYTES_MAX);
    assert_int_equal(row_encode(row, &encoded), ERR_OK);
    assert_int_equal(store_close_stream(txn, buf_slice(&encoded)), ERR_OK);
}

/* What the archiver does of one stream, in one transaction. */
static void put_stream(struct store_txn *txn, uint64_t number, uint64_t events, uint64_t cut)
{
    struct row row = row_of(number, events);
    assert_int_equal(store_rig_put(txn, number, 0, cut, 4096), ERR_OK);
    assert_int_equal(store_rig_put(txn, number, cut, events, BLOCK_BYTES_MAX), ERR_OK);
    assert_int_equal(store_put_body(txn, RIG_PROJECT, number, 0, SLICE("hello")), ERR_OK);
    assert_int_equal(store_put_aside(txn, RIG_PROJECT, number, 0, 1, SLICE("aside")), ERR_OK);
    assert_int_equal(store_put_aside(txn, RIG_PROJECT, number, 1, 2, SLICE("more")), ERR_OK);
    assert_int_equal(store_rig_put_row(txn, &row), ERR_OK);
    close_in(txn, &row);
}

static void write_stream(uint64_t number, uint64_t events)
{
    struct store_txn *txn = store_rig_begin(&rig);
    put_stream(txn, number, events, events / 2);
    store_rig_commit(txn, 0);
}

static void delete_stream(uint64_t number)
{
    size_t values_left = 100000;
    struct store_txn *txn = store_rig_begin(&rig);
    struct store_deletion deletion = {RIG_PROJECT, store_rig_id(number), SLICE("deleted"), 77, 60};
    assert_int_equal(store_delete(txn, &deletion, &values_left), ERR_OK);
    store_rig_commit(txn, 0);
}

/* ---- Asking ---- */

static struct audit_request ask_for(enum audit_kind kind)
{
    return (struct audit_request){
        .kind = kind, .project = RIG_PROJECT, .project_name = SLICE("default"), .now_ns = NOW_NS};
}

static enum err ask(const struct audit_request *request, struct json **out)
{
    CLEANUP(buf_deinit) struct buf text;
    buf_init(&text, ANSWER_BYTES_MAX);
    TRY(audit_answer(rig.store, rig.codec, request, &text));
    return json_parse(buf_slice(&text), out);
}

static struct head head_now(struct json **json)
{
    struct audit_request request = ask_for(AUDIT_HEAD);
    struct head head;
    assert_int_equal(ask(&request, json), ERR_OK);
    assert_int_equal(head_read(*json, &head), ERR_OK);
    assert_true(head_check(&head));
    return head;
}

static uint64_t size_now(void)
{
    CLEANUP(json_cleanup) struct json *json = NULL;
    return head_now(&json).size;
}

static void assert_proved(uint64_t number, uint64_t size, bool is_deleted)
{
    CLEANUP(json_cleanup) struct json *json = NULL;
    CLEANUP(buf_deinit) struct buf record;
    struct audit_request request = ask_for(AUDIT_PROOF);
    struct proof_result result;
    const char *why;
    request.id = store_rig_id(number);
    request.size = size;
    request.has_contents = true;
    buf_init(&record, ROW_BYTES_MAX);
    assert_int_equal(ask(&request, &json), ERR_OK);
    assert_int_equal(proof_check(json, &record, &result, &why), ERR_OK);
    assert_int_equal(result.proof.has_deletion, is_deleted);
    assert_int_equal(
        result.has_row && result.has_events && result.has_asides && result.has_body, !is_deleted);
}

/* ---- Verifying ---- */

struct findings {
    size_t count;
    char last[200];
};

static void note(void *context, const struct id *id, const char *what)
{
    struct findings *findings = context;
    (void)id;
    findings->count++;
    (void)snprintf(findings->last, sizeof findings->last, "%s", what);
}

static struct findings verify(const struct head *head, struct audit_summary *summary)
{
    struct findings findings = {.count = 0};
    struct audit_check check = {head, true, note, &findings};
    assert_int_equal(store_verify(rig.store, note, NULL, &findings), ERR_OK);
    assert_int_equal(audit_verify(rig.store, rig.codec, &check, summary), ERR_OK);
    return findings;
}

static void assert_well(const struct head *head)
{
    struct audit_summary summary;
    struct findings findings = verify(head, &summary);
    if (findings.count)
        fail_msg("%zu findings: %s", findings.count, findings.last);
}

/* ---- Tests ---- */

static void test_streams_are_logged_and_proved(void **state)
{
    CLEANUP(json_cleanup) struct json *json = NULL;
    struct audit_summary summary;
    (void)state;
    assert_int_equal(size_now(), 0);
    for (uint64_t number = 1; number <= 9; number++) {
        write_stream(number, 7 * number);
        assert_int_equal(size_now(), number);
    }
    struct head head = head_now(&json);
    for (uint64_t number = 1; number <= 9; number++) {
        assert_proved(number, 0, false);
        assert_proved(number, number, false);
    }
    assert_int_equal(verify(&head, &summary).count, 0);
    assert_int_equal(summary.finished, 9);
    assert_int_equal(summary.events, 7 * 45);
    assert_true(summary.has_head);
}

static void test_a_repeat_changes_nothing(void **state)
{
    CLEANUP(json_cleanup) struct json *json = NULL;
    (void)state;
    for (uint64_t cut = 0; cut <= 12; cut += 3) {
        struct store_txn *txn = store_rig_begin(&rig); /* a crash before the commit */
        put_stream(txn, 1, 12, cut);
        store_abort(txn);
    }
    assert_int_equal(size_now(), 0);
    struct store_txn *txn = store_rig_begin(&rig); /* a part, and then all of it again */
    assert_int_equal(store_rig_put(txn, 1, 0, 5, 4096), ERR_OK);
    store_rig_commit(txn, 0);
    write_stream(1, 12);
    struct head head = head_now(&json);
    for (uint64_t cut = 0; cut <= 12; cut += 3) {
        txn = store_rig_begin(&rig);
        put_stream(txn, 1, 12, cut);
        store_rig_commit(txn, 0);
    }
    assert_int_equal(size_now(), 1);
    assert_well(&head);
}

/* How blocks were cut, joined or merged is no part of what was recorded. */
static void test_cuts_do_not_count(void **state)
{
    struct statement first = {.events = 0}, other;
    (void)state;
    for (uint64_t cut = 0; cut <= 120; cut += 40) {
        struct block_position from = {0, 0};
        store_rig_close(&rig);
        store_rig_open(&rig, 0);
        struct store_txn *txn = store_rig_begin(&rig);
        put_stream(txn, 1, 120, cut);
        while (store_merge(txn, RIG_PROJECT, 1, &from) == ERR_AGAIN) {
        }
        store_rig_commit(txn, 0);
        assert_well(NULL);
        CLEANUP(json_cleanup) struct json *json = NULL;
        struct audit_request request = ask_for(AUDIT_PROOF);
        uint8_t bytes[STATEMENT_BYTES];
        request.id = store_rig_id(1);
        assert_int_equal(ask(&request, &json), ERR_OK);
        struct slice text = json_text(json_get(json, "statement"));
        assert_int_equal(hex_decode(text, bytes, sizeof bytes), ERR_OK);
        assert_int_equal(statement_decode(slice_of(bytes, sizeof bytes), &other), ERR_OK);
        if (cut == 0)
            first = other;
        assert_true(digest_equal(&first.event_chain, &other.event_chain));
        assert_true(digest_equal(&first.record, &other.record));
    }
}

static void test_what_is_deleted_stays_provable(void **state)
{
    CLEANUP(json_cleanup) struct json *json = NULL;
    CLEANUP(json_cleanup) struct json *later_json = NULL;
    CLEANUP(json_cleanup) struct json *growth = NULL;
    struct merkle_path path;
    (void)state;
    for (uint64_t number = 1; number <= 3; number++)
        write_stream(number, 10);
    struct head head = head_now(&json);
    delete_stream(2);
    delete_stream(2); /* again: nothing more is said */
    assert_int_equal(size_now(), 4);
    assert_proved(2, 0, true);
    assert_proved(1, 0, false);
    assert_well(&head);
    struct id id = store_rig_id(2);
    struct store_txn *txn = store_rig_begin(&rig);
    assert_int_equal(store_drop_row(txn, RIG_PROJECT, &id), ERR_OK);
    store_rig_commit(txn, 0);
    assert_proved(2, 0, true); /* forgotten, but for the log */
    assert_well(&head);
    struct head later = head_now(&later_json);
    struct audit_request request = ask_for(AUDIT_CONSISTENCY);
    request.old_size = head.size;
    assert_int_equal(ask(&request, &growth), ERR_OK);
    assert_int_equal(path_read(json_get(growth, "path"), &path), ERR_OK);
    assert_true(merkle_check_prefix(head.size, &head.root, later.size, &later.root, &path));
}

/* On a full disk a deletion is served before what the stream had is absorbed. */
static void test_deleted_before_it_was_closed(void **state)
{
    struct row row = row_of(1, 20);
    (void)state;
    struct store_txn *txn = store_rig_begin(&rig);
    assert_int_equal(store_rig_put(txn, 1, 0, 8, 4096), ERR_OK);
    row.state = STREAM_STREAMING;
    row.ended_ns = 0;
    assert_int_equal(store_rig_put_row(txn, &row), ERR_OK);
    store_rig_commit(txn, 0);
    delete_stream(1);
    assert_int_equal(size_now(), 0);
    txn = store_rig_begin(&rig);
    assert_int_equal(store_rig_put(txn, 1, 8, 20, 4096), ERR_OK);
    row = row_of(1, 20);
    close_in(txn, &row);
    close_in(txn, &row);
    store_rig_commit(txn, 0);
    assert_int_equal(size_now(), 2);
    assert_proved(1, 0, true);
    assert_well(NULL);
}

static void test_holds_and_readings_change_nothing_logged(void **state)
{
    CLEANUP(json_cleanup) struct json *json = NULL;
    (void)state;
    write_stream(1, 10);
    struct head head = head_now(&json);
    struct store_txn *txn = store_rig_begin(&rig);
    struct store_amendment hold = {.kind = AMEND_HOLD, .project = RIG_PROJECT};
    hold.id = store_rig_id(1);
    assert_int_equal(store_amend(txn, &hold), ERR_OK);
    store_rig_commit(txn, 0);
    assert_well(&head);
    assert_proved(1, 0, false);
}

static void test_the_key_lasts(void **state)
{
    CLEANUP(json_cleanup) struct json *json = NULL;
    CLEANUP(json_cleanup) struct json *again_json = NULL;
    (void)state;
    struct head head = head_now(&json);
    store_rig_reopen(&rig);
    struct head again = head_now(&again_json);
    assert_memory_equal(head.key, again.key, ED25519_BYTES);
}

/* ---- Tampering: with seals that fit again, as someone would who means it ---- */

/* The n-th entry of a table of our project; false: there are fewer. */
static bool nth_entry(enum table table, size_t n, struct schema_key *key, struct buf *value)
{
    CLEANUP(walk_end) struct walk walk = {0};
    struct view *view;
    assert_int_equal(view_begin(store_tables(rig.store), false, &view), ERR_OK);
    assert_int_equal(walk_begin(view, table, schema_rows(RIG_PROJECT), &walk), ERR_OK);
    enum err err = walk_first(&walk);
    while (err == ERR_OK && n--)
        err = walk_next(&walk);
    if (err == ERR_OK) {
        key->size = walk.key.size;
        memcpy(key->bytes, walk.key.data, walk.key.size);
        buf_clear(value);
        assert_int_equal(buf_append(value, walk.value), ERR_OK);
    }
    walk_end(&walk);
    walk = (struct walk){0};
    view_abort(view);
    return err == ERR_OK;
}

static void put_raw(enum table table, struct schema_key key, struct slice value)
{
    struct view *view;
    assert_int_equal(view_begin(store_tables(rig.store), true, &view), ERR_OK);
    assert_int_equal(
        value.size ? view_put(view, table, key, value) : view_remove(view, table, key), ERR_OK);
    assert_int_equal(view_commit(view), ERR_OK);
}

static void seal(struct buf *value)
{
    struct slice rest = slice_sub(buf_slice(value), SCHEMA_SEAL_BYTES, value->size);
    pack_u32(value->data + 1, crc32c(0, rest));
}

static const enum table tampered[] = {TABLE_ROWS, TABLE_BLOCKS, TABLE_BODIES, TABLE_ASIDES,
    TABLE_CHAINS, TABLE_LEAVES, TABLE_NODES, TABLE_LEAF_IDS};

/* Noise does not compress: a stored block is as it is, and each of its bytes counts. */
static void write_for_tampering(void)
{
    for (uint64_t number = 1; number <= 3; number += 2)
        write_stream(number, 3);
    write_stream(5, 2);
}

static void assert_found(const struct head *head, enum table table, size_t entry, size_t at)
{
    struct audit_summary summary;
    if (verify(head, &summary).count == 0)
        fail_msg("byte %zu of entry %zu of %s", at, entry, schema_table_name(table));
}

static void test_every_flipped_byte_is_found(void **state)
{
    CLEANUP(json_cleanup) struct json *json = NULL;
    CLEANUP(buf_deinit) struct buf value;
    CLEANUP(buf_deinit) struct buf changed;
    struct schema_key key;
    (void)state;
    buf_init(&value, BLOCK_BYTES_MAX);
    buf_init(&changed, BLOCK_BYTES_MAX);
    write_for_tampering();
    struct head head = head_now(&json);
    assert_well(&head);
    for (size_t t = 0; t < sizeof tampered / sizeof *tampered; t++)
        for (size_t entry = 0; nth_entry(tampered[t], entry, &key, &value); entry += 2) {
            size_t step = 1 + value.size / 48; /* of long values, some: each costs a commit */
            for (size_t at = SCHEMA_SEAL_BYTES; at < value.size; at += step) {
                buf_clear(&changed);
                assert_int_equal(buf_append(&changed, buf_slice(&value)), ERR_OK);
                changed.data[at] ^= 0x01;
                seal(&changed);
                put_raw(tampered[t], key, buf_slice(&changed));
                assert_found(&head, tampered[t], entry, at);
            }
            put_raw(tampered[t], key, buf_slice(&value));
        }
    assert_well(&head);
}

static void test_every_removed_value_is_found(void **state)
{
    CLEANUP(json_cleanup) struct json *json = NULL;
    CLEANUP(buf_deinit) struct buf value;
    struct schema_key key;
    (void)state;
    buf_init(&value, BLOCK_BYTES_MAX);
    write_for_tampering();
    struct head head = head_now(&json);
    for (size_t t = 0; t < sizeof tampered / sizeof *tampered; t++)
        for (size_t entry = 0; nth_entry(tampered[t], entry, &key, &value); entry++) {
            put_raw(tampered[t], key, SLICE_NONE);
            assert_found(&head, tampered[t], entry, 0);
            put_raw(tampered[t], key, buf_slice(&value));
        }
    assert_well(&head);
}

/* Someone who rewrites a stream whole: events, row, statement, leaf and tree all fit each other. */
static void test_a_rewritten_log_does_not_fit_the_head(void **state)
{
    CLEANUP(json_cleanup) struct json *json = NULL;
    struct audit_summary summary;
    uint8_t uuid[HEAD_STORE_BYTES];
    (void)state;
    write_for_tampering();
    struct head head = head_now(&json);
    store_rig_close(&rig);
    store_rig_open(&rig, 0);
    write_stream(3, 3); /* in another order */
    write_stream(1, 3);
    write_stream(5, 2);
    store_uuid(rig.store, uuid);
    memcpy(head.store, uuid, sizeof uuid);
    assert_well(NULL);
    struct findings findings = verify(&head, &summary);
    assert_true(findings.count >= 1);
    assert_non_null(strstr(findings.last, "saved head"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_streams_are_logged_and_proved, open_rig, close_rig),
        cmocka_unit_test_setup_teardown(test_a_repeat_changes_nothing, open_rig, close_rig),
        cmocka_unit_test_setup_teardown(test_cuts_do_not_count, open_rig, close_rig),
        cmocka_unit_test_setup_teardown(test_what_is_deleted_stays_provable, open_rig, close_rig),
        cmocka_unit_test_setup_teardown(test_deleted_before_it_was_closed, open_rig, close_rig),
        cmocka_unit_test_setup_teardown(
            test_holds_and_readings_change_nothing_logged, open_rig, close_rig),
        cmocka_unit_test_setup_teardown(test_the_key_lasts, open_rig, close_rig),
        cmocka_unit_test_setup_teardown(test_every_flipped_byte_is_found, open_rig, close_rig),
        cmocka_unit_test_setup_teardown(test_every_removed_value_is_found, open_rig, close_rig),
        cmocka_unit_test_setup_teardown(
            test_a_rewritten_log_does_not_fit_the_head, open_rig, close_rig),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
