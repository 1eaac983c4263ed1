/* sse_writer — see sse_writer.h. */
#include "protocol/http/sse_writer.h"

#include "protocol/base/digest.h"

enum err sse_writer_begin(struct sse_writer *writer, bool is_base64, struct buf *out)
{
    *writer = (struct sse_writer){.is_base64 = is_base64, .is_at_start = true};
    return buf_append_text(out, "event: data\ndata:");
}

/* Up to the next CR or LF. */
static size_t line_size(struct slice piece)
{
    size_t size = 0;
    while (size < piece.size && piece.data[size] != '\n' && piece.data[size] != '\r')
        size++;
    return size;
}

/* A reader takes one space off the beginning of a line. */
static enum err write_line(struct sse_writer *writer, struct slice line, struct buf *out)
{
    if (line.size == 0)
        return ERR_OK;
    if (writer->is_at_start && line.data[0] == ' ')
        TRY(buf_append_byte(out, ' '));
    writer->is_at_start = writer->is_after_cr = false;
    return buf_append(out, line);
}

static enum err write_lines(struct sse_writer *writer, struct slice piece, struct buf *out)
{
    while (piece.size) {
        size_t size = line_size(piece);
        TRY(write_line(writer, slice_sub(piece, 0, size), out));
        if (size == piece.size)
            return ERR_OK;
        bool is_cr = piece.data[size] == '\r';
        if (is_cr || !writer->is_after_cr) /* the LF of a CRLF has been written */
            TRY(buf_append_text(out, "\ndata:"));
        writer->is_at_start = true;
        writer->is_after_cr = is_cr;
        piece = slice_sub(piece, size + 1, piece.size);
    }
    return ERR_OK;
}

static enum err write_groups(struct sse_writer *writer, struct slice piece, struct buf *out)
{
    while (piece.size) {
        if (writer->held_size == 0 && piece.size >= SSE_WRITER_GROUP_BYTES) {
            size_t size = piece.size - piece.size % SSE_WRITER_GROUP_BYTES;
            TRY(base64_encode(slice_sub(piece, 0, size), out));
            piece = slice_sub(piece, size, piece.size);
            continue;
        }
        writer->held[writer->held_size++] = piece.data[0];
        piece = slice_sub(piece, 1, piece.size);
        if (writer->held_size < SSE_WRITER_GROUP_BYTES)
            continue;
        TRY(base64_encode(slice_of(writer->held, writer->held_size), out));
        writer->held_size = 0;
    }
    return ERR_OK;
}

enum err sse_writer_write(struct sse_writer *writer, struct slice piece, struct buf *out)
{
    return writer->is_base64 ? write_groups(writer, piece, out) : write_lines(writer, piece, out);
}

enum err sse_writer_end(struct sse_writer *writer, struct buf *out)
{
    if (writer->held_size)
        TRY(base64_encode(slice_of(writer->held, writer->held_size), out));
    return buf_append_text(out, "\n\n");
}
