/* audit — the audit log: heads to be saved elsewhere, proofs, and their checking.
 *
 *   head                     a server or the data directory ──▶ a signed head
 *   prove ID                 the same ──▶ a proof, checked offline by
 *   verify FILE              which needs neither
 *   verify --data DIR        everything in a data directory, against a saved head
 *   consistency OLD NEW      that the log only grew between two saved heads
 *
 * A head that was saved out of the reach of whoever could change the data directory is what all
 * trust rests on: the key lies in that directory. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "protocol/base/own.h"
#include "protocol/data/proof.h"
#include "server/cli/offline.h"
#include "server/cli/source.h"
#include "storage/audit.h"

enum {
    PATH_BYTES = 160,
    FILE_BYTES_MAX = 1024 * 1024 * 1024, /* a proof that carries a large stream along */
    FINDINGS_PRINTED_MAX = 1000,
};

struct flags {
    const char *project, *out, *head, *public_key;
    bool has_contents;
};

/* ---- Files ---- */

static enum err read_all(FILE *file, struct buf *out)
{
    enum { STEP = 65536 };
    uint8_t *at;
    for (;;) {
        TRY(buf_reserve(out, STEP, &at));
        size_t size = fread(at, 1, STEP, file);
        buf_commit(out, size);
        if (size == 0)
            return ferror(file) ? fault(ERR_IO, "read") : ERR_OK;
    }
}

static int read_json(const struct cli *cli, const char *path, struct json **out)
{
    CLEANUP(buf_deinit) struct buf text;
    FILE *file = fopen(path, "rbe");
    buf_init(&text, FILE_BYTES_MAX);
    if (!file)
        return cli_fail(cli, CLI_FAILED, "%s: %s", path, strerror(errno));
    enum err err = read_all(file, &text);
    (void)fclose(file);
    if (err == ERR_OK)
        err = json_parse(buf_slice(&text), out);
    if (err == ERR_INVALID)
        return cli_fail(cli, CLI_FAILED, "%s is no JSON", path);
    return err == ERR_OK ? CLI_OK : cli_fault(cli, err);
}

/* A saved head: of its own, or inside a proof. */
static int read_head(const struct cli *cli, const char *path, struct json **json, struct head *out)
{
    int code = read_json(cli, path, json);
    if (code != CLI_OK)
        return code;
    const struct json *inner = json_get(*json, "head");
    if (head_read(inner ? inner : *json, out) != ERR_OK)
        return cli_fail(cli, CLI_FAILED, "%s is no head of an audit log", path);
    if (!head_check(out))
        return cli_fail(cli, CLI_FAILED, "%s: the signature is not that of its key", path);
    return CLI_OK;
}

static int print_or_write(const struct cli *cli, const char *path, const struct buf *json)
{
    if (!path)
        return cli_print_json(cli, json);
    FILE *file = fopen(path, "wbe");
    bool is_written =
        file && fwrite(json->data, 1, json->size, file) == json->size &&
        (json->size == 0 || json->data[json->size - 1] == '\n' || fputc('\n', file) != EOF);
    if (file && fclose(file) != 0)
        is_written = false;
    return is_written ? CLI_OK : cli_fail(cli, CLI_FAILED, "%s: %s", path, strerror(errno));
}

/* ---- Asking ---- */

static int64_t wall_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static int answer_offline(
    struct cli *cli, struct offline *offline, struct audit_request *request, struct buf *json)
{
    struct block_codec *codec = NULL;
    struct store *store = offline_store(offline);
    enum err err = store_project_number(store, request->project_name, &request->project);
    if (err == ERR_NOTFOUND)
        return cli_fail(cli, CLI_NOT_FOUND, "no project %.*s in %s",
            SLICE_PRINT(request->project_name), source_data(cli));
    if (err == ERR_OK)
        err = block_codec_new(1, &codec);
    request->now_ns = wall_ns();
    if (err == ERR_OK)
        err = audit_answer(store, codec, request, json);
    block_codec_free(codec);
    switch ((int)err) {
    case ERR_OK: return CLI_OK;
    case ERR_NOTFOUND:
        return cli_fail(cli, CLI_NOT_FOUND, "the stream is not in the log%s",
            request->size ? " of that head" : ": unknown, or not archived yet");
    case ERR_INVALID:
        return cli_fail(cli, CLI_FAILED, "the log has fewer leaves than were asked for");
    case ERR_DENIED:
        return cli_fail(cli, CLI_FAILED, "%s has no audit-key to sign with", source_data(cli));
    default: return cli_fault(cli, err);
    }
}

