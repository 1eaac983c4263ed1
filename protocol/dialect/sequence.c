/* sequence — what is open, what is over; and the events of a frame in a list that grows. */
#include "protocol/dialect/sequence.h"

#include <stdlib.h>
#include <string.h>

enum {
    EVENTS_FIRST = 8, /* nearly every frame says one or two things */
    EVENTS_MAX = NEUTRAL_FRAME_BYTES_MAX / sizeof(struct neutral_event),
    STATUS_CANNOT = 502, /* the provider's answer is one that we cannot pass on */
};

void sequence_init(struct sequence *sequence, const struct sequence_context *context)
{
    *sequence = (struct sequence){
        .context = context, .usage = NEUTRAL_USAGE_UNKNOWN, .before = NEUTRAL_USAGE_UNKNOWN};
    arena_init(&sequence->arena, NEUTRAL_FRAME_BYTES_MAX);
}

void sequence_deinit(struct sequence *sequence)
{
    free(sequence->events);
    arena_deinit(&sequence->arena);
}

void sequence_clear(struct sequence *sequence)
{
    sequence->count = 0;
    arena_reset(&sequence->arena);
}

void sequence_resume(
    struct sequence *sequence, const struct sequence *before, struct slice repeated)
{
    ASSERT(!sequence->is_started && !before->is_over);
    ASSERT(!before->is_open || before->open == NEUTRAL_TEXT);
    sequence->is_started = before->is_started;
    sequence->is_open = sequence->goes_on = before->is_open;
    sequence->open = before->open;
    sequence->is_finished = before->is_finished;
    sequence->has_content = before->has_content;
    sequence->tool_calls = before->tool_calls;
    sequence->before = before->usage;
    sequence->repeated = repeated;
}

static enum err grow(struct sequence *sequence)
{
    size_t capacity = sequence->capacity ? 2 * sequence->capacity : EVENTS_FIRST;
    if (capacity > EVENTS_MAX)
        return ERR_LIMIT;
    struct neutral_event *events = realloc(sequence->events, capacity * sizeof *events);
    if (!events)
        return fault(ERR_NOMEM, "%zu events of a frame", capacity);
    sequence->events = events;
    sequence->capacity = capacity;
    return ERR_OK;
}

static void add(struct sequence *sequence, struct neutral_event event)
{
    if (sequence->err == ERR_OK && sequence->count == sequence->capacity)
        sequence->err = grow(sequence);
    if (sequence->err == ERR_OK)
        sequence->events[sequence->count++] = event;
}

void sequence_start(
    struct sequence *sequence, struct slice id, struct slice model, int64_t created_s)
{
    if (sequence->is_started || sequence->is_over)
        return;
    sequence->is_started = true;
    add(sequence, (struct neutral_event){
                      .kind = NEUTRAL_START,
                      .id = id,
                      .model = model.size ? model : sequence->context->model,
                      .created_s = created_s > 0 ? created_s : sequence->context->created_s,
                  });
}

/* Whether a part may begin or go on: not after the end of the content. */
static bool takes_content(struct sequence *sequence)
{
    if (sequence->is_finished || sequence->is_over)
        return false;
    sequence_start(sequence, SLICE_NONE, SLICE_NONE, 0);
    return true;
}

static void end_part(struct sequence *sequence)
{
    if (!sequence->is_open || sequence->is_over)
        return;
    if (sequence->open == NEUTRAL_TOOL_CALL && !sequence->has_content)
        sequence_arguments(sequence, SLICE("{}"));
    sequence->is_open = false;
    add(sequence, (struct neutral_event){.kind = NEUTRAL_END, .part = sequence->open});
}

/* What was open before goes on until something else begins: a provider that begins its answer with an
 * item or a block ends nothing of it. */
void sequence_close(struct sequence *sequence)
{
    if (!sequence->goes_on)
        end_part(sequence);
}

