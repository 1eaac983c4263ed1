/* The head is read by lines: each is made tidy and appended to `head`, which is given out when the
 * blank line has come. All other framing, which is short and is dropped, is read by bytes. A chunk
 * that comes whole, as most of a stream's do, takes neither way: give_whole_chunk().
 *
 *    ┌────────── 1xx ────────────┐
 *    ▼                           │        ┌─▶ SIZED, UNTIL_CLOSE
 *   STATUS ─▶ REASON ─▶ FIELDS ──┴─HEAD───┼─▶ WHOLE: no body
 *                                         └─▶ SIZE
 *
 *    ┌──────────────────────────────────────────────────────────────────────────┐
 *    ▼                                                                          │
 *   SIZE ──▶ PADDING ──▶ EXTENSION ──line end──▶ DATA ──BODY──▶ DATA_END ──CRLF─┘
 *    "f5"     "  "        ";name=value"   │          (a line may end after any of the three)
 *                                         └─ the size was 0 ─▶ TRAILER_START ◀─▶ TRAILER
 *                                                                    │ blank line
 *   SIZED ─────────────── its last byte ────────────────▶ WHOLE ◀────┘
 *
 *   WHOLE ─END─▶ ENDED          any state in which bytes can be wrong ─▶ FAILED                   */
#include "protocol/http/reply.h"

#include "protocol/http/body_length.h"
#include "protocol/http/bounds.h"
#include "protocol/http/header.h"

static_assert(sizeof(struct reply) < 160, "a reply is embedded in each connection to a provider");

enum state {
    STATUS,
    REASON,
    FIELDS,
    UNTIL_CLOSE,
    SIZED,
    SIZE,
    PADDING,
    EXTENSION,
    DATA,
    DATA_END,
    TRAILER_START,
    TRAILER,
    WHOLE,
    ENDED,
    FAILED
};

enum {
    VERSION_BYTES = 7,     /* "HTTP/1." */
    STATUS_LINE_FORM = 12, /* "HTTP/1.1 200" */
    CHUNK_DIGITS_MAX = 16, /* of 64 bits */
};

static const char no_http[] = "the response does not begin with HTTP/1.0 or HTTP/1.1";
static const char bad_status[] = "the response's status is not 100 to 599";
static const char bare_cr[] = "a line ends in CR without LF";
static const char control[] = "a control character is in the response's framing";
static const char bad_field[] = "a field of the response's head is malformed";
static const char bad_size[] = "a chunk's size is not 1 to 16 hexadecimal digits";
static const char bad_end[] = "a chunk does not end in CRLF where its size says";
static const char long_head[] = "the response's head is too large";
static const char long_framing[] = "the reason phrase, a chunk's extensions or the trailer fields "
                                   "are too large";
static const char many_interim[] = "too many interim responses (1xx) came";

static void set_state(struct reply *reply, enum state to)
{
    static const uint16_t legal[] = {/* from each state, the set of those it may go to */
        [STATUS] = 1 << REASON | 1 << FIELDS | 1 << FAILED,
        [REASON] = 1 << FIELDS | 1 << FAILED,
        [FIELDS] =
            1 << STATUS | 1 << UNTIL_CLOSE | 1 << SIZED | 1 << SIZE | 1 << WHOLE | 1 << FAILED,
        [UNTIL_CLOSE] = 0,
        [SIZED] = 1 << WHOLE,
        [SIZE] = 1 << PADDING | 1 << EXTENSION | 1 << DATA | 1 << TRAILER_START | 1 << FAILED,
        [PADDING] = 1 << EXTENSION | 1 << DATA | 1 << TRAILER_START | 1 << FAILED,
        [EXTENSION] = 1 << DATA | 1 << TRAILER_START | 1 << FAILED,
        [DATA] = 1 << DATA_END,
        [DATA_END] = 1 << SIZE | 1 << FAILED,
        [TRAILER_START] = 1 << TRAILER | 1 << WHOLE | 1 << FAILED,
        [TRAILER] = 1 << TRAILER_START | 1 << FAILED,
        [WHOLE] = 1 << ENDED,
        [ENDED] = 0,
        [FAILED] = 0};
    ASSERT(legal[reply->state] >> to & 1);
    reply->state = (uint8_t)to;
}

