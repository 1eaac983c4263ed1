/* request — llhttp's callbacks append to three buffers:
 *
 *   target   /v1/chat/completions?x=1
 *   head     name value name value …        fields[i] says where each pair lies
 *   body     the decoded body
 *
 * llhttp may hand a name or value over in pieces, and no piece at all of an empty value. It is
 * paused when the message is whole, so that the next request's bytes are left to the next parser.
 */
#include "tools/mock/request.h"

#include <llhttp.h>
#include <stdlib.h>

#include "protocol/base/digest.h"
#include "tools/mock/blob.h"
#include "tools/mock/bounds.h"

struct field {
    size_t name_at, name_size, value_at, value_size;
};

struct request {
    llhttp_t parser;
    struct buf target;
    struct buf head;
    struct buf body;
    struct field *fields;
    size_t field_count;
    struct sha256 *sha; /* of a blob */
    uint64_t body_bytes;
    enum err err;  /* why a callback stopped the parser */
    bool has_name; /* the last field's name is complete; its value may be empty */
    bool has_head;
    bool is_whole;
    bool has_continued;
    bool keeps_alive;
};

static int stop(struct request *request, enum err err)
{
    request->err = err;
    return HPE_USER;
}

static int append(struct request *request, struct buf *buf, const char *at, size_t size)
{
    enum err err = buf_append(buf, slice_of(at, size));
    return err == ERR_OK ? HPE_OK : stop(request, err);
}

static int on_url(llhttp_t *parser, const char *at, size_t size)
{
    struct request *request = parser->data;
    return append(request, &request->target, at, size);
}

static enum err fields_grow(struct request *request)
{
    if (request->field_count == REQUEST_HEADERS_MAX)
        return ERR_LIMIT;
    if (request->field_count & (request->field_count - 1))
        return ERR_OK; /* room is doubled when the count is a power of two */
    size_t capacity = request->field_count ? 2 * request->field_count : 1;
    struct field *fields = realloc(request->fields, capacity * sizeof *fields);
    if (!fields)
        return fault(ERR_NOMEM, "%zu header fields", capacity);
    request->fields = fields;
    return ERR_OK;
}

static int on_header_field(llhttp_t *parser, const char *at, size_t size)
{
    struct request *request = parser->data;
    if (request->has_name || request->field_count == 0) {
        enum err err = fields_grow(request);
        if (err != ERR_OK)
            return stop(request, err);
        request->fields[request->field_count++] = (struct field){.name_at = request->head.size};
        request->has_name = false;
    }
    request->fields[request->field_count - 1].name_size += size;
    return append(request, &request->head, at, size);
}

static int on_header_field_complete(llhttp_t *parser)
{
    struct request *request = parser->data;
    request->has_name = true;
    return HPE_OK;
}

static int on_header_value(llhttp_t *parser, const char *at, size_t size)
{
    struct request *request = parser->data;
    ASSERT(request->field_count > 0);
    struct field *field = &request->fields[request->field_count - 1];
    if (field->value_size == 0)
        field->value_at = request->head.size;
    field->value_size += size;
    return append(request, &request->head, at, size);
}

static int on_headers_complete(llhttp_t *parser)
{
    struct request *request = parser->data;
    request->has_head = true;
    if (blob_is_place(request_method(request), request_path(request))) {
        enum err err = sha256_new(&request->sha);
        if (err != ERR_OK)
            return stop(request, err);
        sha256_begin(request->sha);
        return HPE_OK;
    }
    if (parser->content_length > REQUEST_BODY_BYTES_MAX)
        return stop(request, ERR_LIMIT);
    return HPE_OK;
}

static int on_body(llhttp_t *parser, const char *at, size_t size)
{
    struct request *request = parser->data;
    request->body_bytes += size;
    if (!request->sha)
        return append(request, &request->body, at, size);
    sha256_add(request->sha, slice_of(at, size));
    size_t room = request->body.size < BLOB_KEPT_BYTES ? BLOB_KEPT_BYTES - request->body.size : 0;
    return append(request, &request->body, at, size < room ? size : room);
}

