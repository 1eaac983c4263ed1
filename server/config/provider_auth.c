/* provider_auth — see the header. */
#include "server/config/provider_auth.h"

static bool is_token(struct slice name)
{
    static const char others[] = "!#$%&'*+-.^_`|~"; /* RFC 9110 §5.6.2 */
    for (size_t i = 0; i < name.size; i++) {
        uint8_t c = name.data[i], letter = c | 0x20;
        bool is_plain = (letter >= 'a' && letter <= 'z') || (c >= '0' && c <= '9');
        if (!is_plain && slice_find_byte(slice_text(others), c) < 0)
            return false;
    }
    return name.size > 0;
}

static bool is_visible(struct slice text)
{
    for (size_t i = 0; i < text.size; i++)
        if (text.data[i] < ' ' || text.data[i] > '~')
            return false;
    return true;
}

static enum err parse_header(struct slice text, struct provider_auth *out)
{
    ptrdiff_t colon = slice_find_byte(text, ':');
    if (colon < 0)
        return ERR_INVALID;
    struct slice value = slice_trim(slice_sub(text, (size_t)colon + 1, text.size));
    ptrdiff_t key = slice_find(value, SLICE("{key}"));
    struct provider_auth auth = {.kind = AUTH_HEADER, .name = slice_sub(text, 0, (size_t)colon)};
    if (key < 0 || !is_token(auth.name) || !is_visible(value))
        return ERR_INVALID;
    auth.before = slice_sub(value, 0, (size_t)key);
    auth.after = slice_sub(value, (size_t)key + 5, value.size);
    *out = auth;
    return ERR_OK;
}

static enum err parse_query(struct slice text, struct provider_auth *out)
{
    ptrdiff_t equals = slice_find_byte(text, '=');
    if (equals < 2 || !slice_equal(slice_sub(text, (size_t)equals, text.size), SLICE("={key}")))
        return ERR_INVALID;
    struct slice name = slice_sub(text, 1, (size_t)equals - 1);
    for (size_t i = 0; i < name.size; i++) /* what a query holds without escapes */
        if (!is_token(slice_sub(name, i, 1)) ||
            slice_find_byte(SLICE("#%&+^`|"), name.data[i]) >= 0)
            return ERR_INVALID;
    *out = (struct provider_auth){.kind = AUTH_QUERY, .name = name};
    return ERR_OK;
}

enum err provider_auth_parse(struct slice text, struct provider_auth *out)
{
    static const struct {
        struct slice word;
        struct provider_auth auth;
    } words[] = {
        {SLICE("none"), {.kind = AUTH_NONE}},
        {SLICE("bearer"),
            {.kind = AUTH_HEADER, .name = SLICE("Authorization"), .before = SLICE("Bearer ")}},
        {SLICE("x-api-key"), {.kind = AUTH_HEADER, .name = SLICE("x-api-key")}},
        {SLICE("aws-sigv4"), {.kind = AUTH_AWS_SIGV4}},
        {SLICE("google-service-account"), {.kind = AUTH_GOOGLE}},
    };
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (slice_equal(text, words[i].word)) {
            *out = words[i].auth;
            return ERR_OK;
        }
    bool is_query = slice_has_prefix(text, SLICE("?"));
    return is_query ? parse_query(text, out) : parse_header(text, out);
}
