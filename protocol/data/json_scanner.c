/* json_scanner — a cursor, and for what is nested a stack of closing brackets, JSON_DEPTH_MAX high.
 *
 *     value ──▶ scalar ───────────────▶ after a value ──▶ ',' ──▶ [name ':'] value
 *       │                                 ▲    │
 *       └▶ '{' '[' push ──▶ empty ─ pop ──┘    └▶ '}' ']' pop ──▶ after a value
 *                  └▶ [name ':'] value */
#include "protocol/data/json_scanner.h"

#include <endian.h>
#include <string.h>

struct bracket_stack {
    uint8_t closers[JSON_DEPTH_MAX];
    size_t size;
};

enum {
    NO_BYTE = -1,
    ESCAPE_HEX_DIGITS = 4,
    SURROGATE_HIGH = 0xD800,
    SURROGATE_LOW = 0xDC00,
    SURROGATE_END = 0xE000,
};

void json_scanner_init(struct json_scanner *scanner, struct slice text)
{
    *scanner = (struct json_scanner){.text = text};
}

static enum err refuse(struct json_scanner *scanner, const char *why)
{
    scanner->why = why;
    return ERR_INVALID;
}

static int peek(const struct json_scanner *scanner)
{
    return scanner->at < scanner->text.size ? scanner->text.data[scanner->at] : NO_BYTE;
}

static enum err refuse_byte(struct json_scanner *scanner, const char *why)
{
    return refuse(scanner, peek(scanner) == NO_BYTE ? "the JSON text is cut short" : why);
}

static int peek_after_space(struct json_scanner *scanner)
{
    int c = peek(scanner);
    while (c == ' ' || c == '\t' || c == '\n' || c == '\r') {
        scanner->at++;
        c = peek(scanner);
    }
    return c;
}

static bool take(struct json_scanner *scanner, int byte)
{
    if (peek(scanner) != byte)
        return false;
    scanner->at++;
    return true;
}

/* ---- strings ---- */

/* How many of eight bytes come before the first that is a quote, a backslash or a control character:
 * per byte, x - n borrows into the top bit when x < n, and what is wrong above that first borrow does
 * not count (https://graphics.stanford.edu/~seander/bithacks.html, ZeroInWord). */
static size_t plain_bytes(uint64_t word)
{
    const uint64_t ones = 0x0101010101010101u;
    uint64_t quote = word ^ ones * '"';
    uint64_t backslash = word ^ ones * '\\';
    uint64_t hits = ((quote - ones) & ~quote) | ((backslash - ones) & ~backslash) |
                    ((word - ones * 0x20) & ~word);
    hits &= ones * 0x80;
    return hits ? (size_t)__builtin_ctzll(hits) / 8 : sizeof word;
}

static void skip_plain(struct json_scanner *scanner)
{
    const struct slice text = scanner->text;
    size_t at = scanner->at;
    uint64_t word;
    size_t plain = sizeof word;
    while (plain == sizeof word && text.size - at >= sizeof word) {
        memcpy(&word, text.data + at, sizeof word);
        plain = plain_bytes(le64toh(word));
        at += plain;
    }
    while (at < text.size && text.data[at] >= 0x20 && text.data[at] != '"' && text.data[at] != '\\')
        at++;
    scanner->at = at;
}

static int hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The four digits of a \u escape at `at`; -1 if they are not there. */
static int32_t hex_unit(struct slice text, size_t at)
{
    int32_t unit = 0;
    if (at > text.size || text.size - at < ESCAPE_HEX_DIGITS)
        return -1;
    for (size_t i = 0; i < ESCAPE_HEX_DIGITS; i++) {
        int digit = hex_digit(text.data[at + i]);
        if (digit < 0)
            return -1;
        unit = unit << 4 | digit;
    }
    return unit;
}

static bool is_surrogate(int32_t unit)
{
    return unit >= SURROGATE_HIGH && unit < SURROGATE_END;
}

/* The code point of the \u escape (or pair of them) whose digits begin at *at; -1: none. */
static int32_t escaped_point(struct slice text, size_t *at)
{
    int32_t high = hex_unit(text, *at);
    if (high < 0)
        return -1;
    if (!is_surrogate(high)) {
        *at += ESCAPE_HEX_DIGITS;
        return high;
    }
    size_t next = *at + ESCAPE_HEX_DIGITS;
    if (high >= SURROGATE_LOW || text.size - next < 2 || memcmp(text.data + next, "\\u", 2) != 0)
        return -1;
    int32_t low = hex_unit(text, next + 2);
    if (!is_surrogate(low) || low < SURROGATE_LOW)
        return -1;
    *at = next + 2 + ESCAPE_HEX_DIGITS;
    return 0x10000 + ((high - SURROGATE_HIGH) << 10) + (low - SURROGATE_LOW);
}

