/* err — see err.h. The last fault of a thread is the one piece of thread-local state in the
 * program: the origin has to travel beside an enum that goes up through many owners. */
#include "protocol/base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FAULT_ORIGIN_BYTES = 256 };

static _Thread_local char fault_text[FAULT_ORIGIN_BYTES];

static const struct {
    const char *name;
    const char *text;
    bool is_fault;
} table[] = {
#define ANSWER                false
#define FAULT                 true
#define ERR(name, kind, text) [ERR_##name] = {#name, text, kind},
#include "protocol/base/err.def"
#undef ERR
};

const char *err_name(enum err err)
{
    ASSERT((size_t)err < sizeof table / sizeof *table);
    return table[err].name;
}

const char *err_text(enum err err)
{
    ASSERT((size_t)err < sizeof table / sizeof *table);
    return table[err].text;
}

bool err_is_fault(enum err err)
{
    ASSERT((size_t)err < sizeof table / sizeof *table);
    return table[err].is_fault;
}

enum err fault_note(enum err err, const char *file, int line, const char *format, ...)
{
    ASSERT(err_is_fault(err));
    int used = snprintf(fault_text, sizeof fault_text, "%s:%d: ", file, line);
    if (used < 0 || (size_t)used >= sizeof fault_text)
        used = 0;
    va_list args;
    va_start(args, format);
    (void)vsnprintf(fault_text + used, sizeof fault_text - (size_t)used, format, args);
    va_end(args);
    return err;
}

const char *fault_origin(void)
{
    return fault_text;
}

void assert_fail(const char *claim, const char *file, int line)
{
    (void)fprintf(stderr, "%s:%d: bug: this does not hold: %s\n", file, line, claim);
    abort();
}
