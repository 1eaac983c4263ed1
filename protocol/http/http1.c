/* Two readers share the work. The *guard* (line_step) sees every byte of framing and holds the
 * rules that proxies disagree on, which is where smuggling comes from: lines end in CRLF and
 * nothing else, no line is folded, no control characters. llhttp knows the grammar: methods,
 * fields, lengths, chunks. An event is reported only when both agree, so that llhttp's laxer ways
 * (a build without LLHTTP_STRICT_MODE, an LF alone after trailers) cannot show.
 *
 *   START ─first byte─▶ IN_HEAD ─blank line─▶ IN_BODY ─END─▶ AT_END ─next call─▶ START
 *                                                              └─ no keep-alive ─▶ CLOSING
 *   any state but CLOSING ─▶ FAILED
 *
 * IN_HEAD collects the head; when its blank line is there, llhttp reads it in one piece, so that
 * every span is whole and is a slice of the buffer. From then on llhttp is fed the input itself:
 *
 *   "4\r\n" data "\r\n4;x=y\r\n" data "\r\n0\r\nTrailer: t\r\n\r\n"
 *   └guard┘ BODY └─── guard ────┘ BODY └────────── guard ──────────┘ END                         */
#include "protocol/http/http1.h"

#include <llhttp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/http/url.h"

enum state { START, IN_HEAD, IN_BODY, AT_END, CLOSING, FAILED };

/* Where the guard is. LINE_EMPTY: the blank line is complete. LINE_AFTER_DATA: a chunk's data has
 * just been passed, and its CRLF must follow. */
enum line { LINE_START, LINE_INSIDE, LINE_CR, LINE_EMPTY_CR, LINE_EMPTY, LINE_AFTER_DATA };

/* What only a request under way needs. */
struct head {
    struct http1_request request;
    struct buf bytes;
};

struct http1 {
    llhttp_t llhttp;
    struct head *head; /* NULL while idle */
    const struct http1_error *error;
    uint64_t body_bytes_max;
    uint64_t body_bytes;    /* announced by Content-Length or by the chunk heads so far */
    struct slice body;      /* the span that on_body saw, borrowed from the input */
    uint32_t framing_bytes; /* since the last body byte */
    uint8_t state;
    uint8_t line;
    uint8_t empty_lines;
    bool is_first_line; /* the request line is not complete */
    bool is_head_read;  /* llhttp has reached the end of the head */
    bool is_ended;      /* … of the message */
    bool is_last;       /* this request was the connection's last */
};

static_assert(sizeof(struct http1) < 256, "http1.h promises that an idle connection is small");

#define REFUSAL(name, status, code, message)                                                       \
    static const struct http1_error name = {status, code, message}

REFUSAL(bare_cr, 400, "bad_request", "End lines with CRLF: a CR without LF was received.");
REFUSAL(bare_lf, 400, "bad_request", "End lines with CRLF: an LF without CR was received.");
REFUSAL(folded, 400, "bad_request", "Write each header field on one line: folding is obsolete.");
REFUSAL(control, 400, "bad_request", "Remove the control character from the request's head.");
REFUSAL(empty_lines, 400, "bad_request", "Begin with a request line, not with empty lines.");
REFUSAL(malformed, 400, "bad_request", "The request line or a header field is malformed.");
REFUSAL(bad_target, 400, "bad_request", "The request target must be a path or an http(s) URL.");
REFUSAL(bad_host, 400, "bad_request", "Send exactly one Host field, with a valid host.");
REFUSAL(bad_length, 400, "bad_request", "Send one Content-Length, a decimal number.");
REFUSAL(two_framings, 400, "bad_request",
    "Send one Content-Length, or Transfer-Encoding: chunked, never two of them.");
