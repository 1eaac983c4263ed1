/* translated — see the header. Fields that speak of one dialect's API stay here; the rest of the caller's
 * cross as in a call that is passed on. */
#include "server/api/translated.h"

#include <string.h>

#include "protocol/base/own.h"

enum { REQUEST_BYTES_MAX = NEUTRAL_REQUEST_BYTES_MAX };

void translated_init(struct translated *translated)
{
    *translated = (struct translated){0};
    translated_request_init(&translated->sent, REQUEST_BYTES_MAX);
    neutral_report_init(&translated->report);
}

void translated_deinit(struct translated *translated)
{
    translated_request_deinit(&translated->sent);
    neutral_report_deinit(&translated->report);
}

/* ── whether ────────────────────────────────────────────────────────────────────────────────── */

static bool codec_of_path(struct slice path, const struct codec **out)
{
    static const struct {
        const char *path, *dialect;
    } chats[] = {{"/v1/chat/completions", "openai_chat"}, {"/v1/responses", "openai_responses"},
        {"/v1/messages", "anthropic"}};
    for (size_t i = 0; i < sizeof chats / sizeof chats[0]; i++)
        if (slice_equal(path, slice_text(chats[i].path)))
            return translate_codec(slice_text(chats[i].dialect), out) == ERR_OK;
    return false;
}

/* Its own dialect says all that it can do; else the first that it takes in the place of that. */
static bool choose_provider(struct translated *translated, const struct provider *provider)
{
    bool has_own =
        provider->dialect_prefix && provider->dialect &&
        translate_codec(slice_text(provider->dialect), &translated->provider) == ERR_OK &&
        translate_asks(translated->provider);
    translated->prefix = has_own ? provider->dialect_prefix : NULL;
    return has_own ||
           (provider->dialects && provider->dialects[0] &&
               translate_codec(slice_text(provider->dialects[0]), &translated->provider) == ERR_OK);
}

bool translated_find(
    struct translated *translated, struct slice path, const struct provider *provider)
{
    const struct codec *caller;
    if (!codec_of_path(path, &caller) ||
        provider_speaks(provider, translate_dialect(caller)->name) ||
        !choose_provider(translated, provider)) {
        translated->provider = NULL;
        return false;
    }
    translated->caller = caller;
    return true;
}

/* ── what is sent ───────────────────────────────────────────────────────────────────────────── */

static bool is_of_a_dialect(struct slice name)
{
    static const char *const beginnings[] = {"anthropic-", "openai-", "x-stainless-"};
    for (size_t i = 0; i < sizeof beginnings / sizeof beginnings[0]; i++)
        if (slice_equal_nocase(
                slice_sub(name, 0, strlen(beginnings[i])), slice_text(beginnings[i])))
            return true;
    return slice_equal_nocase(name, SLICE("accept"));
}

static void take_headers(struct headers *out, const struct headers *from)
{
    for (size_t i = 0; i < from->count && out->count < sizeof out->items / sizeof out->items[0];
         i++)
        if (!is_of_a_dialect(from->items[i].name))
            out->items[out->count++] = from->items[i];
}

/* "name: value\r\n" each. */
static void take_lines(struct headers *out, struct slice lines)
{
    while (lines.size && out->count < sizeof out->items / sizeof out->items[0]) {
        ptrdiff_t colon = slice_find_byte(lines, ':'), end = slice_find(lines, SLICE("\r\n"));
        ASSERT(colon > 0 && end > colon); /* the codec's own */
        struct slice value = slice_sub(lines, (size_t)colon + 1, (size_t)(end - colon) - 1);
        out->items[out->count++] =
            (struct header){slice_sub(lines, 0, (size_t)colon), slice_trim(value)};
        lines = slice_sub(lines, (size_t)end + 2, lines.size);
    }
}

static struct translate_target target_of(const struct route_choice *choice, struct slice model)
{
    const struct model *known = choice->known;
    const struct provider_spec *spec = choice->provider->spec;
    return (struct translate_target){
        .model = choice->model.size ? choice->model : model,
        .output_tokens_max = known ? known->output_tokens : 0,
        .takes_effort = known && (known->capabilities & 1u << CAPABILITY_effort),
        .takes_reasoning = spec && spec->takes_reasoning,
        .takes_max_tokens = !spec || spec->takes_max_tokens,
    };
}

enum err translated_make(struct translated *translated, struct slice body,
    const struct headers *headers, const struct route_choice *choice, struct slice model)
{
    const struct translate_target target = target_of(choice, model);
    TRY(translate_request(translated->caller, translated->provider, body, &target,
        &translated->sent, &translated->report));
    take_lines(&translated->headers, slice_text(translated->sent.headers));
    take_headers(&translated->headers, headers);
    return ERR_OK;
}

/* ── to go on with another's response ───────────────────────────────────────────────────────── */

bool translated_find_next(
    struct translated *translated, struct slice path, const struct provider *provider)
{
    if (translated_find(translated, path, provider))
        return true;
    if (!codec_of_path(path, &translated->caller) ||
        !provider_speaks(provider, translate_dialect(translated->caller)->name))
        return false;
    translated->prefix = NULL;
    translated->provider = translated->caller;
    return true;
}

enum err translated_make_next(struct translated *translated, struct slice body,
    const struct headers *headers, const struct route_choice *choice, struct slice model,
    const struct going_on *going_on)
{
    const struct translate_target target = target_of(choice, model);
    const struct continuation_ask ask = {.body = body,
        .target = &target,
        .takes_prefill = going_on->takes_prefill,
        .by = going_on->by,
        .message = going_on->message};
    TRY(continuation_request(
        going_on->shown, translated->provider, &ask, &translated->sent, &translated->report));
    if (translated->provider == translated->caller) {
        translated->headers = *headers; /* they speak of this dialect */
        return ERR_OK;
    }
    take_lines(&translated->headers, slice_text(translated->sent.headers));
    take_headers(&translated->headers, headers);
    return ERR_OK;
}
