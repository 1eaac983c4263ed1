/* config_route — see the header.
 *
 * A map is read by its table of keys. What is wrong is noted and the rest read on, as everywhere in the
 * configuration. */
#include "server/config/config_route.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/base/own.h"
#include "server/config/loading.h"
#include "server/config/yaml_tree.h"

const struct plan_policy route_policy_default = {
    .retries = 2,
    .backoff = BACKOFF_EXPONENTIAL,
    .backoff_ms = 250,
    .backoff_max_ms = 10000,
    .on_death = PLAN_FAIL,
    .continue_by = CONTINUE_AUTO,
};

/* Words by the value of their enumerators. */
static const char *const strategies[] = {
    "order", "weighted", "fastest", "cheapest", "least_loaded", "sticky", NULL};
static const char *const backoffs[] = {"constant", "linear", "exponential", NULL};
static const char *const deaths[] = {"fail", "restart", "continue", NULL};
static const char *const continues[] = {"auto", "prefill", "message", NULL};
static const char *const holds[] = {"nothing", "tools", NULL};

const char *route_strategy_name(enum route_strategy strategy)
{
    ASSERT(strategy < ROUTE_STRATEGY_COUNT);
    return strategies[strategy];
}

const char *plan_backoff_name(enum plan_backoff backoff)
{
    return backoffs[backoff];
}

const char *plan_death_name(enum plan_death death)
{
    return deaths[death];
}

const char *plan_continue_name(enum plan_continue by)
{
    return continues[by];
}

/* ——— maps ——— */

struct reading {
    struct loading *loading;
    const char *route; /* its name, for messages; NULL: it is not known yet */
};

enum key_type { KEY_TEXT, KEY_NUMBER, KEY_CHOICE, KEY_OTHER };
struct key {
    const char *name;
    enum key_type type;
    size_t offset;            /* of the field: const char *, int64_t, int; else of what is read */
    int64_t min, max;         /* of a number */
    const char *const *words; /* of a choice, NULL-terminated */
    enum err (*read)(struct reading *reading, struct yaml_place place, void *out);
};
enum { KEYS_MAX = 32 };

#define FIELD_OF(type, field) offsetof(struct type, field)
#define TEXT(name, type, field)                                                                    \
    {                                                                                              \
#name, KEY_TEXT, FIELD_OF(type, field), 0, 0, NULL, NULL                                   \
    }
#define NUMBER(name, type, field, min, max)                                                        \
    {                                                                                              \
#name, KEY_NUMBER, FIELD_OF(type, field), min, max, NULL, NULL                             \
    }
#define CHOICE(name, type, field, words)                                                           \
    {                                                                                              \
#name, KEY_CHOICE, FIELD_OF(type, field), 0, 0, words, NULL                                \
    }
#define OTHER(name, type, field, read)                                                             \
    {                                                                                              \
#name, KEY_OTHER, FIELD_OF(type, field), 0, 0, NULL, read                                  \
    }

static enum err begin_note(struct reading *reading, struct yaml_place place)
{
    TRY(loading_note_file(reading->loading, yaml_line(place)));
    if (!reading->route)
        return ERR_OK;
    return buf_printf(reading->loading->why, "route `%s`: ", reading->route);
}

static enum err note(struct reading *reading, struct yaml_place place, const char *sentence)
{
    TRY(begin_note(reading, place));
    return buf_printf(reading->loading->why, "%s\n", sentence);
}

static enum err list_words(struct buf *why, const char *const *words)
{
    for (size_t i = 0; words[i]; i++)
        TRY(buf_printf(why, "%s%s", i == 0 ? "" : words[i + 1] ? ", " : " or ", words[i]));
    return buf_append_byte(why, '\n');
}

static enum err read_text(
    struct reading *reading, struct yaml_place place, const char *what, const char **out)
{
    const char *text = yaml_text(place);
    if (yaml_kind(place) == YAML_TEXT && text[0])
        return config_keep(reading->loading->config, slice_text(text), out);
    TRY(begin_note(reading, place));
    return buf_printf(reading->loading->why, "`%s` takes a text\n", what);
}

static enum err read_model(struct reading *reading, struct yaml_place place, void *out)
{
    if (strlen(yaml_text(place)) > ROUTE_MODEL_BYTES_MAX)
        return note(reading, place, "a model's name has at most 512 bytes");
    return read_text(reading, place, "model", out);
}

