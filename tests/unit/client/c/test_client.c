/* librichd against a daemon that the test controls. */
#include "include/richd.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "tests/lib/fakedaemon.h"

#define N_ROWS     4
#define N_FEATURES 3
#define N_OUTPUTS  2
/* Header, "head", features and outputs of f32. */
#define BATCH_BYTES (64 + 4 + N_ROWS * (N_FEATURES + N_OUTPUTS) * 4)

static double now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

static void pause_ms(long ms)
{
    struct timespec t = {ms / 1000, ms % 1000 * 1000000};

    nanosleep(&t, NULL);
}

static struct richd_run *connect_to(struct fakedaemon *f, size_t queue_bytes)
{
    struct richd_options options = RICHD_OPTIONS;
    char error[256];
    struct richd_run *run;

    options.run_id = "r1";
    options.runtime_dir = fakedaemon_directory(f);
    options.queue_bytes = queue_bytes;
    run = richd_connect(&options, error, sizeof error);
    assert_string_equal(error, "");
    assert_non_null(run);
    return run;
}

/* The first feature of each row counts on, so that the daemon sees rows lost, doubled or moved. */
static float next_row;

static int submit(struct richd_run *run)
{
    struct richd_batch batch = RICHD_BATCH;
    float features[N_ROWS][N_FEATURES] = {{0}}, outputs[N_ROWS][N_OUTPUTS] = {{0}};

    for (int i = 0; i < N_ROWS; i++)
        features[i][0] = next_row++;
    batch.layer = "head";
    batch.n_rows = N_ROWS;
    batch.n_features = N_FEATURES;
    batch.n_outputs = N_OUTPUTS;
    batch.features = features;
    batch.outputs = outputs;
    return richd_submit(run, &batch);
}

static struct richd_stats stats_of(struct richd_run *run)
{
    struct richd_stats stats;

    assert_int_equal(richd_stats(run, &stats, sizeof stats), 0);
    return stats;
}

static bool await_marks(struct richd_run *run)
{
    for (int i = 0; i < 2000; i++) {
        if (stats_of(run).marks_waiting == 0)
            return true;
        pause_ms(5);
    }
    return false;
}

static int set_up(void **state)
{
    *state = fakedaemon_new();
    next_row = 0;
    return 0;
}

static int tear_down(void **state)
{
    fakedaemon_free(*state);
    return 0;
}

static void run_reaches_the_daemon_whole(void **state)
{
    struct fakedaemon *f = *state;
    struct richd_scalar scalar = {"loss", 0.5};
    struct richd_points *points;
    struct richd_run *run;

    fakedaemon_start(f, false);
    run = connect_to(f, 0);
    for (int i = 0; i < 100; i++)
        assert_int_equal(submit(run), 0);
    assert_int_equal(richd_log(run, 5, &scalar, 1), 0);
    assert_int_equal(richd_checkpoint(run, 5, 5000, &points), 0);
    assert_int_equal(richd_points_count(points), 1);
    assert_true(richd_points_find(points, "head")->d_lr == 0.25);
    richd_points_free(points);
    assert_int_equal(stats_of(run).batches_sent, 100);
    assert_int_equal(stats_of(run).connected, 1);
    assert_int_equal(richd_close(run, RICHD_FINISHED, 5000), 0);
    assert_int_equal(fakedaemon_count(f, "batch head"), 100);
    assert_int_equal(fakedaemon_count(f, "malformed"), 0);
    assert_int_equal(fakedaemon_count(f, "close 3 finished"), 1);
    assert_true(fakedaemon_rows_are_whole(f));
}

static void what_holds_for_the_run_is_sent_without_a_step(void **state)
{
    struct fakedaemon *f = *state;
    struct richd_run *run;

    fakedaemon_start(f, false);
    run = connect_to(f, 0);
    assert_int_equal(richd_config(run, "{\"n_params\":124439808,\"lr\":0.001}"), 0);
    assert_int_equal(richd_summary(run, "{\"best_acc\":0.93}"), 0);
    assert_int_equal(richd_summary(run, "[1]"), -EINVAL);
    assert_int_equal(richd_summary(run, "best_acc"), -EINVAL);
    assert_int_equal(richd_config(run, NULL), -EINVAL);
    assert_int_equal(richd_close(run, RICHD_FINISHED, 5000), 0);
    assert_int_equal(fakedaemon_count(f, "config 1 names 2"), 1);
    assert_int_equal(fakedaemon_count(f, "summary 2 names 1"), 1);
    assert_int_equal(fakedaemon_count(f, "close 3 finished"), 1);
}

