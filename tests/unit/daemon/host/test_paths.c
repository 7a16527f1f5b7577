#include "daemon/host/paths.h"

#include "tests/lib/cmocka.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Options as config_read leaves them, with one that is set. */
static int complete(struct config *c, enum option option, const char *value, struct err *e)
{
    memset(c, 0, sizeof *c);
    assert_int_equal(config_set_default(c, OPTION_RUNTIME_DIR, "/run/r"), 0);
    assert_int_equal(config_set_default(c, OPTION_STATE_DIR, "/var/s"), 0);
    if (value) {
        free(c->value[option]);
        c->value[option] = strdup(value);
    }
    return paths_complete(c, e);
}

static void sockets_lie_in_the_runtime_directory(void **state)
{
    struct config c;
    struct err e = {""};

    (void)state;
    assert_int_equal(complete(&c, OPTION_LISTEN, NULL, &e), 0);
    assert_string_equal(c.value[OPTION_LISTEN], "ipc:///run/r/ingest.sock");
    assert_string_equal(c.value[OPTION_FEED], "unix:/run/r/feed.sock");
    config_release(&c);
}

static void directories_come_from_systemd_then_xdg_then_home(void **state)
{
    static const struct {
        const char *systemd, *xdg, *home, *is;
    } cases[] = {
        {"/var/lib/richd:/more", "/xdg", "/home/a", "/var/lib/richd"},
        {"", "/xdg", "/home/a", "/xdg/richd"},
        {"", "", "/home/a", "/home/a/.local/state/richd"},
        {"", "", "", "/var/tmp/.local/state/richd"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct config c = {.task = TASK_SERVE};
        struct err e = {""};

        setenv("STATE_DIRECTORY", cases[i].systemd, 1);
        setenv("XDG_STATE_HOME", cases[i].xdg, 1);
        setenv("HOME", cases[i].home, 1);
        assert_int_equal(paths_complete(&c, &e), 0);
        assert_string_equal(c.value[OPTION_STATE_DIR], cases[i].is);
        config_release(&c);
    }
}

static void a_relative_directory_becomes_absolute(void **state)
{
    struct config c;
    struct err e = {""};

    (void)state;
    assert_int_equal(chdir("/tmp"), 0);
    assert_int_equal(complete(&c, OPTION_STATE_DIR, "here", &e), 0);
    assert_string_equal(c.value[OPTION_STATE_DIR], "/tmp/here");
    config_release(&c);
}

static void nothing_is_reached_from_a_network_without_a_token(void **state)
{
    static const struct {
        enum option option;
        const char *value;
        int rc;
    } cases[] = {
        {OPTION_LISTEN, "tcp://127.0.0.1:0", 0},
        {OPTION_LISTEN, "tcp://[::1]:7777", 0},
        {OPTION_LISTEN, "tcp://10.0.0.1:7777", -EBADMSG},
        {OPTION_LISTEN, "tcp://localhost:7777", -EBADMSG},
        {OPTION_LISTEN, "udp://127.0.0.1:0", -EBADMSG},
        {OPTION_LISTEN, "ipc://relative", -EBADMSG},
        {OPTION_FEED, "tcp:127.1.2.3:0", 0},
        {OPTION_FEED, "tcp:0.0.0.0:0", -EBADMSG},
        {OPTION_FEED, "tcp:127.0.0.1:70000", -EBADMSG},
        {OPTION_FEED, "/path", -EBADMSG},
        {OPTION_HTTP, "[::1]:0", 0},
        {OPTION_HTTP, "0.0.0.0:80", -EBADMSG},
        {OPTION_HTTP, "hub:80", -EBADMSG},
        {OPTION_HTTP, "localhost", -EBADMSG},
        {OPTION_HTTP, "localhost:http", -EBADMSG},
        {OPTION_HTTP, "70000", -EBADMSG},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct config c;
        struct err e = {""};
        int rc = complete(&c, cases[i].option, cases[i].value, &e);

        if (rc != cases[i].rc)
            fail_msg("%s: %d, \"%s\"", cases[i].value, rc, e.text);
        config_release(&c);
    }
}

static void a_port_alone_is_on_the_loopback(void **state)
{
    static const struct {
        const char *given, *is;
    } cases[] = {
        {NULL, "on"},
        {"off", "off"},
        {"8080", "127.0.0.1:8080"},
        {"localhost:8080", "127.0.0.1:8080"},
        {"[::1]:8080", "[::1]:8080"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct config c;
        struct err e = {""};

        assert_int_equal(complete(&c, OPTION_HTTP, cases[i].given, &e), 0);
        assert_string_equal(c.value[OPTION_HTTP], cases[i].is);
        config_release(&c);
    }
}

static void a_socket_path_beyond_the_kernels_limit_is_refused(void **state)
{
    char path[128] = "unix:/";
    struct config c;
    struct err e = {""};

    (void)state;
    memset(path + 6, 'a', 107);
    assert_int_equal(complete(&c, OPTION_FEED, path, &e), -EBADMSG);
    assert_non_null(strstr(e.text, "at most 107"));
    config_release(&c);
    path[5 + 107] = '\0';
    assert_int_equal(complete(&c, OPTION_FEED, path, &e), 0);
    config_release(&c);
}

static void directories_are_made_with_their_parents_for_us_alone(void **state)
{
    char base[] = "/tmp/test_paths-XXXXXX", dir[64], file[80];
    struct stat st;
    struct err e = {""};

    (void)state;
    assert_non_null(mkdtemp(base));
    snprintf(dir, sizeof dir, "%s/a/b", base);
    for (int i = 0; i < 2; i++)
        assert_int_equal(paths_make_dir(dir, &e), 0);
    assert_int_equal(stat(dir, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    snprintf(file, sizeof file, "%s/file", dir);
    fclose(fopen(file, "w"));
    assert_int_equal(paths_make_dir(file, &e), -ENOTDIR);
    unlink(file);
    rmdir(dir);
    *strrchr(dir, '/') = '\0';
    rmdir(dir);
    rmdir(base);
}

/* A read-only file system, or one that takes no directories: not that the one above is missing. */
static void what_keeps_a_parent_from_being_made_is_the_reason(void **state)
{
    struct err e = {""};
    int rc = paths_make_dir("/sys/richd/state", &e);

    (void)state;
    assert_true(rc == -EPERM || rc == -EACCES || rc == -EROFS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sockets_lie_in_the_runtime_directory),
        cmocka_unit_test(directories_come_from_systemd_then_xdg_then_home),
        cmocka_unit_test(a_relative_directory_becomes_absolute),
        cmocka_unit_test(nothing_is_reached_from_a_network_without_a_token),
        cmocka_unit_test(a_port_alone_is_on_the_loopback),
        cmocka_unit_test(a_socket_path_beyond_the_kernels_limit_is_refused),
        cmocka_unit_test(directories_are_made_with_their_parents_for_us_alone),
        cmocka_unit_test(what_keeps_a_parent_from_being_made_is_the_reason),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
