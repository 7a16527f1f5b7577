/* The example program as a user runs it: linked against librichd.so, in a process of its own. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "tests/lib/fakedaemon.h"

/* build/tests/unit/client/c/test_example -> build/example */
static void find_example(char *out, size_t size)
{
    char self[512];
    ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);

    assert_true(length > 0);
    self[length] = '\0';
    for (int i = 0; i < 5; i++)
        *strrchr(self, '/') = '\0';
    snprintf(out, size, "%s/example", self);
}

/* Returns its exit status; its output is cut to `size`. */
static int run_example(struct fakedaemon *f, const char *arguments, char *output, size_t size)
{
    char program[600], command[1024];
    size_t length;
    FILE *pipe;

    find_example(program, sizeof program);
    snprintf(command, sizeof command, "'%s' --runtime-dir '%s' %s 2>&1", program,
             fakedaemon_directory(f), arguments);
    pipe = popen(command, "r");
    assert_non_null(pipe);
    length = fread(output, 1, size - 1, pipe);
    output[length] = '\0';
    return WEXITSTATUS(pclose(pipe));
}

static int set_up(void **state)
{
    *state = fakedaemon_new();
    return 0;
}

static int tear_down(void **state)
{
    fakedaemon_free(*state);
    return 0;
}

static void example_trains_and_prints_its_points(void **state)
{
    struct fakedaemon *f = *state;
    char output[4096];

    fakedaemon_start(f, false);
    assert_int_equal(run_example(f, "--run example-1 --steps 20", output, sizeof output), 0);
    assert_non_null(strstr(output, "run example-1\n"));
    assert_non_null(strstr(output, "d_lr 0.2500"));
    assert_non_null(strstr(output, "partial"));
    assert_int_equal(fakedaemon_count(f, "batch head"), 20);
    assert_int_equal(fakedaemon_count(f, "checkpoint"), 6); /* 1, 2, 4, 8, 16, 20 */
    assert_int_equal(fakedaemon_count(f, "log"), 6);
    assert_int_equal(fakedaemon_count(f, "close 13 finished"), 1);
    assert_int_equal(fakedaemon_count(f, "malformed"), 0);
}

static void example_says_what_it_is_missing_without_a_daemon(void **state)
{
    char output[4096];

    assert_int_equal(run_example(*state, "--steps 1", output, sizeof output), 1);
    assert_non_null(strstr(output, "no point at step 1"));
    assert_non_null(strstr(output, "no daemon"));
    assert_int_equal(run_example(*state, "--run ../x", output, sizeof output), 1);
    assert_int_equal(run_example(*state, "--wrong", output, sizeof output), 64);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(example_trains_and_prints_its_points, set_up, tear_down),
        cmocka_unit_test_setup_teardown(example_says_what_it_is_missing_without_a_daemon, set_up,
                                        tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