static void checkpoint_waits_for_earlier_batches(void **state)
{
    struct fakedaemon *f = *state;
    struct richd_run *run = connect_to(f, 0);

    for (int i = 0; i < 50; i++)
        submit(run);
    richd_checkpoint(run, 1, 0, NULL);
    submit(run);
    fakedaemon_start(f, false);
    assert_int_equal(richd_close(run, RICHD_FAILED, 5000), 0);
    assert_true(fakedaemon_place(f, "checkpoint 1", 0) > fakedaemon_place(f, "batch", 49));
    assert_true(fakedaemon_place(f, "checkpoint 1", 0) < fakedaemon_place(f, "batch", 50));
    assert_int_equal(fakedaemon_count(f, "close 2 failed"), 1);
}

static void absent_daemon_never_blocks_and_drops_are_counted(void **state)
{
    struct fakedaemon *f = *state;
    struct richd_run *run = connect_to(f, 100000);
    unsigned n_dropped = 0, n_slow = 0;
    char error[256];

    for (int i = 0; i < 10000; i++) {
        double began = now_ms(), took;
        int rc = submit(run);

        took = now_ms() - began;
        n_slow += took >= 20;
        assert_true(rc == 0 || rc == -EAGAIN);
        n_dropped += rc == -EAGAIN;
    }
    assert_true(
        n_slow <
        20); /* a machine may stand still now and then; a call that waits is slow each time */
    assert_true(n_dropped > 9000 && n_dropped < 10000);
    assert_int_equal(stats_of(run).batches, 10000);
    assert_int_equal(stats_of(run).rows, 10000 * N_ROWS);
    assert_int_equal(stats_of(run).batches_dropped, n_dropped);
    assert_int_equal(stats_of(run).rows_dropped, n_dropped * N_ROWS);
    assert_true(stats_of(run).bytes_held <= 100000);
    pause_ms(50); /* for the sender's first look */
    assert_int_equal(richd_last_error(run, error, sizeof error), 0);
    assert_non_null(strstr(error, "no daemon"));
    assert_int_equal(richd_close(run, RICHD_FINISHED, 0), -ETIMEDOUT);
}

/* Milliseconds that a checkpoint with 100 and a close with 200 take without a daemon. */
static double time_the_deadlines(struct fakedaemon *f)
{
    struct richd_run *run = connect_to(f, 0);
    double began;

    submit(run);
    richd_checkpoint(run, 1, 0, NULL);
    began = now_ms();
    assert_int_equal(richd_checkpoint(run, 2, 100, NULL), -ETIMEDOUT);
    assert_int_equal(richd_close(run, RICHD_FINISHED, 200), -ETIMEDOUT);
    return now_ms() - began;
}

/* A machine may stand still once; a deadline that is not kept is late each time. */
static void close_keeps_its_deadline(void **state)
{
    double took = time_the_deadlines(*state);

    assert_true(took >= 300);
    for (int i = 0; i < 4 && took >= 900; i++)
        took = time_the_deadlines(*state);
    assert_true(took < 900);
}

/* The first call finds out, the others know: 20 of them that each wait, a second even, take longer.
 */
static void daemon_known_to_be_away_is_not_waited_for(void **state)
{
    struct richd_run *run = connect_to(*state, 0);
    double began = now_ms();

    assert_int_equal(richd_checkpoint(run, 0, 10000, NULL), -ETIMEDOUT);
    assert_true(now_ms() - began < 5000);
    began = now_ms();
    for (int i = 1; i <= 20; i++)
        assert_int_equal(richd_checkpoint(run, i, 10000, NULL), -ETIMEDOUT);
    assert_int_equal(stats_of(run).marks_waiting, 21);
    assert_int_equal(richd_close(run, RICHD_FINISHED, 10000), -ETIMEDOUT);
    assert_true(now_ms() - began < 10000);
}

