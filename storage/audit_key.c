/* audit_key — see audit_key.h. A new key is written beside its place, flushed, and renamed: the
 * file is there as a whole or not at all. */
#include "storage/audit_key.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "protocol/base/own.h"

#define KEY_PREFIX "tokenlog-audit-key ed25519 "

enum {
    KEY_DIGITS = 2 * ED25519_BYTES,
    KEY_LINE_BYTES = sizeof KEY_PREFIX - 1 + KEY_DIGITS + 1, /* and the line's end */
    FILE_MODE = 0600,
};

static enum err translate(const char *what, const char *name)
{
    if (errno == ENOSPC || errno == EDQUOT)
        return ERR_FULL;
    return fault(ERR_IO, "%s %s: %s", what, name, strerror(errno));
}

static enum err open_directory(const char *directory, int *out)
{
    *out = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return *out >= 0 ? ERR_OK : translate("open", directory);
}

static enum err parse(struct slice text, uint8_t seed[ED25519_BYTES])
{
    struct slice prefix = SLICE(KEY_PREFIX);
    if (!slice_has_prefix(text, prefix) || text.size < prefix.size + KEY_DIGITS ||
        text.size > KEY_LINE_BYTES ||
        hex_decode(slice_sub(text, prefix.size, KEY_DIGITS), seed, ED25519_BYTES) != ERR_OK)
        return fault(ERR_CORRUPT, "audit-key is damaged: put back a copy; or remove it, and the "
                                  "next start makes another, which signs all later heads");
    return ERR_OK;
}

static enum err read_at(int directory_fd, uint8_t seed[ED25519_BYTES])
{
    char text[KEY_LINE_BYTES + 1];
    CLEANUP(cleanup_close) int fd = openat(directory_fd, "audit-key", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? ERR_NOTFOUND : translate("open", "audit-key");
    ssize_t size = read(fd, text, sizeof text);
    if (size < 0)
        return translate("read", "audit-key");
    enum err err = parse(slice_of(text, (size_t)size), seed);
    explicit_bzero(text, sizeof text);
    return err;
}

static enum err write_new(int directory_fd, const char *line)
{
    CLEANUP(cleanup_close)
    int fd =
        openat(directory_fd, "audit-key.new", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, FILE_MODE);
    if (fd < 0 || write(fd, line, KEY_LINE_BYTES) != KEY_LINE_BYTES || fsync(fd) != 0)
        return translate("write", "audit-key.new");
    if (renameat(directory_fd, "audit-key.new", directory_fd, "audit-key") != 0 ||
        fsync(directory_fd) != 0)
        return translate("rename", "audit-key.new");
    return ERR_OK;
}

static enum err make_at(int directory_fd, uint8_t seed[ED25519_BYTES])
{
    char line[KEY_LINE_BYTES + 1] = KEY_PREFIX;
    if (getrandom(seed, ED25519_BYTES, 0) != ED25519_BYTES)
        return translate("getrandom for", "audit-key");
    hex_encode(slice_of(seed, ED25519_BYTES), line + sizeof KEY_PREFIX - 1);
    line[KEY_LINE_BYTES - 1] = '\n';
    enum err err = write_new(directory_fd, line);
    explicit_bzero(line, sizeof line);
    return err;
}

enum err audit_key_read(const char *directory, uint8_t seed[ED25519_BYTES])
{
    CLEANUP(cleanup_close) int fd = -1;
    TRY(open_directory(directory, &fd));
    return read_at(fd, seed);
}

enum err audit_key_open(const char *directory, uint8_t seed[ED25519_BYTES])
{
    CLEANUP(cleanup_close) int fd = -1;
    TRY(open_directory(directory, &fd));
    enum err err = read_at(fd, seed);
    return err == ERR_NOTFOUND ? make_at(fd, seed) : err;
}