REFUSAL(old_chunked, 400, "bad_request", "HTTP/1.0 has no Transfer-Encoding: use HTTP/1.1.");
REFUSAL(bad_chunk, 400, "bad_request", "The chunked body's framing is malformed.");
REFUSAL(long_body, 413, "body_too_large", "Send a smaller body: it is longer than is accepted.");
REFUSAL(long_target, 414, "target_too_long", "Shorten the request target to at most 8 KiB.");
REFUSAL(long_head, 431, "headers_too_large", "Shorten the header fields to at most 32 KiB.");
REFUSAL(many_headers, 431, "headers_too_large", "Send at most 100 header fields.");
REFUSAL(long_trailers, 431, "headers_too_large",
    "Shorten the chunk extensions or trailer fields to at most 4 KiB.");
REFUSAL(bad_method, 501, "method_not_implemented", "This method is not known here.");
REFUSAL(bad_coding, 501, "transfer_encoding_not_implemented",
    "Use Transfer-Encoding: chunked, or none.");
REFUSAL(bad_version, 505, "version_not_supported", "Use HTTP/1.1 (or HTTP/1.0).");

static void set_state(struct http1 *parser, enum state to)
{
    static const uint8_t legal[] = {/* from each state, the set of those it may go to */
        [START] = 1 << IN_HEAD | 1 << FAILED,
        [IN_HEAD] = 1 << IN_BODY | 1 << FAILED,
        [IN_BODY] = 1 << AT_END | 1 << FAILED,
        [AT_END] = 1 << START | 1 << CLOSING,
        [CLOSING] = 0,
        [FAILED] = 0};
    ASSERT(legal[parser->state] >> to & 1);
    parser->state = (uint8_t)to;
}

static enum err refuse(struct http1 *parser, const struct http1_error *error)
{
    set_state(parser, FAILED);
    parser->error = error;
    return ERR_INVALID;
}

/* ---- what llhttp calls. Returning HPE_PAUSED makes llhttp_execute() stop there. ---- */

static int on_method(llhttp_t *llhttp, const char *at, size_t size)
{
    struct http1 *parser = llhttp->data;
    parser->head->request.method = slice_of(at, size);
    return HPE_OK;
}

static int on_url(llhttp_t *llhttp, const char *at, size_t size)
{
    struct http1 *parser = llhttp->data;
    parser->head->request.target = slice_of(at, size);
    return HPE_OK;
}

/* Callbacks for fields are called for trailers too; those are dropped. */
static int on_header_field(llhttp_t *llhttp, const char *at, size_t size)
{
    struct http1 *parser = llhttp->data;
    if (parser->is_head_read)
        return HPE_OK;
    struct headers *headers = &parser->head->request.headers;
    if (headers->count == HTTP_HEADER_COUNT_MAX) {
        parser->error = &many_headers;
        return HPE_USER;
    }
    headers->items[headers->count++] = (struct header){slice_of(at, size), slice_of(at + size, 0)};
    return HPE_OK;
}

static int on_header_value(llhttp_t *llhttp, const char *at, size_t size)
{
    struct http1 *parser = llhttp->data;
    if (parser->is_head_read)
        return HPE_OK;
    struct headers *headers = &parser->head->request.headers;
    ASSERT(headers->count > 0);
    headers->items[headers->count - 1].value = slice_trim(slice_of(at, size));
    return HPE_OK;
}

static int on_headers_complete(llhttp_t *llhttp)
{
    struct http1 *parser = llhttp->data;
    parser->is_head_read = true;
    llhttp->upgrade = 0; /* not honoured: what follows is HTTP still */
    return HPE_PAUSED;
}

static int on_chunk_header(llhttp_t *llhttp)
{
    struct http1 *parser = llhttp->data;
    uint64_t size = llhttp->content_length;
    if (size > parser->body_bytes_max - parser->body_bytes) {
        parser->error = &long_body;
        return HPE_USER;
    }
    parser->body_bytes += size;
    return HPE_OK;
}

static int on_body(llhttp_t *llhttp, const char *at, size_t size)
{
    struct http1 *parser = llhttp->data;
    if (size == 0)
        return HPE_OK;
    parser->body = slice_of(at, size);
    return HPE_PAUSED;
}

static int on_message_complete(llhttp_t *llhttp)
{
    struct http1 *parser = llhttp->data;
    parser->is_ended = true;
    return HPE_PAUSED;
}

