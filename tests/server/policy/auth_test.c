/* auth — keys let into their own project, a reload is all or nothing, and the file keeps no key. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "protocol/base/own.h"
#include "server/policy/auth.h"

struct fixture {
    char folder[64], path[96];
    struct config config;
    struct project_config projects[2];
    uint8_t hashes[2][SHA256_BYTES];
    struct auth *auth;
    struct buf why;
};

static void begin(struct fixture *fixture)
{
    *fixture = (struct fixture){
        .folder = "/tmp/tokenlog-auth-XXXXXX", .config = {.keys_file = "", .keep_days = 30}};
    assert_non_null(mkdtemp(fixture->folder));
    (void)snprintf(fixture->path, sizeof fixture->path, "%s/keys", fixture->folder);
    buf_init(&fixture->why, CONFIG_WHY_BYTES_MAX);
}

/* The config gets a project with the hash of `key`. */
static void add_project(struct fixture *fixture, const char *name, const char *key)
{
    size_t i = fixture->config.project_count++;
    sha256(slice_text(key), fixture->hashes[i]);
    fixture->projects[i] = (struct project_config){.name = name,
        .key_hashes = &fixture->hashes[i],
        .key_count = 1,
        .keep_s = 7,
        .on_disconnect = {DISCONNECT_STOP, 0}};
    fixture->config.projects = fixture->projects;
}

static void end(struct fixture *fixture)
{
    fixture->auth = auth_free(fixture->auth);
    buf_deinit(&fixture->why);
    (void)unlink(fixture->path);
    (void)rmdir(fixture->folder);
}

static void write_file(struct fixture *fixture, const char *text)
{
    CLEANUP(cleanup_close)
    int fd = open(fixture->path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
}

static enum err start(struct fixture *fixture)
{
    return auth_new(&fixture->config, fixture->path, &fixture->why, &fixture->auth);
}

static bool says(struct fixture *fixture, const char *sentence)
{
    return slice_find(buf_slice(&fixture->why), slice_text(sentence)) >= 0;
}

static const char *project_of(struct fixture *fixture, const char *key)
{
    struct project *project;
    enum err err = auth_check(fixture->auth, slice_text(key), &project);
    assert_true(err == ERR_OK || err == ERR_DENIED);
    return err == ERR_OK ? project->name : "denied";
}

static void without_keys_all_is_the_default_project(void **state)
{
    (void)state;
    struct fixture fixture;
    begin(&fixture);
    assert_int_equal(start(&fixture), ERR_OK);
    assert_true(auth_is_open(fixture.auth));
    assert_string_equal(project_of(&fixture, ""), "default");
    assert_string_equal(project_of(&fixture, "anything"), "default");
    end(&fixture);
}

static void keys_let_into_their_own_project(void **state)
{
    (void)state;
    struct fixture fixture;
    struct project *project;
    begin(&fixture);
    add_project(&fixture, "search", "key-of-search");
    assert_int_equal(keys_append(fixture.path, "chat", "key-of-chat", &fixture.why), ERR_OK);
    assert_int_equal(keys_append(fixture.path, "search", "second", &fixture.why), ERR_OK);
    assert_int_equal(start(&fixture), ERR_OK);
    assert_false(auth_is_open(fixture.auth));
    assert_int_equal(auth_key_count(fixture.auth), 3);
    assert_string_equal(project_of(&fixture, "key-of-search"), "search");
    assert_string_equal(project_of(&fixture, "second"), "search");
    assert_string_equal(project_of(&fixture, "key-of-chat"), "chat");
    assert_string_equal(project_of(&fixture, "key-of-cha"), "denied");
    assert_string_equal(project_of(&fixture, ""), "denied");
    assert_int_equal(auth_check(fixture.auth, SLICE("second"), &project), ERR_OK);
    assert_int_equal(project->keep_s, 7); /* the config's own settings */
    assert_int_equal(project->on_disconnect.policy, DISCONNECT_STOP);
    assert_int_equal(auth_check(fixture.auth, SLICE("key-of-chat"), &project), ERR_OK);
    assert_int_equal(project->keep_s, 30 * 24 * 3600); /* the server's */
    end(&fixture);
}

static void a_key_too_long_is_denied(void **state)
{
    (void)state;
    struct fixture fixture;
    static char key[KEY_PRESENTED_BYTES_MAX + 2];
    memset(key, 'k', sizeof key - 1);
    begin(&fixture);
    add_project(&fixture, "a", key);
    assert_int_equal(start(&fixture), ERR_OK);
    assert_string_equal(project_of(&fixture, key), "denied");
    end(&fixture);
}

static void a_reload_adds_and_takes_away(void **state)
{
    (void)state;
    struct fixture fixture;
    struct project *before, *after;
    begin(&fixture);
    assert_int_equal(keys_append(fixture.path, "a", "one", &fixture.why), ERR_OK);
    assert_int_equal(start(&fixture), ERR_OK);
    assert_int_equal(auth_check(fixture.auth, SLICE("one"), &before), ERR_OK);
    before->number = 42;
    (void)unlink(fixture.path);
    assert_int_equal(keys_append(fixture.path, "a", "two", &fixture.why), ERR_OK);
    assert_int_equal(auth_reload(fixture.auth, &fixture.why), ERR_OK);
    assert_string_equal(project_of(&fixture, "one"), "denied");
    assert_int_equal(auth_check(fixture.auth, SLICE("two"), &after), ERR_OK);
    assert_ptr_equal(before, after); /* streams that run point to it */
    assert_int_equal(after->number, 42);
    end(&fixture);
}

static void an_open_server_can_be_closed_by_a_reload(void **state)
{
    (void)state;
    struct fixture fixture;
    begin(&fixture);
    assert_int_equal(start(&fixture), ERR_OK);
    assert_int_equal(keys_append(fixture.path, "a", "one", &fixture.why), ERR_OK);
    assert_int_equal(auth_reload(fixture.auth, &fixture.why), ERR_OK);
    assert_false(auth_is_open(fixture.auth));
    assert_string_equal(project_of(&fixture, ""), "denied");
    end(&fixture);
}

#define HASH "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static void a_refused_reload_leaves_the_old_keys(void **state)
{
    (void)state;
    static const struct {
        const char *text, *sentence;
    } files[] = {
        {HASH " ok\nnonsense\n", "keys:2: a line is"},
        {HASH "\n", "keys:1: the project's name"},
        {HASH " a/b\n", "keys:1: the project's name"},
        {"\n# x\n" HASH "0 a\n", "keys:3: a line is"},
        {HASH " a b\n", "keys:1: there is something after"},
        {HASH " a\n" HASH " b\n", "keys:2: the key is another project's"},
        {"", "open to all"},
        {"# all taken away\n", "open to all"},
    };
    struct fixture fixture;
    begin(&fixture);
    assert_int_equal(keys_append(fixture.path, "a", "one", &fixture.why), ERR_OK);
    assert_int_equal(start(&fixture), ERR_OK);
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        write_file(&fixture, files[i].text);
        buf_clear(&fixture.why);
        assert_int_equal(auth_reload(fixture.auth, &fixture.why), ERR_INVALID);
        assert_true(says(&fixture, files[i].sentence));
        assert_string_equal(project_of(&fixture, "one"), "a");
    }
    end(&fixture);
}

