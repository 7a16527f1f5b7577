/* The command for events, with scripts of ours. That it is killed after ten seconds is held by
 * tests/e2e/measure/test_a_transition_is_reported.py. */
#include "daemon/loop/alert.h"

#include "tests/lib/cmocka.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/lib/records.h"

struct fixture {
    uv_loop_t loop;
    char *directory;
    char script[256], told[256];
    struct alert *alert;
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    uv_loop_init(&f->loop);
    f->directory = scratch_new();
    snprintf(f->script, sizeof f->script, "%s", scratch_path(f->directory, "script"));
    snprintf(f->told, sizeof f->told, "%s", scratch_path(f->directory, "told"));
    f->alert = alert_new(&f->loop, f->script);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    alert_close(f->alert);
    uv_run(&f->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&f->loop), 0);
    alert_free(f->alert);
    scratch_free(f->directory);
    free(f);
    return 0;
}

/* `commands`, with the file that they write to for $told. */
static void write_script(struct fixture *f, const char *commands)
{
    FILE *file = fopen(f->script, "w");

    assert_non_null(file);
    fprintf(file, "#!/bin/sh\ntold=%s\n%s\n", f->told, commands);
    fclose(file);
    chmod(f->script, 0700);
}

static void put(struct fixture *f, const char *line)
{
    alert_put(f->alert, strdup(line), strlen(line));
}

static void assert_told(struct fixture *f, const char *lines)
{
    char text[1024] = "";
    FILE *file = fopen(f->told, "r");
    size_t n = file ? fread(text, 1, sizeof text - 1, file) : 0;

    text[n] = '\0';
    if (file)
        fclose(file);
    assert_string_equal(text, lines);
}

static void events_are_told_in_order_one_command_each(void **state)
{
    struct fixture *f = *state;

    write_script(f, "echo begin >>$told; cat >>$told; echo end >>$told");
    put(f, "first\n");
    put(f, "second\n");
    uv_run(&f->loop, UV_RUN_DEFAULT);
    assert_told(f, "begin\nfirst\nend\nbegin\nsecond\nend\n");
}

static void a_command_that_fails_or_does_not_read_harms_nobody(void **state)
{
    struct fixture *f = *state;

    write_script(f, "echo called >>$told; exit 3");
    put(f, "first\n");
    put(f, "second\n");
    uv_run(&f->loop, UV_RUN_DEFAULT);
    assert_told(f, "called\ncalled\n");
    unlink(f->script);
    put(f, "third\n");
    uv_run(&f->loop, UV_RUN_DEFAULT);
    assert_told(f, "called\ncalled\n");
}

static void what_does_not_fit_into_the_queue_is_dropped(void **state)
{
    struct fixture *f = *state;
    char expected[ALERT_QUEUE_MAX + 2] = "";

    write_script(f, "printf . >>$told");
    for (int i = 0; i < ALERT_QUEUE_MAX + 9; i++)
        put(f, "an event\n");
    uv_run(&f->loop, UV_RUN_DEFAULT);
    memset(expected, '.', ALERT_QUEUE_MAX + 1); /* one runs, the others wait */
    assert_told(f, expected);
}

static void without_a_command_what_waits_is_dropped(void **state)
{
    struct fixture *f = *state;

    write_script(f, "cat >>$told");
    put(f, "first\n");
    put(f, "second\n");
    assert_true(alert_is_on(f->alert));
    alert_set_path(f->alert, NULL);
    assert_false(alert_is_on(f->alert));
    uv_run(&f->loop, UV_RUN_DEFAULT);
    assert_told(f, "first\n");
}

static void closing_kills_the_command_and_what_it_started(void **state)
{
    struct fixture *f = *state;

    write_script(f, "(sleep 1; echo late >>$told) & wait");
    put(f, "first\n");
    uv_run(&f->loop, UV_RUN_NOWAIT);
    alert_close(f->alert);
    uv_run(&f->loop, UV_RUN_DEFAULT);
    usleep(1500000);
    assert_told(f, "");
}

static void what_cannot_be_run_is_refused_with_a_sentence(void **state)
{
    struct fixture *f = *state;
    struct err e = {""};

    write_script(f, "true");
    assert_int_equal(alert_check(f->script, &e), 0);
    chmod(f->script, 0600);
    assert_int_equal(alert_check(f->script, &e), -EINVAL);
    assert_non_null(strstr(e.text, "no executable file"));
    assert_int_equal(alert_check(f->directory, &e), -EINVAL);
    assert_int_equal(alert_check("sh", &e), -EINVAL);
    assert_non_null(strstr(e.text, "not an absolute path"));
    assert_int_equal(alert_check("/no/such/file", &e), -EINVAL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(events_are_told_in_order_one_command_each),
        TEST(a_command_that_fails_or_does_not_read_harms_nobody),
        TEST(what_does_not_fit_into_the_queue_is_dropped),
        TEST(without_a_command_what_waits_is_dropped),
        TEST(closing_kills_the_command_and_what_it_started),
        TEST(what_cannot_be_run_is_refused_with_a_sentence),
    };

    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