static const llhttp_settings_t settings = {
    .on_method = on_method,
    .on_url = on_url,
    .on_header_field = on_header_field,
    .on_header_value = on_header_value,
    .on_headers_complete = on_headers_complete,
    .on_chunk_header = on_chunk_header,
    .on_body = on_body,
    .on_message_complete = on_message_complete,
};

/* ---- the guard ---- */

static bool is_plain(uint8_t byte)
{
    return byte >= ' ' && byte != 0x7f;
}

static const struct http1_error *line_text(struct http1 *parser, uint8_t byte)
{
    if (byte == '\n')
        return &bare_lf;
    if (byte == '\r') {
        parser->line = parser->line == LINE_START ? LINE_EMPTY_CR : LINE_CR;
        return NULL;
    }
    if (parser->line == LINE_START && (byte == ' ' || byte == '\t'))
        return &folded;
    if (!is_plain(byte) && byte != '\t')
        return &control;
    parser->line = LINE_INSIDE;
    return NULL;
}

/* Take one byte of framing: NULL, or what is wrong with it. */
static const struct http1_error *line_step(struct http1 *parser, uint8_t byte)
{
    switch ((enum line)parser->line) {
    case LINE_START:
    case LINE_INSIDE: return line_text(parser, byte);
    case LINE_CR:
    case LINE_EMPTY_CR:
        if (byte != '\n')
            return &bare_cr;
        parser->line = parser->line == LINE_CR ? LINE_START : LINE_EMPTY;
        return NULL;
    case LINE_AFTER_DATA: parser->line = LINE_CR; return byte == '\r' ? NULL : &bad_chunk;
    case LINE_EMPTY: break;
    }
    return &bad_chunk;
}

/* ---- the head ---- */

static bool begins_with_method(struct slice line)
{
    ptrdiff_t space = slice_find_byte(line, ' ');
    for (ptrdiff_t i = 0; i < space; i++)
        if (!byte_is_token(line.data[i]))
            return false;
    return space > 0;
}

static bool ends_in_version(struct slice line)
{
    struct slice form = SLICE("HTTP/d.d");
    if (line.size < form.size)
        return false;
    struct slice version = slice_sub(line, line.size - form.size, form.size);
    return slice_has_prefix(version, SLICE("HTTP/")) && version.data[6] == '.';
}

/* Why llhttp did not get through the head. */
static const struct http1_error *head_refusal(const struct http1 *parser, llhttp_errno_t why)
{
    struct slice line = buf_slice(&parser->head->bytes);
    line = slice_sub(line, 0, (size_t)slice_find_byte(line, '\r'));
    if (parser->error)
        return parser->error;
    switch ((int)why) { /* most of llhttp's errors are one to us */
    case HPE_INVALID_METHOD: return begins_with_method(line) ? &bad_method : &malformed;
    case HPE_OK: /* "PRI * HTTP/2.0" leaves it waiting for more */
    case HPE_INVALID_VERSION: return ends_in_version(line) ? &bad_version : &malformed;
    case HPE_INVALID_URL: return &bad_target;
    case HPE_INVALID_CONTENT_LENGTH: return &bad_length;
    case HPE_UNEXPECTED_CONTENT_LENGTH: return &two_framings;
    case HPE_INVALID_TRANSFER_ENCODING: return &bad_coding;
    default: return &malformed;
    }
}

/* "http://host:1/path?query" → the host, and the target reduced to its path and query. */
static bool take_absolute_form(struct http1_request *request)
{
    struct slice target = request->target;
    ptrdiff_t scheme = slice_find(target, SLICE("://"));
    if (scheme < 0)
        return false;
    size_t from = (size_t)scheme + 3;
    ptrdiff_t slash = slice_find_byte(slice_sub(target, from, target.size), '/');
    size_t size = slash < 0 ? target.size : from + (size_t)slash;
    if (origin_authority(slice_sub(target, 0, size), &request->host) != ERR_OK)
        return false;
    request->target = slash < 0 ? SLICE("/") : slice_sub(target, size, target.size);
    return true;
}

