/* selection — see the header. */
#include "server/cli/selection.h"

#include <inttypes.h>
#include <string.h>

#include "protocol/data/json.h"
#include "protocol/data/timestamp.h"

enum { NS_IN_MS = 1000000 };

static bool copy(const char *text, char *out, size_t size)
{
    size_t length = text ? strlen(text) : 0;
    if (length >= size)
        return false;
    if (length)
        memcpy(out, text, length);
    out[length] = '\0';
    return true;
}

static bool is_ended_state(const char *name)
{
    enum stream_state state;
    return stream_state_parse(slice_text(name), &state) == ERR_OK && !stream_state_is_live(state) &&
           state != STREAM_DELETED;
}

static enum err read_time(const char *text, int64_t now_ns, int64_t *out)
{
    return text ? timestamp_parse_relative(slice_text(text), now_ns, out) : ERR_OK;
}

enum err selection_read(const struct selection_flags *flags, int64_t now_ns,
    struct manifest_filter *out, const char **wrong)
{
    struct manifest_filter filter = {0};
    const char *equals = flags->metadata ? strchr(flags->metadata, '=') : NULL;
    *wrong = NULL;
    if (!copy(flags->project, filter.project, sizeof filter.project))
        *wrong = "--project: the name is too long";
    else if (flags->state && !is_ended_state(flags->state))
        *wrong = "--state is one of completed, failed, stopped, interrupted";
    else if (!copy(flags->state, filter.state, sizeof filter.state))
        *wrong = "--state: the name is too long";
    else if (flags->metadata && (!equals || equals == flags->metadata))
        *wrong = "--metadata takes NAME=VALUE";
    else if (!copy(flags->metadata, filter.metadata, sizeof filter.metadata))
        *wrong = "--metadata: it is too long";
    else if (read_time(flags->from, now_ns, &filter.from_ns) != ERR_OK)
        *wrong = "--from takes a time like 2026-01-31T12:00:00Z, or -24h (s, m, h, d)";
    else if (read_time(flags->to, now_ns, &filter.to_ns) != ERR_OK)
        *wrong = "--to takes a time like 2026-01-31T12:00:00Z, or -24h (s, m, h, d)";
    if (*wrong)
        return ERR_INVALID;
    *out = filter;
    return ERR_OK;
}

bool selection_is_same(const struct manifest_filter *a, const struct manifest_filter *b)
{
    return strcmp(a->project, b->project) == 0 && strcmp(a->state, b->state) == 0 &&
           strcmp(a->metadata, b->metadata) == 0;
}

bool selection_is_before(const struct manifest_filter *filter, const struct id *id)
{
    return filter->from_ns > 0 && id_unix_ms(id) < filter->from_ns / NS_IN_MS;
}

static bool is_value(const struct json *value, struct slice wanted)
{
    uint64_t number;
    switch (json_type(value)) {
    case JSON_STRING: return slice_equal(json_text(value), wanted);
    case JSON_BOOL:
        return slice_equal(wanted, json_bool(value, false) ? SLICE("true") : SLICE("false"));
    case JSON_NUMBER:
        return slice_u64(wanted, &number) == ERR_OK && number <= INT64_MAX &&
               json_int(value, -1) == (int64_t)number;
    case JSON_NULL:
    case JSON_ARRAY:
    case JSON_OBJECT: return false;
    }
    return false;
}

static bool has_metadata(const char *wanted, const struct json *metadata)
{
    char name[MANIFEST_FILTER_TEXT_BYTES];
    const char *equals = strchr(wanted, '=');
    size_t size = (size_t)(equals - wanted);
    memcpy(name, wanted, size);
    name[size] = '\0';
    return is_value(json_get(metadata, name), slice_text(equals + 1));
}

bool selection_takes(const struct manifest_filter *filter, const struct json *row)
{
    struct slice project = json_text(json_get(row, "project"));
    struct slice state = json_text(json_get(row, "state"));
    struct id id;
    if (filter->project[0] && !slice_equal(project, slice_text(filter->project)))
        return false;
    if (filter->state[0] && !slice_equal(state, slice_text(filter->state)))
        return false;
    if (filter->to_ns > 0 && (id_parse(json_text(json_get(row, "id")), &id) != ERR_OK ||
                                 id_unix_ms(&id) >= (filter->to_ns + NS_IN_MS - 1) / NS_IN_MS))
        return false;
    return !filter->metadata[0] || has_metadata(filter->metadata, json_get(row, "metadata"));
}