static void odd_but_fine_files_are_read(void **state)
{
    (void)state;
    struct fixture fixture;
    begin(&fixture);
    write_file(&fixture, "\r\n  # hello\n\t" HASH "\t a\t# mine\r\n" HASH " a");
    assert_int_equal(start(&fixture), ERR_OK);
    assert_int_equal(auth_key_count(fixture.auth), 1);
    end(&fixture);
}

static void a_named_file_must_be_there(void **state)
{
    (void)state;
    struct fixture fixture;
    begin(&fixture);
    fixture.config.keys_file = fixture.path;
    assert_int_equal(start(&fixture), ERR_INVALID);
    assert_true(says(&fixture, "tokenlog key new"));
    end(&fixture);
}

static void keys_are_made_of_all_their_bytes(void **state)
{
    (void)state;
    uint8_t random[KEY_RANDOM_BYTES];
    char key[KEY_TEXT_BYTES], other[KEY_TEXT_BYTES];
    memset(random, 0xff, sizeof random);
    key_make(random, key);
    assert_string_equal(key, "tlk_________________________________________");
    assert_int_equal(strlen(key), 44);
    for (size_t i = 0; i < sizeof random; i++) {
        random[i] ^= 1;
        key_make(random, other);
        assert_string_not_equal(key, other);
        random[i] ^= 1;
    }
}

static void the_file_is_private_and_keeps_no_key(void **state)
{
    (void)state;
    struct fixture fixture;
    struct stat file;
    char text[4096];
    begin(&fixture);
    write_file(&fixture, "# no end of line");
    (void)unlink(fixture.path);
    const char *key = "tlk_abcdefghijklmnop";
    assert_int_equal(keys_append(fixture.path, "a", key, &fixture.why), ERR_OK);
    assert_int_equal(stat(fixture.path, &file), 0);
    assert_int_equal(file.st_mode & 0777, 0600);
    CLEANUP(cleanup_close) int fd = open(fixture.path, O_RDONLY | O_CLOEXEC);
    ssize_t size = read(fd, text, sizeof text - 1);
    assert_true(size > 0);
    text[size] = '\0';
    assert_null(strstr(text, key));
    assert_non_null(strstr(text, " a # tlk_abcd...\n"));
    end(&fixture);
}

static void appending_to_an_unended_line_begins_a_new_one(void **state)
{
    (void)state;
    struct fixture fixture;
    begin(&fixture);
    write_file(&fixture, HASH " a");
    assert_int_equal(keys_append(fixture.path, "b", "two", &fixture.why), ERR_OK);
    assert_int_equal(start(&fixture), ERR_OK);
    assert_int_equal(auth_key_count(fixture.auth), 2);
    end(&fixture);
}

static void appending_where_it_cannot_is_told(void **state)
{
    (void)state;
    struct fixture fixture;
    begin(&fixture);
    assert_int_equal(keys_append(fixture.path, "a b", "k", &fixture.why), ERR_INVALID);
    assert_true(says(&fixture, "a project's name"));
    buf_clear(&fixture.why);
    assert_int_equal(keys_append("/no/such/folder/keys", "a", "k", &fixture.why), ERR_IO);
    assert_true(says(&fixture, "No such file"));
    end(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_keys_all_is_the_default_project),
        cmocka_unit_test(keys_let_into_their_own_project),
        cmocka_unit_test(a_key_too_long_is_denied),
        cmocka_unit_test(a_reload_adds_and_takes_away),
        cmocka_unit_test(an_open_server_can_be_closed_by_a_reload),
        cmocka_unit_test(a_refused_reload_leaves_the_old_keys),
        cmocka_unit_test(odd_but_fine_files_are_read),
        cmocka_unit_test(a_named_file_must_be_there),
        cmocka_unit_test(keys_are_made_of_all_their_bytes),
        cmocka_unit_test(the_file_is_private_and_keeps_no_key),
        cmocka_unit_test(appending_to_an_unended_line_begins_a_new_one),
        cmocka_unit_test(appending_where_it_cannot_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
