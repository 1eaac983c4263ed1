/* auth — a table of key hashes over a list of projects.
 *
 *     SHA-256(presented) ──▶ map ──▶ grant ──▶ project
 *
 * Only hashes are looked up, so that what the table's timing could tell is about a hash, not about
 * a key; the hashes themselves are compared in constant time.
 *
 * A reload builds a whole new table, then swaps: either all of it counts or nothing. Projects are
 * never freed while auth lives, since exchanges and streams point to them. */
#include "server/policy/auth.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "protocol/base/list.h"
#include "protocol/base/map.h"
#include "protocol/base/own.h"

enum { KEY_PREFIX_SHOWN = 8 /* of a new key, in its line's comment: 24 of its 240 bits */ };

/* A key that lets in. */
struct grant {
    struct map_node node;
    uint8_t hash[SHA256_BYTES];
    struct project *project;
};

struct project_entry {
    struct list node;
    struct project project;
    char name[];
};

struct auth {
    const struct config *config;
    char *keys_path;
    struct list projects; /* of project_entry */
    struct map grants;
    struct project *fallback; /* "default", for open mode */
};

/* ——— projects ——— */

static const struct project_config *find_config(const struct config *config, struct slice name)
{
    for (size_t i = 0; i < config->project_count; i++)
        if (slice_equal(slice_text(config->projects[i].name), name))
            return &config->projects[i];
    return NULL;
}

enum err auth_project(const struct auth *auth, struct slice name, struct project **out)
{
    LIST_FOREACH (node, &auth->projects) {
        struct project_entry *known = CONTAINER_OF(node, struct project_entry, node);
        if (slice_equal(slice_text(known->name), name)) {
            *out = &known->project;
            return ERR_OK;
        }
    }
    return ERR_DENIED;
}

/* The project of that name, made when it is not there yet.  faults ERR_NOMEM */
static enum err take_project(struct auth *auth, struct slice name, struct project **out)
{
    enum { DAY_S = 24 * 3600 };
    if (auth_project(auth, name, out) == ERR_OK)
        return ERR_OK;
    struct project_entry *entry = calloc(1, sizeof *entry + name.size + 1);
    if (!entry)
        return fault(ERR_NOMEM, "project");
    memcpy(entry->name, name.data, name.size);
    const struct project_config *config = find_config(auth->config, name);
    entry->project = (struct project){
        .name = entry->name,
        .on_disconnect = config ? config->on_disconnect : auth->config->disconnect,
        .keep_s = config ? config->keep_s : auth->config->keep_days * DAY_S,
        .attach_duplicates_s =
            config ? config->attach_duplicates_s : auth->config->attach_duplicates,
    };
    list_init(&entry->node);
    list_append(&auth->projects, &entry->node);
    *out = &entry->project;
    return ERR_OK;
}

/* ——— the table ——— */

static void free_grants(struct map *grants)
{
    struct map_node *node = map_walk(grants, NULL);
    while (node) {
        struct map_node *next = map_walk(grants, node);
        free(CONTAINER_OF(node, struct grant, node));
        node = next;
    }
    map_deinit(grants);
}

static struct grant *find_grant(const struct map *grants, const uint8_t hash[SHA256_BYTES])
{
    struct map_node *node = map_first(grants, map_hash(slice_of(hash, SHA256_BYTES)));
    for (; node; node = map_next(node)) {
        struct grant *grant = CONTAINER_OF(node, struct grant, node);
        if (equal_constant_time(grant->hash, hash, SHA256_BYTES))
            return grant;
    }
    return NULL;
}

/* answers ERR_EXISTS the key is another project's · faults ERR_NOMEM */
static enum err add_grant(
    struct map *grants, const uint8_t hash[SHA256_BYTES], struct project *project)
{
    struct grant *known = find_grant(grants, hash);
    if (known)
        return known->project == project ? ERR_OK : ERR_EXISTS;
    struct grant *grant = calloc(1, sizeof *grant);
    if (!grant)
        return fault(ERR_NOMEM, "API key");
    memcpy(grant->hash, hash, SHA256_BYTES);
    grant->project = project;
    enum err err = map_insert(grants, &grant->node, map_hash(slice_of(hash, SHA256_BYTES)));
    if (err != ERR_OK)
        free(grant);
    return err;
}

static enum err add_config_keys(struct auth *auth, struct map *grants, struct buf *why)
{
    for (size_t i = 0; i < auth->config->project_count; i++) {
        const struct project_config *config = &auth->config->projects[i];
        struct project *project;
        TRY(take_project(auth, slice_text(config->name), &project));
        for (size_t j = 0; j < config->key_count; j++) {
            enum err err = add_grant(grants, config->key_hashes[j], project);
            if (err == ERR_EXISTS) {
                TRY(buf_printf(why,
                    "project `%s`: one of its keys is another project's too; make a new one\n",
                    config->name));
                return ERR_INVALID;
            }
            TRY(err);
        }
    }
    return ERR_OK;
}