static enum err fail(struct reply *reply, enum err err, const char *problem)
{
    set_state(reply, FAILED);
    reply->problem = err_is_fault(err) ? NULL : problem;
    return err;
}

static void consume(struct slice *input, size_t size)
{
    input->data += size;
    input->size -= size;
}

/* ---- the lines of the head ---- */

static enum err append(struct reply *reply, struct buf *to, struct slice bytes)
{
    enum err err = buf_append(to, bytes);
    return err == ERR_OK ? ERR_OK : fail(reply, err, long_head);
}

static enum err put(struct reply *reply, struct slice bytes)
{
    return append(reply, &reply->head, bytes);
}

/* A line of `head` is left open, for the next one may continue it. */
static enum err end_open_line(struct reply *reply)
{
    return reply->head.size ? put(reply, SLICE("\r\n")) : ERR_OK;
}

static enum err skip_interim(struct reply *reply)
{
    if (++reply->interim_count > REPLY_INTERIM_MAX)
        return fail(reply, ERR_LIMIT, many_interim);
    buf_clear(&reply->head);
    reply->is_left_out = false;
    reply->at = 0;
    reply->status = 0;
    set_state(reply, STATUS);
    return ERR_OK;
}

static enum state body_state(enum body_kind kind, uint64_t bytes)
{
    switch (kind) {
    case BODY_NONE: return WHOLE;
    case BODY_SIZED: return bytes ? SIZED : WHOLE;
    case BODY_CHUNKED: return SIZE;
    case BODY_UNTIL_CLOSE: break;
    }
    return UNTIL_CLOSE;
}

static enum err end_head(struct reply *reply, struct reply_event *event)
{
    struct body_length length;
    struct response_line line = {reply->status, reply->version_minor, reply->is_head_request};
    TRY(end_open_line(reply));
    if (reply->status < 200 && reply->status != 101)
        return skip_interim(reply);
    const char *problem = body_length_read(buf_slice(&reply->head), line, &length);
    if (problem)
        return fail(reply, ERR_INVALID, problem);
    set_state(reply, body_state(length.kind, length.bytes));
    reply->left = length.bytes;
    reply->is_kept = length.is_kept;
    reply->at = 0;
    reply->is_head_given = true;
    *event = (struct reply_event){REPLY_HEAD, buf_slice(&reply->head)};
    return ERR_OK;
}

static bool is_of_framing(struct slice name)
{
    return slice_equal_nocase(name, SLICE("Content-Length")) ||
           slice_equal_nocase(name, SLICE("Transfer-Encoding")) ||
           slice_equal_nocase(name, SLICE("Connection"));
}

static enum err take_field(struct reply *reply, struct slice line)
{
    ptrdiff_t colon = slice_find_byte(line, ':');
    if (colon < 0)
        return fail(reply, ERR_INVALID, bad_field);
    size_t from = (size_t)colon + 1;
    struct header field = {slice_trim(slice_of(line.data, (size_t)colon)),
        slice_trim(slice_of(line.data + from, line.size - from))};
    reply->is_left_out = !header_is_clean(field);
    if (reply->is_left_out) /* the answer is worth more than a field that could not be passed on */
        return is_of_framing(field.name) ? fail(reply, ERR_INVALID, bad_field) : ERR_OK;
    TRY(end_open_line(reply));
    TRY(put(reply, field.name));
    TRY(put(reply, SLICE(": ")));
    return put(reply, field.value);
}

/* obs-fold: more of the value of the line before. */
static enum err take_folded(struct reply *reply, struct slice line)
{
    struct slice more = slice_trim(line);
    if (reply->is_left_out)
        return ERR_OK;
    if (reply->head.size == 0 || !header_is_clean((struct header){SLICE("folded"), more}))
        return fail(reply, ERR_INVALID, bad_field);
    bool is_value_empty = reply->head.data[reply->head.size - 1] == ' ';
    if (more.size && !is_value_empty)
        TRY(put(reply, SLICE(" ")));
    return put(reply, more);
}