static void request_path(const struct audit_request *request, char out[PATH_BYTES])
{
    char id[ID_TEXT_BYTES];
    switch (request->kind) {
    case AUDIT_HEAD:
        (void)snprintf(out, PATH_BYTES, "/v1/audit/head?size=%" PRIu64, request->size);
        return;
    case AUDIT_CONSISTENCY:
        (void)snprintf(out, PATH_BYTES, "/v1/audit/consistency?from=%" PRIu64 "&to=%" PRIu64,
            request->old_size, request->size);
        return;
    case AUDIT_PROOF: break;
    }
    id_format(&request->id, id);
    (void)snprintf(out, PATH_BYTES, "/v1/streams/%s/proof?size=%" PRIu64 "&contents=%s", id,
        request->size, request->has_contents ? "true" : "false");
}

/* A stream says itself of which project it is. */
static int find_project(struct cli *cli, struct offline *offline, struct audit_request *request)
{
    struct row row;
    if (request->kind != AUDIT_PROOF || request->project_name.size)
        return CLI_OK;
    enum err err = offline_row(offline, &request->id, &row);
    if (err == ERR_NOTFOUND)
        return cli_fail(cli, CLI_NOT_FOUND,
            "no such stream in %s; of one that is forgotten give --project", source_data(cli));
    if (err != ERR_OK)
        return cli_fault(cli, err);
    request->project_name = row.project_name;
    return CLI_OK;
}

static int ask(struct cli *cli, struct audit_request *request, struct buf *json)
{
    struct source *source;
    char path[PATH_BYTES];
    int code = source_open(cli, request->kind == AUDIT_PROOF ? &request->id : NULL, &source);
    if (code != CLI_OK)
        return code;
    struct offline *offline = source_offline(source);
    if (offline) {
        code = find_project(cli, offline, request);
        if (code == CLI_OK && !request->project_name.size)
            request->project_name = SLICE("default");
        if (code == CLI_OK)
            code = answer_offline(cli, offline, request, json);
    } else {
        request_path(request, path);
        code = source_get(source, path, json);
    }
    source_close(source);
    return code;
}

/* ---- head, prove ---- */

static struct cli_option option_project(struct flags *flags)
{
    return (struct cli_option){.name = "project",
        .value_name = "NAME",
        .help = "of a data directory: whose log (default); a key says it to a server",
        .text = &flags->project};
}

static struct cli_option option_head(struct flags *flags, const char *help)
{
    return (struct cli_option){
        .name = "head", .value_name = "FILE", .help = help, .text = &flags->head};
}

static struct cli_option option_out(struct flags *flags)
{
    return (struct cli_option){
        .name = "out", .value_name = "FILE", .help = "write it there", .text = &flags->out};
}

static int run_head(struct cli *cli, int argc, char **argv)
{
    struct flags flags = {0};
    const struct cli_option options[] = {option_project(&flags), option_out(&flags)};
    const struct cli_usage usage = {
        .synopsis = "audit head [flags]",
        .description = "Print the signed head of a project's audit log, to be saved elsewhere: "
                       "its size, its root, the\npublic key. Nothing in the log can change "
                       "afterwards without that it shows against this head.\n",
        .options = options,
        .option_count = sizeof options / sizeof options[0],
    };
    CLEANUP(buf_deinit) struct buf json;
    buf_init(&json, CLI_BODY_BYTES_MAX);
    int code = cli_parse(cli, &usage, argc, argv, NULL);
    if (code != CLI_GO_ON)
        return code;
    struct audit_request request = {.kind = AUDIT_HEAD, .project_name = slice_text(flags.project)};
    code = ask(cli, &request, &json);
    return code == CLI_OK ? print_or_write(cli, flags.out, &json) : code;
}

static int run_prove(struct cli *cli, int argc, char **argv)
{
    struct flags flags = {0};
    const struct cli_option options[] = {
        option_head(
            &flags, "prove it to be in the log of this saved head; else of the present one"),
        {.name = "contents",
            .help = "carry events, asides and the request along",
            .is_on = &flags.has_contents},
        option_project(&flags),
        option_out(&flags),
    };
    const struct cli_usage usage = {
        .synopsis = "audit prove ID [flags]",
        .description = "Print a proof that a finished stream is in the audit log as it says. "
                       "`tokenlog audit verify`\nchecks it without server and data directory.\n",
        .options = options,
        .option_count = sizeof options / sizeof options[0],
        .positional_count = 1,
    };
    const char *positionals[CLI_POSITIONALS_MAX];
    CLEANUP(json_cleanup) struct json *saved = NULL;
    CLEANUP(buf_deinit) struct buf json;
    struct audit_request request = {.kind = AUDIT_PROOF};
    struct head head = {.size = 0};
    buf_init(&json, FILE_BYTES_MAX);
    int code = cli_parse(cli, &usage, argc, argv, positionals);
    if (code == CLI_GO_ON)
        code = cli_read_id(cli, positionals[0], &request.id);
    if (code != CLI_GO_ON)
        return code;
    if (flags.head && (code = read_head(cli, flags.head, &saved, &head)) != CLI_OK)
        return code;
    request.size = head.size;
    request.has_contents = flags.has_contents;
    request.project_name = slice_text(flags.project);
    code = ask(cli, &request, &json);
    return code == CLI_OK ? print_or_write(cli, flags.out, &json) : code;
}

