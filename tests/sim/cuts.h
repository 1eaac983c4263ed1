/* cuts — every operation on the store's file as the process's last: at each of them the simulation
 * forks; the child dies there, recovers in a directory of its own, and its history is brought to an
 * end and checked; the parent goes on as if nothing had been.
 *
 *   history ──op 1──op 2──op 3──▶ …           ends: nothing unflushed is kept · all of it · each
 *              ├ end                                  single write, alone · sectors by chance ·
 *              └ end                                  the process alone dies
 *
 * A child never writes to the file that the parent has open: its own is a copy, made when nothing of
 * the dead process has it open any more.                                                        */
#ifndef TOKENLOG_TESTS_SIM_CUTS_H
#define TOKENLOG_TESTS_SIM_CUTS_H

#include "protocol/base/err.h"
#include "tests/sim/file_sim.h"

struct cuts;
/* cuts_new — looks at every `every`-th operation, from the `first`-th on. `seed` is for messages. */
struct cuts *cuts_new(uint64_t seed, uint64_t every, uint64_t first);
struct cuts *cuts_free(struct cuts *cuts);

/* cuts_operation — before an operation. True: this is now the child, and the process ends here. */
bool cuts_operation(struct cuts *cuts);
bool cuts_is_child(const struct cuts *cuts);

/* Of a child's end; once, the first time that it dies. False: there is none to come.
 *   is_power_cut   else the process alone dies
 *   journal        which sectors of the journal's writes in flight are kept; is_journal_torn: any
 *   store          what is kept of the store's file                                             */
struct cut {
    bool is_power_cut, is_journal_torn;
    uint64_t journal;
    struct file_cut store;
};
bool cuts_take(struct cuts *cuts, struct cut *out);
/* cuts_leave — the working directory is a copy of it from now on, without what is locked. */
void cuts_leave(struct cuts *cuts);
/* cuts_ballast — the store's ballast file, there but for its blocks: making it for each of thousands of
 * directories would be most of the work. */
void cuts_ballast(void);
/* cuts_exit — ends the child with what its history has come to. */
_Noreturn void cuts_exit(struct cuts *cuts, uint64_t problems);

struct cuts_result {
    uint64_t operations, ends, failed;
};
struct cuts_result cuts_result(const struct cuts *cuts);

#endif