static enum err read_number(
    struct reading *reading, const struct key *key, struct yaml_place place, int64_t *out)
{
    uint64_t number;
    if (slice_u64(slice_text(yaml_text(place)), &number) == ERR_OK && number <= INT64_MAX &&
        (int64_t)number >= key->min && (int64_t)number <= key->max) {
        *out = (int64_t)number;
        return ERR_OK;
    }
    TRY(begin_note(reading, place));
    return buf_printf(reading->loading->why,
        "`%s` takes a number from %" PRId64 " to %" PRId64 "\n", key->name, key->min, key->max);
}

static enum err read_choice(
    struct reading *reading, const struct key *key, struct yaml_place place, int *out)
{
    for (int i = 0; key->words[i]; i++)
        if (strcmp(key->words[i], yaml_text(place)) == 0) {
            *out = i;
            return ERR_OK;
        }
    TRY(begin_note(reading, place));
    TRY(buf_printf(reading->loading->why, "`%s` is ", key->name));
    return list_words(reading->loading->why, key->words);
}

static enum err read_key(
    struct reading *reading, const struct key *key, struct yaml_place place, void *out)
{
    void *field = (char *)out + key->offset;
    switch (key->type) {
    case KEY_TEXT: return read_text(reading, place, key->name, field);
    case KEY_NUMBER: return read_number(reading, key, place, field);
    case KEY_CHOICE: return read_choice(reading, key, place, field);
    case KEY_OTHER: return key->read(reading, place, field);
    }
    return ERR_OK;
}

static enum err note_unknown(struct reading *reading, const struct key *keys, size_t count,
    struct yaml_place place, const char *what)
{
    const char *names[KEYS_MAX + 1] = {NULL};
    for (size_t i = 0; i < count; i++)
        names[i] = keys[i].name;
    TRY(begin_note(reading, place));
    TRY(buf_printf(reading->loading->why, "unknown key `%s`; %s takes ", yaml_text(place), what));
    return list_words(reading->loading->why, names);
}

/* `what` it is: "a route". Absent keys leave their fields as they are. */
static enum err read_map(struct reading *reading, const struct key *keys, size_t count,
    struct yaml_place map, const char *what, void *out)
{
    struct yaml_place name, value;
    uint32_t seen = 0;
    ASSERT(count <= KEYS_MAX);
    if (yaml_kind(map) != YAML_MAP) {
        TRY(begin_note(reading, map));
        return buf_printf(reading->loading->why, "%s is a map, as in `key: value`\n", what);
    }
    for (size_t i = 0; i < yaml_count(map); i++) {
        size_t j = 0;
        yaml_pair(map, i, &name, &value);
        while (j < count && strcmp(keys[j].name, yaml_text(name)) != 0)
            j++;
        if (j == count)
            TRY(note_unknown(reading, keys, count, name, what));
        else if (seen & 1u << j)
            TRY(note(reading, name, "the same key is there twice; keep one of them"));
        else
            TRY(read_key(reading, &keys[j], value, out));
        seen |= j < count ? 1u << j : 0;
    }
    return ERR_OK;
}
#define READ_MAP(reading, keys, map, what, out)                                                    \
    read_map(reading, keys, sizeof(keys) / sizeof *(keys), map, what, out)

/* ——— conditions ——— */

/* One text, or a list of them; `out` has room for ROUTE_MATCH_COUNT_MAX and a NULL. */
static enum err read_texts(struct reading *reading, struct yaml_place place, void *out)
{
    const char **texts = out;
    size_t count = yaml_kind(place) == YAML_LIST ? yaml_count(place) : 1;
    if (count == 0 || count > ROUTE_MATCH_COUNT_MAX)
        return note(reading, place, "a list of conditions has 1 to 16 entries");
    for (size_t i = 0; i < count; i++) {
        struct yaml_place item = yaml_kind(place) == YAML_LIST ? yaml_item(place, i) : place;
        TRY(read_text(reading, item, "a condition", &texts[i]));
    }
    return ERR_OK;
}

static enum err read_matches(struct reading *reading, struct yaml_place place, void *out)
{
    struct route_match *matches = out;
    struct yaml_place name, value;
    size_t count = yaml_count(place);
    if (yaml_kind(place) != YAML_MAP || count == 0 || count > ROUTE_MATCH_COUNT_MAX)
        return note(reading, place, "conditions are a map of 1 to 16 names, as in {team: search}");
    for (size_t i = 0; i < count; i++) {
        yaml_pair(place, i, &name, &value);
        TRY(read_text(reading, name, "a condition's name", &matches[i].name));
        TRY(read_text(reading, value, "a condition", &matches[i].value));
    }
    return ERR_OK;
}