static const struct http1_error *check_target(struct http1_request *request)
{
    struct slice target = request->target;
    if (target.size > HTTP_TARGET_BYTES_MAX)
        return &long_target;
    for (size_t i = 0; i < target.size; i++)
        if (target.data[i] <= ' ' || target.data[i] >= 0x7f)
            return &bad_target;
    if (target.size && target.data[0] == '/')
        return NULL;
    if (slice_equal(target, SLICE("*")) && slice_equal(request->method, SLICE("OPTIONS")))
        return NULL;
    return take_absolute_form(request) ? NULL : &bad_target;
}

/* Exactly one Host in 1.1, at most one in 1.0; an empty one says that there is no authority. */
static const struct http1_error *check_host(struct http1_request *request)
{
    size_t count = headers_count(&request->headers, "Host");
    struct slice host = headers_get(&request->headers, "Host");
    if (count > 1 || (count == 0 && request->version_minor == 1))
        return &bad_host;
    if (host.size && !authority_is_valid(host))
        return &bad_host;
    if (!request->host.data)
        request->host = host;
    return NULL;
}

static const struct http1_error *check_framing(
    struct http1_request *request, uint64_t body_bytes_max)
{
    const struct headers *headers = &request->headers;
    size_t lengths = headers_count(headers, "Content-Length");
    size_t codings = headers_count(headers, "Transfer-Encoding");
    if (lengths > 1 || (lengths && codings))
        return &two_framings;
    if (codings && request->version_minor == 0)
        return &old_chunked;
    if (codings > 1 || (codings && !slice_equal_nocase(headers_get(headers, "Transfer-Encoding"),
                                       SLICE("chunked"))))
        return &bad_coding;
    if (lengths && slice_u64(headers_get(headers, "Content-Length"), &request->content_length))
        return &bad_length;
    if (request->content_length > body_bytes_max)
        return &long_body;
    request->is_chunked = codings == 1;
    request->has_body = request->is_chunked || request->content_length > 0;
    return NULL;
}

static const struct http1_error *check_fields(const struct headers *headers)
{
    for (size_t i = 0; i < headers->count; i++)
        if (!header_is_clean(headers->items[i]))
            return &malformed;
    return NULL;
}

static void set_connection(struct http1_request *request)
{
    const struct headers *headers = &request->headers;
    bool is_1_1 = request->version_minor == 1;
    request->keep_alive = !headers_has_token(headers, "Connection", "close") &&
                          (is_1_1 || headers_has_token(headers, "Connection", "keep-alive"));
    request->expects_continue =
        is_1_1 && request->has_body && headers_has_token(headers, "Expect", "100-continue");
}

/* Whether llhttp will look for the end of the body where the fields say that it is. */
static bool is_framing_agreed(const struct http1 *parser)
{
    const struct http1_request *request = &parser->head->request;
    bool is_chunked = parser->llhttp.flags & F_CHUNKED;
    return is_chunked == request->is_chunked &&
           parser->llhttp.content_length == request->content_length;
}

/* llhttp's word is not taken where a difference would be dangerous: what it let pass is checked. */
static const struct http1_error *check_head(struct http1 *parser)
{
    struct http1_request *request = &parser->head->request;
    const struct http1_error *error;
    if (parser->llhttp.http_major != 1 || parser->llhttp.http_minor > 1)
        return &bad_version;
    request->version_minor = parser->llhttp.http_minor;
    if (parser->llhttp.method == HTTP_CONNECT || parser->llhttp.method == HTTP_PRI)
        return &bad_method;
    if ((error = check_fields(&request->headers)) || (error = check_target(request)) ||
        (error = check_host(request)) || (error = check_framing(request, parser->body_bytes_max)))
        return error;
    if (!is_framing_agreed(parser))
        return &bad_length;
    set_connection(request);
    return NULL;
}

