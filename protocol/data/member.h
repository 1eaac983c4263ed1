/* member — a member of a JSON object that is written for people: null where there is nothing to say.
 *
 *   thread  any; no state. A failure is the writer's (json.h) */
#ifndef TOKENLOG_PROTOCOL_DATA_MEMBER_H
#define TOKENLOG_PROTOCOL_DATA_MEMBER_H

#include "protocol/data/json.h"

struct usage;

/* member_text    null: it is empty
 * member_number  any
 * member_count   null: it is negative, and so not known
 * member_flag    true or false
 * member_time    RFC 3339 in UTC, to the millisecond. null: 0, it has not happened
 * member_usage   an object of the counts, as member_count */
void member_text(struct json_writer *writer, const char *name, struct slice text);
void member_number(struct json_writer *writer, const char *name, uint64_t number);
void member_count(struct json_writer *writer, const char *name, int64_t count);
void member_flag(struct json_writer *writer, const char *name, bool value);
void member_time(struct json_writer *writer, const char *name, int64_t ns);
void member_usage(struct json_writer *writer, const char *name, const struct usage *usage);

#endif
