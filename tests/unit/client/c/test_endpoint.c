#include "client/c/endpoint.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

static char root[] = "/tmp/richd-test-XXXXXX";
static const char *const directories[] = {"a", "b", "b/richd"};

/* Writes endpoints.json into a directory of the test's own; NULL removes it. */
static void leave(const char *directory, const char *text)
{
    char path[128];
    FILE *file;

    snprintf(path, sizeof path, "%s/%s/endpoints.json", root, directory);
    unlink(path);
    file = text ? fopen(path, "w") : NULL;
    assert_true(!text || (file && fputs(text, file) >= 0));
    if (file)
        fclose(file);
}

static int set_up(void **state)
{
    char path[128];

    (void)state;
    if (!mkdtemp(root))
        return -1;
    for (size_t i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "%s/%s", root, directories[i]);
        if (mkdir(path, 0700) < 0)
            return -1;
    }
    return 0;
}

static int tear_down(void **state)
{
    char path[128];

    (void)state;
    for (size_t i = 3; i > 0; i--) {
        leave(directories[i - 1], NULL);
        snprintf(path, sizeof path, "%s/%s", root, directories[i - 1]);
        rmdir(path);
    }
    return rmdir(root);
}

/* Every test says which variables are set, relative to the root. */
static void set_variable(const char *name, const char *directory)
{
    char text[128];

    unsetenv(name);
    if (directory) {
        snprintf(text, sizeof text, "%s/%s", root, directory);
        setenv(name, text, 1);
    }
}

static void set_environment(const char *endpoint, const char *runtime_dir, const char *session)
{
    unsetenv("RICHD_ENDPOINT");
    if (endpoint)
        setenv("RICHD_ENDPOINT", endpoint, 1);
    set_variable("RICHD_RUNTIME_DIR", runtime_dir);
    set_variable("XDG_RUNTIME_DIR", session);
}

static void expect(const char *endpoint, const char *runtime_dir, const char *address)
{
    char found[ENDPOINT_MAX] = "";
    struct err e = {""};
    struct endpoint *search = endpoint_new(endpoint, runtime_dir);

    assert_int_equal(endpoint_find(search, found, &e), 0);
    assert_string_equal(found, address);
    endpoint_free(search);
}

static void expect_failure(const char *runtime_dir, int rc, const char *reason)
{
    char found[ENDPOINT_MAX] = "";
    struct err e = {""};
    struct endpoint *search = endpoint_new(NULL, runtime_dir);

    assert_int_equal(endpoint_find(search, found, &e), rc);
    if (!strstr(e.text, reason))
        print_error("%s\n", e.text);
    assert_non_null(strstr(e.text, reason));
    endpoint_free(search);
}

static void what_is_said_more_plainly_wins(void **state)
{
    char a[64];

    (void)state;
    snprintf(a, sizeof a, "%s/a", root);
    leave("a", "{\"ingest\":\"ipc:///of-a\"}");
    leave("b", "{\"ingest\":\"ipc:///of-b\"}");
    leave("b/richd", "{\"ingest\":\"ipc:///of-session\",\"feed\":\"x\"}");
    set_environment("ipc:///of-environment", "b", "b");
    expect("ipc:///of-option", a, "ipc:///of-option");
    expect(NULL, a, "ipc:///of-environment");
    set_environment(NULL, "b", "b");
    expect(NULL, a, "ipc:///of-a");
    expect(NULL, NULL, "ipc:///of-b");
    set_environment(NULL, NULL, "b");
    expect(NULL, NULL, "ipc:///of-session");
}

/* Another daemon must not get the run because the one that was meant is away. */
static void named_directory_is_not_replaced_by_another(void **state)
{
    (void)state;
    leave("a", NULL);
    leave("b/richd", "{\"ingest\":\"ipc:///of-session\"}");
    set_environment(NULL, "a", "b");
    expect_failure(NULL, -ENOENT, "/a/endpoints.json");
}

static void file_is_read_anew_each_time(void **state)
{
    char found[ENDPOINT_MAX];
    struct endpoint *search;

    (void)state;
    set_environment(NULL, "a", NULL);
    search = endpoint_new(NULL, NULL);
    leave("a", "{\"ingest\":\"ipc:///one\"}");
    assert_int_equal(endpoint_find(search, found, NULL), 0);
    assert_string_equal(found, "ipc:///one");
    leave("a", "{\"ingest\":\"ipc:///two\"}");
    assert_int_equal(endpoint_find(search, found, NULL), 0);
    assert_string_equal(found, "ipc:///two");
    leave("a", NULL);
    assert_int_equal(endpoint_find(search, found, NULL), -ENOENT);
    endpoint_free(search);
}

static void malformed_file_is_named(void **state)
{
    (void)state;
    set_environment(NULL, "a", NULL);
    leave("a", "{\"ingest\":");
    expect_failure(NULL, -EPROTO, "/a/endpoints.json");
    leave("a", "");
    expect_failure(NULL, -EPROTO, "/a/endpoints.json");
    leave("a", "{\"feed\":\"x\"}");
    expect_failure(NULL, -EPROTO, "\"ingest\" is missing");
    leave("a", "{\"ingest\":7}");
    expect_failure(NULL, -EPROTO, "\"ingest\" must be a string");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_said_more_plainly_wins),
        cmocka_unit_test(named_directory_is_not_replaced_by_another),
        cmocka_unit_test(file_is_read_anew_each_time),
        cmocka_unit_test(malformed_file_is_named),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
