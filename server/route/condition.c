/* condition — see the header. */
#include "server/route/condition.h"

#include "protocol/base/own.h"
#include "protocol/data/json.h"

enum { VALUE_BYTES_MAX = 4096 /* of metadata that is compared */ };

static bool is_among(struct slice wanted, const char *const *texts)
{
    for (; *texts; texts++)
        if (slice_equal(wanted, slice_text(*texts)))
            return true;
    return false;
}

static bool has_headers(const struct headers *headers, const struct route_match *matches)
{
    for (; matches->name; matches++) {
        struct slice value = headers ? headers_get(headers, matches->name) : SLICE_NONE;
        if (!value.data || !slice_equal(value, slice_text(matches->value)))
            return false;
    }
    return true;
}

/* A string as it reads; anything else as JSON has it: 3, true. */
static bool has_member(struct slice metadata, const struct route_match *match)
{
    CLEANUP(buf_deinit) struct buf text;
    struct json_span span;
    buf_init(&text, VALUE_BYTES_MAX);
    if (json_scan(metadata, match->name, &span))
        return false;
    if (span.type != JSON_STRING)
        return slice_equal(span.raw, slice_text(match->value));
    return json_span_text(span, &text) == ERR_OK &&
           slice_equal(buf_slice(&text), slice_text(match->value));
}

static bool has_metadata(struct slice metadata, const struct route_match *matches)
{
    const char *why;
    size_t at;
    if (!matches->name)
        return true;
    if (metadata.size == 0 || json_object_check(metadata, &why, &at))
        return false;
    for (; matches->name; matches++)
        if (!has_member(metadata, matches))
            return false;
    return true;
}

const char *condition_fails(const struct route_target *target, const struct plan_ask *ask)
{
    const struct route_when *when = target->when;
    const struct model *known = target->choice.known;
    if (when->projects[0] && !is_among(ask->project, when->projects))
        return "is for other projects";
    if (target->needs & ~ask->needs)
        return "is for calls that need more";
    if (when->prompt_bytes_max && ask->prompt_bytes > (uint64_t)when->prompt_bytes_max)
        return "is for smaller prompts";
    if (!has_headers(ask->headers, when->headers))
        return "wants other headers";
    if (!has_metadata(ask->metadata, when->metadata))
        return "wants other metadata";
    if (known && (ask->needs & ~known->capabilities))
        return "cannot do all that is needed";
    return NULL;
}
