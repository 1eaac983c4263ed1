/* hold — the dialect's own reader says which part an event is of. */
#include "protocol/dialect/hold.h"

#include <stdlib.h>

#include "protocol/dialect/codec.h"

struct hold {
    const struct codec_response *response;
    struct sequence_context context; /* nothing that is read is shown: it may be empty */
    struct sequence sequence;
    void *reader;
    struct buf held;
    bool is_too_large; /* the open call: shown as it comes */
};

enum err hold_new(const struct codec *caller, struct hold **out)
{
    ASSERT(translate_takes_calls(caller) && translate_asks(caller));
    struct hold *hold = calloc(1, sizeof *hold);
    void *reader = calloc(1, caller->response->reader_bytes + 1);
    if (!hold || !reader) {
        free(hold);
        free(reader);
        return fault(ERR_NOMEM, "what holds tool calls back");
    }
    hold->response = caller->response;
    hold->reader = reader;
    sequence_init(&hold->sequence, &hold->context);
    buf_init(&hold->held, HOLD_CALL_BYTES_MAX);
    *out = hold;
    return ERR_OK;
}

struct hold *hold_free(struct hold *hold)
{
    if (!hold)
        return NULL;
    sequence_deinit(&hold->sequence);
    buf_deinit(&hold->held);
    free(hold->reader);
    free(hold);
    return NULL;
}

static bool is_in_call(const struct sequence *sequence)
{
    return sequence->is_open && !sequence->is_over && sequence->open == NEUTRAL_TOOL_CALL;
}

/* Whether the call that was held was over before the event: its end is the first that the event says. */
static bool ends_at_once(const struct sequence *sequence)
{
    return sequence->count > 0 && sequence->events[0].kind == NEUTRAL_END;
}

enum err hold_release(struct hold *hold, struct buf *out)
{
    TRY(buf_append(out, buf_slice(&hold->held)));
    buf_clear(&hold->held);
    return ERR_OK;
}

/* Past the bound all that is held is shown, and the rest of the call with it. */
static enum err keep(struct hold *hold, struct slice event, struct buf *out)
{
    enum err err = hold->is_too_large ? ERR_LIMIT : buf_append(&hold->held, event);
    if (err != ERR_LIMIT)
        return err;
    hold->is_too_large = true;
    TRY(hold_release(hold, out));
    return buf_append(out, event);
}

enum err hold_event(struct hold *hold, struct slice event, struct buf *out)
{
    struct sequence *sequence = &hold->sequence;
    sequence_clear(sequence);
    hold->response->read_event(hold->reader, event, sequence);
    TRY(sequence->err);
    bool was_over = !is_in_call(sequence);
    if (was_over || ends_at_once(sequence)) {
        hold->is_too_large = false;
        TRY(hold_release(hold, out));
    }
    return was_over ? buf_append(out, event) : keep(hold, event, out);
}

struct slice hold_held(const struct hold *hold)
{
    return buf_slice(&hold->held);
}