static enum err take_line(struct reply *reply, struct slice line, struct reply_event *event)
{
    line.size--; /* the LF */
    if (line.size && line.data[line.size - 1] == '\r')
        line.size--;
    if (line.size == 0)
        return end_head(reply, event);
    if (line.data[0] == ' ' || line.data[0] == '\t')
        return take_folded(reply, line);
    return take_field(reply, line);
}

static enum err next_line(struct reply *reply, struct slice *input, struct reply_event *event)
{
    ptrdiff_t end = slice_find_byte(*input, '\n');
    struct slice line = slice_of(input->data, end < 0 ? input->size : (size_t)end + 1);
    consume(input, line.size);
    if (line.size > REPLY_HEAD_BYTES_MAX) /* as if it had come in parts */
        return fail(reply, ERR_LIMIT, long_head);
    if (end < 0 || reply->line.size) {
        TRY(append(reply, &reply->line, line)); /* it is, or will be, of more than one part */
        line = buf_slice(&reply->line);
    }
    if (end < 0)
        return ERR_OK;
    enum err err = take_line(reply, line, event);
    buf_clear(&reply->line);
    return err;
}

/* ---- framing that is dropped ---- */

static const char *step_status(struct reply *reply, uint8_t byte)
{
    uint8_t at = reply->at++;
    bool is_digit = byte >= '0' && byte <= '9';
    if (at < VERSION_BYTES)
        return byte == (uint8_t) "HTTP/1."[at] ? NULL : no_http;
    if (at == VERSION_BYTES) {
        reply->version_minor = byte == '1';
        return byte == '0' || byte == '1' ? NULL : no_http;
    }
    if (at == VERSION_BYTES + 1)
        return byte == ' ' ? NULL : no_http;
    if (at < STATUS_LINE_FORM) {
        reply->status = (uint16_t)(reply->status * 10 + byte - '0');
        bool is_first = at == VERSION_BYTES + 2;
        return is_digit && !(is_first && (byte == '0' || byte > '5')) ? NULL : bad_status;
    }
    set_state(reply, REASON);
    return byte == ' ' ? NULL : bad_status;
}

/* The value of a hexadecimal digit, or more than 15. */
static unsigned hex_value(uint8_t byte)
{
    unsigned decimal = (unsigned)byte - '0', letter = ((unsigned)byte | 0x20) - 'a';
    return decimal < 10 ? decimal : letter < 6 ? letter + 10 : 16;
}

static const char *step_size(struct reply *reply, uint8_t byte)
{
    unsigned digit = hex_value(byte);
    if (digit < 16 && reply->at < CHUNK_DIGITS_MAX) {
        reply->left = reply->left << 4 | digit;
        reply->at++;
        return NULL;
    }
    if (reply->at == 0 || !(byte == ';' || byte == ' ' || byte == '\t'))
        return bad_size;
    set_state(reply, byte == ';' ? EXTENSION : PADDING);
    return NULL;
}

static const char *step_padding(struct reply *reply, uint8_t byte)
{
    if (byte == ';')
        set_state(reply, EXTENSION);
    return byte == ';' || byte == ' ' || byte == '\t' ? NULL : bad_size;
}

static const char *step_text(uint8_t byte)
{
    return (byte < ' ' && byte != '\t') || byte == 0x7f ? control : NULL;
}

/* Why a line cannot end here, in `byte`: CR, or LF alone. */
static const char *line_end_problem(const struct reply *reply, uint8_t byte)
{
    if (reply->state == STATUS && reply->at < STATUS_LINE_FORM)
        return reply->at <= VERSION_BYTES + 1 ? no_http : bad_status;
    if (reply->state == SIZE && reply->at == 0)
        return bad_size;
    return reply->state == DATA_END && byte == '\n' ? bad_end : NULL;
}

