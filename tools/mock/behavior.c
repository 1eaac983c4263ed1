/* behavior — the items of the name, each read by the row of its key. */
#include "tools/mock/behavior.h"

#include "tools/mock/bounds.h"

enum { EVENTS_DEFAULT = 20, SIZE_BYTES_DEFAULT = 300 };

static const uint64_t FAULT_AT_HALF = UINT64_MAX; /* a fault without @N */

struct word {
    const char *text;
    int value;
};

static const struct word faults[] = {
    {"refuse", FAULT_REFUSE},
    {"stall", FAULT_STALL},
    {"reset", FAULT_RESET},
    {"close", FAULT_CLOSE},
    {"end", FAULT_END},
    {"truncate", FAULT_TRUNCATE},
    {"error", FAULT_ERROR},
    {"garbage", FAULT_GARBAGE},
    {"first_error", FAULT_FIRST_ERROR},
};
static const struct word sses[] = {
    {"lf", SSE_LF}, {"crlf", SSE_CRLF}, {"cr", SSE_CR}, {"bom", SSE_BOM}};

#define COUNT(array) (sizeof(array) / sizeof *(array))

static enum err word_find(const struct word *words, size_t count, struct slice text, int *out)
{
    for (size_t i = 0; i < count; i++) {
        if (slice_equal(text, slice_text(words[i].text))) {
            *out = words[i].value;
            return ERR_OK;
        }
    }
    return ERR_INVALID;
}

static enum err number(struct slice text, uint64_t min, uint64_t max, uint64_t *out)
{
    uint64_t value;
    TRY(slice_u64(text, &value));
    if (value < min || value > max)
        return ERR_INVALID;
    *out = value;
    return ERR_OK;
}

/* "50", "0.5", "12.125": up to three digits after the point. */
static enum err rate(struct slice text, uint64_t *out)
{
    uint64_t whole, fraction = 0;
    ptrdiff_t point = slice_find_byte(text, '.');
    size_t whole_size = point < 0 ? text.size : (size_t)point;
    TRY(number(slice_sub(text, 0, whole_size), 0, RATE_PER_SECOND_MAX, &whole));
    if (point >= 0) {
        struct slice digits = slice_sub(text, whole_size + 1, text.size);
        if (digits.size > 3)
            return ERR_INVALID;
        TRY(slice_u64(digits, &fraction));
        for (size_t i = digits.size; i < 3; i++)
            fraction *= 10;
    }
    *out = whole * 1000 + fraction;
    return ERR_OK;
}

static enum err fault_kind(struct slice text, struct behavior *out)
{
    ptrdiff_t sign = slice_find_byte(text, '@');
    size_t size = sign < 0 ? text.size : (size_t)sign;
    int kind;
    TRY(word_find(faults, COUNT(faults), slice_sub(text, 0, size), &kind));
    out->fault_at = FAULT_AT_HALF;
    if (sign >= 0)
        TRY(number(slice_sub(text, size + 1, text.size), 0, EVENTS_MAX, &out->fault_at));
    out->fault = (enum behavior_fault)kind;
    return ERR_OK;
}

/* The only value a switch-like key has. */
static enum err flag(struct slice text, const char *value, bool *out)
{
    if (!slice_equal(text, slice_text(value)))
        return ERR_INVALID;
    *out = true;
    return ERR_OK;
}

static enum err item_number(struct slice key, struct slice value, struct behavior *out)
{
    const struct {
        const char *key;
        uint64_t min, max;
        uint64_t *out;
    } numbers[] = {
        {"events", 0, EVENTS_MAX, &out->events},
        {"size", 0, TEXT_BYTES_MAX, &out->size_bytes},
        {"text", 0, TEXT_BYTES_MAX, &out->text_bytes},
        {"ttft", 0, TTFT_MS_MAX, &out->ttft_ms},
        {"burst", 1, BURST_MAX, &out->burst},
        {"status", 400, 599, &out->status},
        {"retry_after", 1, RETRY_AFTER_S_MAX, &out->retry_after_s},
        {"fail", 0, UINT32_MAX, &out->fails},
        {"cuts", 1, UINT32_MAX, &out->cuts},
        {"busy", 0, UINT32_MAX, &out->busy},
        {"poll", 0, UINT32_MAX, &out->polls},
    };
    for (size_t i = 0; i < COUNT(numbers); i++)
        if (slice_equal(key, slice_text(numbers[i].key)))
            return number(value, numbers[i].min, numbers[i].max, numbers[i].out);
    return ERR_INVALID;
}

