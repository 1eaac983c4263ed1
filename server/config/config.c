/* config — layers over one another: each later one sets what it names, and leaves its mark.
 *
 *     params.def ──▶ file ──▶ environment ──▶ flags ──▶ checks across values
 *
 * A value that will not do is noted in `why` and the rest is read on, so that one start tells all
 * that is wrong. */
#include "server/config/config.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/base/own.h"
#include "server/config/loading.h"

enum { DAY_S = 24 * 3600, SEGMENT_ALIGN = 4096 };

enum err loading_note_file(struct loading *loading, size_t line)
{
    loading->has_problems = true;
    const char *path = config_file_path(loading->memory->file);
    if (line)
        return buf_printf(loading->why, "%s:%zu: ", path, line);
    return buf_printf(loading->why, "%s: ", path);
}

enum err loading_note(struct loading *loading, const char *where)
{
    loading->has_problems = true;
    return buf_printf(loading->why, "%s: ", where);
}

/* Begins a line about a value, wherever it came from. */
static enum err note_param(struct loading *loading, enum param_index index)
{
    const struct param *param = param_at(index);
    const struct origin *origin = &loading->memory->params[index];
    char name[PARAM_NAME_BYTES];
    switch (origin->kind) {
    case ORIGIN_FILE:
        TRY(loading_note_file(loading, origin->line));
        return buf_printf(loading->why, "%s: ", param->name);
    case ORIGIN_ENVIRONMENT: param_variable(param, name); return loading_note(loading, name);
    case ORIGIN_DEFAULT:
    case ORIGIN_FLAG: param_flag(param, name); return loading_note(loading, name);
    }
    return ERR_OK;
}

/* Sets one parameter from one source. ERR_INVALID is noted, and taken in. */
static enum err set(
    struct loading *loading, enum param_index index, const char *text, struct origin origin)
{
    CLEANUP(buf_deinit) struct buf sentence;
    buf_init(&sentence, CONFIG_WHY_BYTES_MAX);
    struct origin before = loading->memory->params[index];
    loading->memory->params[index] = origin;
    enum err err = param_set(param_at(index), text, loading->config, &sentence);
    if (err != ERR_INVALID)
        return err;
    TRY(note_param(loading, index));
    TRY(buf_append(loading->why, buf_slice(&sentence)));
    loading->memory->params[index] = before;
    return buf_append_byte(loading->why, '\n');
}

enum err config_keep(struct config *config, struct slice text, const char **out)
{
    struct config_text *kept = malloc(sizeof *kept + text.size + 1);
    if (!kept)
        return fault(ERR_NOMEM, "configuration");
    if (text.size)
        memcpy(kept->text, text.data, text.size);
    kept->text[text.size] = '\0';
    kept->next = config_memory(config)->texts;
    config_memory(config)->texts = kept;
    *out = kept->text;
    return ERR_OK;
}

/* ——— small readers ——— */

enum err disconnect_parse(struct slice text, struct disconnect *out)
{
    uint64_t seconds;
    if (slice_equal(text, SLICE("continue"))) {
        *out = (struct disconnect){.policy = DISCONNECT_CONTINUE};
        return ERR_OK;
    }
    if (slice_equal(text, SLICE("stop"))) {
        *out = (struct disconnect){.policy = DISCONNECT_STOP};
        return ERR_OK;
    }
    if (text.size && text.data[text.size - 1] == 's')
        text.size--;
    if (slice_u64(text, &seconds) != ERR_OK || seconds > DISCONNECT_SECONDS_MAX)
        return ERR_INVALID;
    *out = (struct disconnect){.policy = DISCONNECT_AFTER, .after_s = (int64_t)seconds};
    return ERR_OK;
}

const char *config_environment(char **environment, const char *name)
{
    size_t size = strlen(name);
    for (char **entry = environment; entry && *entry; entry++)
        if (strncmp(*entry, name, size) == 0 && (*entry)[size] == '=')
            return (*entry)[size + 1] ? *entry + size + 1 : NULL;
    return NULL;
}

/* ——— projects ——— */

static enum err note_project(
    struct loading *loading, size_t line, const char *name, const char *sentence)
{
    TRY(loading_note_file(loading, line));
    return buf_printf(loading->why, "project `%s`: %s\n", name, sentence);
}