/* ---- verify FILE ---- */

static int check_key(const struct cli *cli, const struct head *head, const char *public_key)
{
    char text[2 * ED25519_BYTES + 1];
    hex_encode(slice_of(head->key, ED25519_BYTES), text);
    if (public_key && strcmp(public_key, text) != 0)
        return cli_fail(cli, CLI_FAILED, "the head is signed by another key: %s", text);
    return CLI_OK;
}

/* The proof's head is the saved one: of the same log, size and root. */
static int check_saved(const struct cli *cli, const struct head *head, const char *path)
{
    CLEANUP(json_cleanup) struct json *json = NULL;
    struct head saved;
    int code = read_head(cli, path, &json, &saved);
    if (code != CLI_OK)
        return code;
    if (memcmp(saved.store, head->store, HEAD_STORE_BYTES) != 0 ||
        !slice_equal(saved.project, head->project))
        return cli_fail(cli, CLI_FAILED, "%s is the head of another log", path);
    if (saved.size != head->size)
        return cli_fail(cli, CLI_FAILED,
            "the proof is of a log of %" PRIu64 " leaves, %s of %" PRIu64
            "; make one with `tokenlog audit prove ID --head %s`",
            head->size, path, saved.size, path);
    if (!digest_equal(&saved.root, &head->root))
        return cli_fail(cli, CLI_FAILED, "the proof's root is not that of %s", path);
    return CLI_OK;
}

static void put_flag(struct json_writer *writer, const char *name, bool value)
{
    json_key(writer, name);
    json_boolean(writer, value);
}

static int print_result(const struct cli *cli, const struct proof_result *result)
{
    CLEANUP(buf_deinit) struct buf json;
    struct json_writer writer;
    char id[ID_TEXT_BYTES];
    const struct proof *proof = &result->proof;
    id_format(&proof->finished.leaf.id, id);
    buf_init(&json, CLI_TEXT_BYTES_MAX);
    if (!cli->is_json) {
        (void)fprintf(cli->out,
            "stream %s is leaf %" PRIu64 " of %" PRIu64 " in the log of project %.*s\n", id,
            proof->finished.index, proof->head.size, SLICE_PRINT(proof->head.project));
        (void)fprintf(cli->out, "covered: row %s, events %s, asides %s, request %s%s\n",
            result->has_row ? "checked" : "not carried along",
            result->has_events ? "checked" : "not carried along",
            result->has_asides ? "checked" : "not carried along",
            result->has_body ? "checked" : "not carried along",
            proof->has_deletion ? "; the stream was deleted" : "");
        return CLI_OK;
    }
    json_writer_init(&writer, &json);
    json_open(&writer, '{');
    put_flag(&writer, "ok", true);
    json_key(&writer, "stream");
    json_string(&writer, slice_text(id));
    put_flag(&writer, "row", result->has_row);
    put_flag(&writer, "events", result->has_events);
    put_flag(&writer, "asides", result->has_asides);
    put_flag(&writer, "request", result->has_body);
    put_flag(&writer, "deleted", proof->has_deletion);
    json_key(&writer, "head");
    head_write(&writer, &proof->head);
    json_close(&writer, '}');
    return writer.err == ERR_OK ? cli_print_json(cli, &json) : cli_fault(cli, writer.err);
}

static int verify_file(const struct cli *cli, const char *path, const struct flags *flags)
{
    CLEANUP(json_cleanup) struct json *json = NULL;
    CLEANUP(buf_deinit) struct buf record;
    struct proof_result result;
    const char *why;
    buf_init(&record, ROW_BYTES_MAX);
    int code = read_json(cli, path, &json);
    if (code != CLI_OK)
        return code;
    enum err err = proof_check(json, &record, &result, &why);
    if (err == ERR_INVALID)
        return cli_fail(cli, CLI_FAILED, "%s proves nothing: %s", path, why);
    if (err != ERR_OK)
        return cli_fault(cli, err);
    code = check_key(cli, &result.proof.head, flags->public_key);
    if (code == CLI_OK && flags->head)
        code = check_saved(cli, &result.proof.head, flags->head);
    return code == CLI_OK ? print_result(cli, &result) : code;
}