static void begin_chunk(struct reply *reply)
{
    reply->at = 0;
    reply->left = 0;
    reply->framing_bytes = 0;
    set_state(reply, SIZE);
}

static void end_size(struct reply *reply)
{
    if (reply->left)
        reply->framing_bytes = 0;
    set_state(reply, reply->left ? DATA : TRAILER_START);
}

static void end_line(struct reply *reply)
{
    switch ((enum state)reply->state) {
    case STATUS:
    case REASON:
        reply->framing_bytes = 0;
        set_state(reply, FIELDS);
        return;
    case SIZE:
    case PADDING:
    case EXTENSION: end_size(reply); return;
    case DATA_END: begin_chunk(reply); return;
    case TRAILER_START: set_state(reply, WHOLE); return;
    case TRAILER: set_state(reply, TRAILER_START); return;
    case FIELDS:
    case UNTIL_CLOSE:
    case SIZED:
    case DATA:
    case WHOLE:
    case ENDED:
    case FAILED: break;
    }
    ASSERT(false);
}

static const char *step_line_end(struct reply *reply, uint8_t byte)
{
    if (reply->is_after_cr && byte != '\n')
        return bare_cr;
    const char *problem = reply->is_after_cr ? NULL : line_end_problem(reply, byte);
    if (problem)
        return problem;
    reply->is_after_cr = byte == '\r';
    if (byte == '\n')
        end_line(reply);
    return NULL;
}

/* Take one byte of framing: NULL, or what is wrong with it. */
static const char *step(struct reply *reply, uint8_t byte)
{
    if (reply->is_after_cr || byte == '\r' || byte == '\n')
        return step_line_end(reply, byte);
    switch ((enum state)reply->state) {
    case STATUS: return step_status(reply, byte);
    case SIZE: return step_size(reply, byte);
    case PADDING: return step_padding(reply, byte);
    case TRAILER_START: set_state(reply, TRAILER); return step_text(byte);
    case REASON:
    case EXTENSION:
    case TRAILER: return step_text(byte);
    case DATA_END: return bad_end;
    case FIELDS:
    case UNTIL_CLOSE:
    case SIZED:
    case DATA:
    case WHOLE:
    case ENDED:
    case FAILED: break;
    }
    ASSERT(false);
    return NULL;
}

static enum err take_framing_byte(struct reply *reply, struct slice *input)
{
    if (++reply->framing_bytes > HTTP_TRAILER_BYTES_MAX)
        return fail(reply, ERR_LIMIT, long_framing);
    const char *problem = step(reply, input->data[0]);
    consume(input, 1);
    return problem ? fail(reply, ERR_INVALID, problem) : ERR_OK;
}

/* ---- the parts of a response ---- */

static enum err next_in_head(struct reply *reply, struct slice *input, struct reply_event *event)
{
    while (input->size && event->kind == REPLY_NEED_MORE) {
        if (reply->state == FIELDS)
            TRY(next_line(reply, input, event));
        else
            TRY(take_framing_byte(reply, input));
    }
    return ERR_OK;
}

/* The next bytes of a body or chunk whose size is known. */
static void give_sized(struct reply *reply, struct slice *input, struct reply_event *event)
{
    ASSERT(reply->left > 0 && event->kind == REPLY_NEED_MORE);
    size_t size = reply->left < input->size ? (size_t)reply->left : input->size;
    if (size == 0)
        return;
    *event = (struct reply_event){REPLY_BODY, {input->data, size}};
    consume(input, size);
    reply->left -= size;
    if (reply->left == 0)
        set_state(reply, reply->state == DATA ? DATA_END : WHOLE);
}

static bool is_crlf(const uint8_t *at)
{
    return at[0] == '\r' && at[1] == '\n';
}

/* Nothing of the next chunk has come, and no head is to be freed. */
static bool is_between_chunks(const struct reply *reply)
{
    return reply->state == SIZE && reply->at == 0 && !reply->is_head_given;
}

/* The usual chunk, "f5\r\n" data "\r\n", if the input begins with all of it: no state changes. Else
 * nothing is done, and it is read by its parts. */