static enum err read_key_hashes(
    struct loading *loading, const struct config_file_project *given, struct project_config *out)
{
    size_t count = given->keys_count;
    out->key_hashes = calloc(count ? count : 1, sizeof *out->key_hashes);
    if (!out->key_hashes)
        return fault(ERR_NOMEM, "keys of a project");
    const struct config_file *file = loading->memory->file;
    for (size_t i = 0; i < count; i++) {
        struct slice hex = slice_text(given->keys[i]);
        if (hex_decode(hex, out->key_hashes[out->key_count], SHA256_BYTES) == ERR_OK)
            out->key_count++;
        else
            TRY(note_project(loading, config_file_line(file, "name", given->name, 0, false),
                given->name,
                "a key is given as its SHA-256, 64 hex digits, never as it is; "
                "`tokenlog key new` makes both"));
    }
    return ERR_OK;
}

static enum err read_project_settings(struct loading *loading, size_t line,
    const struct config_file_project *given, struct project_config *out)
{
    const struct param *keep = param_at(PARAM_INDEX_keep_days);
    const struct param *window = param_at(PARAM_INDEX_attach_duplicates);
    uint64_t days = (uint64_t)loading->config->keep_days;
    uint64_t seconds = (uint64_t)loading->config->attach_duplicates;
    out->on_disconnect = loading->config->disconnect;
    if (given->on_disconnect &&
        disconnect_parse(slice_text(given->on_disconnect), &out->on_disconnect) != ERR_OK)
        TRY(note_project(loading, line, given->name,
            "on_disconnect is continue, stop, or seconds up to 2592000"));
    if (given->keep_days &&
        (slice_u64(slice_text(given->keep_days), &days) != ERR_OK || days > (uint64_t)keep->max)) {
        days = 0;
        TRY(note_project(loading, line, given->name, "keep_days is 0 to 36500"));
    }
    if (given->attach_duplicates &&
        (slice_u64(slice_text(given->attach_duplicates), &seconds) != ERR_OK ||
            seconds > (uint64_t)window->max)) {
        seconds = 0;
        TRY(note_project(loading, line, given->name, "attach_duplicates is 0 to 86400 seconds"));
    }
    out->keep_s = (int64_t)days * DAY_S;
    out->attach_duplicates_s = (int64_t)seconds;
    return ERR_OK;
}

/* Projects are read last: what they do not say is what the whole server was told. */
static enum err take_projects(struct loading *loading)
{
    size_t count, line = 0;
    struct config *config = loading->config;
    const struct config_file *file = loading->memory->file;
    const struct config_file_project *given = config_file_projects(file, &count);
    config->projects = calloc(count ? count : 1, sizeof *config->projects);
    if (!config->projects)
        return fault(ERR_NOMEM, "projects");
    line = config_file_line(file, "projects", NULL, 0, true);
    for (size_t i = 0; i < count; i++) {
        struct project_config *project = &config->projects[config->project_count++];
        size_t found = config_file_line(file, "name", given[i].name, line, false);
        line = found ? found : line;
        project->name = given[i].name;
        if (!config_name_is_valid(slice_text(project->name)))
            TRY(note_project(
                loading, found, project->name, "a name is 1 to 64 letters, digits, - _ and ."));
        for (size_t j = 0; j < i; j++)
            if (strcmp(config->projects[j].name, project->name) == 0)
                TRY(note_project(loading, found, project->name, "is there twice; join them"));
        TRY(read_key_hashes(loading, &given[i], project));
        TRY(read_project_settings(loading, found, &given[i], project));
    }
    return ERR_OK;
}

/* ——— layers ——— */

static enum err take_defaults(struct loading *loading)
{
    for (size_t i = 0; i < PARAM_COUNT; i++)
        TRY(set(loading, (enum param_index)i, param_at((enum param_index)i)->otherwise,
            (struct origin){ORIGIN_DEFAULT, 0}));
    ASSERT(!loading->has_problems); /* the table's own defaults are within its ranges */
    return ERR_OK;
}