/* ——— the file ——— */

/* The next word of a line; empty at the end of it or of what counts. */
static struct slice next_word(struct slice *line)
{
    *line = slice_trim(*line);
    size_t size = 0;
    while (size < line->size && !memchr(" \t\r", line->data[size], 3))
        size++;
    struct slice word = slice_sub(*line, 0, size);
    *line = slice_sub(*line, size, line->size);
    return word.size && word.data[0] == '#' ? SLICE_NONE : word;
}

/* NULL, or what is wrong with the line. */
static const char *read_line(
    struct slice line, uint8_t hash[SHA256_BYTES], struct slice *project, bool *is_blank)
{
    ptrdiff_t comment = slice_find_byte(line, '#');
    if (comment >= 0)
        line = slice_sub(line, 0, (size_t)comment);
    struct slice hex = next_word(&line);
    *project = next_word(&line);
    *is_blank = hex.size == 0;
    if (*is_blank)
        return NULL;
    if (hex_decode(hex, hash, SHA256_BYTES) != ERR_OK)
        return "a line is `<SHA-256 of the key, 64 hex digits> <project> [# comment]`";
    if (!config_name_is_valid(*project))
        return "the project's name must be 1 to 64 letters, digits, - _ and .";
    return next_word(&line).size ? "there is something after the project; begin it with #" : NULL;
}

static enum err add_line(
    struct auth *auth, struct map *grants, struct slice line, size_t number, struct buf *why)
{
    uint8_t hash[SHA256_BYTES];
    struct slice name;
    bool is_blank;
    struct project *project;
    const char *problem = read_line(line, hash, &name, &is_blank);
    if (!problem && is_blank)
        return ERR_OK;
    if (!problem) {
        TRY(take_project(auth, name, &project));
        enum err err = add_grant(grants, hash, project);
        if (err != ERR_EXISTS)
            return err;
        problem = "the key is another project's too; make a new one";
    }
    TRY(buf_printf(why, "%s:%zu: %s\n", auth->keys_path, number, problem));
    return ERR_INVALID;
}

/* answers ERR_NOTFOUND · ERR_INVALID with a line in `why` */
static enum err read_file(const char *path, struct buf *text, struct buf *why)
{
    CLEANUP(cleanup_close) int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        return ERR_NOTFOUND;
    ssize_t size = fd < 0 ? -1 : 1;
    while (size > 0) {
        enum { PIECE_BYTES = 16 * 1024 };
        uint8_t *room;
        enum err err = buf_reserve(text, PIECE_BYTES, &room);
        if (err == ERR_LIMIT)
            errno = EFBIG;
        else
            TRY(err);
        size = err == ERR_LIMIT ? -1 : read(fd, room, PIECE_BYTES);
        if (size > 0)
            buf_commit(text, (size_t)size);
    }
    if (size == 0)
        return ERR_OK;
    TRY(buf_printf(why, "%s: %s\n", path, strerror(errno)));
    return ERR_INVALID;
}

static enum err add_file_keys(struct auth *auth, struct map *grants, struct buf *why)
{
    CLEANUP(buf_deinit) struct buf text;
    buf_init(&text, KEYS_FILE_BYTES_MAX);
    enum err err = read_file(auth->keys_path, &text, why);
    if (err == ERR_NOTFOUND && !auth->config->keys_file[0])
        return ERR_OK;
    if (err == ERR_NOTFOUND) {
        TRY(buf_printf(why,
            "%s: no such file, though keys_file names it; `tokenlog key new` makes one\n",
            auth->keys_path));
        return ERR_INVALID;
    }
    TRY(err);
    struct slice left = buf_slice(&text);
    for (size_t number = 1; left.size; number++) {
        ptrdiff_t end = slice_find_byte(left, '\n');
        struct slice line = slice_sub(left, 0, end < 0 ? left.size : (size_t)end);
        TRY(add_line(auth, grants, line, number, why));
        left = slice_sub(left, line.size + 1, left.size);
    }
    return ERR_OK;
}

/* ——— public ——— */

static enum err read_grants(struct auth *auth, struct map *grants, struct buf *why)
{
    TRY(add_config_keys(auth, grants, why));
    TRY(add_file_keys(auth, grants, why));
    if (grants->count || auth_is_open(auth))
        return ERR_OK;
    TRY(buf_printf(why,
        "%s: no key would be left, and the server would be open to all; to want that, restart it\n",
        auth->keys_path));
    return ERR_INVALID;
}

enum err auth_reload(struct auth *auth, struct buf *why)
{
    struct map grants;
    map_init(&grants);
    enum err err = read_grants(auth, &grants, why);
    if (err != ERR_OK) {
        free_grants(&grants);
        return err;
    }
    free_grants(&auth->grants);
    auth->grants = grants;
    return ERR_OK;
}