/* ---- verify --data DIR ---- */

struct finding {
    const struct cli *cli;
    uint64_t count;
};

static void report(void *context, const struct id *id, const char *what)
{
    struct finding *finding = context;
    char text[ID_TEXT_BYTES] = "";
    if (++finding->count > FINDINGS_PRINTED_MAX)
        return;
    if (id)
        id_format(id, text);
    (void)fprintf(finding->cli->is_json ? finding->cli->err : finding->cli->out, "%s%s%s\n", text,
        id ? ": " : "", what);
}

static int print_summary(
    const struct cli *cli, const struct audit_summary *summary, const struct finding *findings)
{
    if (cli->is_json) {
        (void)fprintf(cli->out,
            "{\"ok\":%s,\"findings_count\":%" PRIu64 ",\"leaves\":%" PRIu64 ",\"finished\":%" PRIu64
            ",\"deleted\":%" PRIu64 ",\"unlogged\":%" PRIu64 ",\"events\":%" PRIu64
            ",\"bytes\":%" PRIu64 "}\n",
            findings->count ? "false" : "true", findings->count, summary->leaves, summary->finished,
            summary->deleted, summary->unlogged, summary->events, summary->bytes);
        return findings->count ? CLI_FAILED : CLI_OK;
    }
    (void)fprintf(cli->out,
        "audit: %" PRIu64 " leaves: %" PRIu64 " streams, %" PRIu64 " deletions; %" PRIu64
        " events hashed\n",
        summary->leaves, summary->finished, summary->deleted, summary->events);
    if (summary->unlogged && !findings->count)
        (void)fprintf(cli->out, "audit: %" PRIu64 " streams wait in the journal to be logged\n",
            summary->unlogged);
    if (findings->count)
        (void)fprintf(cli->out, "%" PRIu64 " findings\n", findings->count);
    else
        (void)fputs("all is as it was logged\n", cli->out);
    return findings->count ? CLI_FAILED : CLI_OK;
}

static enum err verify_all(struct offline *offline, const struct head *head,
    struct finding *findings, struct audit_summary *summary)
{
    struct block_codec *codec = NULL;
    struct audit_check check = {.head = head,
        .is_settled = offline_recovery(offline)->records == 0,
        .report = report,
        .context = findings};
    TRY(store_verify(offline_store(offline), report, NULL, findings));
    TRY(block_codec_new(1, &codec));
    enum err err = audit_verify(offline_store(offline), codec, &check, summary);
    block_codec_free(codec);
    return err;
}

static int verify_directory(struct cli *cli, const struct flags *flags)
{
    CLEANUP(json_cleanup) struct json *json = NULL;
    struct finding findings = {.cli = cli};
    struct audit_summary summary;
    struct head head;
    struct offline *offline;
    int holder_pid = 0, code = CLI_OK;
    if (flags->head)
        code = read_head(cli, flags->head, &json, &head);
    if (code == CLI_OK && flags->head)
        code = check_key(cli, &head, flags->public_key);
    if (code != CLI_OK)
        return code;
    enum err err = offline_open(source_data(cli), NULL, &holder_pid, &offline);
    if (err == ERR_NOTFOUND)
        return cli_fail(
            cli, CLI_UNREACHABLE, "%s is no data directory of a server", source_data(cli));
    if (err == ERR_BUSY)
        return cli_fail(cli, CLI_UNREACHABLE,
            "process %d holds %s; stop the server first, or verify a copy", holder_pid,
            source_data(cli));
    if (err != ERR_OK)
        return cli_fault(cli, err);
    err = verify_all(offline, flags->head ? &head : NULL, &findings, &summary);
    offline_close(offline);
    return err == ERR_OK ? print_summary(cli, &summary, &findings) : cli_fault(cli, err);
}

static bool names_directory(int argc, char **argv)
{
    for (int i = 0; i < argc; i++)
        if (strncmp(argv[i], "--data", 6) == 0)
            return true;
    return false;
}