static void begin(struct sequence *sequence, struct neutral_event event)
{
    end_part(sequence);
    sequence->goes_on = false;
    if (event.part != NEUTRAL_TEXT)
        sequence->repeated = SLICE_NONE;
    event.kind = NEUTRAL_BEGIN;
    sequence->is_open = true;
    sequence->has_content = false;
    sequence->open = event.part;
    add(sequence, event);
}

void sequence_open(struct sequence *sequence, enum neutral_part_kind kind)
{
    ASSERT(kind == NEUTRAL_TEXT || kind == NEUTRAL_REFUSAL || kind == NEUTRAL_REASONING);
    if (!takes_content(sequence))
        return;
    if (sequence->goes_on && sequence->open == kind)
        sequence->goes_on = false;
    else
        begin(sequence, (struct neutral_event){.part = kind});
}

/* What of `text` is not said again; it may come in pieces. */
static struct slice drop_repeated(struct sequence *sequence, struct slice text)
{
    struct slice *repeated = &sequence->repeated;
    size_t size = 0;
    while (size < text.size && size < repeated->size && text.data[size] == repeated->data[size])
        size++;
    *repeated = size < text.size ? SLICE_NONE : slice_sub(*repeated, size, repeated->size - size);
    return slice_sub(text, size, text.size - size);
}

void sequence_text(struct sequence *sequence, enum neutral_part_kind kind, struct slice text)
{
    if (kind == NEUTRAL_TEXT && sequence->repeated.size)
        text = drop_repeated(sequence, text);
    if (text.size == 0 || !takes_content(sequence))
        return;
    if (!sequence->is_open || sequence->open != kind)
        sequence_open(sequence, kind);
    sequence->goes_on = false;
    sequence->has_content = true;
    add(sequence, (struct neutral_event){.kind = NEUTRAL_DELTA, .part = kind, .text = text});
}

struct slice sequence_call_id(struct sequence *sequence)
{
    struct buf text;
    struct slice id = SLICE_NONE;
    if (sequence->err != ERR_OK)
        return SLICE_NONE;
    buf_init(&text, 128);
    sequence->err = buf_printf(
        &text, "call_%.*s_%u", SLICE_PRINT(sequence->context->stream_id), sequence->tool_calls);
    if (sequence->err == ERR_OK)
        sequence->err = arena_copy(&sequence->arena, buf_slice(&text), &id);
    buf_deinit(&text);
    return id;
}

void sequence_tool_call(struct sequence *sequence, struct slice id, struct slice name)
{
    if (!takes_content(sequence) || sequence->err != ERR_OK)
        return;
    if (id.size == 0)
        id = sequence_call_id(sequence);
    sequence->tool_calls++;
    begin(sequence, (struct neutral_event){.part = NEUTRAL_TOOL_CALL, .id = id, .name = name});
}

void sequence_arguments(struct sequence *sequence, struct slice text)
{
    if (text.size == 0 || !sequence->is_open || sequence->open != NEUTRAL_TOOL_CALL ||
        sequence->is_over)
        return;
    sequence->has_content = true;
    add(sequence,
        (struct neutral_event){.kind = NEUTRAL_DELTA, .part = NEUTRAL_TOOL_CALL, .text = text});
}

void sequence_seal(
    struct sequence *sequence, struct slice format, struct slice id, struct slice opaque)
{
    if (opaque.size == 0 || !takes_content(sequence))
        return;
    if (!sequence->is_open || sequence->open != NEUTRAL_REASONING)
        sequence_open(sequence, NEUTRAL_REASONING);
    add(sequence, (struct neutral_event){
                      .kind = NEUTRAL_SEAL,
                      .part = NEUTRAL_REASONING,
                      .format = format.size ? format : SLICE("unknown"),
                      .id = id,
                      .text = opaque,
                  });
}