static enum err read_head(struct http1 *parser, struct http1_event *event)
{
    struct slice bytes = buf_slice(&parser->head->bytes);
    llhttp_init(&parser->llhttp, HTTP_REQUEST, &settings);
    parser->llhttp.data = parser;
    llhttp_errno_t why = llhttp_execute(&parser->llhttp, (const char *)bytes.data, bytes.size);
    bool is_whole = why == HPE_PAUSED && parser->is_head_read &&
                    llhttp_get_error_pos(&parser->llhttp) == (const char *)bytes.data + bytes.size;
    if (!is_whole)
        return refuse(parser, head_refusal(parser, why));
    const struct http1_error *error = check_head(parser);
    if (error)
        return refuse(parser, error);
    llhttp_resume(&parser->llhttp);
    parser->line = LINE_START;
    set_state(parser, IN_BODY);
    event->kind = HTTP1_HEAD;
    return ERR_OK;
}

/* Guard the input up to the end of the head, of what fits, or of the input: `size` bytes. */
static const struct http1_error *scan_head(struct http1 *parser, struct slice input, size_t *size)
{
    size_t held = parser->head->bytes.size, i = 0;
    for (; i < input.size && parser->line != LINE_EMPTY; i++) {
        if (parser->is_first_line && held + i == HTTP_REQUEST_LINE_BYTES_MAX)
            return &long_target;
        if (held + i == HTTP_HEAD_BYTES_MAX)
            return &long_head;
        if (parser->line == LINE_INSIDE && is_plain(input.data[i]))
            continue; /* most bytes; line_step() would change nothing */
        const struct http1_error *error = line_step(parser, input.data[i]);
        if (error)
            return error;
        parser->is_first_line = parser->is_first_line && parser->line != LINE_START;
    }
    *size = i;
    return NULL;
}

static enum err next_in_head(struct http1 *parser, struct slice *input, struct http1_event *event)
{
    size_t size;
    const struct http1_error *error = scan_head(parser, *input, &size);
    if (error)
        return refuse(parser, error);
    enum err err = buf_append(&parser->head->bytes, slice_sub(*input, 0, size));
    if (err != ERR_OK) {
        ASSERT(err != ERR_LIMIT); /* scan_head() knows the bound */
        set_state(parser, FAILED);
        return err;
    }
    *input = slice_sub(*input, size, input->size);
    if (parser->line != LINE_EMPTY)
        return ERR_OK;
    return read_head(parser, event);
}

/* ---- between requests ---- */

static struct head *head_free(struct head *head)
{
    if (head)
        buf_deinit(&head->bytes);
    free(head);
    return NULL;
}

static enum err head_new(struct head **out)
{
    uint8_t *room;
    struct head *head = calloc(1, sizeof *head);
    if (!head)
        return fault(ERR_NOMEM, "a request head");
    buf_init(&head->bytes, HTTP_HEAD_BYTES_MAX);
    enum err err = buf_reserve(&head->bytes, HTTP_HEAD_BYTES_START, &room);
    if (err != ERR_OK) {
        head_free(head);
        return err;
    }
    *out = head;
    return ERR_OK;
}

/* Drop the empty lines before a request line. */
static const struct http1_error *skip_empty_lines(struct http1 *parser, struct slice *input)
{
    while (input->size && (parser->line == LINE_EMPTY_CR || input->data[0] == '\r')) {
        const struct http1_error *error = line_step(parser, input->data[0]);
        if (error)
            return error;
        *input = slice_sub(*input, 1, input->size);
        if (parser->line != LINE_EMPTY)
            continue;
        parser->line = LINE_START;
        if (++parser->empty_lines > HTTP_EMPTY_LINES_MAX)
            return &empty_lines;
    }
    return NULL;
}

static enum err next_at_start(struct http1 *parser, struct slice *input, struct http1_event *event)
{
    const struct http1_error *error = skip_empty_lines(parser, input);
    if (error)
        return refuse(parser, error);
    if (input->size == 0)
        return ERR_OK;
    enum err err = head_new(&parser->head);
    if (err != ERR_OK) {
        set_state(parser, FAILED);
        return err;
    }
    set_state(parser, IN_HEAD);
    return next_in_head(parser, input, event);
}

static void begin_next_request(struct http1 *parser)
{
    http1_release(parser);
    set_state(parser, parser->is_last ? CLOSING : START);
    parser->body = SLICE_NONE;
    parser->body_bytes = 0;
    parser->framing_bytes = 0;
    parser->line = LINE_START;
    parser->empty_lines = 0;
    parser->is_first_line = true;
    parser->is_head_read = parser->is_ended = false;
}