static bool give_whole_chunk(struct slice *input, struct reply_event *event)
{
    const uint8_t *data = input->data;
    size_t digits_max = input->size < CHUNK_DIGITS_MAX ? input->size : CHUNK_DIGITS_MAX;
    size_t count = 0, size = 0;
    for (unsigned digit; count < digits_max && (digit = hex_value(data[count])) < 16; count++)
        size = size << 4 | digit;
    size_t left = input->size - count;
    if (size == 0 || left < 4 || size > left - 4 || !is_crlf(data + count) ||
        !is_crlf(data + count + 2 + size))
        return false;
    *event = (struct reply_event){REPLY_BODY, {data + count + 2, size}};
    consume(input, count + size + 4);
    return true;
}

static enum err next_in_chunks(struct reply *reply, struct slice *input, struct reply_event *event)
{
    while (input->size && reply->state != DATA && reply->state != WHOLE) {
        if (is_between_chunks(reply) && give_whole_chunk(input, event))
            return ERR_OK;
        TRY(take_framing_byte(reply, input));
    }
    if (reply->state == DATA)
        give_sized(reply, input, event);
    return ERR_OK;
}

static void give_all(struct slice *input, struct reply_event *event)
{
    if (input->size == 0)
        return;
    *event = (struct reply_event){REPLY_BODY, *input};
    consume(input, input->size);
}

/* Not inlined: most calls need none of its stack frame. */
__attribute__((noinline)) static enum err next_part(
    struct reply *reply, struct slice *input, struct reply_event *event)
{
    if (reply->is_head_given) {
        reply_deinit(reply);
        reply->is_head_given = false;
    }
    switch ((enum state)reply->state) {
    case STATUS:
    case REASON:
    case FIELDS: return next_in_head(reply, input, event);
    case UNTIL_CLOSE: give_all(input, event); return ERR_OK;
    case SIZED: give_sized(reply, input, event); return ERR_OK;
    case SIZE:
    case PADDING:
    case EXTENSION:
    case DATA:
    case DATA_END:
    case TRAILER_START:
    case TRAILER: TRY(next_in_chunks(reply, input, event)); break;
    case WHOLE: break;
    case ENDED:
    case FAILED: ASSERT(false);
    }
    if (reply->state == WHOLE) {
        set_state(reply, ENDED);
        event->kind = REPLY_END;
    }
    return ERR_OK;
}

/* ---- the interface ---- */

void reply_begin(struct reply *reply, bool is_head_request)
{
    *reply = (struct reply){.is_head_request = is_head_request, .state = STATUS};
    buf_init(&reply->head, REPLY_HEAD_BYTES_MAX);
    buf_init(&reply->line, REPLY_HEAD_BYTES_MAX);
}

void reply_deinit(struct reply *reply)
{
    buf_deinit(&reply->head);
    buf_deinit(&reply->line);
}

/* What most calls find is decided first: chunks that come whole, and nothing after them. */
enum err reply_next(struct reply *reply, struct slice *input, struct reply_event *event)
{
    *event = (struct reply_event){.kind = REPLY_NEED_MORE};
    if (is_between_chunks(reply) && (input->size == 0 || give_whole_chunk(input, event)))
        return ERR_OK;
    return next_part(reply, input, event);
}

enum err reply_closed(const struct reply *reply)
{
    bool is_whole = reply->state == UNTIL_CLOSE || reply->state == WHOLE || reply->state == ENDED;
    return is_whole ? ERR_OK : ERR_CLOSED;
}

int reply_status(const struct reply *reply)
{
    return reply->status;
}

bool reply_is_kept(const struct reply *reply)
{
    return reply->state == ENDED && reply->is_kept;
}

bool reply_has_begun(const struct reply *reply)
{
    return reply->state != STATUS || reply->at > 0 || reply->interim_count > 0;
}

const char *reply_problem(const struct reply *reply)
{
    ASSERT(reply->state == FAILED && reply->problem);
    return reply->problem;
}