static void daemon_that_comes_back_is_waited_for_again(void **state)
{
    struct fakedaemon *f = *state;
    struct richd_run *run;
    double began;

    fakedaemon_start(f, false);
    run = connect_to(f, 0);
    assert_int_equal(richd_checkpoint(run, 1, 10000, NULL), 0);
    fakedaemon_stop(f);
    began = now_ms();
    assert_int_equal(richd_checkpoint(run, 2, 60000, NULL), -ETIMEDOUT);
    assert_true(now_ms() - began >= 4000); /* a restart would have been waited for */
    assert_true(now_ms() - began < 30000);
    fakedaemon_start(f, true);
    assert_true(await_marks(run));
    assert_int_equal(fakedaemon_count(f, "checkpoint 2"), 1);
    assert_int_equal(richd_checkpoint(run, 3, 10000, NULL), 0);
    assert_int_equal(richd_close(run, RICHD_FINISHED, 10000), 0);
}

static void credit_is_respected(void **state)
{
    struct fakedaemon *f = *state;
    struct richd_run *run;

    fakedaemon_grant(f, 3 * BATCH_BYTES);
    fakedaemon_start(f, false);
    run = connect_to(f, 0);
    for (int i = 0; i < 10; i++)
        assert_int_equal(submit(run), 0);
    assert_true(fakedaemon_await(f, "batch", 3));
    pause_ms(50);
    assert_int_equal(fakedaemon_bytes(f), 3 * BATCH_BYTES);
    fakedaemon_grant(f, 5 * BATCH_BYTES + 1);
    assert_true(fakedaemon_await(f, "batch", 5));
    pause_ms(50);
    assert_int_equal(fakedaemon_bytes(f), 5 * BATCH_BYTES);
    fakedaemon_grant(f, 10 * BATCH_BYTES);
    assert_int_equal(richd_checkpoint(run, 1, 5000, NULL), 0);
    assert_int_equal(fakedaemon_bytes(f), 10 * BATCH_BYTES);
    assert_int_equal(stats_of(run).batches_dropped, 0);
    assert_int_equal(stats_of(run).bytes_held, 0);
    richd_close(run, RICHD_FINISHED, 2000);
}

static void marks_are_sent_again_when_the_daemon_comes_back(void **state)
{
    struct fakedaemon *f = *state;
    struct richd_scalar scalar = {"loss", NAN};
    struct richd_run *run;
    char first[128], second[128];

    fakedaemon_acknowledge(f, false);
    fakedaemon_start(f, false);
    run = connect_to(f, 0);
    submit(run);
    richd_checkpoint(run, 1, 0, NULL);
    richd_log(run, 1, &scalar, 1);
    assert_true(fakedaemon_await(f, "log 2", 1));
    fakedaemon_stop(f);
    richd_checkpoint(run, 2, 0, NULL);
    fakedaemon_acknowledge(f, true);
    fakedaemon_start(f, true);
    assert_true(await_marks(run));
    assert_int_equal(fakedaemon_count(f, "checkpoint 1"), 2);
    assert_int_equal(fakedaemon_count(f, "log 2"), 2);
    assert_int_equal(fakedaemon_count(f, "checkpoint 3"), 1);
    assert_int_equal(fakedaemon_count(f, "batch"), 1);
    assert_true(fakedaemon_place(f, "checkpoint 1", 1) < fakedaemon_place(f, "log 2", 1));
    assert_true(fakedaemon_place(f, "log 2", 1) < fakedaemon_place(f, "checkpoint 3", 0));
    fakedaemon_note(f, "open attempt=0 writer=", 0, first, sizeof first);
    fakedaemon_note(f, "open attempt=1 writer=", 0, second, sizeof second);
    assert_string_equal(strstr(first, "writer="), strstr(second, "writer="));
    assert_int_equal(richd_close(run, RICHD_FINISHED, 2000), 0);
}

