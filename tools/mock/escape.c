/* escape — copies runs of plain bytes whole and replaces what stands between them. */
#include "tools/mock/escape.h"

static bool is_plain(uint8_t byte, bool is_utf8)
{
    return byte >= 0x20 && byte != '"' && byte != '\\' && (byte < 0x80 || is_utf8);
}

static enum err escape_byte(uint8_t byte, struct buf *out)
{
    switch (byte) {
    case '"': return buf_append_text(out, "\\\"");
    case '\\': return buf_append_text(out, "\\\\");
    case '\n': return buf_append_text(out, "\\n");
    case '\r': return buf_append_text(out, "\\r");
    case '\t': return buf_append_text(out, "\\t");
    default: return byte < 0x20 ? buf_printf(out, "\\u%04x", byte) : buf_append_byte(out, '?');
    }
}

enum err escape_json(struct slice text, struct buf *out)
{
    bool is_utf8 = slice_is_utf8(text);
    size_t from = 0;
    for (size_t i = 0; i < text.size; i++) {
        if (is_plain(text.data[i], is_utf8))
            continue;
        TRY(buf_append(out, slice_sub(text, from, i - from)));
        TRY(escape_byte(text.data[i], out));
        from = i + 1;
    }
    return buf_append(out, slice_sub(text, from, text.size - from));
}

enum err escape_json_quoted(struct slice text, struct buf *out)
{
    TRY(buf_append_byte(out, '"'));
    TRY(escape_json(text, out));
    return buf_append_byte(out, '"');
}
