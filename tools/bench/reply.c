/* reply — <llhttp.h> is included here only. */
#include "tools/bench/reply.h"

#include <llhttp.h>
#include <stdlib.h>
#include <string.h>

struct reply {
    llhttp_t parser;
    llhttp_settings_t settings;
    void (*body)(void *context, struct slice bytes);
    void *context;
    int status;
    bool is_complete, keeps_alive;
    bool is_url; /* of the header that is being read */
    size_t name_size;
    char name[32]; /* longer ones are none of ours */
    size_t url_size;
    char url[REPLY_URL_BYTES];
};

static int on_name(llhttp_t *parser, const char *at, size_t size)
{
    struct reply *reply = parser->data;
    if (size <= sizeof reply->name - reply->name_size)
        memcpy(reply->name + reply->name_size, at, size);
    else
        size = sizeof reply->name - reply->name_size; /* full, so equal to none */
    reply->name_size += size;
    return 0;
}

static int on_name_end(llhttp_t *parser)
{
    struct reply *reply = parser->data;
    reply->is_url =
        slice_equal_nocase(slice_of(reply->name, reply->name_size), SLICE("tokenlog-stream-url"));
    reply->name_size = 0;
    return 0;
}

static int on_value(llhttp_t *parser, const char *at, size_t size)
{
    struct reply *reply = parser->data;
    if (!reply->is_url)
        return 0;
    if (size >= sizeof reply->url - reply->url_size)
        return -1;
    memcpy(reply->url + reply->url_size, at, size);
    reply->url_size += size;
    return 0;
}

static int on_head(llhttp_t *parser)
{
    struct reply *reply = parser->data;
    reply->status = llhttp_get_status_code(parser);
    return 0;
}

static int on_body(llhttp_t *parser, const char *at, size_t size)
{
    struct reply *reply = parser->data;
    reply->body(reply->context, slice_of(at, size));
    return 0;
}

static int on_end(llhttp_t *parser)
{
    struct reply *reply = parser->data;
    reply->is_complete = true;
    reply->keeps_alive = llhttp_should_keep_alive(parser) != 0;
    return HPE_PAUSED;
}

struct reply *reply_new(void (*body)(void *context, struct slice bytes), void *context)
{
    struct reply *reply = calloc(1, sizeof *reply);
    if (!reply)
        return NULL;
    reply->body = body;
    reply->context = context;
    llhttp_settings_init(&reply->settings);
    reply->settings.on_header_field = on_name;
    reply->settings.on_header_field_complete = on_name_end;
    reply->settings.on_header_value = on_value;
    reply->settings.on_headers_complete = on_head;
    reply->settings.on_body = on_body;
    reply->settings.on_message_complete = on_end;
    reply_reset(reply);
    return reply;
}

struct reply *reply_free(struct reply *reply)
{
    free(reply);
    return NULL;
}

void reply_reset(struct reply *reply)
{
    llhttp_init(&reply->parser, HTTP_RESPONSE, &reply->settings);
    reply->parser.data = reply;
    reply->status = 0;
    reply->is_complete = reply->keeps_alive = reply->is_url = false;
    reply->name_size = reply->url_size = 0;
    memset(reply->url, 0, sizeof reply->url);
}

bool reply_feed(struct reply *reply, struct slice bytes)
{
    llhttp_errno_t end = llhttp_execute(&reply->parser, (const char *)bytes.data, bytes.size);
    if (end == HPE_OK)
        return true;
    return end == HPE_PAUSED && reply->is_complete &&
           llhttp_get_error_pos(&reply->parser) == (const char *)bytes.data + bytes.size;
}

bool reply_finish(struct reply *reply)
{
    if (reply->is_complete || reply->status == 0)
        return reply->is_complete;
    llhttp_errno_t end = llhttp_finish(&reply->parser);
    return end == HPE_OK || end == HPE_PAUSED ? reply->is_complete : false;
}

int reply_status(const struct reply *reply)
{
    return reply->status;
}

bool reply_is_complete(const struct reply *reply)
{
    return reply->is_complete;
}

bool reply_keeps_alive(const struct reply *reply)
{
    return reply->keeps_alive;
}

const char *reply_stream_url(const struct reply *reply)
{
    return reply->url;
}
