/* First what the fields say, one at a time, into `struct meaning`; then the rules of RFC 9112 §6.3 and
 * §9.3, in their order. */
#include "protocol/http/body_length.h"

/* What the fields of a head say of its message. */
struct meaning {
    uint64_t length;
    bool has_length;
    bool has_coding;
    bool is_chunked;
    bool is_close;
    bool is_keep_alive;
};

static const char bad_length[] = "the response's Content-Length is no number, or it has several";
static const char bad_coding[] = "the response's Transfer-Encoding is not exactly chunked";

/* The next element of a list, which may be empty: `*rest` loses it; false at the end. A list that
 * is empty has one empty element. */
static bool next_element(struct slice *rest, struct slice *element)
{
    if (!rest->data)
        return false;
    ptrdiff_t comma = slice_find_byte(*rest, ',');
    size_t size = comma < 0 ? rest->size : (size_t)comma;
    *element = slice_trim(slice_of(rest->data, size));
    *rest = comma < 0 ? SLICE_NONE : slice_of(rest->data + size + 1, rest->size - size - 1);
    return true;
}

static const char *read_connection(struct meaning *meaning, struct slice value)
{
    struct slice option;
    while (next_element(&value, &option)) {
        meaning->is_close |= slice_equal_nocase(option, SLICE("close"));
        meaning->is_keep_alive |= slice_equal_nocase(option, SLICE("keep-alive"));
    }
    return NULL;
}

static const char *read_length(struct meaning *meaning, struct slice value)
{
    struct slice element;
    while (next_element(&value, &element)) {
        uint64_t length;
        if (slice_u64(element, &length) != ERR_OK || length > INT64_MAX ||
            (meaning->has_length && length != meaning->length))
            return bad_length;
        meaning->has_length = true;
        meaning->length = length;
    }
    return NULL;
}

static const char *read_coding(struct meaning *meaning, struct slice value)
{
    struct slice coding;
    while (next_element(&value, &coding)) {
        if (coding.size == 0)
            continue;
        meaning->is_chunked = slice_equal_nocase(coding, SLICE("chunked"));
        if (meaning->has_coding ||
            !(meaning->is_chunked || slice_equal_nocase(coding, SLICE("identity"))))
            return bad_coding;
        meaning->has_coding = true;
    }
    return NULL;
}

static const char *read_field(struct meaning *meaning, struct slice name, struct slice value)
{
    static const struct {
        struct slice name;
        const char *(*read)(struct meaning *, struct slice);
    } known[] = {
        {SLICE("Connection"), read_connection},
        {SLICE("Content-Length"), read_length},
        {SLICE("Transfer-Encoding"), read_coding},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (slice_equal_nocase(name, known[i].name))
            return known[i].read(meaning, value);
    return NULL;
}

static const char *read_fields(struct slice fields, struct meaning *meaning)
{
    const char *problem = NULL;
    while (!problem && fields.size) {
        size_t colon = (size_t)slice_find_byte(fields, ':');
        size_t end = (size_t)slice_find_byte(fields, '\r');
        problem = read_field(meaning, slice_of(fields.data, colon),
            slice_of(fields.data + colon + 2, end - colon - 2));
        fields = slice_of(fields.data + end + 2, fields.size - end - 2);
    }
    return problem;
}

static enum body_kind kind_of(struct response_line line, const struct meaning *meaning)
{
    if (line.status == 101)
        return BODY_UNTIL_CLOSE;
    if (line.is_head_request || line.status < 200 || line.status == 204 || line.status == 304)
        return BODY_NONE;
    if (meaning->is_chunked)
        return BODY_CHUNKED;
    return meaning->has_length ? BODY_SIZED : BODY_UNTIL_CLOSE;
}

/* A message that two readers could frame in two ways is its connection's last. */
static bool is_kept(struct response_line line, const struct meaning *meaning)
{
    bool is_ambiguous = meaning->is_chunked && (meaning->has_length || line.version_minor == 0);
    if (kind_of(line, meaning) == BODY_UNTIL_CLOSE || meaning->is_close || is_ambiguous)
        return false;
    return line.version_minor == 1 || meaning->is_keep_alive;
}

const char *body_length_read(
    struct slice fields, struct response_line line, struct body_length *out)
{
    struct meaning meaning = {0};
    const char *problem = read_fields(fields, &meaning);
    if (problem)
        return problem;
    enum body_kind kind = kind_of(line, &meaning);
    *out = (struct body_length){
        kind, kind == BODY_SIZED ? meaning.length : 0, is_kept(line, &meaning)};
    return NULL;
}
