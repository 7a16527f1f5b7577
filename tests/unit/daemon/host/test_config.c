#include "daemon/host/config.h"

#include "tests/lib/cmocka.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define N_ARGUMENTS 8
#define LONG_TEXT   "/a/folder/of/the/token/of/a/page/that/has/its/own/name/on/this/mac"
#define LONG_LINE   "token-file = " LONG_TEXT LONG_TEXT LONG_TEXT

/* The command line in `flags` (NULL ends it), read into `c`. */
static int read_flags(struct config *c, const char *const *flags, struct err *e)
{
    static char texts[N_ARGUMENTS][256];
    static char *argv[N_ARGUMENTS];
    int argc = 0;

    strcpy(texts[0], "richd");
    argv[argc] = texts[argc];
    for (argc = 1; flags[argc - 1]; argc++) {
        strcpy(texts[argc], flags[argc - 1]);
        argv[argc] = texts[argc];
    }
    return config_read(c, argc, argv, e);
}

/* A file that --config reads; the caller unlinks it. */
static void write_file(char path[64], const char *text)
{
    int fd;

    strcpy(path, "/tmp/test_config-XXXXXX");
    fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

static void flag_wins_over_environment_over_file_over_default(void **state)
{
    char path[64];
    struct config c;
    struct err e = {""};

    (void)state;
    write_file(path, "feed = file\nlisten = file\nstate-dir = file\n");
    setenv("RICHD_FEED", "environment", 1);
    setenv("RICHD_LISTEN", "environment", 1);
    assert_int_equal(read_flags(&c, (const char *[]){"--config", path, "--feed=flag", NULL}, &e),
                     0);
    assert_string_equal(c.value[OPTION_FEED], "flag");
    assert_string_equal(c.value[OPTION_LISTEN], "environment");
    assert_string_equal(c.value[OPTION_STATE_DIR], "file");
    assert_string_equal(c.source[OPTION_STATE_DIR], "file");
    assert_string_equal(c.value[OPTION_LOG_LEVEL], "info");
    assert_string_equal(c.source[OPTION_LOG_LEVEL], "default");
    assert_null(c.value[OPTION_HTTP]);
    unsetenv("RICHD_FEED");
    unsetenv("RICHD_LISTEN");
    config_release(&c);
    unlink(path);
}

static void what_is_wrong_is_named_with_its_source(void **state)
{
    static const struct {
        const char *file; /* NULL: the flags alone */
        const char *flags[3];
        int rc;
        const char *says;
    } cases[] = {
        {NULL, {"--fed=x"}, -EINVAL, "unknown option --fed=x"},
        {NULL, {"feed"}, -EINVAL, "unknown option feed"},
        {NULL, {"--feed"}, -EINVAL, "--feed needs a value: ADDRESS"},
        {NULL, {"--feed="}, -EINVAL, "--feed needs a value: ADDRESS"},
        {NULL, {"--version=2"}, -EINVAL, "--version takes no value"},
        {NULL, {"--nice=20"}, -EBADMSG, "nice (flag): \"20\" is no niceness"},
        {NULL, {"--ranks-wait=601"}, -EBADMSG, "ranks-wait (flag): \"601\" is no number"},
        {NULL, {"--ranks-wait=1s"}, -EBADMSG, "ranks-wait (flag): \"1s\" is no number"},
        {NULL, {"--log-level=loud"}, -EBADMSG, "log-level (flag): \"loud\" is none of"},
        {NULL, {"--config=/nowhere"}, -EBADMSG, "/nowhere cannot be read"},
        {"feed = a\nfed = b\n", {NULL}, -EBADMSG, "line 2: unknown option \"fed\""},
        {"feed =\n", {NULL}, -EBADMSG, "line 1: feed needs a value"},
        {"feed =; a\n", {NULL}, -EBADMSG, "line 1: feed needs a value"},
        {"[feed]\nfeed = a\n", {NULL}, -EBADMSG, "there are no sections"},
        {"feed = a\nlisten = b\nfeed = a\n",
         {NULL},
         -EBADMSG,
         "line 3: feed stands in line 1, too"},
        {"feed = a\n" LONG_LINE "\n", {NULL}, -EBADMSG, "line 2: a line of more than 198 bytes"},
        {LONG_LINE, {NULL}, -EBADMSG, "line 1: a line of more than 198 bytes"},
        {"config = a\n", {NULL}, -EBADMSG, "unknown option \"config\""},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *flags[4] = {cases[i].flags[0], NULL};
        char path[64] = "";
        struct config c;
        struct err e = {""};

        if (cases[i].file) {
            write_file(path, cases[i].file);
            flags[0] = "--config";
            flags[1] = path;
        }
        assert_int_equal(read_flags(&c, flags, &e), cases[i].rc);
        if (!strstr(e.text, cases[i].says))
            fail_msg("\"%s\" does not say \"%s\"", e.text, cases[i].says);
        if (*path)
            unlink(path);
    }
}

static void count_change(void *arg, const char *name, bool taken)
{
    unsigned *seen = arg;

    (void)name;
    seen[taken]++;
}

static void only_what_reloads_is_taken_over(void **state)
{
    struct config c, fresh;
    struct err e = {""};
    unsigned seen[2] = {0};

    (void)state;
    assert_int_equal(read_flags(&c, (const char *[]){"--feed=a", "--on-event=/a", NULL}, &e), 0);
    assert_int_equal(
        read_flags(&fresh, (const char *[]){"--feed=b", "--http-host=h", "--log-level=debug", NULL},
                   &e),
        0);
    config_take(&c, &fresh, count_change, seen);
    assert_string_equal(c.value[OPTION_FEED], "a");
    assert_null(c.value[OPTION_ON_EVENT]);
    assert_string_equal(c.value[OPTION_HTTP_HOST], "h");
    assert_int_equal(c.log_level, LOG_DEBUG);
    assert_int_equal(seen[true], 3);
    assert_int_equal(seen[false], 1);
    assert_string_equal(fresh.value[OPTION_ON_EVENT], "/a"); /* borrowed texts live on */
    config_release(&c);
    config_release(&fresh);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(flag_wins_over_environment_over_file_over_default),
        cmocka_unit_test(what_is_wrong_is_named_with_its_source),
        cmocka_unit_test(only_what_reloads_is_taken_over),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
