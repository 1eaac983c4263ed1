/* chain — links know their place; what is written is read; leaves follow from every byte. */
#include "protocol/data/chain.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct sha256 *sha;

static int set_up(void **state)
{
    (void)state;
    return sha256_new(&sha) == ERR_OK ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    sha = sha256_free(sha);
    return 0;
}

static struct digest chained(const struct chain_frame *frames, size_t count, enum chain_kind kind)
{
    struct chain chain = {.seq = 0};
    for (size_t i = 0; i < count; i++)
        assert_int_equal(chain_add(sha, kind, &chain, &frames[i]), ERR_OK);
    return chain.digest;
}

/* By hand: the layout must never change. */
static void test_first_link(void **state)
{
    uint8_t bytes[1 + 32 + 8 + 4 + 1 + 8 + 4 + 2] = {2};
    struct digest expected;
    (void)state;
    bytes[53] = 7; /* the time's last byte */
    bytes[57] = 2; /* the size's */
    memcpy(bytes + 58, "hi", 2);
    sha256(slice_of(bytes, sizeof bytes), expected.bytes);
    struct chain_frame frame = {.time_ns = 7, .bytes = SLICE("hi")};
    struct digest got = chained(&frame, 1, CHAIN_EVENTS);
    assert_true(digest_equal(&got, &expected));
}

static void test_every_field_counts(void **state)
{
    const struct chain_frame frames[] = {
        {0, 0, true, 5, SLICE("one")}, {0, 1, false, 5, SLICE("two")}, {1, 0, false, 6, SLICE("")}};
    struct digest whole = chained(frames, 3, CHAIN_EVENTS), other;
    (void)state;
    other = chained(frames, 3, CHAIN_ASIDES);
    assert_false(digest_equal(&whole, &other));
    other = chained(frames, 2, CHAIN_EVENTS);
    assert_false(digest_equal(&whole, &other));
    struct chain_frame changed[3];
    memcpy(changed, frames, sizeof frames);
    changed[2].time_ns++;
    other = chained(changed, 3, CHAIN_EVENTS);
    assert_false(digest_equal(&whole, &other));
    changed[2] = frames[2];
    changed[0].bytes = SLICE("onetw");
    changed[1].bytes = SLICE("o");
    other = chained(changed, 3, CHAIN_EVENTS);
    assert_false(digest_equal(&whole, &other));
}

static void test_place(void **state)
{
    struct chain chain = {.seq = 3, .part = 1}, before = chain, read;
    struct chain_frame frame = {3, 0, false, 0, SLICE("x")};
    uint8_t bytes[CHAIN_BYTES];
    (void)state;
    assert_int_equal(chain_add(sha, CHAIN_EVENTS, &chain, &frame), ERR_INVALID);
    frame = (struct chain_frame){4, 1, false, 0, SLICE("x")};
    assert_int_equal(chain_add(sha, CHAIN_EVENTS, &chain, &frame), ERR_INVALID);
    assert_memory_equal(&chain.digest, &before.digest, sizeof chain.digest);
    frame.seq = 3;
    frame.has_more = true;
    assert_int_equal(chain_add(sha, CHAIN_EVENTS, &chain, &frame), ERR_OK);
    assert_true(chain.seq == 3 && chain.part == 2);
    chain_encode(&chain, bytes);
    assert_int_equal(chain_decode(slice_of(bytes, sizeof bytes), &read), ERR_OK);
    assert_true(read.seq == 3 && read.part == 2 && digest_equal(&read.digest, &chain.digest));
    assert_int_equal(chain_decode(slice_of(bytes, sizeof bytes - 1), &read), ERR_CORRUPT);
}

static struct row some_row(void)
{
    return (struct row){.number = 9,
        .state = STREAM_COMPLETED,
        .project_name = SLICE("p"),
        .model = SLICE("m"),
        .accepted_ns = 1,
        .ended_ns = 2,
        .events = 3,
        .bytes = 4,
        .request_bytes = 5,
        .usage = USAGE_UNKNOWN};
}

static struct digest record_of(const struct row *row)
{
    struct statement statement;
    assert_int_equal(statement_of_row(row, &statement), ERR_OK);
    return statement.record;
}

static void test_record_covers_what_was_recorded(void **state)
{
    struct row row = some_row(), changed = row;
    struct digest before = record_of(&row), after;
    (void)state;
    changed.ttl_s = 9;
    changed.is_held = changed.is_sliding = true;
    changed.touched_ns = 77;
    changed.damage = SLICE("a block");
    after = record_of(&changed);
    assert_true(digest_equal(&before, &after));
    changed = row;
    changed.model = SLICE("n");
    after = record_of(&changed);
    assert_false(digest_equal(&before, &after));
    changed = row;
    changed.usage.output = 1;
    after = record_of(&changed);
    assert_false(digest_equal(&before, &after));
}

static void test_statement_and_leaf(void **state)
{
    struct row row = some_row();
    struct statement statement, read;
    uint8_t bytes[STATEMENT_BYTES], again[STATEMENT_BYTES], leaf_bytes[LEAF_BYTES];
    (void)state;
    assert_int_equal(statement_of_row(&row, &statement), ERR_OK);
    statement.asides = 6;
    statement.event_chain.bytes[31] = 7;
    statement_encode(&statement, bytes);
    struct leaf leaf = leaf_of_statement(&row.id, &statement), leaf_read;
    struct digest digest = leaf_digest(&leaf);
    assert_int_equal(statement_decode(slice_of(bytes, sizeof bytes), &read), ERR_OK);
    statement_encode(&read, again);
    assert_memory_equal(bytes, again, sizeof bytes);
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] ^= 1;
        if (statement_decode(slice_of(bytes, sizeof bytes), &read) == ERR_OK) {
            struct leaf other = leaf_of_statement(&row.id, &read);
            assert_false(digest_equal(&other.digest, &leaf.digest));
        }
        bytes[i] ^= 1;
    }
    leaf_encode(&leaf, leaf_bytes);
    assert_int_equal(leaf_decode(slice_of(leaf_bytes, sizeof leaf_bytes), &leaf_read), ERR_OK);
    struct digest other = leaf_digest(&leaf_read);
    assert_true(digest_equal(&digest, &other));
    leaf_bytes[1] = 3;
    assert_int_equal(leaf_decode(slice_of(leaf_bytes, sizeof leaf_bytes), &leaf_read), ERR_CORRUPT);
    assert_int_equal(statement_decode(slice_of(bytes, 5), &read), ERR_CORRUPT);
    bytes[2] = STREAM_STREAMING;
    assert_int_equal(statement_decode(slice_of(bytes, sizeof bytes), &read), ERR_CORRUPT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_first_link),
        cmocka_unit_test(test_every_field_counts),
        cmocka_unit_test(test_place),
        cmocka_unit_test(test_record_covers_what_was_recorded),
        cmocka_unit_test(test_statement_and_leaf),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
