/* attempt — see the header. */
#include "protocol/data/attempt.h"

#include "protocol/base/own.h"
#include "protocol/data/member.h"
#include "protocol/data/pack.h"

enum {
    ATTEMPT_ELEMENTS = 17,
    ATTEMPT_ELEMENTS_MIN = 16, /* without `from` */
    ATTEMPT_ELEMENTS_MAX = 64, /* of a later version; a bound on the skipping */
    NANO_PER_USD = 1000000000,
    COST_TEXT_BYTES = 32, /* 10 digits, a point and 9 more, and a NUL */
};

const char *attempt_kind_name(enum attempt_kind kind)
{
    static const char *const names[] = {
        [ATTEMPT_FIRST] = "first",
        [ATTEMPT_RETRY] = "retry",
        [ATTEMPT_FAILOVER] = "failover",
        [ATTEMPT_HEDGE] = "hedge",
        [ATTEMPT_CONTINUATION] = "continuation",
        [ATTEMPT_RESUMPTION] = "resumption",
    };
    ASSERT(kind <= ATTEMPT_RESUMPTION);
    return names[kind];
}

/* ── bytes ──────────────────────────────────────────────────────────────────────────────────── */

enum err attempt_encode(const struct attempt *attempt, struct buf *out)
{
    uint8_t encoded[ATTEMPT_BYTES_MAX];
    struct pack_writer writer;
    pack_writer_init(&writer, encoded, sizeof encoded);
    pack_array(&writer, ATTEMPT_ELEMENTS);
    pack_unsigned(&writer, attempt->number);
    pack_unsigned(&writer, attempt->kind);
    pack_bool(&writer, attempt->is_shown);
    pack_text(&writer, slice_sub(attempt->target, 0, ATTEMPT_TARGET_BYTES_MAX));
    pack_text(&writer, slice_sub(attempt->key, 0, ATTEMPT_WORD_BYTES_MAX));
    pack_signed(&writer, attempt->started_ns);
    pack_signed(&writer, attempt->first_event_ns);
    pack_signed(&writer, attempt->ended_ns);
    pack_unsigned(&writer, attempt->status);
    pack_text(&writer, slice_sub(attempt->why, 0, ATTEMPT_WORD_BYTES_MAX));
    pack_signed(&writer, attempt->usage.input);
    pack_signed(&writer, attempt->usage.output);
    pack_signed(&writer, attempt->usage.cached);
    pack_signed(&writer, attempt->usage.reasoning);
    pack_signed(&writer, attempt->usage.total);
    pack_signed(&writer, attempt->cost_nano_usd);
    pack_unsigned(&writer, attempt->from);
    ASSERT(!writer.is_full); /* ATTEMPT_BYTES_MAX */
    return buf_append(out, slice_of(encoded, writer.size));
}

static enum err read_u32(struct slice *input, uint32_t max, uint32_t *out)
{
    uint64_t number;
    TRY(pack_read_unsigned(input, max, &number));
    *out = (uint32_t)number;
    return ERR_OK;
}

static enum err read_usage(struct slice *input, struct usage *out)
{
    TRY(pack_read_signed(input, &out->input));
    TRY(pack_read_signed(input, &out->output));
    TRY(pack_read_signed(input, &out->cached));
    TRY(pack_read_signed(input, &out->reasoning));
    return pack_read_signed(input, &out->total);
}

static enum err read_elements(struct slice *input, struct attempt *out)
{
    uint32_t kind;
    TRY(read_u32(input, UINT32_MAX, &out->number));
    TRY(read_u32(input, ATTEMPT_RESUMPTION, &kind));
    out->kind = (enum attempt_kind)kind;
    TRY(pack_read_bool(input, &out->is_shown));
    TRY(pack_read_bytes(input, &out->target));
    TRY(pack_read_bytes(input, &out->key));
    TRY(pack_read_signed(input, &out->started_ns));
    TRY(pack_read_signed(input, &out->first_event_ns));
    TRY(pack_read_signed(input, &out->ended_ns));
    TRY(read_u32(input, UINT32_MAX, &out->status));
    TRY(pack_read_bytes(input, &out->why));
    TRY(read_usage(input, &out->usage));
    return pack_read_signed(input, &out->cost_nano_usd);
}

enum err attempt_decode(struct slice *rest, struct attempt *out)
{
    struct slice input = *rest;
    struct attempt attempt = {0};
    uint32_t count;
    TRY(pack_read_array(&input, &count));
    if (count < ATTEMPT_ELEMENTS_MIN || count > ATTEMPT_ELEMENTS_MAX)
        return fault(ERR_CORRUPT, "attempt: %u elements", count);
    TRY(read_elements(&input, &attempt));
    if (count >= ATTEMPT_ELEMENTS)
        TRY(pack_read_unsigned(&input, UINT64_MAX, &attempt.from));
    for (uint32_t i = ATTEMPT_ELEMENTS; i < count; i++)
        TRY(pack_skip(&input));
    *out = attempt;
    *rest = input;
    return ERR_OK;
}

enum err attempt_shown(struct slice attempts, struct attempt *out)
{
    bool is_found = false;
    while (attempts.size) {
        struct attempt attempt;
        TRY(attempt_decode(&attempts, &attempt));
        if (attempt.is_shown)
            *out = attempt, is_found = true;
    }
    return is_found ? ERR_OK : ERR_NOTFOUND;
}

/* ── for people ─────────────────────────────────────────────────────────────────────────────── */

int64_t attempts_cost(struct slice attempts)
{
    int64_t sum = -1;
    struct attempt attempt;
    while (attempts.size && attempt_decode(&attempts, &attempt) == ERR_OK)
        if (attempt.cost_nano_usd >= 0 &&
            __builtin_add_overflow(sum < 0 ? 0 : sum, attempt.cost_nano_usd, &sum))
            return -1;
    return sum;
}

void cost_json(int64_t nano_usd, struct json_writer *writer)
{
    CLEANUP(buf_deinit) struct buf number;
    buf_init(&number, COST_TEXT_BYTES);
    if (nano_usd < 0 || buf_printf(&number, "%lld.%09lld", (long long)(nano_usd / NANO_PER_USD),
                            (long long)(nano_usd % NANO_PER_USD)))
        json_null(writer);
    else
        json_raw(writer, buf_slice(&number));
}

static void put_attempt(struct json_writer *writer, const struct attempt *attempt)
{
    json_open(writer, '{');
    member_number(writer, "number", attempt->number);
    member_text(writer, "kind", slice_text(attempt_kind_name(attempt->kind)));
    member_flag(writer, "shown", attempt->is_shown);
    member_count(writer, "from", attempt->is_shown ? (int64_t)attempt->from : -1);
    member_text(writer, "target", attempt->target);
    member_text(writer, "key", attempt->key);
    member_time(writer, "started_at", attempt->started_ns);
    member_time(writer, "first_event_at", attempt->first_event_ns);
    member_time(writer, "ended_at", attempt->ended_ns);
    member_count(writer, "status", attempt->status ? (int64_t)attempt->status : -1);
    member_text(writer, "why", attempt->why);
    member_usage(writer, "usage", &attempt->usage);
    json_key(writer, "cost");
    cost_json(attempt->cost_nano_usd, writer);
    json_close(writer, '}');
}

void attempts_json(struct slice attempts, struct json_writer *writer)
{
    struct attempt attempt;
    json_open(writer, '[');
    while (attempts.size && attempt_decode(&attempts, &attempt) == ERR_OK)
        put_attempt(writer, &attempt);
    json_close(writer, ']');
}
