/* reopen — see the header. The row has the provider by its name, the key by what it is called there
 * (plan_key_name), and the call's path: where that leads is the catalogue's to say, as it is now. */
#include "server/api/reopen.h"

#include <string.h>

#include "protocol/base/own.h"
#include "protocol/data/attempt.h"
#include "server/route/outbound.h"
#include "server/route/plan.h"

/* What a stream was asked of. */
struct asked_of {
    const struct provider *provider;
    size_t key;
    char target[ATTEMPT_TARGET_BYTES_MAX + 1];
};

static enum err find_provider(
    const struct catalogue *catalogue, struct slice name, const struct provider **out)
{
    size_t count;
    const struct provider *providers = catalogue_providers(catalogue, &count);
    for (size_t i = 0; i < count; i++)
        if (slice_equal(slice_text(providers[i].name), name)) {
            *out = &providers[i];
            return ERR_OK;
        }
    return ERR_NOTFOUND;
}

static enum err find_key(const struct provider *provider, struct slice name, size_t *out)
{
    for (*out = 0; *out < provider->key_count || *out == 0; ++*out)
        if (slice_equal(slice_text(plan_key_name(provider, *out)), name))
            return ERR_OK;
    return ERR_NOTFOUND;
}

static enum err find(const struct catalogue *catalogue, const struct row *row, struct asked_of *out)
{
    struct attempt attempt;
    TRY(attempt_shown(row->attempts, &attempt));
    TRY(find_provider(catalogue, row->provider, &out->provider));
    TRY(find_key(out->provider, attempt.key, &out->key));
    if (attempt.target.size >= sizeof out->target)
        return ERR_LIMIT;
    memcpy(out->target, attempt.target.data, attempt.target.size);
    out->target[attempt.target.size] = '\0';
    return ERR_OK;
}

/* Behind the provider's base URL; a path of ours begins with its name where the call was passed on as it was. */
static enum err write_target(const struct provider *provider, struct slice path, struct buf *out)
{
    size_t size = strlen(provider->native) + 1;
    bool is_native = path_segment_count(path) > 1 &&
                     slice_equal(path_segment(path, 0), slice_text(provider->native));
    return is_native ? outbound_native_target(provider, slice_sub(path, size, path.size), out)
                     : outbound_api_target(provider, path, out);
}

static enum err prepare(
    struct api *api, const struct asked_of *asked, struct slice target, struct outbound *out)
{
    struct slice token;
    const char *why;
    TRY(tokens_get(api->tokens, asked->provider, &token, &why));
    return outbound_prepare(&(struct outbound_request){.provider = asked->provider,
                                .key = asked->key,
                                .method = "GET",
                                .target = target,
                                .token = token,
                                .wall_s = loop_wall_ns(api->loop) / 1000000000},
        out);
}

static enum err start(struct api *api, struct stream *stream, const struct asked_of *asked,
    const struct outbound *outbound)
{
    static const struct headers none;
    const struct row *row = stream_row(stream);
    struct producer_request request = {.url = (const char *)outbound->url.data,
        .content_type = "",
        .credentials = outbound->headers,
        .ca_file = asked->provider->ca_file,
        .headers = &none,
        .kind = ATTEMPT_RESUMPTION,
        .target = asked->target,
        .key_name = plan_key_name(asked->provider, asked->key),
        .provider = row->provider,
        .model = row->model,
        .provider_dialect = row->provider_dialect,
        .is_kept = true,
        .is_reopened = true};
    TRY(dialect_by_name(row->dialect, &request.dialect));
    stream_outlive_callers(stream);
    return producer_start(&api->producer, stream, &request);
}

static enum err reopen(struct api *api, struct stream *stream)
{
    CLEANUP(catalogue_cleanup) struct catalogue *catalogue = catalogues_get(api->catalogues);
    CLEANUP(outbound_deinit) struct outbound outbound = {0};
    CLEANUP(buf_deinit) struct buf target;
    struct asked_of asked;
    buf_init(&target, HTTP_TARGET_BYTES_MAX * 2);
    TRY(find(catalogue, stream_row(stream), &asked));
    TRY(write_target(asked.provider, stream_row(stream)->path, &target));
    TRY(prepare(api, &asked, buf_slice(&target), &outbound));
    return start(api, stream, &asked, &outbound);
}

static bool take(void *context, struct stream *stream)
{
    struct api *api = context;
    enum err err = reopen(api, stream);
    const struct row *row = stream_row(stream);
    if (err)
        LOG(api->log, LOG_WARNING, "not_reopened", LOG_ID("stream", &row->id),
            LOG_SLICE("provider", row->provider), LOG_TEXT("why", err_name(err)));
    else
        LOG(api->log, LOG_INFO, "reopened", LOG_ID("stream", &row->id),
            LOG_SLICE("provider", row->provider), LOG_SLICE("upstream_id", row->upstream_id));
    return !err;
}

void reopen_all(struct api *api)
{
    hub_take_up(api->hub, take, api);
}
