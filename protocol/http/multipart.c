/* multipart — see the header. A boundary line is looked for as "\r\n--boundary"; the first one needs no
 * CRLF before it. Between two of them: header fields, an empty line, bytes. */
#include "protocol/http/multipart.h"

enum {
    BOUNDARY_BYTES_MAX = 70, /* RFC 2046 §5.1.1 */
    DELIMITER_BYTES_MAX = BOUNDARY_BYTES_MAX + 4,
};

struct delimiter {
    uint8_t bytes[DELIMITER_BYTES_MAX]; /* CRLF, "--", the boundary */
    size_t size;
};

/* ── parameters of a header field ───────────────────────────────────────────────────────────── */

/* Up to the next semicolon that is in no quotes. */
static struct slice next_piece(struct slice *rest)
{
    bool is_quoted = false;
    size_t size = 0;
    for (; size < rest->size && (is_quoted || rest->data[size] != ';'); size++) {
        if (is_quoted && rest->data[size] == '\\' && size + 1 < rest->size)
            size++;
        else if (rest->data[size] == '"')
            is_quoted = !is_quoted;
    }
    struct slice piece = slice_trim(slice_sub(*rest, 0, size));
    *rest = slice_sub(*rest, size + 1, rest->size);
    return piece;
}

/* As it is written, without the quotes around it. */
static bool find_parameter(struct slice field, const char *name, struct slice *value)
{
    struct slice rest = field, wanted = slice_text(name);
    (void)next_piece(&rest); /* the field's own word */
    while (rest.size) {
        struct slice piece = next_piece(&rest);
        ptrdiff_t equals = slice_find_byte(piece, '=');
        if (equals < 0 || !slice_equal_nocase(slice_sub(piece, 0, (size_t)equals), wanted))
            continue;
        *value = slice_sub(piece, (size_t)equals + 1, piece.size);
        bool is_quoted =
            value->size >= 2 && value->data[0] == '"' && value->data[value->size - 1] == '"';
        if (is_quoted)
            *value = slice_sub(*value, 1, value->size - 2);
        return true;
    }
    return false;
}

static enum err find_delimiter(struct slice content_type, struct delimiter *out)
{
    struct slice rest = content_type, boundary;
    if (!slice_equal_nocase(next_piece(&rest), SLICE("multipart/form-data")) ||
        !find_parameter(content_type, "boundary", &boundary) || boundary.size == 0 ||
        boundary.size > BOUNDARY_BYTES_MAX)
        return ERR_INVALID;
    static const uint8_t before[] = {'\r', '\n', '-', '-'};
    *out = (struct delimiter){.size = sizeof before + boundary.size};
    for (size_t i = 0; i < out->size; i++)
        out->bytes[i] = i < sizeof before ? before[i] : boundary.data[i - sizeof before];
    return ERR_OK;
}

bool multipart_is_form(struct slice content_type)
{
    struct delimiter delimiter;
    return find_delimiter(content_type, &delimiter) == ERR_OK;
}

/* ── parts ──────────────────────────────────────────────────────────────────────────────────── */

/* Whether these header fields are those of the part that is looked for. */
static bool is_wanted(struct slice head, const char *name)
{
    static const struct slice disposition = SLICE("content-disposition:");
    while (head.size) {
        ptrdiff_t end = slice_find(head, SLICE("\r\n"));
        struct slice line = end < 0 ? head : slice_sub(head, 0, (size_t)end);
        head = end < 0 ? SLICE_NONE : slice_sub(head, (size_t)end + 2, head.size);
        if (!slice_equal_nocase(slice_sub(line, 0, disposition.size), disposition))
            continue;
        struct slice field = slice_sub(line, disposition.size, line.size), got, file;
        return find_parameter(field, "name", &got) && slice_equal(got, slice_text(name)) &&
               !find_parameter(field, "filename", &file);
    }
    return false;
}

/* Behind a delimiter: the rest of its line, and whether that was the last one. */
static enum err end_of_line(struct slice *rest, bool *is_last)
{
    *is_last = slice_has_prefix(*rest, SLICE("--"));
    if (*is_last)
        return ERR_OK;
    ptrdiff_t end = slice_find(*rest, SLICE("\r\n"));
    struct slice line = slice_trim(end < 0 ? *rest : slice_sub(*rest, 0, (size_t)end));
    bool is_cut = end < 0 && (line.size == 0 || slice_equal(line, SLICE("\r")) ||
                                 slice_equal(*rest, SLICE("-")));
    if (is_cut)
        return ERR_AGAIN;
    if (line.size)
        return ERR_INVALID; /* no line may begin like a boundary */
    *rest = slice_sub(*rest, (size_t)end + 2, rest->size);
    return ERR_OK;
}

/* One part: *rest is what is behind the delimiter that ends it. */
static enum err next_part(
    struct slice *rest, struct slice delimiter, struct slice *head, struct slice *content)
{
    bool is_bare = slice_has_prefix(*rest, SLICE("\r\n")); /* no header fields */
    ptrdiff_t end = is_bare ? 0 : slice_find(*rest, SLICE("\r\n\r\n"));
    if (end < 0)
        return ERR_AGAIN;
    *head = slice_sub(*rest, 0, (size_t)end);
    size_t from = (size_t)end + (is_bare ? 2 : 4);
    struct slice body = slice_sub(*rest, from, rest->size);
    /* The CRLF of the delimiter may be that of the empty line: then there is no content. */
    bool is_empty = slice_has_prefix(body, slice_sub(delimiter, 2, delimiter.size));
    ptrdiff_t size = is_empty ? 0 : slice_find(body, delimiter);
    if (size < 0)
        return ERR_AGAIN;
    *content = slice_sub(body, 0, (size_t)size);
    *rest = slice_sub(body, (size_t)size + delimiter.size - (is_empty ? 2 : 0), body.size);
    return ERR_OK;
}

/* *rest is what is behind the first delimiter. */
static enum err skip_preamble(struct slice *rest, struct slice delimiter)
{
    struct slice bare = slice_sub(delimiter, 2, delimiter.size);
    bool is_first = slice_has_prefix(*rest, bare);
    ptrdiff_t at = is_first ? 0 : slice_find(*rest, delimiter);
    if (at < 0)
        return ERR_AGAIN;
    *rest = slice_sub(*rest, (size_t)at + (is_first ? bare.size : delimiter.size), rest->size);
    return ERR_OK;
}

enum err multipart_field(
    struct slice content_type, struct slice body, const char *name, struct slice *value)
{
    struct delimiter found;
    TRY(find_delimiter(content_type, &found));
    struct slice delimiter = slice_of(found.bytes, found.size), rest = body;
    TRY(skip_preamble(&rest, delimiter));
    for (;;) {
        struct slice head, content;
        bool is_last;
        TRY(end_of_line(&rest, &is_last));
        if (is_last)
            return ERR_NOTFOUND;
        TRY(next_part(&rest, delimiter, &head, &content));
        if (is_wanted(head, name)) {
            *value = content;
            return ERR_OK;
        }
    }
}