static void no_mark_is_lost_over_ten_restarts(void **state)
{
    struct fakedaemon *f = *state;
    struct richd_run *run;
    char note[32];

    fakedaemon_start(f, false);
    run = connect_to(f, 0);
    for (int restart = 0; restart < 10; restart++) {
        for (int i = 0; i < 50; i++) {
            submit(run);
            assert_int_equal(richd_checkpoint(run, i, 0, NULL), 0);
        }
        pause_ms(restart * 7);
        fakedaemon_stop(f);
        submit(run);
        fakedaemon_start(f, restart % 3 == 0);
    }
    assert_true(await_marks(run));
    assert_int_equal(richd_close(run, RICHD_FINISHED, 5000), 0);
    for (int i = 1; i <= 500; i++) {
        snprintf(note, sizeof note, "checkpoint %d", i);
        assert_true(fakedaemon_count(f, note) >= 1);
    }
    assert_int_equal(fakedaemon_count(f, "malformed"), 0);
}

static void *submit_from_a_thread(void *run)
{
    static const float rows[N_ROWS * N_FEATURES];
    struct richd_batch batch = RICHD_BATCH;

    batch.layer = "head";
    batch.n_rows = N_ROWS;
    batch.n_features = N_FEATURES;
    batch.n_outputs = N_OUTPUTS;
    batch.features = batch.outputs = rows;
    for (int i = 0; i < 500; i++) {
        richd_submit(run, &batch);
        if (i % 100 == 0)
            richd_checkpoint(run, i, 5000, NULL);
    }
    return NULL;
}

static void threads_share_a_run_and_its_numbers_have_no_gap(void **state)
{
    struct fakedaemon *f = *state;
    pthread_t threads[4];
    struct richd_run *run;
    char note[128], want[128];

    fakedaemon_start(f, false);
    run = connect_to(f, 0);
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, submit_from_a_thread, run), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(richd_close(run, RICHD_FINISHED, 5000), 0);
    assert_int_equal(fakedaemon_count(f, "batch"), 2000);
    assert_int_equal(fakedaemon_count(f, "checkpoint"), 20);
    for (int i = 0; i < 2000; i++) {
        fakedaemon_note(f, "batch", i, note, sizeof note);
        snprintf(want, sizeof want, "batch head seq=%d before=%d n=%d", i + 1, i * N_ROWS, N_ROWS);
        assert_string_equal(note, want);
    }
}

static void daemon_that_does_not_know_the_run_is_told_again(void **state)
{
    struct fakedaemon *f = *state;
    struct richd_run *run;

    fakedaemon_start(f, false);
    run = connect_to(f, 0);
    assert_int_equal(richd_checkpoint(run, 1, 5000, NULL), 0);
    fakedaemon_forget(f);
    assert_int_equal(richd_checkpoint(run, 2, 5000, NULL), 0);
    assert_int_equal(fakedaemon_count(f, "open"), 2);
    assert_int_equal(richd_close(run, RICHD_FINISHED, 2000), 0);
}

static void mark_that_was_refused_as_not_open_is_sent_again(void **state)
{
    struct fakedaemon *f = *state;
    struct richd_run *run;

    fakedaemon_start(f, false);
    run = connect_to(f, 0);
    assert_int_equal(richd_checkpoint(run, 1, 5000, NULL), 0);
    fakedaemon_deafen(f, true);
    richd_checkpoint(run, 2, 0, NULL);
    submit(run);
    pause_ms(50);
    fakedaemon_forget(f);
    fakedaemon_deafen(f, false);
    assert_int_equal(richd_checkpoint(run, 3, 5000, NULL), 0);
    assert_int_equal(fakedaemon_count(f, "open"), 2);
    assert_int_equal(fakedaemon_count(f, "checkpoint 2"), 1);
    assert_true(await_marks(run));
    assert_int_equal(richd_close(run, RICHD_FINISHED, 2000), 0);
}

