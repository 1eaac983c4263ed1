/* writer_state — encoded and decoded alike, bounded, and what becomes of a producer's appends. */
#include "protocol/data/writer_state.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "protocol/base/own.h"
#include "protocol/data/row.h"

static enum producer_verdict check(
    const struct writer_state *state, const char *id, uint64_t epoch, uint64_t seq)
{
    struct producer_place known;
    return producer_check(state, &(struct producer_place){slice_text(id), epoch, seq}, &known);
}

static void note(struct writer_state *state, const char *id, uint64_t epoch, uint64_t seq)
{
    producer_note(state, &(struct producer_place){slice_text(id), epoch, seq});
}

static void test_verdicts(void **context)
{
    struct writer_state state = {0};
    struct producer_place known;
    (void)context;
    assert_int_equal(check(&state, "a", 3, 0), PRODUCER_ACCEPTED);
    assert_int_equal(check(&state, "a", 3, 1), PRODUCER_GAP);
    note(&state, "a", 3, 0);
    note(&state, "a", 3, 1);
    note(&state, "b", 0, 0);
    assert_int_equal(state.producer_count, 2);
    assert_int_equal(check(&state, "a", 3, 2), PRODUCER_ACCEPTED);
    assert_int_equal(check(&state, "a", 3, 1), PRODUCER_DUPLICATE);
    assert_int_equal(check(&state, "a", 3, 0), PRODUCER_DUPLICATE);
    assert_int_equal(check(&state, "a", 2, 7), PRODUCER_STALE);
    assert_int_equal(check(&state, "a", 4, 1), PRODUCER_MISBEGUN);
    assert_int_equal(check(&state, "a", 4, 0), PRODUCER_ACCEPTED);
    const struct producer_place gap = {SLICE("a"), 3, 9};
    assert_int_equal(producer_check(&state, &gap, &known), PRODUCER_GAP);
    assert_int_equal(known.seq, 2);
    const struct producer_place again = {SLICE("a"), 3, 0};
    assert_int_equal(producer_check(&state, &again, &known), PRODUCER_DUPLICATE);
    assert_int_equal(known.seq, 1);
}

static void test_closed(void **context)
{
    struct writer_state state = {0};
    const struct producer_place place = {SLICE("a"), 1, 5};
    (void)context;
    assert_false(producer_closed(&state, &place));
    note(&state, "b", 1, 5);
    note(&state, "a", 1, 5);
    state.is_closed_by_producer = true;
    assert_true(producer_closed(&state, &place));
    assert_false(producer_closed(&state, &(struct producer_place){SLICE("b"), 1, 5}));
    assert_false(producer_closed(&state, &(struct producer_place){SLICE("a"), 1, 4}));
    assert_false(producer_closed(&state, &(struct producer_place){SLICE("a"), 0, 5}));
}

static void test_round_trip(void **context)
{
    struct writer_state state = {.is_closed = true,
        .is_begun = true,
        .has_ttl = true,
        .ttl_s = 3600,
        .expires_ns = -5,
        .forks = 7,
        .depth = 2,
        .inherited = 1u << 20,
        .sub_offset = 3,
        .source_name = SLICE("\1a/b"),
        .stream_seq = SLICE("0009")};
    struct writer_state back;
    CLEANUP(buf_deinit) struct buf bytes;
    (void)context;
    memset(state.source.bytes, 0x5a, ID_BYTES);
    note(&state, "one", 1, 2);
    note(&state, "two", UINT64_MAX, 0);
    buf_init(&bytes, WRITER_STATE_BYTES_MAX);
    assert_int_equal(writer_state_encode(&state, &bytes), ERR_OK);
    assert_int_equal(writer_state_decode(buf_slice(&bytes), &back), ERR_OK);
    assert_true(back.is_closed && back.is_begun && back.has_ttl && !back.is_deleted);
    assert_true(back.ttl_s == 3600 && back.expires_ns == -5 && back.forks == 7);
    assert_true(back.depth == 2 && back.inherited == 1u << 20 && back.sub_offset == 3);
    assert_true(id_equal(&back.source, &state.source));
    assert_true(slice_equal(back.source_name, state.source_name));
    assert_true(slice_equal(back.stream_seq, state.stream_seq));
    assert_int_equal(back.producer_count, 2);
    assert_true(slice_equal(back.producers[1].id, SLICE("two")));
    assert_int_equal(check(&back, "one", 1, 3), PRODUCER_ACCEPTED);
    for (size_t size = 1; size < bytes.size; size++)
        assert_int_equal(
            writer_state_decode(slice_sub(buf_slice(&bytes), 0, size), &back), ERR_CORRUPT);
    assert_int_equal(buf_append_byte(&bytes, 0), ERR_OK);
    assert_int_equal(writer_state_decode(buf_slice(&bytes), &back), ERR_CORRUPT);
    assert_int_equal(writer_state_decode(SLICE_NONE, &back), ERR_OK);
    assert_false(back.is_begun);
}

/* Those that wrote least recently are forgotten, however long the IDs are. */
static void forgets(size_t id_size, size_t kept_least)
{
    static char ids[2 * PRODUCERS_MAX][PRODUCER_ID_BYTES_MAX + 1];
    struct writer_state state = {0}, back;
    CLEANUP(buf_deinit) struct buf bytes;
    buf_init(&bytes, WRITER_STATE_BYTES_MAX);
    for (size_t i = 0; i < 2 * PRODUCERS_MAX; i++) {
        memset(ids[i], 'x', id_size);
        ids[i][id_size] = '\0';
        (void)snprintf(ids[i], 5, "%04zu", i);
        ids[i][4] = id_size > 4 ? 'x' : '\0';
        note(&state, ids[i], 1, i);
        note(&state, ids[0], 1, i + 1); /* busy all the time */
    }
    assert_int_equal(writer_state_encode(&state, &bytes), ERR_OK);
    assert_true(bytes.size <= WRITER_STATE_BYTES_MAX);
    assert_int_equal(writer_state_decode(buf_slice(&bytes), &back), ERR_OK);
    assert_true(back.producer_count >= kept_least && back.producer_count <= PRODUCERS_MAX);
    assert_int_equal(check(&back, ids[0], 1, 2 * PRODUCERS_MAX + 1), PRODUCER_ACCEPTED);
    assert_int_equal(check(&back, ids[2 * PRODUCERS_MAX - 1], 1, 0), PRODUCER_DUPLICATE);
    assert_int_equal(check(&back, ids[1], 1, 2), PRODUCER_GAP); /* as a new one's */
}

static void test_bounded(void **context)
{
    (void)context;
    forgets(4, PRODUCERS_MAX);
    forgets(36, 150);
    forgets(PRODUCER_ID_BYTES_MAX, 28);
}

static void test_fits_a_row(void **context)
{
    (void)context;
    assert_true((int)WRITER_STATE_BYTES_MAX <= (int)ROW_STATE_BYTES_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_verdicts),
        cmocka_unit_test(test_closed),
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_bounded),
        cmocka_unit_test(test_fits_a_row),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