/* ---- the body ---- */

/* Guard what llhttp took for framing. */
static const struct http1_error *check_framing_bytes(struct http1 *parser, struct slice framing)
{
    for (size_t i = 0; i < framing.size; i++) {
        const struct http1_error *error = line_step(parser, framing.data[i]);
        if (error)
            return error;
        if (++parser->framing_bytes > HTTP_TRAILER_BYTES_MAX)
            return &long_trailers;
    }
    return NULL;
}

/* Run llhttp over `input` up to its next pause: `framing` is what it passed before the body
 * span. */
static llhttp_errno_t run_body(struct http1 *parser, struct slice *input, struct slice *framing)
{
    /* llhttp keeps the address as the start of a span, and takes NULL for no span. */
    const char *start = input->size ? (const char *)input->data : "";
    parser->body = SLICE_NONE;
    llhttp_errno_t why = llhttp_execute(&parser->llhttp, start, input->size);
    const char *stop = why == HPE_OK ? start + input->size : llhttp_get_error_pos(&parser->llhttp);
    const char *framing_end = parser->body.size ? (const char *)parser->body.data : stop;
    ASSERT(stop >= start && stop <= start + input->size);
    ASSERT(framing_end >= start && framing_end + parser->body.size == stop);
    *framing = slice_of(start, (size_t)(framing_end - start));
    *input = slice_sub(*input, (size_t)(stop - start), input->size);
    if (why == HPE_PAUSED)
        llhttp_resume(&parser->llhttp);
    return why;
}

static const struct http1_error *check_body(
    struct http1 *parser, llhttp_errno_t why, struct slice framing)
{
    bool is_chunked = parser->head->request.is_chunked;
    const struct http1_error *error = check_framing_bytes(parser, framing);
    if (error)
        return error;
    if (why != HPE_OK && why != HPE_PAUSED)
        return parser->error ? parser->error : &bad_chunk;
    if (parser->is_ended && is_chunked && parser->line != LINE_EMPTY)
        return &bad_chunk;
    return NULL;
}

static enum err next_in_body(struct http1 *parser, struct slice *input, struct http1_event *event)
{
    struct slice framing;
    llhttp_errno_t why = run_body(parser, input, &framing);
    const struct http1_error *error = check_body(parser, why, framing);
    if (error)
        return refuse(parser, error);
    if (parser->body.size) {
        parser->line = LINE_AFTER_DATA;
        parser->framing_bytes = 0;
        *event = (struct http1_event){HTTP1_BODY, parser->body};
    } else if (parser->is_ended) {
        parser->is_last = !parser->head->request.keep_alive;
        set_state(parser, AT_END);
        event->kind = HTTP1_END;
    }
    return ERR_OK;
}

/* ---- the interface ---- */

enum err http1_new(uint64_t body_bytes_max, struct http1 **out)
{
    struct http1 *parser = calloc(1, sizeof *parser);
    if (!parser)
        return fault(ERR_NOMEM, "an HTTP parser");
    parser->body_bytes_max = body_bytes_max;
    parser->state = START;
    parser->is_first_line = true;
    *out = parser;
    return ERR_OK;
}

struct http1 *http1_free(struct http1 *parser)
{
    if (parser)
        head_free(parser->head);
    free(parser);
    return NULL;
}

enum err http1_next(struct http1 *parser, struct slice *input, struct http1_event *event)
{
    ASSERT(parser->state != FAILED);
    *event = (struct http1_event){.kind = HTTP1_NEED_MORE};
    if (parser->state == AT_END)
        begin_next_request(parser);
    switch ((enum state)parser->state) {
    case START: return next_at_start(parser, input, event);
    case IN_HEAD: return next_in_head(parser, input, event);
    case IN_BODY: return next_in_body(parser, input, event);
    case CLOSING: *input = SLICE_NONE; break;
    case AT_END:
    case FAILED: break;
    }
    return ERR_OK;
}

