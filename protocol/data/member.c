/* member — see the header. */
#include "protocol/data/member.h"

#include "protocol/data/row.h"
#include "protocol/data/timestamp.h"

enum { MILLISECONDS_END = sizeof "2026-11-23T05:06:39.123" - 1 };

void member_text(struct json_writer *writer, const char *name, struct slice text)
{
    json_key(writer, name);
    if (text.size)
        json_string(writer, text);
    else
        json_null(writer);
}

void member_number(struct json_writer *writer, const char *name, uint64_t number)
{
    json_key(writer, name);
    json_unsigned(writer, number);
}

void member_count(struct json_writer *writer, const char *name, int64_t count)
{
    json_key(writer, name);
    if (count < 0)
        json_null(writer);
    else
        json_integer(writer, count);
}

void member_flag(struct json_writer *writer, const char *name, bool value)
{
    json_key(writer, name);
    json_boolean(writer, value);
}

void member_time(struct json_writer *writer, const char *name, int64_t ns)
{
    char text[TIMESTAMP_TEXT_BYTES];
    json_key(writer, name);
    if (ns <= 0) {
        json_null(writer);
        return;
    }
    timestamp_format(ns, text);
    text[MILLISECONDS_END] = 'Z';
    json_string(writer, slice_of(text, MILLISECONDS_END + 1));
}

void member_usage(struct json_writer *writer, const char *name, const struct usage *usage)
{
    json_key(writer, name);
    json_open(writer, '{');
    member_count(writer, "input_tokens", usage->input);
    member_count(writer, "output_tokens", usage->output);
    member_count(writer, "cached_tokens", usage->cached);
    member_count(writer, "reasoning_tokens", usage->reasoning);
    member_count(writer, "total_tokens", usage->total);
    json_close(writer, '}');
}
