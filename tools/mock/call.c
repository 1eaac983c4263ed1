/* call — reads six members of the body and ignores the rest, as providers do with what they do not
 * know. */
#include "tools/mock/call.h"

#include <cjson/cJSON.h>

#include "tools/mock/bounds.h"

enum { BYTES_PER_TOKEN = 4 };

static uint64_t count_inputs(const cJSON *body)
{
    const cJSON *input = cJSON_GetObjectItemCaseSensitive(body, "input");
    const cJSON *first = cJSON_IsArray(input) ? input->child : NULL;
    if (!cJSON_IsString(first) && !cJSON_IsArray(first)) /* an array of numbers is one input */
        return 1;
    int count = cJSON_GetArraySize(input);
    return count > EMBEDDING_INPUTS_MAX ? EMBEDDING_INPUTS_MAX : (uint64_t)count;
}

static enum err read_model(const cJSON *body, struct slice known, struct call *call)
{
    const cJSON *model = cJSON_GetObjectItemCaseSensitive(body, "model");
    if (known.size == 0 && (!cJSON_IsString(model) || !model->valuestring[0]))
        return ERR_INVALID;
    enum err err = buf_append(&call->model, known.size ? known : slice_text(model->valuestring));
    return err == ERR_LIMIT ? ERR_INVALID : err;
}

static enum err read_call(const cJSON *body, struct slice model, struct call *call)
{
    TRY(read_model(body, model, call));
    const cJSON *options = cJSON_GetObjectItemCaseSensitive(body, "stream_options");
    const cJSON *stream = cJSON_GetObjectItemCaseSensitive(body, "stream");
    call->is_stream = cJSON_IsTrue(stream);
    call->is_background = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(body, "background"));
    call->refuses_stream = cJSON_IsFalse(stream);
    call->has_usage = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(options, "include_usage"));
    call->inputs = count_inputs(body);
    return ERR_OK;
}

enum err call_parse(struct slice body, struct slice model, struct call *out)
{
    struct call call = {.prompt_tokens = body.size / BYTES_PER_TOKEN};
    if (call.prompt_tokens == 0)
        call.prompt_tokens = 1;
    buf_init(&call.model, MODEL_BYTES_MAX);
    cJSON *json = cJSON_ParseWithLength((const char *)body.data, body.size);
    enum err err = cJSON_IsObject(json) ? read_call(json, model, &call) : ERR_INVALID;
    cJSON_Delete(json);
    if (err != ERR_OK) {
        call_deinit(&call);
        return err;
    }
    *out = call;
    return ERR_OK;
}

void call_deinit(struct call *call)
{
    buf_deinit(&call->model);
}