static const struct key when_keys[] = {
    OTHER(project, route_when, projects, read_texts),
    OTHER(metadata, route_when, metadata, read_matches),
    OTHER(headers, route_when, headers, read_matches),
    OTHER(needs, route_when, needs, read_texts),
    NUMBER(prompt_bytes_max, route_when, prompt_bytes_max, 1, INT64_MAX),
};

static enum err read_when(struct reading *reading, struct yaml_place place, void *out)
{
    return READ_MAP(reading, when_keys, place, "when", out);
}

/* ——— targets ——— */

static const struct key target_keys[] = {
    OTHER(model, route_target_config, model, read_model),
    NUMBER(weight, route_target_config, weight, 1, ROUTE_WEIGHT_MAX),
    NUMBER(priority, route_target_config, priority, 0, ROUTE_WEIGHT_MAX),
    OTHER(when, route_target_config, when, read_when),
};

static enum err make_where(struct reading *reading, struct yaml_place place, const char **out)
{
    CLEANUP(buf_deinit) struct buf text;
    const char *path = config_file_path(reading->loading->memory->file);
    buf_init(&text, CONFIG_FILE_BYTES_MAX);
    TRY(buf_printf(&text, "%s:%zu: route `%s`", path, yaml_line(place), reading->route));
    return config_keep(reading->loading->config, buf_slice(&text), out);
}

static enum err read_target(
    struct reading *reading, struct yaml_place place, struct route_target_config *out)
{
    out->weight = 1;
    TRY(make_where(reading, place, &out->where));
    if (yaml_kind(place) == YAML_TEXT)
        return read_model(reading, place, &out->model);
    TRY(READ_MAP(reading, target_keys, place, "a target", out));
    if (!out->model && yaml_kind(place) == YAML_MAP && !yaml_get(place, "model").node)
        return note(reading, place, "a target needs a model, as in `model: openai/gpt-5`");
    return ERR_OK;
}

static enum err read_targets(struct reading *reading, struct yaml_place place, void *out)
{
    struct route_config *route = out;
    size_t count = yaml_count(place);
    if (yaml_kind(place) != YAML_LIST || count == 0 || count > PLAN_TARGETS_MAX)
        return note(reading, place, "`targets` is a list of 1 to 16 models");
    route->targets = calloc(count, sizeof *route->targets);
    if (!route->targets)
        return fault(ERR_NOMEM, "targets");
    for (size_t i = 0; i < count; i++)
        TRY(read_target(reading, yaml_item(place, i), &route->targets[route->target_count++]));
    return ERR_OK;
}

/* ——— what follows a death, and what goes beside ——— */

static const struct key continue_keys[] = {
    CHOICE(by, plan_policy, continue_by, continues),
    TEXT(message, plan_policy, continue_message),
};

static enum err read_continue(struct reading *reading, struct yaml_place place, void *out)
{
    return READ_MAP(reading, continue_keys, place, "continue", out);
}

/* p50, p95, p99.9: as 1/1000. */
static enum err read_quantile(struct reading *reading, struct yaml_place place, void *out)
{
    struct slice text = slice_text(yaml_text(place)), tenths = SLICE("0");
    uint64_t whole, part;
    ptrdiff_t point = slice_find_byte(text, '.');
    bool is_quantile = text.size && text.data[0] == 'p';
    if (point >= 0)
        tenths = slice_sub(text, (size_t)point + 1, text.size);
    text = slice_sub(text, 1, point < 0 ? text.size : (size_t)point - 1);
    if (!is_quantile || slice_u64(text, &whole) || whole == 0 || whole > 99 || tenths.size != 1 ||
        slice_u64(tenths, &part))
        return note(reading, place, "`after` is p1 to p99.9, as in `after: p95`");
    *(int64_t *)out = (int64_t)(whole * 10 + part);
    return ERR_OK;
}

static const struct key hedge_keys[] = {
    NUMBER(after_ms, plan_policy, hedge_after_ms, 1, ROUTE_WAIT_MS_MAX),
    OTHER(after, plan_policy, hedge_after_permil, read_quantile),
};

