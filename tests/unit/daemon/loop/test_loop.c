/* The whole daemon in a child process, with a trainer in ours, where what is tested cannot be
 * brought about from outside: the linker sends the loop's calls of work_start here. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemon/core/matrix/linalg.h"
#include "daemon/loop/loop.h"
#include "daemon/loop/options.h"
#include "daemon/loop/work.h"
#include "include/richd.h"

#define EXIT_IO 74
/* A sanitized daemon on a busy machine is slow. */
#define PATIENCE_S 30

static unsigned n_left; /* jobs that still find memory */

int __real_work_start(struct work *, struct job *);
int __wrap_work_start(struct work *, struct job *);

int __wrap_work_start(struct work *w, struct job *job)
{
    if (n_left == 0)
        return -ENOMEM;
    n_left--;
    return __real_work_start(w, job);
}

/* Never returns. */
static void serve(char *dir, const char *log)
{
    char *argv[] = {(char[]){"richd"}, (char[]){"--state-dir"}, dir, (char[]){"--runtime-dir"},
                    dir};
    struct config config;
    struct loop *loop;
    struct err e = {""};
    int code;

    if (!freopen(log, "w", stderr))
        _exit(1);
    alarm(PATIENCE_S);
    linalg_init();
    if (options_read(&config, 5, argv, &e) < 0 || loop_open(&config, &loop, &code, &e) < 0) {
        fprintf(stderr, "%s\n", e.text);
        _exit(1);
    }
    code = loop_run(loop);
    config_release(&config);
    exit(code);
}

static int submit(struct richd_run *run, const char *layer)
{
    static const float rows[64 * 4];
    struct richd_batch batch = RICHD_BATCH;

    batch.layer = layer;
    batch.n_rows = 64;
    batch.n_features = 4;
    batch.n_outputs = 2;
    batch.features = batch.outputs = rows;
    return richd_submit(run, &batch);
}

/* Two layers, rows and checkpoints, until the daemon has ended; returns how it did. */
static int train(const char *dir, pid_t daemon)
{
    struct richd_options options = RICHD_OPTIONS;
    struct timespec pause = {0, 20000000};
    struct richd_run *run;
    int status;

    options.runtime_dir = dir;
    run = richd_connect(&options, NULL, 0);
    assert_non_null(run);
    for (int64_t step = 0; waitpid(daemon, &status, WNOHANG) == 0; step++) {
        assert_int_equal(submit(run, "body"), 0);
        assert_int_equal(submit(run, "head"), 0);
        richd_checkpoint(run, step, 0, NULL);
        nanosleep(&pause, NULL);
    }
    richd_close(run, RICHD_FAILED, 0);
    return status;
}

static void assert_says(const char *path, const char *sentence)
{
    char text[8192];
    FILE *log = fopen(path, "r");
    size_t n;

    assert_non_null(log);
    n = fread(text, 1, sizeof text - 1, log);
    fclose(log);
    text[n] = '\0';
    if (!strstr(text, sentence))
        print_error("%s\n", text);
    assert_non_null(strstr(text, sentence));
}

static void remove_dir(const char *dir)
{
    char command[128];

    snprintf(command, sizeof command, "rm -r %s", dir);
    assert_int_equal(system(command), 0);
}

static void job_without_memory_ends_the_daemon_with_74_and_a_sentence(void **state)
{
    (void)state;
    for (unsigned n = 0; n < 6; n++) {
        char dir[] = "/tmp/test_loop-XXXXXX", log[64];
        pid_t daemon;
        int status;

        assert_non_null(mkdtemp(dir));
        snprintf(log, sizeof log, "%s/log", dir);
        n_left = n;
        daemon = fork();
        if (daemon == 0)
            serve(dir, log);
        status = train(dir, daemon);
        assert_says(log, "stopping: out of memory");
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), EXIT_IO);
        remove_dir(dir);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(job_without_memory_ends_the_daemon_with_74_and_a_sentence),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
