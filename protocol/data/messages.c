/* messages — see messages.h. */
#include "protocol/data/messages.h"

#include "protocol/data/json_scanner.h"

/* The next of several values with commas between them: ERR_CLOSED past the last one. */
static enum err next_message(struct json_scanner *scanner, bool is_first, struct slice *out)
{
    struct json_span span;
    if (json_scanner_end(scanner) == ERR_OK)
        return ERR_CLOSED;
    if (!is_first) {
        if (scanner->text.data[scanner->at] != ',')
            return ERR_INVALID;
        scanner->at++;
    }
    TRY(json_scanner_value(scanner, &span));
    *out = span.raw;
    return ERR_OK;
}

/* The array is well formed as a whole: only its elements are to be found. */
static enum err join_elements(struct slice array, struct buf *out, size_t *count)
{
    struct json_scanner scanner;
    struct slice message;
    enum err err;
    json_scanner_init(&scanner, slice_sub(array, 1, array.size - 2));
    for (*count = 0; (err = next_message(&scanner, *count == 0, &message)) == ERR_OK; (*count)++) {
        if (*count)
            TRY(buf_append_byte(out, ','));
        TRY(buf_append(out, message));
    }
    ASSERT(err == ERR_CLOSED);
    return ERR_OK;
}

enum err messages_join(struct slice body, struct buf *out, size_t *count, const char **why)
{
    struct json_scanner scanner;
    struct json_span span;
    if (!slice_is_utf8(body)) {
        *why = "the text is not UTF-8";
        return ERR_INVALID;
    }
    json_scanner_init(&scanner, body);
    enum err err = json_scanner_value(&scanner, &span);
    if (!err)
        err = json_scanner_end(&scanner);
    if (err) {
        *why = scanner.why;
        return err;
    }
    if (span.type == JSON_ARRAY)
        return join_elements(span.raw, out, count);
    *count = 1;
    return buf_append(out, span.raw);
}

enum err messages_prefix(struct slice event, uint64_t count, size_t *size)
{
    struct json_scanner scanner;
    struct slice message;
    json_scanner_init(&scanner, event);
    for (uint64_t i = 0; i < count; i++) {
        enum err err = next_message(&scanner, i == 0, &message);
        if (err == ERR_CLOSED)
            return ERR_LIMIT;
        if (err)
            return fault(
                ERR_CORRUPT, "an event of JSON messages is malformed at byte %zu", scanner.at);
    }
    *size = scanner.at;
    return ERR_OK;
}
