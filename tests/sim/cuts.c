/* cuts — see cuts.h. */
#include "tests/sim/cuts.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "storage/bounds.h"

enum {
    SINGLES_MAX = 6, /* unflushed writes that are kept alone */
    TORN_ENDS = 2,   /* for each operation: sectors by chance, and chance differs */
    PATH_BYTES = 300,
};

enum ending { END_NOTHING, END_ALL, END_SINGLE, END_TORN, END_KILL };

struct cuts {
    uint64_t seed, every, first;
    struct cuts_result result;
    /* A child's. */
    bool is_child, is_taken;
    enum ending ending;
    uint64_t which; /* SINGLE, TORN */
    char directory[PATH_BYTES];
};

struct cuts *cuts_new(uint64_t seed, uint64_t every, uint64_t first)
{
    struct cuts *cuts = calloc(1, sizeof *cuts);
    ASSERT(cuts && every > 0);
    cuts->seed = seed;
    cuts->every = every;
    cuts->first = first;
    return cuts;
}

struct cuts *cuts_free(struct cuts *cuts)
{
    free(cuts);
    return NULL;
}

bool cuts_is_child(const struct cuts *cuts)
{
    return cuts->is_child;
}

struct cuts_result cuts_result(const struct cuts *cuts)
{
    return cuts->result;
}

/* ---- forking ---------------------------------------------------------------------------------- */

/* begin_child — true in the child. */
static bool begin_child(struct cuts *cuts, enum ending ending, uint64_t which)
{
    static const char *const names[] = {
        "nothing kept", "all kept", "one write kept", "sectors kept", "killed", "EIO", "ENOSPC"};
    int status = 0;
    (void)fflush(NULL);
    pid_t child = fork();
    ASSERT(child >= 0);
    if (child == 0) {
        cuts->is_child = true;
        cuts->ending = ending;
        cuts->which = which;
        return true;
    }
    while (waitpid(child, &status, 0) < 0)
        ASSERT(errno == EINTR);
    cuts->result.ends++;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return false;
    cuts->result.failed++;
    printf("FAILED seed %" PRIu64 ", operation %" PRIu64 " on the store's file, %s (%" PRIu64 ")\n",
        cuts->seed, cuts->result.operations, names[ending], which);
    return false;
}

static bool begin_ends(struct cuts *cuts)
{
    uint64_t unflushed = file_sim_unflushed() + 1; /* with this one, if it is a write */
    if (begin_child(cuts, END_NOTHING, 0) || begin_child(cuts, END_ALL, 0) ||
        begin_child(cuts, END_KILL, 0))
        return true;
    for (uint64_t i = 0; unflushed > 1 && i < unflushed && i < SINGLES_MAX; i++)
        if (begin_child(cuts, END_SINGLE, i))
            return true;
    for (uint64_t i = 0; i < TORN_ENDS; i++)
        if (begin_child(cuts, END_TORN, i))
            return true;
    return false;
}

bool cuts_operation(struct cuts *cuts)
{
    if (cuts->is_child)
        return false;
    uint64_t number = ++cuts->result.operations;
    if (number < cuts->first || (number - cuts->first) % cuts->every != 0)
        return false;
    return begin_ends(cuts);
}

/* ---- the child -------------------------------------------------------------------------------- */

bool cuts_take(struct cuts *cuts, struct cut *out)
{
    if (!cuts->is_child || cuts->is_taken)
        return false;
    cuts->is_taken = true;
    *out =
        (struct cut){.is_power_cut = cuts->ending != END_KILL, .store.is_grown = cuts->which % 2};
    switch (cuts->ending) {
    case END_KILL:
    case END_NOTHING: break;
    case END_ALL: out->journal = out->store.writes = UINT64_MAX; break;
    case END_SINGLE:
        out->store.writes = 1ull << cuts->which;
        out->journal = cuts->which % 2 ? UINT64_MAX : 0;
        break;
    case END_TORN:
        out->store.is_torn = true;
        out->journal = cuts->which % 2 ? 0x5555555555555555u : 1;
        break;
    }
    return true;
}

static void copy_file(const char *from, const char *to)
{
    static uint8_t bytes[65536];
    char beside[PATH_BYTES + 300]; /* file_sim records what has the store's name */
    (void)snprintf(beside, sizeof beside, "%s.copy", to);
    int in = open(from, O_RDONLY | O_CLOEXEC);
    int out = open(beside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    ASSERT(in >= 0 && out >= 0);
    for (ssize_t size; (size = read(in, bytes, sizeof bytes)) != 0;)
        ASSERT(size > 0 && write(out, bytes, (size_t)size) == size);
    (void)close(in);
    (void)close(out);
    ASSERT(rename(beside, to) == 0);
}

static bool is_copied(const char *name)
{
    return strcmp(name, "lock") != 0 && strcmp(name, "store.lmdb-lock") != 0 &&
           strcmp(name, "ballast") != 0;
}

void cuts_ballast(void)
{
    int fd = open("ballast", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    ASSERT(fd >= 0 && ftruncate(fd, BALLAST_BYTES) == 0);
    (void)close(fd);
}

void cuts_leave(struct cuts *cuts)
{
    struct stat stat_now;
    if (cuts->directory[0])
        return;
    const char *base = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    (void)snprintf(cuts->directory, PATH_BYTES, "%s/tokenlog-cut-XXXXXX", base);
    ASSERT(mkdtemp(cuts->directory));
    DIR *directory = opendir(".");
    ASSERT(directory);
    for (struct dirent *entry; (entry = readdir(directory));) {
        char to[PATH_BYTES + sizeof entry->d_name + 1];
        (void)snprintf(to, sizeof to, "%s/%s", cuts->directory, entry->d_name);
        if (stat(entry->d_name, &stat_now) == 0 && S_ISREG(stat_now.st_mode) &&
            is_copied(entry->d_name))
            copy_file(entry->d_name, to);
    }
    (void)closedir(directory);
    ASSERT(chdir(cuts->directory) == 0);
    cuts_ballast();
}

static void remove_here(const char *path)
{
    DIR *directory = opendir(".");
    ASSERT(directory);
    for (struct dirent *entry; (entry = readdir(directory));)
        (void)unlink(entry->d_name);
    (void)closedir(directory);
    (void)rmdir(path);
}

void cuts_exit(struct cuts *cuts, uint64_t problems)
{
    if (cuts->directory[0])
        remove_here(cuts->directory);
    (void)fflush(NULL);
    _exit(problems ? 1 : 0);
}
