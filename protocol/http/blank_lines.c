/* blank_lines — see the header. */
#include "protocol/http/blank_lines.h"

#include <string.h>

size_t blank_lines_skip(struct blank_lines *seen, struct slice bytes)
{
    size_t at = 0;
    while (seen->left > 0 && at < bytes.size) {
        if (bytes.data[at] == '\n') {
            seen->left -= seen->after_newline;
            seen->after_newline = !seen->after_newline;
            at++;
            continue;
        }
        const uint8_t *newline = memchr(bytes.data + at, '\n', bytes.size - at);
        at = newline ? (size_t)(newline - bytes.data) : bytes.size;
        seen->after_newline = false;
    }
    return at;
}