/* As a daemon that is stopped and continued: the connection stands, and says nothing. */
static void silent_daemon_is_left_and_found_again(void **state)
{
    struct fakedaemon *f = *state;
    struct richd_run *run;
    char error[256];

    fakedaemon_start(f, false);
    run = connect_to(f, 0);
    assert_int_equal(richd_checkpoint(run, 1, 5000, NULL), 0);
    fakedaemon_deafen(f, true);
    pause_ms(6500);
    richd_last_error(run, error, sizeof error);
    assert_non_null(strstr(error, "no answer"));
    fakedaemon_deafen(f, false);
    assert_int_equal(richd_checkpoint(run, 2, 5000, NULL), 0);
    assert_int_equal(fakedaemon_count(f, "hello"), 2);
    assert_int_equal(fakedaemon_count(f, "open attempt=1"), 1);
    assert_int_equal(richd_close(run, RICHD_FINISHED, 2000), 0);
}

static void fatal_refusal_ends_the_run(void **state)
{
    struct fakedaemon *f = *state;
    struct richd_run *run;
    char error[256];

    fakedaemon_refuse_open(f, "EFENCED");
    fakedaemon_start(f, false);
    run = connect_to(f, 0);
    submit(run);
    assert_int_equal(richd_checkpoint(run, 1, 5000, NULL), -ESTALE);
    assert_int_equal(submit(run), -ESTALE);
    assert_int_equal(richd_last_error(run, error, sizeof error), -ESTALE);
    assert_non_null(strstr(error, "EFENCED"));
    assert_int_equal(stats_of(run).bytes_held, 0);
    assert_int_equal(richd_close(run, RICHD_FINISHED, 2000), -ESTALE);
    assert_int_equal(fakedaemon_count(f, "open"), 1);
}

static int call_everything(struct richd_run *run)
{
    struct richd_scalar scalar = {"loss", 1};
    struct richd_stats stats;
    char error[16];

    return submit(run) == -ECHILD && richd_checkpoint(run, 1, 1000, NULL) == -ECHILD &&
           richd_log(run, 1, &scalar, 1) == -ECHILD &&
           richd_stats(run, &stats, sizeof stats) == -ECHILD &&
           richd_last_error(run, error, sizeof error) == -ECHILD &&
           richd_close(run, RICHD_FINISHED, 1000) == -ECHILD;
}

static void forked_child_does_nothing_and_does_not_wait(void **state)
{
    struct fakedaemon *f = *state;
    struct richd_run *run;
    int status;
    pid_t child;

    fakedaemon_start(f, false);
    run = connect_to(f, 0);
    assert_int_equal(submit(run), 0);
    child = fork();
    if (child == 0)
        _exit(call_everything(run) ? 0 : 1);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    assert_int_equal(submit(run), 0);
    assert_int_equal(richd_close(run, RICHD_FINISHED, 2000), 0);
    assert_int_equal(fakedaemon_count(f, "batch"), 2);
    assert_int_equal(fakedaemon_count(f, "checkpoint"), 0);
}

static struct richd_batch big_batch(uint32_t n_rows, uint32_t n_features, float **features,
                                    float **outputs)
{
    struct richd_batch batch = RICHD_BATCH;

    *features = calloc((size_t)n_rows * n_features, sizeof **features);
    *outputs = calloc((size_t)n_rows * N_OUTPUTS, sizeof **outputs);
    for (uint32_t i = 0; i < n_rows; i++)
        (*features)[(size_t)i * n_features] = next_row++;
    batch.layer = "head";
    batch.n_rows = n_rows;
    batch.n_features = n_features;
    batch.n_outputs = N_OUTPUTS;
    batch.features = *features;
    batch.outputs = *outputs;
    return batch;
}

static void large_batch_is_split_by_rows(void **state)
{
    struct fakedaemon *f = *state;
    float *features, *outputs;
    struct richd_batch batch = big_batch(1000, 10238, &features, &outputs); /* 40 kB a row */
    struct richd_run *run;
    char note[128];

    fakedaemon_start(f, false);
    run = connect_to(f, 0);
    assert_int_equal(richd_submit(run, &batch), 0);
    free(features);
    free(outputs);
    assert_int_equal(richd_close(run, RICHD_FINISHED, 5000), 0);
    assert_int_equal(fakedaemon_count(f, "batch"), 10);
    fakedaemon_note(f, "batch", 0, note, sizeof note);
    assert_string_equal(note, "batch head seq=1 before=0 n=102");
    fakedaemon_note(f, "batch", 9, note, sizeof note);
    assert_string_equal(note, "batch head seq=10 before=918 n=82");
    assert_true(fakedaemon_rows_are_whole(f));
}