/* After the backslash. */
static enum err skip_escape(struct json_scanner *scanner)
{
    int c = peek(scanner);
    if (c == NO_BYTE || c == 0 || !strchr("\"\\/bfnrtu", c))
        return refuse_byte(scanner, "an unknown escape in a string");
    scanner->at++;
    if (c == 'u' && escaped_point(scanner->text, &scanner->at) < 0)
        return refuse(scanner, "a broken \\u escape or half of a surrogate pair in a string");
    return ERR_OK;
}

static enum err skip_string(struct json_scanner *scanner)
{
    if (!take(scanner, '"'))
        return refuse_byte(scanner, "a member's name in quotes is missing");
    for (;;) {
        skip_plain(scanner);
        if (take(scanner, '"'))
            return ERR_OK;
        if (!take(scanner, '\\'))
            return refuse_byte(scanner, "a control character in a string must be escaped");
        TRY(skip_escape(scanner));
    }
}

/* RFC 3629 §3. */
static size_t utf8_encode(int32_t point, uint8_t out[4])
{
    if (point < 0x80) {
        out[0] = (uint8_t)point;
        return 1;
    }
    size_t size = point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
    static const uint8_t leads[] = {0, 0, 0xC0, 0xE0, 0xF0};
    for (size_t i = size - 1; i > 0; i--) {
        out[i] = (uint8_t)(0x80 | (point & 0x3F));
        point >>= 6;
    }
    out[0] = (uint8_t)(leads[size] | point);
    return size;
}

static uint8_t unescape(uint8_t c)
{
    switch (c) {
    case 'b': return '\b';
    case 'f': return '\f';
    case 'n': return '\n';
    case 'r': return '\r';
    case 't': return '\t';
    default: return c; /* a quote, a backslash, a slash */
    }
}

size_t json_character(struct slice raw, size_t *at, uint8_t out[4])
{
    ASSERT(*at > 0 && *at < raw.size);
    uint8_t c = raw.data[*at];
    if (c == '"')
        return 0;
    *at += 1;
    if (c != '\\') {
        out[0] = c; /* a byte at a time: what is UTF-8 in the text stays so */
        return 1;
    }
    c = raw.data[*at];
    *at += 1;
    if (c != 'u') {
        out[0] = unescape(c);
        return 1;
    }
    int32_t point = escaped_point(raw, at);
    ASSERT(point >= 0);
    return utf8_encode(point, out);
}

size_t json_utf8_size(struct slice text, size_t at)
{
    uint8_t lead = text.data[at];
    size_t size = lead < 0x80 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
    if (text.size - at < size || !slice_is_utf8(slice_sub(text, at, size)))
        return 0;
    return size;
}

/* ---- numbers and words ---- */

static bool skip_digits(struct json_scanner *scanner)
{
    size_t start = scanner->at;
    while (peek(scanner) >= '0' && peek(scanner) <= '9')
        scanner->at++;
    return scanner->at > start;
}

static bool skip_exponent(struct json_scanner *scanner)
{
    if (!take(scanner, 'e') && !take(scanner, 'E'))
        return true;
    (void)(take(scanner, '+') || take(scanner, '-'));
    return skip_digits(scanner);
}

static enum err skip_number(struct json_scanner *scanner)
{
    (void)take(scanner, '-');
    bool is_number = take(scanner, '0') || skip_digits(scanner);
    if (is_number && take(scanner, '.'))
        is_number = skip_digits(scanner);
    if (!is_number || !skip_exponent(scanner))
        return refuse_byte(scanner, "a malformed number");
    return ERR_OK;
}

static enum err skip_word(struct json_scanner *scanner, struct slice word)
{
    struct slice here = slice_sub(scanner->text, scanner->at, word.size);
    if (!slice_equal(here, word))
        return refuse(scanner, "a word that is not true, false or null");
    scanner->at += word.size;
    return ERR_OK;
}

static enum err skip_scalar(struct json_scanner *scanner)
{
    int c = peek(scanner);
    switch (c) {
    case '"': return skip_string(scanner);
    case 't': return skip_word(scanner, SLICE("true"));
    case 'f': return skip_word(scanner, SLICE("false"));
    case 'n': return skip_word(scanner, SLICE("null"));
    default: break;
    }
    if (c == '-' || (c >= '0' && c <= '9'))
        return skip_number(scanner);
    return refuse_byte(scanner, "a value is missing");
}