void sequence_redacted(
    struct sequence *sequence, struct slice format, struct slice id, struct slice opaque)
{
    if (!takes_content(sequence))
        return;
    begin(sequence, (struct neutral_event){
                        .part = NEUTRAL_REASONING,
                        .is_redacted = true,
                        .format = format.size ? format : SLICE("unknown"),
                        .id = id,
                        .text = opaque,
                    });
    end_part(sequence);
}

static bool raise(int64_t *count, int64_t value)
{
    if (value <= *count)
        return false;
    *count = value;
    return true;
}

/* -1: not said, and nothing is added. */
static int64_t plus(int64_t a, int64_t b)
{
    return a < 0 ? b : b < 0 ? a : a > INT64_MAX - b ? INT64_MAX : a + b;
}

static struct neutral_usage sum(const struct neutral_usage *a, const struct neutral_usage *b)
{
    return (struct neutral_usage){
        .counts = {.input = plus(a->counts.input, b->counts.input),
            .output = plus(a->counts.output, b->counts.output),
            .cached = plus(a->counts.cached, b->counts.cached),
            .reasoning = plus(a->counts.reasoning, b->counts.reasoning),
            .total = plus(a->counts.total, b->counts.total)},
        .cache_write = plus(a->cache_write, b->cache_write),
    };
}

void sequence_usage(struct sequence *sequence, const struct neutral_usage *usage)
{
    struct neutral_usage *known = &sequence->usage;
    bool is_news = raise(&known->counts.input, usage->counts.input);
    is_news |= raise(&known->counts.output, usage->counts.output);
    is_news |= raise(&known->counts.cached, usage->counts.cached);
    is_news |= raise(&known->counts.reasoning, usage->counts.reasoning);
    is_news |= raise(&known->counts.total, usage->counts.total);
    is_news |= raise(&known->cache_write, usage->cache_write);
    if (known->counts.input >= 0 && known->counts.output >= 0)
        (void)raise(&known->counts.total, known->counts.input + known->counts.output);
    if (!is_news || sequence->is_over)
        return;
    sequence_start(sequence, SLICE_NONE, SLICE_NONE, 0);
    add(sequence,
        (struct neutral_event){.kind = NEUTRAL_USAGE, .usage = sum(&sequence->before, known)});
}

void sequence_finish(struct sequence *sequence, enum neutral_finish finish, struct slice stop)
{
    if (!takes_content(sequence))
        return;
    end_part(sequence);
    sequence->is_finished = true;
    if (finish == NEUTRAL_STOP && sequence->tool_calls > 0)
        finish = NEUTRAL_TOOL_CALLS;
    add(sequence, (struct neutral_event){.kind = NEUTRAL_FINISH, .finish = finish, .text = stop});
}

void sequence_done(struct sequence *sequence)
{
    if (sequence->is_over)
        return;
    sequence_finish(sequence, NEUTRAL_STOP, SLICE_NONE);
    sequence->is_over = true;
    add(sequence, (struct neutral_event){.kind = NEUTRAL_DONE});
}

void sequence_error(struct sequence *sequence, int status, struct slice code, struct slice message)
{
    if (sequence->is_over)
        return;
    sequence->is_over = true;
    if (message.size == 0)
        message = SLICE("the provider reported an error without a message");
    add(sequence, (struct neutral_event){.kind = NEUTRAL_ERROR, .error = {status, code, message}});
}

void sequence_cannot(struct sequence *sequence, const char *what, struct slice name)
{
    struct buf text;
    struct slice message = SLICE_NONE;
    buf_init(&text, 256);
    enum err err = buf_printf(&text, "the provider sent what cannot be translated: %s %.*s", what,
        (int)(name.size < 80 ? name.size : 80), (const char *)name.data);
    if (err == ERR_OK)
        err = arena_copy(&sequence->arena, buf_slice(&text), &message);
    buf_deinit(&text);
    if (err != ERR_OK)
        sequence->err = err;
    else
        sequence_error(sequence, STATUS_CANNOT, SLICE("untranslatable"), message);
}