static void part_of_a_large_batch_that_does_not_fit_is_dropped(void **state)
{
    float *features, *outputs;
    struct richd_batch batch = big_batch(1000, 10238, &features, &outputs);
    struct richd_run *run = connect_to(*state, 25 * 1024 * 1024);

    assert_int_equal(richd_submit(run, &batch), -EAGAIN);
    assert_int_equal(stats_of(run).batches, 10);
    assert_int_equal(stats_of(run).rows, 1000);
    assert_int_equal(stats_of(run).rows_dropped, 388);
    free(features);
    free(outputs);
    richd_close(run, RICHD_FINISHED, 0);
}

static void labels_and_half_precision_travel(void **state)
{
    struct fakedaemon *f = *state;
    uint16_t features[8] = {0}, outputs[4] = {0};
    int64_t labels[2] = {0, 6};
    struct richd_batch batch = RICHD_BATCH;
    struct richd_run *run;

    batch.layer = "half";
    batch.n_rows = 2;
    batch.n_features = 4;
    batch.n_outputs = 2;
    batch.n_targets = 7;
    batch.features = features;
    batch.outputs = outputs;
    batch.targets = labels;
    batch.features_dtype = RICHD_BF16;
    batch.outputs_dtype = RICHD_F16;
    batch.targets_dtype = RICHD_I64;
    fakedaemon_start(f, false);
    run = connect_to(f, 0);
    assert_int_equal(richd_submit(run, &batch), 0);
    batch.n_rows = 0;
    batch.features = batch.outputs = NULL;
    assert_int_equal(richd_submit(run, &batch), 0);
    assert_int_equal(richd_close(run, RICHD_FINISHED, 5000), 0);
    assert_int_equal(fakedaemon_count(f, "batch half"), 2);
    assert_int_equal(fakedaemon_count(f, "malformed"), 0);
}

static void malformed_batch_is_refused_and_said(void **state)
{
    struct richd_run *run = connect_to(*state, 0);
    struct richd_batch batch = RICHD_BATCH;
    float rows[4] = {0};
    char error[256];

    assert_int_equal(richd_submit(run, NULL), -EINVAL);
    assert_int_equal(richd_submit(run, &batch), -EINVAL);
    batch.layer = "he\nd";
    batch.n_rows = batch.n_features = batch.n_outputs = 1;
    batch.features = batch.outputs = rows;
    assert_int_equal(richd_submit(run, &batch), -EINVAL);
    batch.layer = "head";
    assert_int_equal(richd_submit(run, &batch), 0);
    batch.outputs = NULL;
    assert_int_equal(richd_submit(run, &batch), -EINVAL);
    richd_last_error(run, error, sizeof error);
    assert_non_null(strstr(error, "outputs is NULL"));
    batch.outputs = rows;
    batch.n_features = 0;
    assert_int_equal(richd_submit(run, &batch), -EINVAL);
    batch.n_features = 1;
    batch.features_dtype = RICHD_I32;
    assert_int_equal(richd_submit(run, &batch), -EINVAL);
    batch.features_dtype = (enum richd_dtype)99;
    assert_int_equal(richd_submit(run, &batch), -EINVAL);
    batch.features_dtype = RICHD_F32;
    batch.step = -1;
    assert_int_equal(richd_submit(run, &batch), -EINVAL);
    assert_int_equal(stats_of(run).batches, 1);
    richd_close(run, RICHD_FINISHED, 0);
}