/* ---- what is nested ---- */

static enum err skip_name(struct json_scanner *scanner)
{
    (void)peek_after_space(scanner);
    TRY(skip_string(scanner));
    (void)peek_after_space(scanner);
    if (!take(scanner, ':'))
        return refuse_byte(scanner, "a colon is missing after a member's name");
    return ERR_OK;
}

static enum err push(struct json_scanner *scanner, struct bracket_stack *stack, uint8_t closer)
{
    if (scanner->depth + stack->size >= JSON_DEPTH_MAX)
        return refuse(scanner, "arrays and objects are nested too deep");
    stack->closers[stack->size++] = closer;
    scanner->at++;
    return ERR_OK;
}

/* At a value: takes a scalar, or the opening of what is nested. *wants_value: one must follow. */
static enum err step_value(
    struct json_scanner *scanner, struct bracket_stack *stack, bool *wants_value)
{
    int c = peek_after_space(scanner);
    *wants_value = false;
    if (c != '{' && c != '[')
        return skip_scalar(scanner);
    uint8_t closer = c == '{' ? '}' : ']';
    TRY(push(scanner, stack, closer));
    if (peek_after_space(scanner) == closer)
        return ERR_OK; /* step_after pops it */
    *wants_value = true;
    return c == '{' ? skip_name(scanner) : ERR_OK;
}

/* After a value inside an array or object: its end, or a comma and what stands before the next. */
static enum err step_after(
    struct json_scanner *scanner, struct bracket_stack *stack, bool *wants_value)
{
    uint8_t closer = stack->closers[stack->size - 1];
    (void)peek_after_space(scanner);
    if (take(scanner, closer)) {
        stack->size--;
        return ERR_OK;
    }
    if (!take(scanner, ','))
        return refuse_byte(scanner, "a comma or a closing bracket is missing");
    *wants_value = true;
    return closer == '}' ? skip_name(scanner) : ERR_OK;
}

static enum json_type type_of(uint8_t first)
{
    switch (first) {
    case '{': return JSON_OBJECT;
    case '[': return JSON_ARRAY;
    case '"': return JSON_STRING;
    case 't':
    case 'f': return JSON_BOOL;
    case 'n': return JSON_NULL;
    default: return JSON_NUMBER;
    }
}

enum err json_scanner_value(struct json_scanner *scanner, struct json_span *out)
{
    struct bracket_stack stack;
    bool wants_value = true;
    stack.size = 0;
    (void)peek_after_space(scanner);
    size_t start = scanner->at;
    while (wants_value || stack.size > 0) {
        if (wants_value)
            TRY(step_value(scanner, &stack, &wants_value));
        else
            TRY(step_after(scanner, &stack, &wants_value));
    }
    ASSERT(scanner->at > start && scanner->at <= scanner->text.size);
    out->raw = slice_sub(scanner->text, start, scanner->at - start);
    out->type = type_of(out->raw.data[0]);
    return ERR_OK;
}

enum err json_scanner_end(struct json_scanner *scanner)
{
    if (peek_after_space(scanner) != NO_BYTE)
        return refuse(scanner, "bytes follow the JSON text");
    return ERR_OK;
}

/* ---- walking one object ---- */

enum err json_scanner_open(struct json_scanner *scanner)
{
    if (peek_after_space(scanner) != '{')
        return refuse(scanner, "the JSON text is not an object");
    scanner->at++;
    scanner->depth++;
    return ERR_OK;
}

/* The first member is known by the byte before it: only there is it the opening brace. */
static bool is_first_member(const struct json_scanner *scanner)
{
    return scanner->text.data[scanner->at - 1] == '{';
}

enum err json_scanner_member(
    struct json_scanner *scanner, struct slice *name, struct json_span *value)
{
    bool is_first = is_first_member(scanner);
    int c = peek_after_space(scanner);
    if (c == '}') {
        scanner->at++;
        scanner->depth--;
        return ERR_CLOSED;
    }
    if (!is_first && !take(scanner, ','))
        return refuse_byte(scanner, "a comma or a closing bracket is missing");
    (void)peek_after_space(scanner);
    size_t start = scanner->at;
    TRY(skip_string(scanner));
    *name = slice_sub(scanner->text, start, scanner->at - start);
    (void)peek_after_space(scanner);
    if (!take(scanner, ':'))
        return refuse_byte(scanner, "a colon is missing after a member's name");
    return json_scanner_value(scanner, value);
}
