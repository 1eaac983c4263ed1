/* row — round trips, every cut, rows of other versions, and the object people see. */
#include "protocol/data/row.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "protocol/base/own.h"
#include "protocol/data/json.h"
#include "protocol/data/pack.h"

static struct row full_row(void)
{
    struct row row = {
        .number = (uint64_t)3 << 32 | 17,
        .project = 5,
        .attempt = 2,
        .state = STREAM_INTERRUPTED,
        .is_streamed = true,
        .is_sse = true,
        .project_name = SLICE("harbour"),
        .key = SLICE("run-7/step-\"2\""),
        .fingerprint = SLICE("0123456789abcdef0123456789abcdef"),
        .method = SLICE("POST"),
        .path = SLICE("/v1/chat/completions"),
        .dialect = SLICE("openai_chat"),
        .provider_dialect = SLICE("anthropic"),
        .run = SLICE("night"),
        .step = SLICE("plan/7"),
        .attempts = SLICE("\x91\xc0"),
        .upstream_id = SLICE("resp_1"),
        .is_appended = true,
        .writer_state = SLICE("\x80\0\xff"),
        .model = SLICE("gpt-4o"),
        .provider = SLICE("openai"),
        .metadata = SLICE("{\"agent\":\"tide\",\"n\":1.10}"),
        .accepted_ns = 1763869331123456789,
        .dispatched_ns = 1763869331200000000,
        .first_event_ns = 1763869332000000000,
        .last_event_ns = 1763869333000000000,
        .ended_ns = 1763869334005000000,
        .ttl_s = 86400,
        .is_sliding = true,
        .is_held = true,
        .touched_ns = 1763869335000000000,
        .damage = SLICE("blocks 3.0"),
        .status = 200,
        .content_type = SLICE("text/event-stream"),
        .head = SLICE("x-request-id: r1\r\n"),
        .content_length = -1,
        .events = 12,
        .bytes = 3400,
        .request_bytes = 210,
        .upload_bytes = 70000,
        .upload_digest = SLICE("uuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuu"),
        .finish_reason = SLICE("stop"),
        .reason = SLICE("server_stopped"),
        .detail = SLICE("The server stopped while the response was on its way."),
        .usage = {10, 20, -1, 5, 30},
    };
    memset(row.id.bytes, 0x17, ID_BYTES);
    row.id.bytes[6] = 0x7a, row.id.bytes[8] = 0x8a;
    row.previous = row.id;
    row.previous.bytes[15] = 1;
    return row;
}

static void assert_texts_equal(const struct row *a, const struct row *b)
{
    assert_true(slice_equal(a->project_name, b->project_name) && slice_equal(a->key, b->key));
    assert_true(slice_equal(a->fingerprint, b->fingerprint) && slice_equal(a->path, b->path));
    assert_true(slice_equal(a->method, b->method) && slice_equal(a->dialect, b->dialect));
    assert_true(slice_equal(a->provider_dialect, b->provider_dialect));
    assert_true(slice_equal(a->run, b->run));
    assert_true(slice_equal(a->step, b->step));
    assert_true(slice_equal(a->attempts, b->attempts));
    assert_true(slice_equal(a->upstream_id, b->upstream_id));
    assert_int_equal(a->is_appended, b->is_appended);
    assert_true(slice_equal(a->writer_state, b->writer_state));
    assert_true(slice_equal(a->model, b->model) && slice_equal(a->provider, b->provider));
    assert_true(slice_equal(a->metadata, b->metadata) && slice_equal(a->head, b->head));
    assert_true(slice_equal(a->content_type, b->content_type));
    assert_true(slice_equal(a->finish_reason, b->finish_reason));
    assert_true(slice_equal(a->upload_digest, b->upload_digest));
    assert_true(slice_equal(a->reason, b->reason) && slice_equal(a->detail, b->detail));
}

static void assert_rows_equal(const struct row *a, const struct row *b)
{
    assert_texts_equal(a, b);
    assert_true(id_equal(&a->id, &b->id) && id_equal(&a->previous, &b->previous));
    assert_true(a->number == b->number && a->project == b->project && a->attempt == b->attempt);
    assert_true(a->state == b->state && a->is_streamed == b->is_streamed && a->is_sse == b->is_sse);
    assert_true(a->accepted_ns == b->accepted_ns && a->dispatched_ns == b->dispatched_ns);
    assert_true(a->first_event_ns == b->first_event_ns && a->last_event_ns == b->last_event_ns);
    assert_true(a->ended_ns == b->ended_ns && a->ttl_s == b->ttl_s && a->status == b->status);
    assert_true(a->content_length == b->content_length && a->events == b->events);
    assert_true(a->bytes == b->bytes && a->request_bytes == b->request_bytes);
    assert_int_equal(a->upload_bytes, b->upload_bytes);
    assert_memory_equal(&a->usage, &b->usage, sizeof a->usage);
    assert_true(a->is_held == b->is_held && a->is_sliding == b->is_sliding);
    assert_true(a->touched_ns == b->touched_ns && slice_equal(a->damage, b->damage));
}