enum err auth_new(
    const struct config *config, const char *keys_path, struct buf *why, struct auth **out)
{
    struct auth *auth = calloc(1, sizeof *auth);
    if (!auth)
        return fault(ERR_NOMEM, "auth");
    list_init(&auth->projects);
    map_init(&auth->grants);
    auth->config = config;
    auth->keys_path = strdup(keys_path);
    enum err err = auth->keys_path ? take_project(auth, SLICE("default"), &auth->fallback)
                                   : fault(ERR_NOMEM, "auth");
    if (err == ERR_OK)
        err = auth_reload(auth, why);
    if (err != ERR_OK) {
        auth_free(auth);
        return err;
    }
    *out = auth;
    return ERR_OK;
}

struct auth *auth_free(struct auth *auth)
{
    if (!auth)
        return NULL;
    free_grants(&auth->grants);
    struct list *node;
    while ((node = list_pop(&auth->projects)))
        free(CONTAINER_OF(node, struct project_entry, node));
    free(auth->keys_path);
    free(auth);
    return NULL;
}

bool auth_is_open(const struct auth *auth)
{
    return auth->grants.count == 0;
}

size_t auth_key_count(const struct auth *auth)
{
    return auth->grants.count;
}

enum err auth_check(struct auth *auth, struct slice presented, struct project **out)
{
    uint8_t hash[SHA256_BYTES];
    if (auth_is_open(auth)) {
        *out = auth->fallback;
        return ERR_OK;
    }
    if (presented.size == 0 || presented.size > KEY_PRESENTED_BYTES_MAX)
        return ERR_DENIED;
    sha256(presented, hash);
    struct grant *grant = find_grant(&auth->grants, hash);
    if (!grant)
        return ERR_DENIED;
    *out = grant->project;
    return ERR_OK;
}

/* ——— making keys ——— */

void key_make(const uint8_t random[KEY_RANDOM_BYTES], char out[KEY_TEXT_BYTES])
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    memcpy(out, "tlk_", 4);
    char *at = out + 4;
    for (size_t i = 0; i < KEY_RANDOM_BYTES; i += 3) { /* RFC 4648 §5 */
        uint32_t bits = (uint32_t)random[i] << 16 | (uint32_t)random[i + 1] << 8 | random[i + 2];
        for (int shift = 18; shift >= 0; shift -= 6)
            *at++ = digits[bits >> shift & 63];
    }
    *at = '\0';
    ASSERT(at == out + KEY_TEXT_BYTES - 1);
}

/* A sentence about the file, from errno. */
static enum err refuse_file(const char *path, struct buf *why)
{
    int cause = errno;
    TRY(buf_printf(why, "%s: %s\n", path, strerror(cause)));
    return fault(ERR_IO, "%s: %s", path, strerror(cause));
}

/* A folder's entry for a new file is on disk once the folder is flushed. */
static bool sync_folder_of(const char *path)
{
    CLEANUP(cleanup_free) char *copy = strdup(path);
    CLEANUP(cleanup_close)
    int fd = copy ? open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    return fd >= 0 && fsync(fd) == 0;
}

static bool ends_its_last_line(int fd)
{
    struct stat file;
    char last = '\n';
    if (fstat(fd, &file) == 0 && file.st_size > 0)
        (void)!pread(fd, &last, 1, file.st_size - 1);
    return last == '\n';
}

enum err keys_append(const char *path, const char *project, const char *key, struct buf *why)
{
    uint8_t hash[SHA256_BYTES];
    char hex[SHA256_BYTES * 2 + 1];
    char line[sizeof hex + NAME_BYTES_MAX + KEY_PREFIX_SHOWN + sizeof "\n  # ...\n"];
    if (!config_name_is_valid(slice_text(project))) {
        TRY(buf_printf(why,
            "`%s`: a project's name is 1 to 64 letters, digits, - _ and ., and begins with a "
            "letter or digit\n",
            project));
        return ERR_INVALID;
    }
    sha256(slice_text(key), hash);
    hex_encode(slice_of(hash, sizeof hash), hex);
    CLEANUP(cleanup_close) int fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fd < 0)
        return refuse_file(path, why);
    int size = snprintf(line, sizeof line, "%s%s %s # %.*s...\n",
        ends_its_last_line(fd) ? "" : "\n", hex, project, KEY_PREFIX_SHOWN, key);
    ASSERT(size > 0 && (size_t)size < sizeof line);
    errno = EIO; /* of a short write, which says nothing itself */
    if (write(fd, line, (size_t)size) != size || fsync(fd) != 0 || !sync_folder_of(path))
        return refuse_file(path, why);
    return ERR_OK;
}