static int run_verify(struct cli *cli, int argc, char **argv)
{
    struct flags flags = {0};
    const struct cli_option options[] = {
        option_head(&flags, "a head that was saved elsewhere: the proof, or the log, must fit it"),
        {.name = "public-key",
            .value_name = "HEX",
            .help = "the head must be signed by this key",
            .text = &flags.public_key},
    };
    struct cli_usage usage = {
        .synopsis = "audit verify FILE | --data DIR [flags]",
        .description =
            "Check a proof, without server and data directory. Or, with --data, hash everything "
            "in a data\ndirectory again: any byte, order or count that was changed since the "
            "saved head shows. No server\nmay be running on it. Exits with 0 if all is well.\n",
        .options = options,
        .option_count = sizeof options / sizeof options[0],
        .positional_count = names_directory(argc, argv) ? 0 : 1,
        .is_local = true,
    };
    const char *positionals[CLI_POSITIONALS_MAX];
    int code = cli_parse(cli, &usage, argc, argv, positionals);
    if (code != CLI_GO_ON)
        return code;
    return usage.positional_count ? verify_file(cli, positionals[0], &flags)
                                  : verify_directory(cli, &flags);
}

/* ---- consistency ---- */

static int check_growth(struct cli *cli, const struct head *old, const struct head *new)
{
    CLEANUP(buf_deinit) struct buf text;
    CLEANUP(json_cleanup) struct json *json = NULL;
    struct merkle_path path;
    struct audit_request request = {.kind = AUDIT_CONSISTENCY,
        .project_name = new->project,
        .old_size = old->size,
        .size = new->size};
    buf_init(&text, CLI_BODY_BYTES_MAX);
    int code = new->size ? ask(cli, &request, &text) : CLI_OK; /* of an empty log: no path */
    if (code != CLI_OK)
        return code;
    path.count = 0;
    if (new->size && (json_parse(buf_slice(&text), &json) != ERR_OK ||
                         path_read(json_get(json, "path"), &path) != ERR_OK))
        return cli_fail(cli, CLI_FAILED, "the answer is no proof of consistency");
    if (!merkle_check_prefix(old->size, &old->root, new->size, &new->root, &path))
        return cli_fail(cli, CLI_FAILED,
            "the log of %" PRIu64 " leaves is not the beginning of that of %" PRIu64, old->size,
            new->size);
    (void)fprintf(cli->out,
        "the log grew from %" PRIu64 " to %" PRIu64 " leaves, and nothing before was changed\n",
        old->size, new->size);
    return CLI_OK;
}

static int run_consistency(struct cli *cli, int argc, char **argv)
{
    const struct cli_usage usage = {
        .synopsis = "audit consistency OLD NEW [flags]",
        .description = "Check, with a proof from the server or the data directory, that the log "
                       "of the saved head OLD is\nthe beginning of that of the saved head NEW.\n",
        .positional_count = 2,
    };
    const char *positionals[CLI_POSITIONALS_MAX];
    CLEANUP(json_cleanup) struct json *old_json = NULL;
    CLEANUP(json_cleanup) struct json *new_json = NULL;
    struct head old, new;
    int code = cli_parse(cli, &usage, argc, argv, positionals);
    if (code != CLI_GO_ON)
        return code;
    code = read_head(cli, positionals[0], &old_json, &old);
    if (code == CLI_OK)
        code = read_head(cli, positionals[1], &new_json, &new);
    if (code != CLI_OK)
        return code;
    if (memcmp(old.store, new.store, HEAD_STORE_BYTES) != 0 ||
        !slice_equal(old.project, new.project))
        return cli_fail(cli, CLI_FAILED, "these are heads of two logs");
    if (memcmp(old.key, new.key, ED25519_BYTES) != 0)
        (void)fputs("note: the heads are signed by two keys\n", cli->err);
    return check_growth(cli, &old, &new);
}

int command_audit(struct cli *cli, int argc, char **argv)
{
    static const struct {
        const char *name;
        int (*run)(struct cli *cli, int argc, char **argv);
    } commands[] = {
        {"head", run_head},
        {"prove", run_prove},
        {"verify", run_verify},
        {"consistency", run_consistency},
    };
    static const struct cli_usage usage = {
        .synopsis = "audit head | prove ID | verify FILE | verify --data DIR | consistency OLD NEW",
        .description = "The audit log. `tokenlog audit head --help` and so on have more.\n",
    };
    for (size_t i = 0; argc > 0 && i < sizeof commands / sizeof commands[0]; i++)
        if (strcmp(commands[i].name, argv[0]) == 0)
            return commands[i].run(cli, argc - 1, argv + 1);
    if (argc > 0 && argv[0][0] == '-')
        return cli_parse(cli, &usage, argc, argv, NULL) == CLI_OK ? CLI_OK : CLI_USAGE;
    return cli_fail(cli, CLI_USAGE, "usage: tokenlog %s", usage.synopsis);
}