/* 1500 x 1501 / 2 values of 4 bytes are 4.3 MiB: two slices. */
static void a_head_goes_in_slices_that_count_no_rows(void **state)
{
    enum { P = 1500 };
    struct fakedaemon *f = *state;
    float *triangle = calloc((size_t)P * (P + 1) / 2, sizeof *triangle);
    struct richd_batch batch = RICHD_BATCH;
    struct richd_head head = RICHD_HEAD;
    struct richd_run *run;
    char last[128];

    batch.layer = head.layer = "wide";
    batch.n_rows = 2;
    batch.n_features = head.n_features = P;
    batch.n_outputs = head.n_outputs = 50257;
    batch.features = triangle;
    batch.outputs_dtype = RICHD_NONE;
    head.triangle = triangle;
    fakedaemon_start(f, false);
    run = connect_to(f, 0);
    assert_int_equal(richd_submit(run, &batch), 0);
    assert_int_equal(richd_submit_head(run, &head), 0);
    assert_int_equal(stats_of(run).rows, 2);
    assert_int_equal(richd_close(run, RICHD_FINISHED, 5000), 0);
    assert_int_equal(fakedaemon_count(f, "batch wide"), 3);
    assert_int_equal(fakedaemon_count(f, "malformed"), 0);
    fakedaemon_note(f, "batch wide", 2, last, sizeof last);
    assert_non_null(strstr(last, "seq=3 before=2"));
    free(triangle);
}

static void malformed_head_is_refused_and_said(void **state)
{
    struct richd_run *run = connect_to(*state, 0);
    struct richd_head head = RICHD_HEAD;
    double triangle[3] = {1, 0, 1};

    assert_int_equal(richd_submit_head(run, NULL), -EINVAL);
    assert_int_equal(richd_submit_head(run, &head), -EINVAL);
    head.layer = "wide";
    head.n_features = 2;
    head.n_outputs = 5;
    head.dtype = RICHD_F64;
    assert_int_equal(richd_submit_head(run, &head), -EINVAL); /* no triangle */
    head.triangle = triangle;
    assert_int_equal(richd_submit_head(run, &head), 0);
    head.dtype = RICHD_F16;
    assert_int_equal(richd_submit_head(run, &head), -EINVAL);
    richd_close(run, RICHD_FINISHED, 0);
}

static void wrong_options_are_refused_with_the_reason(void **state)
{
    struct richd_options options = RICHD_OPTIONS;
    char error[256];

    (void)state;
    options.run_id = "../../etc/x";
    assert_null(richd_connect(&options, error, sizeof error));
    assert_non_null(strstr(error, "run"));
    options.run_id = NULL;
    options.config_json = "{";
    assert_null(richd_connect(&options, error, sizeof error));
    assert_non_null(strstr(error, "config_json"));
    options.config_json = NULL;
    options.window = RICHD_WINDOW_EXPONENTIAL;
    assert_null(richd_connect(&options, error, sizeof error));
    assert_non_null(strstr(error, "half_life_rows"));
    options.window = (enum richd_window)7;
    assert_null(richd_connect(&options, NULL, 0));
    options.window = RICHD_WINDOW_CUMULATIVE;
    options.probe = 1;
    assert_null(richd_connect(&options, error, sizeof error));
    assert_non_null(strstr(error, "probe"));
    options.probe = 0;
    options.transitions = (const char *const[]){"d_lr", "pr", "u", "nc1", "rankme", NULL};
    assert_null(richd_connect(&options, error, sizeof error));
    assert_non_null(strstr(error, "transitions"));
}

/* Opens with these transitions; what the daemon heard of them is in `out`, of 256 bytes. */
static void open_watching(struct fakedaemon *f, const char *const *transitions, int i, char *out)
{
    struct richd_options options = RICHD_OPTIONS;
    struct richd_run *run;
    char note[256];

    options.runtime_dir = fakedaemon_directory(f);
    options.transitions = transitions;
    run = richd_connect(&options, NULL, 0);
    assert_non_null(run);
    assert_true(fakedaemon_await(f, "open", i + 1));
    fakedaemon_note(f, "open", i, note, sizeof note);
    snprintf(out, 256, "%s", strstr(note, " watched=") ? strstr(note, " watched=") : "");
    richd_close(run, RICHD_FINISHED, 2000);
}

