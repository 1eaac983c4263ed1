#include "tests/server/stream/upstream_fake.h"

#include <stdlib.h>
#include <string.h>

enum { HEADERS_MAX = 256, HELD_BYTES_MAX = 64 * 1024 * 1024 };

struct upstreams {
    struct list open;
    size_t started, open_count;
    bool is_refusing;
};

struct upstream {
    struct list node;
    struct upstreams *owner_list;
    const struct upstream_owner *owner;
    void *context;
    char *url;
    struct slice body;
    char *headers[HEADERS_MAX];
    size_t header_count;
    struct buf held; /* what data() did not take */
    bool is_paused, is_resumed, is_canceled;
};

const char *upstream_end_name(enum upstream_end end)
{
    static const char *const names[] = {"upstream_complete", "upstream_refused",
        "upstream_timeout_connect", "upstream_timeout_first_byte", "upstream_timeout_idle",
        "upstream_reset", "upstream_malformed", "upstream_canceled", "request_cut"};
    return names[end];
}

enum err upstreams_new(struct loop *loop, const char *proxy, struct upstreams **out)
{
    (void)loop, (void)proxy;
    struct upstreams *upstreams = calloc(1, sizeof *upstreams);
    ASSERT(upstreams);
    list_init(&upstreams->open);
    *out = upstreams;
    return ERR_OK;
}

static void free_one(struct upstream *upstream)
{
    list_unlink(&upstream->node);
    upstream->owner_list->open_count--;
    for (size_t i = 0; i < upstream->header_count; i++)
        free(upstream->headers[i]);
    free(upstream->url);
    buf_deinit(&upstream->held);
    free(upstream);
}

struct upstreams *upstreams_free(struct upstreams *upstreams)
{
    if (!upstreams)
        return NULL;
    while (!list_is_empty(&upstreams->open))
        free_one(CONTAINER_OF(upstreams->open.next, struct upstream, node));
    free(upstreams);
    return NULL;
}

enum err upstream_start(struct upstreams *upstreams, const struct upstream_request *request,
    const struct upstream_owner *owner, void *context, struct upstream **out)
{
    if (upstreams->is_refusing)
        return fault(ERR_NOMEM, "as the test asked");
    struct upstream *upstream = calloc(1, sizeof *upstream);
    ASSERT(upstream);
    upstream->owner_list = upstreams;
    upstream->owner = owner;
    upstream->context = context;
    upstream->url = strdup(request->url);
    upstream->body = request->body;
    for (; request->headers[upstream->header_count]; upstream->header_count++) {
        ASSERT(upstream->header_count < HEADERS_MAX);
        upstream->headers[upstream->header_count] =
            strdup(request->headers[upstream->header_count]);
    }
    buf_init(&upstream->held, HELD_BYTES_MAX);
    list_append(&upstreams->open, &upstream->node);
    upstreams->started++;
    upstreams->open_count++;
    *out = upstream;
    return ERR_OK;
}

void upstream_resume(struct upstream *upstream)
{
    upstream->is_resumed = true;
}

void upstream_feed(struct upstream *upstream)
{
    (void)upstream;
}

void upstream_cancel(struct upstream *upstream)
{
    upstream->is_canceled = true;
}

/* ---- the test's side ------------------------------------------------------------------------- */

size_t fake_started(const struct upstreams *upstreams)
{
    return upstreams->started;
}

size_t fake_open(const struct upstreams *upstreams)
{
    return upstreams->open_count;
}

struct upstream *fake_last(struct upstreams *upstreams)
{
    return list_is_empty(&upstreams->open)
               ? NULL
               : CONTAINER_OF(upstreams->open.prev, struct upstream, node);
}

const char *fake_url(const struct upstream *upstream)
{
    return upstream->url;
}

struct slice fake_body(const struct upstream *upstream)
{
    return upstream->body;
}

bool fake_has_header(const struct upstream *upstream, const char *line)
{
    for (size_t i = 0; i < upstream->header_count; i++)
        if (strcmp(upstream->headers[i], line) == 0)
            return true;
    return false;
}

struct upstream *fake_at(struct upstreams *upstreams, size_t index)
{
    LIST_FOREACH (node, &upstreams->open)
        if (index-- == 0)
            return CONTAINER_OF(node, struct upstream, node);
    return NULL;
}

bool fake_is_paused(const struct upstream *upstream)
{
    return upstream->is_paused;
}

bool fake_is_canceled(const struct upstream *upstream)
{
    return upstream->is_canceled;
}

void fake_head(struct upstream *upstream, int status, const char *head)
{
    if (!upstream->is_canceled)
        upstream->owner->head(upstream->context, status, slice_text(head));
}

void fake_sse(struct upstream *upstream)
{
    fake_head(upstream, 200, "Content-Type: text/event-stream\r\nX-Request-Id: r1\r\n");
}

bool fake_data(struct upstream *upstream, struct slice bytes)
{
    if (upstream->is_canceled)
        return true;
    ASSERT(!upstream->is_paused);
    enum err err = upstream->owner->data(upstream->context, bytes);
    if (err == ERR_AGAIN) {
        upstream->is_paused = true;
        ASSERT(buf_append(&upstream->held, bytes) == ERR_OK);
        return false;
    }
    if (err)
        upstream_cancel(upstream);
    return true;
}

bool fake_text(struct upstream *upstream, const char *text)
{
    return fake_data(upstream, slice_text(text));
}

void fake_end(struct upstream *upstream, enum upstream_end how)
{
    ASSERT(!upstream->is_paused);
    upstream->owner->ended(
        upstream->context, upstream->is_canceled ? UPSTREAM_CANCELED : how, "as the test asked");
    free_one(upstream);
}

static void bring_held(struct upstream *upstream)
{
    struct buf held = upstream->held;
    buf_init(&upstream->held, HELD_BYTES_MAX);
    upstream->is_paused = upstream->is_resumed = false;
    (void)fake_data(upstream, buf_slice(&held));
    buf_deinit(&held);
}

void fake_run(struct upstreams *upstreams)
{
    LIST_FOREACH_SAFE (node, &upstreams->open) {
        struct upstream *upstream = CONTAINER_OF(node, struct upstream, node);
        if (upstream->is_canceled) {
            upstream->is_paused = false;
            fake_end(upstream, UPSTREAM_CANCELED);
        } else if (upstream->is_paused && upstream->is_resumed) {
            bring_held(upstream);
        } else {
            upstream->is_resumed = false;
        }
    }
}

void fake_cancel_all(struct upstreams *upstreams)
{
    LIST_FOREACH (node, &upstreams->open)
        CONTAINER_OF(node, struct upstream, node)->is_canceled = true;
}

void fake_refuse(struct upstreams *upstreams, bool is_refusing)
{
    upstreams->is_refusing = is_refusing;
}
