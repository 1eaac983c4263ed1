/* cursor — see the header. Comments are nobody's events: they come again, or not. */
#include "server/stream/cursor.h"

#include "protocol/base/map.h"
#include "protocol/base/own.h"
#include "protocol/http/url.h"

void cursor_init(struct cursor *cursor, const struct dialect_again *again)
{
    *cursor = (struct cursor){.again = again};
    buf_init(&cursor->last, DIALECT_CURSOR_BYTES_MAX);
}

void cursor_deinit(struct cursor *cursor)
{
    buf_deinit(&cursor->last);
}

static bool is_comment(struct slice event)
{
    return event.size == 0 || event.data[0] == ':';
}

bool cursor_take(struct cursor *cursor, struct slice event)
{
    struct buf own;
    cursor->may_repeat = cursor->may_repeat && is_comment(event);
    buf_init(&own, DIALECT_CURSOR_BYTES_MAX);
    if (cursor->again->cursor(event, &own) == ERR_OK) {
        buf_deinit(&cursor->last);
        cursor->last = own;
        cursor->since_count = 0;
        return true;
    }
    buf_deinit(&own); /* a part of one that is too long */
    if (is_comment(event))
        return false;
    if (cursor->since_count < CURSOR_SINCE_MAX)
        cursor->since[cursor->since_count] = map_hash(event);
    cursor->since_count++;
    return true;
}

bool cursor_is_known(const struct cursor *cursor)
{
    return cursor->again->is_numbered ? cursor->last.size > 0
                                      : cursor->since_count <= CURSOR_SINCE_MAX;
}

struct slice cursor_last(const struct cursor *cursor)
{
    return buf_slice(&cursor->last);
}

enum err cursor_query(const struct cursor *cursor, struct buf *out)
{
    TRY(buf_append_text(out, "?stream=true"));
    if (cursor->last.size) {
        TRY(buf_append_text(out, cursor->again->after));
        TRY(percent_encode(buf_slice(&cursor->last), out));
    }
    return buf_append_byte(out, '\0');
}

void cursor_ask(struct cursor *cursor)
{
    cursor->may_repeat = true;
    cursor->repeated = 0;
}

static bool is_at_or_before(const struct cursor *cursor, struct slice event)
{
    CLEANUP(buf_deinit) struct buf own;
    uint64_t number, last;
    buf_init(&own, DIALECT_CURSOR_BYTES_MAX);
    return cursor->again->cursor(event, &own) == ERR_OK &&
           slice_u64(buf_slice(&own), &number) == ERR_OK &&
           slice_u64(buf_slice(&cursor->last), &last) == ERR_OK && number <= last;
}

enum err cursor_check(struct cursor *cursor, struct slice event)
{
    if (!cursor->may_repeat || is_comment(event))
        return ERR_OK;
    if (cursor->again->is_numbered)
        return is_at_or_before(cursor, event) ? ERR_CLOSED : ERR_OK;
    if (cursor->repeated == cursor->since_count)
        return ERR_OK;
    return cursor->since[cursor->repeated++] == map_hash(event) ? ERR_CLOSED : ERR_INVALID;
}