static int on_message_complete(llhttp_t *parser)
{
    struct request *request = parser->data;
    request->is_whole = true;
    request->keeps_alive = llhttp_should_keep_alive(parser);
    return HPE_PAUSED;
}

static const llhttp_settings_t *settings(void)
{
    static const llhttp_settings_t callbacks = {
        .on_url = on_url,
        .on_header_field = on_header_field,
        .on_header_field_complete = on_header_field_complete,
        .on_header_value = on_header_value,
        .on_headers_complete = on_headers_complete,
        .on_body = on_body,
        .on_message_complete = on_message_complete,
    };
    return &callbacks;
}

struct request *request_new(void)
{
    struct request *request = calloc(1, sizeof *request);
    if (!request)
        return NULL;
    buf_init(&request->target, REQUEST_HEAD_BYTES_MAX);
    buf_init(&request->head, REQUEST_HEAD_BYTES_MAX);
    buf_init(&request->body, REQUEST_BODY_BYTES_MAX);
    llhttp_init(&request->parser, HTTP_REQUEST, settings());
    request->parser.data = request;
    return request;
}

struct request *request_free(struct request *request)
{
    if (!request)
        return NULL;
    buf_deinit(&request->target);
    buf_deinit(&request->head);
    buf_deinit(&request->body);
    sha256_free(request->sha);
    free(request->fields);
    free(request);
    return NULL;
}

enum err request_feed(struct request *request, struct slice bytes, size_t *used)
{
    ASSERT(!request->is_whole);
    const char *start = (const char *)bytes.data;
    llhttp_errno_t result = llhttp_execute(&request->parser, start, bytes.size);
    if (result == HPE_OK) {
        *used = bytes.size;
        return ERR_AGAIN;
    }
    if (request->err != ERR_OK)
        return request->err;
    if (result != HPE_PAUSED || !request->is_whole)
        return ERR_INVALID;
    *used = (size_t)(llhttp_get_error_pos(&request->parser) - start);
    ASSERT(*used <= bytes.size);
    return ERR_OK;
}

bool request_wants_continue(struct request *request)
{
    if (!request->has_head || request->has_continued || request->is_whole)
        return false;
    request->has_continued = true;
    return slice_equal_nocase(request_header(request, "expect"), SLICE("100-continue"));
}

const char *request_method(const struct request *request)
{
    return llhttp_method_name((llhttp_method_t)request->parser.method);
}

struct slice request_target(const struct request *request)
{
    return buf_slice(&request->target);
}

struct slice request_path(const struct request *request)
{
    struct slice target = request_target(request);
    ptrdiff_t query = slice_find_byte(target, '?');
    return query < 0 ? target : slice_sub(target, 0, (size_t)query);
}

struct slice request_body(const struct request *request)
{
    return buf_slice(&request->body);
}

bool request_is_blob(const struct request *request)
{
    return request->sha != NULL;
}

uint64_t request_body_bytes(const struct request *request)
{
    return request->body_bytes;
}

void request_body_digest(struct request *request, char out[REQUEST_DIGEST_BYTES])
{
    uint8_t digest[SHA256_BYTES];
    sha256_end(request->sha, digest);
    hex_encode(slice_of(digest, sizeof digest), out);
}

size_t request_header_count(const struct request *request)
{
    return request->field_count;
}

void request_header_at(
    const struct request *request, size_t index, struct slice *name, struct slice *value)
{
    ASSERT(index < request->field_count);
    const struct field *field = &request->fields[index];
    *name = slice_sub(buf_slice(&request->head), field->name_at, field->name_size);
    *value = slice_sub(buf_slice(&request->head), field->value_at, field->value_size);
}

struct slice request_header(const struct request *request, const char *name)
{
    for (size_t i = 0; i < request->field_count; i++) {
        struct slice key, value;
        request_header_at(request, i, &key, &value);
        if (slice_equal_nocase(key, slice_text(name)))
            return value;
    }
    return SLICE_NONE;
}

bool request_keeps_alive(const struct request *request)
{
    return request->keeps_alive;
}

bool request_is_http10(const struct request *request)
{
    return request->parser.http_major == 1 && request->parser.http_minor == 0;
}
