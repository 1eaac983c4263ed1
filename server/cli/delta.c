/* delta — where each dialect keeps its text:
 *
 *     chat completions   choices[].delta.content          completions   choices[].text
 *     responses          type response.output_text.delta: delta
 *     messages           type content_block_delta: delta.text
 */
#include "server/cli/delta.h"

#include "protocol/data/json.h"

enum { CHOICES_MAX = 128 /* n= of a request; providers allow as many */ };

static enum err choices_text(const struct json *choices, struct buf *out)
{
    size_t count = json_size(choices);
    for (size_t i = 0; i < count && i < CHOICES_MAX; i++) {
        const struct json *choice = json_at(choices, i);
        TRY(buf_append(out, json_text(json_get(json_get(choice, "delta"), "content"))));
        TRY(buf_append(out, json_text(json_get(choice, "text"))));
    }
    return ERR_OK;
}

static enum err typed_text(const struct json *root, struct slice type, struct buf *out)
{
    const struct json *delta = json_get(root, "delta");
    if (slice_equal(type, SLICE("response.output_text.delta")))
        return buf_append(out, json_text(delta));
    if (slice_equal(type, SLICE("content_block_delta")))
        return buf_append(out, json_text(json_get(delta, "text")));
    return ERR_OK;
}

enum err delta_text(struct slice data, struct buf *out)
{
    struct json *root = NULL;
    enum err err = json_parse(data, &root);
    if (err != ERR_OK)
        return err == ERR_INVALID ? ERR_OK : err; /* [DONE], say */
    struct slice type = json_text(json_get(root, "type"));
    err = type.size ? typed_text(root, type, out) : choices_text(json_get(root, "choices"), out);
    json_free(root);
    return err;
}