static enum err read_hedge(struct reading *reading, struct yaml_place place, void *out)
{
    if (yaml_kind(place) == YAML_MAP && yaml_count(place) != 1)
        return note(reading, place, "`hedge` takes one of after_ms and after");
    return READ_MAP(reading, hedge_keys, place, "hedge", out);
}

/* ——— routes ——— */

#define WAIT(field) NUMBER(field, route_config, policy.field, 0, ROUTE_WAIT_MS_MAX)
static const struct key route_keys[] = {
    OTHER(model, route_config, model, read_model),
    CHOICE(strategy, route_config, strategy, strategies),
    {.name = "targets", .type = KEY_OTHER, .read = read_targets}, /* of the whole route */
    NUMBER(retries, route_config, policy.retries, 0, PLAN_RETRIES_MAX),
    CHOICE(backoff, route_config, policy.backoff, backoffs),
    WAIT(backoff_ms),
    WAIT(backoff_max_ms),
    WAIT(connect_timeout_ms),
    WAIT(first_byte_timeout_ms),
    WAIT(idle_timeout_ms),
    CHOICE(on_death, route_config, policy.on_death, deaths),
    OTHER(continue, route_config, policy, read_continue),
    CHOICE(hold, route_config, policy.holds_tools, holds),
    OTHER(hedge, route_config, policy, read_hedge),
};
#undef WAIT

static bool is_there_before(const struct config *config, const struct route_config *route)
{
    for (const struct route_config *other = config->routes; other < route; other++)
        if (other->model && strcmp(other->model, route->model) == 0)
            return true;
    return false;
}

/* Across its values. */
static enum err check_route(
    struct reading *reading, struct yaml_place place, const struct route_config *route)
{
    const struct plan_policy *policy = &route->policy;
    bool has_hedge = policy->hedge_after_ms || policy->hedge_after_permil;
    if (is_there_before(reading->loading->config, route))
        TRY(note(reading, place, "is there twice; join them"));
    if (!yaml_get(place, "targets").node)
        TRY(note(reading, place, "needs targets, as in `targets: [openai/gpt-5]`"));
    if (policy->retries == 0 && policy->on_death != PLAN_FAIL)
        TRY(note(reading, place, "with no retries a death cannot be recovered; raise `retries`"));
    if (policy->retries == 0 && has_hedge)
        TRY(note(reading, place, "a hedge is one of the retries; raise `retries`"));
    return ERR_OK;
}

static enum err read_route(
    struct reading *reading, struct yaml_place place, struct route_config *out)
{
    struct yaml_place name = yaml_get(place, "model");
    *out = (struct route_config){.where = "", .policy = route_policy_default};
    reading->route = yaml_kind(name) == YAML_TEXT && yaml_text(name)[0] ? yaml_text(name) : NULL;
    if (!reading->route)
        return note(reading, place, "a route needs a model, the name that callers ask for");
    TRY(READ_MAP(reading, route_keys, place, "a route", out));
    TRY(make_where(reading, place, &out->where));
    return check_route(reading, place, out);
}

enum err loading_file_routes(struct loading *loading)
{
    CLEANUP(yaml_tree_cleanup) struct yaml_tree *tree = NULL;
    struct config *config = loading->config;
    struct reading reading = {.loading = loading};
    enum err err = yaml_tree_parse(config_file_text(loading->memory->file), &tree);
    if (err == ERR_INVALID)
        return ERR_OK; /* it is empty; config_file has looked at the rest */
    TRY(err);
    struct yaml_place routes = yaml_get(yaml_root(tree), "routes");
    size_t count = yaml_count(routes);
    if (!routes.node)
        return ERR_OK;
    if (yaml_kind(routes) != YAML_LIST || count > ROUTE_COUNT_MAX)
        return note(&reading, routes, "`routes` is a list of at most 1024 routes");
    config->routes = calloc(count ? count : 1, sizeof *config->routes);
    if (!config->routes)
        return fault(ERR_NOMEM, "routes");
    for (size_t i = 0; i < count; i++)
        TRY(read_route(&reading, yaml_item(routes, i), &config->routes[config->route_count++]));
    return ERR_OK;
}

void config_free_routes(struct config *config)
{
    for (size_t i = 0; i < config->route_count; i++)
        free(config->routes[i].targets);
    free(config->routes);
}