static enum err take_file(struct loading *loading, const char *path)
{
    struct config_memory *memory = loading->memory;
    TRY(config_file_load(path, &memory->file, loading->why));
    for (size_t i = 0; i < PARAM_COUNT; i++) {
        enum param_index index = (enum param_index)i;
        const char *text = config_file_value(memory->file, index);
        size_t line = config_file_line(memory->file, param_at(index)->name, NULL, 0, true);
        if (text)
            TRY(set(loading, index, text, (struct origin){ORIGIN_FILE, line}));
    }
    return loading_file_providers(loading);
}

static enum err take_environment(struct loading *loading)
{
    for (size_t i = 0; i < PARAM_COUNT; i++) {
        char name[PARAM_NAME_BYTES];
        param_variable(param_at((enum param_index)i), name);
        const char *text = config_environment(loading->environment, name);
        if (text)
            TRY(set(loading, (enum param_index)i, text, (struct origin){ORIGIN_ENVIRONMENT, 0}));
    }
    return ERR_OK;
}

/* One flag of the command line, taken apart. */
struct flag {
    struct slice name;    /* as in the table: keep_days */
    const char *spelling; /* as given */
    const char *value;    /* after `=`, or NULL */
};

/* The next flag.  answers ERR_CLOSED there is none · ERR_INVALID it is no flag (noted) */
static enum err next_flag(
    struct loading *loading, int argc, char **argv, int *at, struct flag *out, char *name)
{
    if (*at >= argc)
        return ERR_CLOSED;
    const char *word = argv[(*at)++];
    size_t size = strcspn(word, "=");
    if (strncmp(word, "--", 2) != 0 || size <= 2 || size - 2 >= PARAM_NAME_BYTES) {
        TRY(loading_note(loading, word));
        TRY(buf_append_text(loading->why, "is not a flag; see `tokenlog serve --help`\n"));
        return ERR_INVALID;
    }
    for (size_t i = 2; i < size; i++)
        name[i - 2] = word[i] == '-' ? '_' : word[i];
    *out = (struct flag){
        .name = slice_of(name, size - 2),
        .spelling = word,
        .value = word[size] ? word + size + 1 : NULL,
    };
    return ERR_OK;
}

/* The flag's value: after its `=`, or the next word. NULL: there is none (noted). */
static enum err flag_value(
    struct loading *loading, int argc, char **argv, int *at, struct flag *flag)
{
    if (!flag->value && *at < argc)
        flag->value = argv[(*at)++];
    if (flag->value)
        return ERR_OK;
    TRY(loading_note(loading, flag->spelling));
    TRY(buf_append_text(loading->why, "needs a value after it\n"));
    return ERR_INVALID;
}

static enum err note_unknown_flag(struct loading *loading, const struct flag *flag)
{
    char name[PARAM_NAME_BYTES];
    enum param_index index;
    TRY(loading_note(loading, flag->spelling));
    TRY(buf_append_text(loading->why, "unknown flag"));
    const char *nearest = param_nearest(flag->name);
    if (nearest && param_find(slice_text(nearest), &index) == ERR_OK) {
        param_flag(param_at(index), name);
        TRY(buf_printf(loading->why, "; did you mean %s?", name));
    }
    return buf_append_text(loading->why, " (`tokenlog serve --help` lists them all)\n");
}

/* --no-name: a switch to turn off. */
static bool is_negated(const struct flag *flag, enum param_index *index)
{
    return slice_has_prefix(flag->name, SLICE("no_")) && !flag->value &&
           param_find(slice_sub(flag->name, 3, flag->name.size), index) == ERR_OK &&
           param_at(*index)->type == PARAM_SWITCH;
}

static enum err take_flag(
    struct loading *loading, int argc, char **argv, int *at, struct flag *flag)
{
    enum param_index index;
    struct origin origin = {ORIGIN_FLAG, 0};
    if (is_negated(flag, &index))
        return set(loading, index, "false", origin);
    bool is_known = param_find(flag->name, &index) == ERR_OK;
    bool is_provider = slice_equal(flag->name, SLICE("provider"));
    if (!is_known && !is_provider && !slice_equal(flag->name, SLICE("config")))
        return note_unknown_flag(loading, flag);
    if (is_known && param_at(index)->type == PARAM_SWITCH)
        return set(loading, index, flag->value ? flag->value : "true", origin);
    enum err err = flag_value(loading, argc, argv, at, flag);
    if (err != ERR_OK)
        return err == ERR_INVALID ? ERR_OK : err;
    if (is_provider)
        return loading_provider_flag(loading, flag->value);
    return is_known ? set(loading, index, flag->value, origin) : ERR_OK;
}