static enum err item(struct slice key, struct slice value, struct behavior *out)
{
    if (slice_equal(key, SLICE("id")))
        return ERR_OK;
    if (slice_equal(key, SLICE("rate")))
        return rate(value, &out->rate_milli);
    if (slice_equal(key, SLICE("fault")))
        return fault_kind(value, out);
    if (slice_equal(key, SLICE("write")))
        return flag(value, "1", &out->is_byte_wise);
    if (slice_equal(key, SLICE("tool")))
        return flag(value, "1", &out->has_tool);
    if (slice_equal(key, SLICE("frame")))
        return flag(value, "close", &out->is_close_framed);
    if (slice_equal(key, SLICE("forget")))
        return flag(value, "1", &out->is_forgotten);
    if (slice_equal(key, SLICE("drop")))
        return flag(value, "head", &out->is_dropped);
    if (slice_equal(key, SLICE("sse"))) {
        int sse;
        TRY(word_find(sses, COUNT(sses), value, &sse));
        out->sse = (enum behavior_sse)sse;
        return ERR_OK;
    }
    return item_number(key, value, out);
}

/* What follows "mock,": `mock` at the start or after what is no letter, digit, '-' or '_'. */
static struct slice items_of(struct slice model)
{
    size_t from = 0;
    for (;;) {
        struct slice rest = slice_sub(model, from, model.size - from);
        ptrdiff_t at = slice_find(rest, SLICE("mock,"));
        if (at < 0)
            return SLICE_NONE;
        size_t start = from + (size_t)at;
        uint8_t before = start ? model.data[start - 1] : '/';
        bool is_word = (before >= 'a' && before <= 'z') || (before >= 'A' && before <= 'Z') ||
                       (before >= '0' && before <= '9') || before == '-' || before == '_';
        if (!is_word)
            return slice_sub(model, start + 5, model.size);
        from = start + 5;
    }
}

static enum err settle(struct behavior *out)
{
    uint64_t largest = out->text_bytes > out->size_bytes ? out->text_bytes : out->size_bytes;
    if (largest * out->burst > TEXT_BYTES_MAX)
        return ERR_INVALID;
    if (out->fault_at == FAULT_AT_HALF)
        out->fault_at = out->events / 2;
    if (out->fault_at > out->events)
        out->fault_at = out->events;
    return ERR_OK;
}

enum err behavior_parse(struct slice model, struct behavior *out, struct slice *wrong)
{
    struct behavior behavior = {
        .events = EVENTS_DEFAULT, .size_bytes = SIZE_BYTES_DEFAULT, .burst = 1, .cuts = 1};
    struct slice items = items_of(model);
    *wrong = items;
    while (items.size > 0) {
        ptrdiff_t comma = slice_find_byte(items, ',');
        size_t size = comma < 0 ? items.size : (size_t)comma;
        *wrong = slice_sub(items, 0, size);
        ptrdiff_t equals = slice_find_byte(*wrong, '=');
        if (equals < 0)
            return ERR_INVALID;
        TRY(item(slice_sub(*wrong, 0, (size_t)equals),
            slice_sub(*wrong, (size_t)equals + 1, wrong->size), &behavior));
        items = comma < 0 ? SLICE_NONE : slice_sub(items, size + 1, items.size);
    }
    TRY(settle(&behavior));
    *out = behavior;
    return ERR_OK;
}