static struct buf encoded(const struct row *row)
{
    struct buf out;
    buf_init(&out, 2 * ROW_BYTES_MAX);
    assert_int_equal(row_encode(row, &out), ERR_OK);
    return out;
}

static void test_round_trip(void **state)
{
    struct row empty = {0}, full = full_row(), out;
    const struct row *rows[] = {&empty, &full};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        CLEANUP(buf_deinit) struct buf bytes = encoded(rows[i]);
        assert_int_equal(row_decode(buf_slice(&bytes), &out), ERR_OK);
        assert_rows_equal(rows[i], &out);
    }
}

static void test_every_cut_and_tail_is_corrupt(void **state)
{
    struct row full = full_row(), out = {.events = 4711};
    CLEANUP(buf_deinit) struct buf bytes = encoded(&full);
    (void)state;
    for (size_t size = 0; size < bytes.size; size++)
        assert_int_equal(row_decode(slice_of(bytes.data, size), &out), ERR_CORRUPT);
    assert_int_equal(buf_append_byte(&bytes, 0xc0), ERR_OK);
    assert_int_equal(row_decode(buf_slice(&bytes), &out), ERR_CORRUPT);
    assert_true(out.events == 4711);
}

static void test_flipped_bits_never_crash(void **state)
{
    struct row full = full_row(), out;
    CLEANUP(buf_deinit) struct buf bytes = encoded(&full);
    (void)state;
    for (size_t bit = 0; bit < bytes.size * 8; bit++) {
        bytes.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        enum err err = row_decode(buf_slice(&bytes), &out);
        assert_true(err == ERR_OK || err == ERR_CORRUPT);
        bytes.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}

static void test_unknown_keys_are_skipped(void **state)
{
    uint8_t bytes[64];
    struct pack_writer writer;
    struct row out;
    (void)state;
    pack_writer_init(&writer, bytes, sizeof bytes);
    pack_map(&writer, 4);
    pack_unsigned(&writer, 1000); /* a map of an array */
    pack_map(&writer, 1);
    pack_text(&writer, SLICE("a"));
    pack_array(&writer, 1);
    pack_bool(&writer, true);
    pack_unsigned(&writer, 28);
    pack_unsigned(&writer, 9);
    pack_unsigned(&writer, UINT64_MAX);
    pack_bytes(&writer, SLICE("later"));
    pack_unsigned(&writer, 33);
    pack_text(&writer, SLICE("why"));
    assert_int_equal(row_decode(slice_of(bytes, writer.size), &out), ERR_OK);
    assert_int_equal(out.events, 9);
    assert_true(slice_equal(out.detail, SLICE("why")));
}

static void assert_corrupt(struct slice bytes)
{
    struct row out;
    assert_int_equal(row_decode(bytes, &out), ERR_CORRUPT);
}

static void test_malformed_rows(void **state)
{
    (void)state;
    assert_corrupt(SLICE(""));
    assert_corrupt(SLICE("\x90"));                                 /* an array */
    assert_corrupt(SLICE("\x81\x06\x07"));                         /* a state that is none */
    assert_corrupt(SLICE("\x82\x1c\x01\x1c\x02"));                 /* a key twice */
    assert_corrupt(SLICE("\x81\xa1x\x01"));                        /* a key that is no number */
    assert_corrupt(SLICE("\x81\x01\xc4\x02zz"));                   /* an ID of 2 bytes */
    assert_corrupt(SLICE("\x81\x03\xcf\0\0\0\x01\0\0\0\0"));       /* a u32 of 33 bits */
    assert_corrupt(SLICE("\xdf\xff\xff\xff\xff\x1c\x01"));         /* a map of 2^32 - 1 */
    assert_corrupt(SLICE("\x81\xcd\x03\xe8\xdd\xff\xff\xff\xff")); /* such an array, unknown */
}

static void test_limit(void **state)
{
    static uint8_t head[ROW_BYTES_MAX];
    struct row row = full_row();
    struct buf out;
    (void)state;
    memset(head, 'h', sizeof head);
    row.head = slice_of(head, sizeof head);
    buf_init(&out, 4 * ROW_BYTES_MAX);
    assert_int_equal(row_encode(&row, &out), ERR_LIMIT);
    assert_int_equal(out.size, 0);
    buf_deinit(&out);
}

static void test_states(void **state)
{
    enum stream_state parsed;
    (void)state;
    for (unsigned i = STREAM_ACCEPTED; i <= STREAM_DELETED; i++) {
        struct slice name = slice_text(stream_state_name((enum stream_state)i));
        assert_int_equal(stream_state_parse(name, &parsed), ERR_OK);
        assert_int_equal(parsed, i);
        assert_int_equal(stream_state_is_live((enum stream_state)i), i <= STREAM_STREAMING);
    }
    assert_int_equal(stream_state_parse(SLICE("Completed"), &parsed), ERR_INVALID);
    assert_int_equal(stream_state_parse(SLICE(""), &parsed), ERR_INVALID);
}

static void assert_json_equal(const struct row *row, const char *expected)
{
    CLEANUP(buf_deinit) struct buf out;
    const char *why;
    size_t at;
    buf_init(&out, 65536);
    assert_int_equal(row_json(row, &out), ERR_OK);
    assert_int_equal(json_object_check(buf_slice(&out), &why, &at), ERR_OK);
    assert_int_equal(buf_append_byte(&out, '\0'), ERR_OK);
    assert_string_equal((const char *)out.data, expected);
}

static void test_json_of_a_full_row(void **state)
{
    struct row row = full_row();
    row.is_appended = false;
    (void)state;
    assert_json_equal(&row,
        "{\"id\":\"17171717-1717-7a17-8a17-171717171717\",\"object\":\"stream\","
        "\"state\":\"interrupted\",\"reason\":\"server_stopped\","
        "\"detail\":\"The server stopped while the response was on its way.\","
        "\"project\":\"harbour\",\"model\":\"gpt-4o\",\"provider\":\"openai\","
        "\"dialect\":\"openai_chat\",\"provider_dialect\":\"anthropic\","
        "\"method\":\"POST\",\"path\":\"/v1/chat/completions\","
        "\"kind\":\"generation\",\"idempotency_key\":\"run-7/step-\\\"2\\\"\",\"name\":null,"
        "\"run\":\"night\",\"step\":\"plan/7\",\"attempt\":2,"
        "\"previous\":\"17171717-1717-7a17-8a17-171717171701\",\"streamed\":true,"
        "\"status\":200,\"content_type\":\"text/event-stream\",\"events\":12,\"bytes\":3400,"
        "\"request_bytes\":210,\"upload_bytes\":70000,\"upload_sha256\":"
        "\"7575757575757575757575757575757575757575757575757575757575757575\",\"created_at\":"
        "\"2025-11-23T03:42:11.123Z\","
        "\"accepted_at\":\"2025-11-23T03:42:11.123Z\","
        "\"dispatched_at\":\"2025-11-23T03:42:11.200Z\","
        "\"first_event_at\":\"2025-11-23T03:42:12.000Z\","
        "\"last_event_at\":\"2025-11-23T03:42:13.000Z\","
        "\"ended_at\":\"2025-11-23T03:42:14.005Z\",\"expires_at\":null,"
        "\"held\":true,\"damaged\":true,\"damage\":\"blocks 3.0\","
        "\"finish_reason\":\"stop\",\"usage\":{\"input_tokens\":10,\"output_tokens\":20,"
        "\"cached_tokens\":null,\"reasoning_tokens\":5,\"total_tokens\":30},"
        "\"cost\":null,\"attempts\":[],"
        "\"metadata\":{\"agent\":\"tide\",\"n\":1.10},"
        "\"urls\":{\"self\":\"/v1/streams/17171717-1717-7a17-8a17-171717171717\","
        "\"events\":\"/v1/streams/17171717-1717-7a17-8a17-171717171717/events\"}}");
}

/* The byte that says whose name it is is ours. */
static void test_json_of_an_appended_row(void **state)
{
    struct row row = full_row();
    struct buf out;
    (void)state;
    buf_init(&out, 8192);
    row.is_appended = true;
    row.key = SLICE("\2night");
    assert_int_equal(row_json(&row, &out), ERR_OK);
    assert_int_equal(buf_append_byte(&out, 0), ERR_OK);
    assert_non_null(strstr((const char *)out.data,
        "\"kind\":\"appended\",\"idempotency_key\":null,\"name\":\"night\""));
    buf_deinit(&out);
}

static void test_expiry_of_appended_rows(void **state)
{
    const int64_t s = 1000000000;
    struct row row = {.is_appended = true,
        .state = STREAM_STREAMING,
        .accepted_ns = 10 * s,
        .last_event_ns = 30 * s,
        .touched_ns = 20 * s,
        .ttl_s = 5};
    (void)state;
    assert_int_equal(row_expires_ns(&row), 15 * s);
    row.is_sliding = true;
    assert_int_equal(row_expires_ns(&row), 35 * s);
    row.touched_ns = 40 * s;
    assert_int_equal(row_expires_ns(&row), 45 * s);
    row.state = STREAM_COMPLETED; /* its end changes nothing */
    row.ended_ns = 60 * s;
    assert_int_equal(row_expires_ns(&row), 45 * s);
    row.is_held = true;
    assert_int_equal(row_expires_ns(&row), 0);
    row.is_held = row.is_sliding = false;
    row.state = STREAM_DELETED;
    assert_int_equal(row_expires_ns(&row), 65 * s);
}

static void test_json_of_an_empty_row(void **state)
{
    struct row row = {.usage = USAGE_UNKNOWN,
        .attempt = 1,
        .ttl_s = INT64_MAX,
        .metadata = SLICE("[\"no object\"]"),
        .ended_ns = INT64_MIN};
    (void)state;
    assert_json_equal(&row,
        "{\"id\":\"00000000-0000-0000-0000-000000000000\",\"object\":\"stream\","
        "\"state\":\"accepted\",\"reason\":null,\"detail\":null,\"project\":null,\"model\":null,"
        "\"provider\":null,\"dialect\":null,\"provider_dialect\":null,\"method\":null,"
        "\"path\":null,"
        "\"kind\":\"generation\",\"idempotency_key\":null,\"name\":null,\"run\":null,"
        "\"step\":null,\"attempt\":1,\"previous\":null,\"streamed\":false,"
        "\"status\":null,\"content_type\":null,\"events\":0,\"bytes\":0,\"request_bytes\":0,"
        "\"upload_bytes\":null,\"upload_sha256\":null,"
        "\"created_at\":null,\"accepted_at\":null,\"dispatched_at\":null,\"first_event_at\":null,"
        "\"last_event_at\":null,\"ended_at\":null,\"expires_at\":null,\"held\":false,"
        "\"damaged\":false,\"damage\":null,\"finish_reason\":null,"
        "\"usage\":{\"input_tokens\":null,\"output_tokens\":null,\"cached_tokens\":null,"
        "\"reasoning_tokens\":null,\"total_tokens\":null},"
        "\"cost\":null,\"attempts\":[],\"metadata\":null,"
        "\"urls\":{\"self\":\"/v1/streams/00000000-0000-0000-0000-000000000000\","
        "\"events\":\"/v1/streams/00000000-0000-0000-0000-000000000000/events\"}}");
}

static void test_when_it_expires(void **state)
{
    enum { HOUR_S = 3600 };
    const int64_t second = 1000000000;
    struct row row = {.state = STREAM_COMPLETED, .ended_ns = 10 * second, .ttl_s = HOUR_S};
    (void)state;
    assert_int_equal(row_expires_ns(&row), (10 + HOUR_S) * second);
    row.touched_ns = 500 * second;
    assert_int_equal(row_expires_ns(&row), (10 + HOUR_S) * second); /* absolute: reading is free */
    row.is_sliding = true;
    assert_int_equal(row_expires_ns(&row), (500 + HOUR_S) * second);
    row.touched_ns = 5 * second; /* while it was live */
    assert_int_equal(row_expires_ns(&row), (10 + HOUR_S) * second);
    row.is_held = true;
    assert_int_equal(row_expires_ns(&row), 0);
    row.is_held = false;
    row.ttl_s = 0;
    assert_int_equal(row_expires_ns(&row), 0);
    row.ttl_s = HOUR_S;
    row.state = STREAM_STREAMING;
    assert_int_equal(row_expires_ns(&row), 0);
}

static void test_json_of_strange_times(void **state)
{
    CLEANUP(buf_deinit) struct buf out;
    struct row row = {.accepted_ns = INT64_MAX, .ended_ns = INT64_MAX, .ttl_s = 1};
    (void)state;
    buf_init(&out, 65536);
    assert_int_equal(row_json(&row, &out), ERR_OK);
    assert_true(
        slice_find(buf_slice(&out), SLICE("\"ended_at\":\"2262-04-11T23:47:16.854Z\"")) > 0);
    assert_true(slice_find(buf_slice(&out), SLICE("\"expires_at\":null")) > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_every_cut_and_tail_is_corrupt),
        cmocka_unit_test(test_flipped_bits_never_crash),
        cmocka_unit_test(test_unknown_keys_are_skipped),
        cmocka_unit_test(test_malformed_rows),
        cmocka_unit_test(test_limit),
        cmocka_unit_test(test_states),
        cmocka_unit_test(test_json_of_a_full_row),
        cmocka_unit_test(test_json_of_an_appended_row),
        cmocka_unit_test(test_expiry_of_appended_rows),
        cmocka_unit_test(test_json_of_an_empty_row),
        cmocka_unit_test(test_when_it_expires),
        cmocka_unit_test(test_json_of_strange_times),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