static enum err take_flags(struct loading *loading, int argc, char **argv)
{
    struct flag flag;
    char name[PARAM_NAME_BYTES];
    enum err err;
    int at = 0;
    while ((err = next_flag(loading, argc, argv, &at, &flag, name)) != ERR_CLOSED) {
        if (err == ERR_INVALID || slice_equal(flag.name, SLICE("print_config")))
            continue;
        TRY(err);
        TRY(take_flag(loading, argc, argv, &at, &flag));
    }
    return ERR_OK;
}

/* What must be known before the layers: --help, --print-config, and which file to read. */
static const char *look_ahead(int argc, char **argv, struct config_request *request)
{
    const char *path = NULL;
    for (int i = 0; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
            request->wants_help = true;
        if (strcmp(argv[i], "--print-config") == 0)
            request->wants_print = true;
        if (strncmp(argv[i], "--config=", 9) == 0)
            path = argv[i] + 9;
        if (strcmp(argv[i], "--config") == 0 && i + 1 < argc)
            path = argv[i + 1];
    }
    return path;
}

/* ——— across values ——— */

static enum err check_across(struct loading *loading)
{
    struct config *config = loading->config;
    struct buf *why = loading->why;
    if (disconnect_parse(slice_text(config->on_disconnect), &config->disconnect) != ERR_OK) {
        TRY(note_param(loading, PARAM_INDEX_on_disconnect));
        TRY(buf_append_text(why, "give continue, stop, or seconds up to 2592000\n"));
    }
    if (config->segment_bytes % SEGMENT_ALIGN) {
        TRY(note_param(loading, PARAM_INDEX_segment_bytes));
        TRY(buf_append_text(why, "must be a multiple of 4096\n"));
    }
    if (!config->tls_cert[0] != !config->tls_key[0]) {
        TRY(note_param(loading, config->tls_cert[0] ? PARAM_INDEX_tls_cert : PARAM_INDEX_tls_key));
        TRY(buf_append_text(why, "tls_cert and tls_key go together; give both or none\n"));
    }
    if (config->bodies_bytes_max < config->body_bytes_max) {
        TRY(note_param(loading, PARAM_INDEX_bodies_bytes_max));
        TRY(buf_append_text(why, "must be at least body_bytes_max, or no such body fits\n"));
    }
    return ERR_OK;
}

static enum err load(struct loading *loading, int argc, char **argv, const char *path)
{
    TRY(take_defaults(loading));
    if (!path)
        path = config_environment(loading->environment, "TOKENLOG_CONFIG");
    if (path)
        TRY(take_file(loading, path));
    TRY(take_environment(loading));
    TRY(take_flags(loading, argc, argv));
    TRY(check_across(loading));
    if (loading->memory->file) {
        TRY(take_projects(loading));
        TRY(loading_file_routes(loading));
    }
    return loading->has_problems ? ERR_INVALID : ERR_OK;
}

enum err config_load(int argc, char **argv, char **environment, struct config **out,
    struct config_request *request, struct buf *why)
{
    *request = (struct config_request){0};
    *out = NULL;
    const char *path = look_ahead(argc, argv, request);
    if (request->wants_help)
        return ERR_OK;
    struct config *config = calloc(1, sizeof *config);
    struct config_memory *memory = calloc(1, sizeof *memory);
    if (!config || !memory) {
        free(config);
        free(memory);
        return fault(ERR_NOMEM, "configuration");
    }
    config->memory = memory;
    struct loading loading = {
        .config = config, .memory = memory, .environment = environment, .why = why};
    enum err err = load(&loading, argc, argv, path);
    if (err != ERR_OK) {
        config_free(config);
        return err;
    }
    *out = config;
    return ERR_OK;
}

struct config *config_free(struct config *config)
{
    if (!config)
        return NULL;
    struct config_memory *memory = config_memory(config);
    for (size_t i = 0; i < config->project_count; i++)
        free(config->projects[i].key_hashes);
    free(config->projects);
    config_free_routes(config);
    while (memory->texts) {
        struct config_text *text = memory->texts;
        memory->texts = text->next;
        free(text);
    }
    config_file_free(memory->file);
    free(memory);
    free(config);
    return NULL;
}
