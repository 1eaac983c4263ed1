/* err — how calls end: answers, faults, bugs.
 *
 * Every fallible function returns one `enum err`. An *answer* is expected and is handled on the
 * line where it arrives. A *fault* is noted once, where it happens, by fault(); it then goes up
 * unchanged through TRY() to the owner of the object, who logs fault_origin() and closes that
 * object and nothing more. A *bug* is an ASSERT, on in release builds: no peer, disk or operator
 * can trip one. */
#ifndef TOKENLOG_PROTOCOL_BASE_ERR_H
#define TOKENLOG_PROTOCOL_BASE_ERR_H

#include <stdbool.h>

#define NODISCARD         __attribute__((warn_unused_result))
#define PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))

enum err {
#define ERR(name, kind, text) ERR_##name,
#include "protocol/base/err.def"
#undef ERR
};

/* err_name — the stable name ("NOTFOUND"); err_text — one line for people. Static strings. */
const char *err_name(enum err err);
const char *err_text(enum err err);
bool err_is_fault(enum err err);

/* fault — note where a fault began, and why; returns `err` so that `return fault(ERR_IO, "…")`
 * reads well. The note is thread-local and is overwritten by the thread's next fault: log it before
 * doing more work. */
#define fault(err, ...) fault_note((err), __FILE__, __LINE__, __VA_ARGS__)
enum err fault_note(enum err err, const char *file, int line, const char *format, ...) PRINTF(4, 5);

/* fault_origin — "file:line: what" of this thread's last fault; borrowed until the thread's next
 * fault. */
const char *fault_origin(void);

/* TRY — the only macro that hides a return: hands any result but ERR_OK to the caller. */
#define TRY(call)                                                                                  \
    do {                                                                                           \
        enum err try_err_ = (call);                                                                \
        if (try_err_ != ERR_OK)                                                                    \
            return try_err_;                                                                       \
    } while (0)

/* ASSERT — a bug if it does not hold: prints the claim and aborts, in every build. */
#define ASSERT(claim) ((claim) ? (void)0 : assert_fail(#claim, __FILE__, __LINE__))
_Noreturn void assert_fail(const char *claim, const char *file, int line);

#endif