const struct http1_request *http1_request(const struct http1 *parser)
{
    ASSERT(parser->head && (parser->state == IN_BODY || parser->state == AT_END));
    return &parser->head->request;
}

void http1_release(struct http1 *parser)
{
    ASSERT(parser->state != IN_HEAD && parser->state != IN_BODY);
    parser->head = head_free(parser->head);
}

struct http1_error http1_error(const struct http1 *parser)
{
    ASSERT(parser->state == FAILED && parser->error);
    return *parser->error;
}

bool http1_is_idle(const struct http1 *parser)
{
    return parser->state == START || parser->state == AT_END || parser->state == CLOSING;
}

/* ---- responses ---- */

/* The IANA registry of status codes (RFC 9110 §16.2.1), but for WebDAV's rarer ones. */
static const struct reason {
    int status;
    const char *text;
} reasons[] = {
    {100, "Continue"},
    {101, "Switching Protocols"},
    {103, "Early Hints"},
    {200, "OK"},
    {201, "Created"},
    {202, "Accepted"},
    {203, "Non-Authoritative Information"},
    {204, "No Content"},
    {205, "Reset Content"},
    {206, "Partial Content"},
    {207, "Multi-Status"},
    {300, "Multiple Choices"},
    {301, "Moved Permanently"},
    {302, "Found"},
    {303, "See Other"},
    {304, "Not Modified"},
    {305, "Use Proxy"},
    {307, "Temporary Redirect"},
    {308, "Permanent Redirect"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {402, "Payment Required"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {406, "Not Acceptable"},
    {407, "Proxy Authentication Required"},
    {408, "Request Timeout"},
    {409, "Conflict"},
    {410, "Gone"},
    {411, "Length Required"},
    {412, "Precondition Failed"},
    {413, "Content Too Large"},
    {414, "URI Too Long"},
    {415, "Unsupported Media Type"},
    {416, "Range Not Satisfiable"},
    {417, "Expectation Failed"},
    {421, "Misdirected Request"},
    {422, "Unprocessable Content"},
    {423, "Locked"},
    {423, "Locked"},
    {424, "Failed Dependency"},
    {425, "Too Early"},
    {426, "Upgrade Required"},
    {428, "Precondition Required"},
    {429, "Too Many Requests"},
    {431, "Request Header Fields Too Large"},
    {451, "Unavailable For Legal Reasons"},
    {500, "Internal Server Error"},
    {501, "Not Implemented"},
    {502, "Bad Gateway"},
    {503, "Service Unavailable"},
    {504, "Gateway Timeout"},
    {505, "HTTP Version Not Supported"},
    {507, "Insufficient Storage"},
    {508, "Loop Detected"},
    {511, "Network Authentication Required"},
};

const char *http_reason(int status)
{
    for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++)
        if (reasons[i].status == status)
            return reasons[i].text;
    return "Unknown";
}

enum err http1_write_status(struct buf *out, int status)
{
    ASSERT(status >= 100 && status <= 999);
    return buf_printf(out, "HTTP/1.1 %d %s\r\n", status, http_reason(status));
}

enum err http1_write_header(struct buf *out, struct slice name, struct slice value)
{
    uint8_t *at;
    if (!header_is_clean((struct header){name, value}))
        return ERR_INVALID;
    TRY(buf_reserve(
        out, name.size + value.size + 4, &at)); /* ": " and CRLF: all fits, or nothing */
    TRY(buf_append(out, name));
    TRY(buf_append(out, SLICE(": ")));
    TRY(buf_append(out, value));
    return buf_append(out, SLICE("\r\n"));
}

size_t http1_chunk_head(size_t size, char out[HTTP1_CHUNK_HEAD_BYTES])
{
    ASSERT(size > 0);
    static const char digits[] = "0123456789abcdef";
    size_t count = (size_t)(67 - __builtin_clzll(size)) / 4; /* of digits */
    for (size_t i = count; i > 0; i--, size >>= 4)
        out[i - 1] = digits[size & 15];
    memcpy(out + count, "\r\n", 3);
    return count + 2;
}