static void the_run_says_what_is_watched_if_the_options_do(void **state)
{
    char heard[256];

    fakedaemon_start(*state, false);
    open_watching(*state, NULL, 0, heard);
    assert_string_equal(heard, "");
    open_watching(*state, (const char *const[]){"pr", "d_lr", NULL}, 1, heard);
    assert_string_equal(heard, " watched=[\"pr\",\"d_lr\"]");
    open_watching(*state, (const char *const[]){NULL}, 2, heard);
    assert_string_equal(heard, " watched=[]");
}

static void the_run_says_what_its_windows_and_spectra_are(void **state)
{
    struct richd_options options = RICHD_OPTIONS;
    struct richd_run *run;
    char note[256];

    fakedaemon_start(*state, false);
    options.runtime_dir = fakedaemon_directory(*state);
    options.probe = 1;
    options.spectrum_every = 3;
    options.spectrum_leading = 7;
    options.spectrum_uncentred = 1;
    run = richd_connect(&options, NULL, 0);
    assert_non_null(run);
    assert_true(fakedaemon_await(*state, "open", 1));
    fakedaemon_note(*state, "open", 0, note, sizeof note);
    assert_non_null(strstr(note, " probe=1 every=3 leading=7 uncentred=1"));
    richd_close(run, RICHD_FINISHED, 2000);
}

static void run_id_is_made_from_the_name(void **state)
{
    struct richd_options options = RICHD_OPTIONS;
    struct richd_run *run;

    options.runtime_dir = fakedaemon_directory(*state);
    options.name = ".mod 97/wd";
    run = richd_connect(&options, NULL, 0);
    assert_non_null(run);
    assert_memory_equal(richd_run_id(run), "-mod-97-wd-", 11);
    assert_int_equal(strlen(richd_run_id(run)), 17);
    richd_close(run, RICHD_FINISHED, 0);
}

static void null_run_is_harmless(void **state)
{
    struct richd_stats stats;

    (void)state;
    assert_int_equal(submit(NULL), -EINVAL);
    assert_int_equal(richd_checkpoint(NULL, 1, 0, NULL), -EINVAL);
    assert_int_equal(richd_log(NULL, 1, NULL, 0), -EINVAL);
    assert_int_equal(richd_config(NULL, "{}"), -EINVAL);
    assert_int_equal(richd_stats(NULL, &stats, sizeof stats), -EINVAL);
    assert_int_equal(richd_close(NULL, RICHD_FINISHED, 0), -EINVAL);
    assert_string_equal(richd_run_id(NULL), "");
    assert_int_equal(richd_points_count(NULL), 0);
    assert_true(isnan(richd_point_metric(NULL, "d_lr")));
    richd_points_free(NULL);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(run_reaches_the_daemon_whole),
        TEST(what_holds_for_the_run_is_sent_without_a_step),
        TEST(checkpoint_waits_for_earlier_batches),
        TEST(absent_daemon_never_blocks_and_drops_are_counted),
        TEST(close_keeps_its_deadline),
        TEST(daemon_known_to_be_away_is_not_waited_for),
        TEST(daemon_that_comes_back_is_waited_for_again),
        TEST(credit_is_respected),
        TEST(marks_are_sent_again_when_the_daemon_comes_back),
        TEST(no_mark_is_lost_over_ten_restarts),
        TEST(threads_share_a_run_and_its_numbers_have_no_gap),
        TEST(daemon_that_does_not_know_the_run_is_told_again),
        TEST(mark_that_was_refused_as_not_open_is_sent_again),
        TEST(silent_daemon_is_left_and_found_again),
        TEST(fatal_refusal_ends_the_run),
        TEST(forked_child_does_nothing_and_does_not_wait),
        TEST(large_batch_is_split_by_rows),
        TEST(part_of_a_large_batch_that_does_not_fit_is_dropped),
        TEST(labels_and_half_precision_travel),
        TEST(malformed_batch_is_refused_and_said),
        TEST(a_head_goes_in_slices_that_count_no_rows),
        TEST(malformed_head_is_refused_and_said),
        TEST(wrong_options_are_refused_with_the_reason),
        TEST(run_id_is_made_from_the_name),
        TEST(the_run_says_what_is_watched_if_the_options_do),
        TEST(the_run_says_what_its_windows_and_spectra_are),
        TEST(null_run_is_harmless),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
