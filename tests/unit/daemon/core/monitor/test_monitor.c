#include "tests/lib/cmocka.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/core/matrix/linalg.h"
#include "daemon/core/monitor/monitor.h"
#include "tests/lib/core/bench.h"
#include "tests/lib/core/reference.h"
#include "tests/lib/fault.h"

#define P 4
#define C 2

static int setup(void **state)
{
    struct bench *bench = malloc(sizeof *bench);

    bench_init(bench);
    *state = bench;
    return 0;
}

static int teardown(void **state)
{
    struct bench *bench = *state;

    bench_release(bench);
    free(bench);
    assert_int_equal(parcel_live(), 0);
    return 0;
}

/* A run that is open on peer 1. */
static int setup_open(void **state)
{
    struct bench *bench;

    setup(state);
    bench = *state;
    bench_open(bench, 1, "run", "writer", 0);
    bench_settle(bench);
    assert_int_equal(bench->n_welcomes, 1);
    return 0;
}

/* d_lr of the batches of "head" with numbers first..last, n rows each. */
static double d_lr_of(uint64_t first, uint64_t last, size_t n, const double *weights)
{
    size_t n_rows = (size_t)(last - first + 1) * n;
    double *x = malloc(n_rows * (P + C) * sizeof *x), *y = x + n_rows * P;
    struct reference reference;

    for (uint64_t seq = first; seq <= last; seq++)
        parcel_values(seq, n, P, C, x + (seq - first) * n * P, y + (seq - first) * n * C);
    reference_measure(n_rows, P, x, C, y, weights, 1e-10, &reference);
    free(x);
    return (double)reference.d_lr;
}

static void assert_d_lr(const struct bench *bench, double expected)
{
    assert_int_equal(bench->n_points, 1);
    assert_true(fabs(bench->points[0].point.value[METRIC_D_LR] - expected) < 1e-6);
}

static void assert_nack(const struct bench *bench, enum nack_code code)
{
    assert_int_equal(bench->n_nacks, 1);
    assert_string_equal(nack_code_name(bench->nack.code), nack_code_name(code));
}

/* ---- checkpoints --------------------------------------------------------------------------- */

static void checkpoint_measures_exactly_the_batches_before_it(void **state)
{
    struct bench *bench = *state;

    bench_rows(bench, 1, 1, 0, 20);
    bench_rows(bench, 1, 2, 20, 20);
    bench_checkpoint(bench, 1, 1, 2, 40);
    bench_rows(bench, 1, 3, 40, 20);
    bench_settle(bench);
    assert_int_equal(bench->n_acks, 1);
    assert_true(bench->points[0].point.n == 40);
    assert_int_equal(bench->points[0].point.flags & FLAG_PARTIAL, 0);
    assert_d_lr(bench, d_lr_of(1, 2, 20, NULL));

    bench_checkpoint(bench, 1, 2, 3, 60);
    bench_settle(bench);
    assert_true(bench->points[0].point.n == 20);
    assert_d_lr(bench, d_lr_of(3, 3, 20, NULL));
}

/* Sends 20 rows and checkpoint `seq`; returns whether its point got a spectrum. */
static bool gets_spectrum(struct bench *bench, uint64_t seq, bool asked)
{
    struct checkpoint_layer head = {.name = "head", .seq = seq, .rows = 20 * seq};
    struct event event = {
        .type = EV_CHECKPOINT,
        .checkpoint = {
            .seq = seq, .step = (int64_t)seq, .layers = &head, .n_layers = 1, .spectrum = asked}};

    bench_rows(bench, 1, seq, 20 * (seq - 1), 20);
    bench_step(bench, &event, 1);
    bench_settle(bench);
    assert_int_equal(bench->n_points, 1);
    return !isnan(bench->points[0].point.value[METRIC_EFFECTIVE_RANK]);
}

/* Sends 20 rows and checkpoint `seq` of that step, which reports these two of the network. */
static void send_report(struct bench *bench, peer_id peer, uint64_t seq, int64_t step,
                        double param_norm, double param_change)
{
    struct checkpoint_layer head = {.name = "head", .seq = seq, .rows = 20 * seq};
    double reported[METRIC_COUNT];
    struct event event = {.type = EV_CHECKPOINT,
                          .checkpoint = {.seq = seq,
                                         .step = step,
                                         .time = 1764000000 + (double)step,
                                         .layers = &head,
                                         .n_layers = 1,
                                         .reported = reported}};

    for (int i = 0; i < METRIC_COUNT; i++)
        reported[i] = (double)NAN;
    reported[METRIC_PARAM_NORM] = param_norm;
    reported[METRIC_PARAM_CHANGE] = param_change;
    bench_rows(bench, peer, seq, 20 * (seq - 1), 20);
    bench_step(bench, &event, peer);
}

static void report(struct bench *bench, uint64_t seq, double param_norm, double param_change)
{
    send_report(bench, 1, seq, (int64_t)seq, param_norm, param_change);
    bench_settle(bench);
    assert_int_equal(bench->n_points, 1);
}

/* Both measures step at the 40th of 60 checkpoints. Returns how many transitions came, with the
 * point that completed the last of them in `out`. */
static size_t report_a_step(struct bench *bench, struct layer_point *out)
{
    size_t n = 0;

    for (uint64_t seq = 1; seq <= 60; seq++) {
        double ripple = 0.001 * (double)(seq * 7919 % 13);

        report(bench, seq, (seq < 40 ? 300 : 100) * (1 + ripple), (seq < 40 ? 0.1 : 0.9) + ripple);
        n += bench->points[0].n_findings;
        if (bench->points[0].n_findings > 0)
            *out = bench->points[0];
    }
    return n;
}

static void a_point_completes_transitions_of_all_that_is_watched(void **state)
{
    struct bench *bench = *state;
    struct layer_point point = {0};

    bench_open_watching(
        bench, 1, "writer",
        (struct watch_list){.n = 2, .metrics = {METRIC_PARAM_CHANGE, METRIC_PARAM_NORM}});
    bench_settle(bench);
    assert_int_equal(report_a_step(bench, &point), 2);
    assert_int_equal(point.n_findings, 2);
    assert_string_equal(point.findings[0].metric, "param_change");
    assert_int_equal(point.findings[0].transition.direction, TRANSITION_RISE);
    assert_string_equal(point.findings[1].metric, "param_norm");
    assert_int_equal(point.findings[1].transition.direction, TRANSITION_FALL);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(point.findings[i].step, point.point.step);
        assert_true(point.findings[i].time == point.point.time);
    }
}

/* Of what is on disk of an attempt; the step of the last in `step`. */
static size_t count_findings(const struct bench *bench, uint32_t attempt, int64_t *step)
{
    const struct disk_attempt *stored = &bench->disk.runs[0].attempts[attempt - 1];
    size_t n = 0;

    for (size_t i = 0; i < stored->n_items; i++) {
        for (size_t j = 0; j < stored->items[i].n_points; j++) {
            const struct layer_point *point = &stored->items[i].points[j];

            n += point->n_findings;
            if (point->n_findings > 0)
                *step = point->point.step;
        }
    }
    return n;
}

/* A fall at step 40. */
static void send_fall(struct bench *bench, peer_id peer, uint64_t seq, int64_t step)
{
    send_report(bench, peer, seq, step,
                (step < 40 ? 300 : 100) * (1 + 0.001 * (double)(step * 7919 % 13)), 0);
}

/* The first attempt ends at step 44, in the fall; the second takes over at 42. The store is slow to
 * answer: all of the second attempt is measured before it has shown the past. */
static void a_new_attempt_goes_on_with_the_series(void **state)
{
    struct bench *bench = *state;
    const struct watch_list watched = {.n = 1, .metrics = {METRIC_PARAM_NORM}};
    int64_t straight = 0, resumed = 0;

    bench_open_watching(bench, 1, "writer", watched);
    bench_settle(bench);
    for (int64_t step = 1; step <= 60; step++) {
        send_fall(bench, 1, (uint64_t)step, step);
        bench_settle(bench);
        bench_forget(bench);
    }
    assert_int_equal(count_findings(bench, 1, &straight), 1);

    bench_release(bench);
    bench_init(bench);
    bench_open_watching(bench, 1, "writer", watched);
    bench_settle(bench);
    for (int64_t step = 1; step <= 44; step++) {
        send_fall(bench, 1, (uint64_t)step, step);
        bench_settle(bench);
        bench_forget(bench);
    }
    assert_int_equal(count_findings(bench, 1, &resumed), 0);
    bench_close(bench, 1, 45);
    bench_settle(bench);
    bench_open_watching(bench, 2, "another", watched);
    bench_settle(bench);
    assert_int_equal(bench->welcome.attempt, 2);
    for (int64_t step = 42; step <= 60; step++) {
        send_fall(bench, 2, (uint64_t)step - 41, step);
        bench_work(bench);
    }
    assert_int_equal(count_findings(bench, 2, &resumed), 0);
    bench_settle(bench);
    assert_int_equal(count_findings(bench, 2, &resumed), 1);
    assert_int_equal(resumed, straight);
}

/* The second attempt logs at step 0 before its trainer gives a step, and takes over at 42. */
static void an_implied_step_hides_nothing_from_the_watches(void **state)
{
    struct bench *bench = *state;
    const struct watch_list watched = {.n = 1, .metrics = {METRIC_PARAM_NORM}};
    struct event event = {.type = EV_LOG, .log = record_new(RECORD_LOG, "run")};
    int64_t found_at = 0;

    bench_open_watching(bench, 1, "writer", watched);
    bench_settle(bench);
    for (int64_t step = 1; step <= 44; step++) {
        send_fall(bench, 1, (uint64_t)step, step);
        bench_settle(bench);
        bench_forget(bench);
    }
    bench_open_watching(bench, 2, "another", watched);
    bench_settle(bench);
    event.log->seq = 1;
    event.log->implied = true;
    bench_step(bench, &event, 2);
    for (int64_t step = 42; step <= 60; step++) {
        send_fall(bench, 2, (uint64_t)step - 40, step);
        bench_work(bench);
    }
    bench_settle(bench);
    assert_int_equal(count_findings(bench, 2, &found_at), 1);
}

static void an_implied_step_does_not_take_the_last_step_back(void **state)
{
    struct bench *bench = *state;
    struct checkpoint_layer head = {.name = "head", .seq = 2, .rows = 40};
    struct event event = {
        .type = EV_CHECKPOINT,
        .checkpoint = {.seq = 2, .implied = true, .layers = &head, .n_layers = 1}};

    bench_rows(bench, 1, 1, 0, 20);
    bench_checkpoint(bench, 1, 1, 1, 20);
    bench_rows(bench, 1, 2, 20, 20);
    bench_step(bench, &event, 1);
    bench_settle(bench);
    assert_int_equal(bench->n_acks, 2);
    bench_open(bench, 2, "run", "writer", 1);
    bench_settle(bench);
    assert_int_equal(bench->welcome.last_step, 1);
}

static void send_summary_of(struct bench *bench, uint64_t seq, char *takes_text)
{
    struct event event = {.type = EV_LOG, .log = record_new(RECORD_SUMMARY, "run")};

    event.log->seq = seq;
    event.log->constants = takes_text;
    bench_step(bench, &event, 1);
}

static void send_summary(struct bench *bench, uint64_t seq)
{
    send_summary_of(bench, seq, strdup("{}"));
}

/* As many as 64 MiB hold, each of 1 MiB that counts 16 times. */
static void large_messages_wait_for_the_disk_in_bounded_memory(void **state)
{
    struct bench *bench = *state;
    uint64_t seq = 0;

    while (bench->n_nacks == 0) {
        char *text = malloc((1 << 20) + 1);

        memset(text, ' ', 1 << 20);
        text[1 << 20] = '\0';
        assert_true(seq < 10);
        send_summary_of(bench, ++seq, text);
    }
    assert_int_equal(bench->nack.code, NACK_EBUSY);
    assert_int_equal(bench->nack.seq, seq);
    assert_int_equal(seq, 5);
    bench_settle(bench);
    assert_int_equal(bench->n_acks, 4);
    send_summary(bench, seq); /* there is room again */
    bench_settle(bench);
    assert_int_equal(bench->n_acks, 5);
}

static void constants_are_acknowledged_once_they_are_on_disk(void **state)
{
    struct bench *bench = *state;

    send_summary(bench, 1);
    assert_int_equal(bench->n_acks, 0);
    bench_commit(bench);
    assert_int_equal(bench->n_acks, 1);
    send_summary(bench, 1); /* came before */
    assert_int_equal(bench->n_acks, 2);
}

/* A second try of a failed sync may succeed without having written anything. */
static void what_the_disk_refuses_for_good_is_not_tried_again(void **state)
{
    struct bench *bench = *state;

    bench_log(bench, 1, 1);
    disk_fail(&bench->disk, -EIO, "the sync has failed");
    bench_step(bench, &(struct event){.type = EV_STORED, .record = disk_take(&bench->disk)}, 0);
    assert_true(bench->fatal);
    assert_null(bench_waiting(bench));
    assert_int_equal(bench->n_acks, 0);
}

/* The store counts the message, so what comes behind it is stored. */
static void constants_that_the_store_refuses_cost_themselves(void **state)
{
    struct bench *bench = *state;

    send_summary(bench, 1);
    disk_fail(&bench->disk, -E2BIG, "the summary would be too large");
    bench_commit(bench);
    assert_int_equal(bench->n_acks, 0);
    assert_int_equal(bench->nack.code, NACK_EPROTO);
    assert_int_equal(bench->nack.seq, 1);
    bench_log(bench, 1, 2);
    bench_settle(bench);
    assert_int_equal(bench->n_acks, 1);
}

static void a_run_that_watches_nothing_completes_nothing(void **state)
{
    struct bench *bench = *state;
    struct layer_point point = {0};

    bench_open_watching(bench, 1, "writer", (struct watch_list){0});
    bench_settle(bench);
    assert_int_equal(report_a_step(bench, &point), 0);
}

static void what_the_trainer_reports_goes_into_the_points_of_its_checkpoint_alone(void **state)
{
    struct bench *bench = *state;
    struct checkpoint_layer head = {.name = "head", .seq = 1, .rows = 20};
    double reported[METRIC_COUNT];
    struct event event = {
        .type = EV_CHECKPOINT,
        .checkpoint = {.seq = 1, .layers = &head, .n_layers = 1, .reported = reported}};

    for (int i = 0; i < METRIC_COUNT; i++)
        reported[i] = (double)NAN;
    reported[METRIC_PARAM_NORM] = 12.5;
    reported[METRIC_D_LR] = 7; /* is measured, whatever the trainer says */
    bench_rows(bench, 1, 1, 0, 20);
    bench_step(bench, &event, 1);
    bench_settle(bench);
    assert_true(bench->points[0].point.value[METRIC_PARAM_NORM] == 12.5);
    assert_true(isnan(bench->points[0].point.value[METRIC_NTK_DISTANCE]));
    assert_d_lr(bench, d_lr_of(1, 1, 20, NULL));

    assert_false(gets_spectrum(bench, 2, false));
    assert_true(isnan(bench->points[0].point.value[METRIC_PARAM_NORM]));
}

static void spectrum_is_made_when_a_checkpoint_asks(void **state)
{
    struct bench *bench = *state;

    assert_false(gets_spectrum(bench, 1, false));
    assert_true(gets_spectrum(bench, 2, true));
    assert_false(gets_spectrum(bench, 3, false));
}

/* A checkpoint with a spectrum that follows: its job is out, the point on disk. */
static void tell_first(struct bench *bench)
{
    struct checkpoint_layer head = {.name = "head", .seq = 1, .rows = 20};
    struct event event = {
        .type = EV_CHECKPOINT,
        .checkpoint = {.seq = 1, .step = 7, .layers = &head, .n_layers = 1, .spectrum = true}};

    bench_rows(bench, 1, 1, 0, 20);
    bench_step(bench, &event, 1);
    bench_run_job(bench); /* folds, */
    bench_run_job(bench); /* and measures */
    bench_commit(bench);
}

static int setup_following(void **state)
{
    struct bench *bench;

    setup(state);
    bench = *state;
    bench->config.spectrum_follows_p = 2;
    bench_crash(bench);
    bench_open(bench, 1, "run", "writer", 0);
    bench_settle(bench);
    bench_forget(bench);
    return 0;
}

static const struct point *on_disk(const struct bench *bench)
{
    return &bench->disk.runs[0].attempts[0].items[0].points[0].point;
}

static void a_point_does_not_wait_for_a_large_spectrum(void **state)
{
    struct bench *bench = *state;
    struct point first;

    tell_first(bench);
    assert_int_equal(bench->n_acks, 1);
    first = *on_disk(bench);
    assert_true(first.flags & FLAG_NO_SPECTRUM);
    assert_true(isnan(first.value[METRIC_EFFECTIVE_RANK]));
    assert_int_equal(monitor_stats(bench->monitor).points, 1);

    bench_rows(bench, 1, 2, 20, 20); /* of the next window, behind it */
    bench_checkpoint(bench, 1, 2, 2, 40);
    bench_settle(bench);
    assert_int_equal(bench->n_acks, 2);
    assert_d_lr(bench, d_lr_of(2, 2, 20, NULL));
    assert_false(on_disk(bench)->flags & FLAG_NO_SPECTRUM);
    assert_true(on_disk(bench)->value[METRIC_EFFECTIVE_RANK] > 1);
    assert_int_equal(bench->completed.step, 7);
    for (int i = 0; i < METRIC_COUNT; i++) {
        if (!isnan(first.value[i]))
            assert_true(first.value[i] == on_disk(bench)->value[i]);
    }
    assert_true(first.n == on_disk(bench)->n && first.rows_to == on_disk(bench)->rows_to);
    assert_int_equal(monitor_stats(bench->monitor).points, 2);
}

static void a_spectrum_that_was_lost_is_said_to_be_missing(void **state)
{
    struct bench *bench = *state;

    tell_first(bench);
    bench_crash(bench);
    bench_open(bench, 2, "run", "writer", 1);
    bench_settle(bench);
    bench_checkpoint(bench, 2, 1, 1, 20); /* its ack may have been lost */
    bench_settle(bench);
    assert_true(bench->points[0].point.flags & FLAG_NO_SPECTRUM);
}

/* Else a transition of it would never be seen. */
static void a_measure_that_is_watched_and_needs_the_spectrum_is_waited_for(void **state)
{
    struct bench *bench = *state;

    bench_open_watching(bench, 2, "another",
                        (struct watch_list){.n = 1, .metrics = {METRIC_EFFECTIVE_RANK}});
    bench_settle(bench);
    bench_forget(bench);
    bench_rows(bench, 2, 1, 0, 20);
    bench_step(bench,
               &(struct event){.type = EV_CHECKPOINT,
                               .checkpoint = {.seq = 1,
                                              .step = 7,
                                              .layers = &(struct checkpoint_layer){.name = "head",
                                                                                   .seq = 1,
                                                                                   .rows = 20},
                                              .n_layers = 1,
                                              .spectrum = true}},
               2);
    bench_settle(bench);
    assert_false(bench->points[0].point.flags & FLAG_NO_SPECTRUM);
    assert_false(isnan(bench->points[0].point.value[METRIC_EFFECTIVE_RANK]));
}

static void a_run_that_is_superseded_forgets_its_spectrum(void **state)
{
    struct bench *bench = *state;

    tell_first(bench);
    bench_open(bench, 2, "run", "another", 0);
    bench_settle(bench);
    assert_int_equal(bench->welcome.attempt, 2);
    assert_true(on_disk(bench)->flags & FLAG_NO_SPECTRUM);
    assert_int_equal(monitor_stats(bench->monitor).runs_open, 1);
}

static void spectrum_is_made_at_every_nth_checkpoint_and_one_sent_twice_counts_once(void **state)
{
    struct bench *bench = *state;

    bench_open_spectrum(bench, 1, "run", (struct spectrum_policy){.every = 3});
    bench_settle(bench);
    assert_true(gets_spectrum(bench, 1, false));
    assert_false(gets_spectrum(bench, 2, false));
    assert_true(gets_spectrum(bench, 3, true));
    assert_true(gets_spectrum(bench, 4, false));
    bench_checkpoint(bench, 1, 4, 4, 80); /* sent again: it is not counted */
    bench_settle(bench);
    assert_false(gets_spectrum(bench, 5, false));
    assert_false(gets_spectrum(bench, 6, false));
    assert_true(gets_spectrum(bench, 7, false));
}

static void ack_waits_for_the_disk(void **state)
{
    struct bench *bench = *state;

    bench_rows(bench, 1, 1, 0, 20);
    bench_checkpoint(bench, 1, 1, 1, 20);
    bench_work(bench);
    assert_non_null(bench_waiting(bench));
    assert_int_equal(bench->n_acks, 0);
    bench_commit(bench);
    assert_int_equal(bench->n_acks, 1);
}

static void log_behind_a_checkpoint_waits_for_its_measurement(void **state)
{
    struct bench *bench = *state;

    bench_rows(bench, 1, 1, 0, 20);
    bench_checkpoint(bench, 1, 1, 1, 20);
    bench_log(bench, 1, 2);
    bench_commit(bench);
    assert_int_equal(bench->n_acks, 0);
    bench_settle(bench);
    assert_int_equal(bench->acks[0], 1);
    assert_int_equal(bench->acks[1], 2);
}

static void checkpoint_sent_again_shows_the_same_point(void **state)
{
    struct bench *bench = *state;
    struct point first;

    bench_rows(bench, 1, 1, 0, 20);
    bench_checkpoint(bench, 1, 1, 1, 20);
    bench_settle(bench);
    first = bench->points[0].point;
    bench_rows(bench, 1, 2, 20, 20);
    bench_forget(bench);
    bench_checkpoint(bench, 1, 1, 1, 20);
    bench_settle(bench);
    assert_int_equal(bench->n_acks, 1);
    assert_int_equal(bench->n_points, 1);
    assert_memory_equal(&bench->points[0].point, &first, sizeof first);
    assert_int_equal(disk_attempt(&bench->disk, "run", 1)->n_items, 1);
}

static void checkpoint_sent_again_too_early_is_acknowledged_once(void **state)
{
    struct bench *bench = *state;

    bench_rows(bench, 1, 1, 0, 20);
    bench_checkpoint(bench, 1, 1, 1, 20);
    bench_checkpoint(bench, 1, 1, 1, 20);
    bench_settle(bench);
    assert_int_equal(bench->n_acks, 1);
    assert_true(bench->points[0].point.n == 20);
}

static void layer_without_rows_gives_no_point(void **state)
{
    struct bench *bench = *state;

    bench_checkpoint(bench, 1, 1, 3, 60);
    bench_settle(bench);
    assert_int_equal(bench->n_acks, 1);
    assert_false(bench->points[0].measured);
}

static void totals_that_go_back_are_refused(void **state)
{
    struct bench *bench = *state;

    bench_rows(bench, 1, 1, 0, 20);
    bench_checkpoint(bench, 1, 1, 1, 3);
    assert_nack(bench, NACK_EPROTO);
    assert_int_equal(bench->nack.seq, 1);
    assert_string_equal(bench->nack.layer, "head");
    bench_checkpoint(bench, 1, 2, 1, 20);
    bench_settle(bench);
    assert_int_equal(bench->n_acks, 1);
    assert_int_equal(bench->points[0].point.rows_missing, 0);
}

static void totals_that_jump_absurdly_are_refused(void **state)
{
    struct bench *bench = *state;

    bench_rows(bench, 1, 1, 0, 20);
    bench_checkpoint(bench, 1, 1, UINT64_C(1) << 52, 20);
    assert_nack(bench, NACK_EPROTO);
    bench_rows(bench, 1, 2, 20, 20);
    bench_checkpoint(bench, 1, 2, 2, 40);
    bench_settle(bench);
    assert_true(bench->points[0].point.n == 40);
}

static void rows_that_were_thinned_out_are_told_and_are_not_missing(void **state)
{
    struct bench *bench = *state;

    bench_rows(bench, 1, 1, 0, 20);
    bench_thinned(bench, 1, 1, 1, 20, 300);
    bench_settle(bench);
    assert_int_equal(bench->points[0].point.rows_thinned, 300);
    assert_int_equal(bench->points[0].point.rows_missing, 0);
    assert_int_equal(bench->points[0].point.flags & FLAG_PARTIAL, 0);
    bench_rows(bench, 1, 2, 20, 20);
    bench_thinned(bench, 1, 2, 2, 40, 350);
    bench_settle(bench);
    assert_int_equal(bench->points[0].point.rows_thinned, 50);
    bench_rows(bench, 1, 3, 40, 20);
    bench_thinned(bench, 1, 3, 3, 60, 7);
    bench_settle(bench);
    assert_int_equal(bench->points[0].point.rows_thinned, 0);
}

static void rows_thinned_out_are_counted_over_a_restart_and_an_empty_window(void **state)
{
    struct bench *bench = *state;

    bench_rows(bench, 1, 1, 0, 20);
    bench_thinned(bench, 1, 1, 1, 20, 300);
    bench_thinned(bench, 1, 2, 1, 20, 310);
    bench_settle(bench);
    bench_crash(bench);
    bench_open(bench, 2, "run", "writer", 1);
    bench_settle(bench);
    bench_rows(bench, 2, 2, 20, 20);
    bench_thinned(bench, 2, 3, 2, 40, 330);
    bench_settle(bench);
    assert_int_equal(bench->points[0].point.rows_thinned, 30);
    assert_int_equal(bench->points[0].point.rows_missing, 0);
}

static void rows_of_an_empty_window_are_missing_from_the_next_point(void **state)
{
    struct bench *bench = *state;

    bench_rows(bench, 1, 1, 0, 20);
    bench_checkpoint(bench, 1, 1, 1, 20);
    bench_checkpoint(bench, 1, 2, 3, 60);
    bench_settle(bench);
    bench_crash(bench);
    bench_open(bench, 2, "run", "writer", 1);
    bench_settle(bench);
    bench_checkpoint(bench, 2, 3, 4, 80);
    bench_rows(bench, 2, 5, 80, 20);
    bench_checkpoint(bench, 2, 4, 5, 100);
    bench_settle(bench);
    assert_true(bench->points[0].point.n == 20);
    assert_int_equal(bench->points[0].point.rows_missing, 60);
}

static void layer_that_was_only_named_takes_its_shape_from_a_batch(void **state)
{
    struct bench *bench = *state;

    bench_checkpoint(bench, 1, 1, 1, 20);
    bench_settle(bench);
    bench_crash(bench);
    bench_open(bench, 2, "run", "writer", 1);
    bench_settle(bench);
    bench_rows(bench, 2, 2, 20, 20);
    bench_checkpoint(bench, 2, 2, 2, 40);
    bench_settle(bench);
    assert_int_equal(bench->n_nacks, 0);
    assert_true(bench->points[0].point.n == 20);
    assert_int_equal(bench->points[0].point.rows_missing, 20);
}

/* ---- what is missing ----------------------------------------------------------------------- */

static void dropped_batch_is_counted_as_missing(void **state)
{
    struct bench *bench = *state;

    bench_rows(bench, 1, 1, 0, 20);
    bench_rows(bench, 1, 3, 27, 20);
    bench_checkpoint(bench, 1, 1, 4, 50);
    bench_settle(bench);
    assert_true(bench->points[0].point.n == 40);
    assert_int_equal(bench->points[0].point.rows_missing, 10);
    assert_true(bench->points[0].point.flags & FLAG_PARTIAL);
}

static void batch_sent_twice_enters_once(void **state)
{
    struct bench *bench = *state;

    bench_rows(bench, 1, 1, 0, 20);
    bench_rows(bench, 1, 1, 0, 20);
    assert_int_equal(bench->n_released, 1);
    bench_checkpoint(bench, 1, 1, 1, 20);
    bench_settle(bench);
    assert_true(bench->points[0].point.n == 20);
    assert_int_equal(bench->n_nacks, 0);
}

static void late_batch_after_its_checkpoint_changes_nothing(void **state)
{
    struct bench *bench = *state;

    bench_rows(bench, 1, 1, 0, 20);
    bench_checkpoint(bench, 1, 1, 2, 40);
    bench_rows(bench, 1, 2, 20, 20);
    assert_int_equal(bench->n_released, 1);
    bench_rows(bench, 1, 3, 40, 20);
    bench_checkpoint(bench, 1, 2, 3, 60);
    bench_settle(bench);
    assert_true(bench->points[0].point.n == 20);
    assert_int_equal(bench->points[0].point.rows_missing, 0);
}

static void empty_batch_changes_nothing(void **state)
{
    struct bench *bench = *state;

    bench_rows(bench, 1, 1, 0, 0);
    assert_int_equal(bench->n_released, 1);
    assert_int_equal(bench->n_nacks, 0);
    bench_rows(bench, 1, 2, 0, 20);
    bench_checkpoint(bench, 1, 1, 2, 20);
    bench_settle(bench);
    assert_int_equal(bench->points[0].point.rows_missing, 0);
}

static void wrong_shape_is_refused_by_name(void **state)
{
    struct bench *bench = *state;

    bench_rows(bench, 1, 1, 0, 20);
    bench_send(bench, 1, parcel_new(PARCEL_F32, "head", P + 1, C, 20, 2), 2, 20);
    assert_nack(bench, NACK_ESHAPE);
    assert_string_equal(bench->nack.layer, "head");
    assert_int_equal(bench->nack.batch, 2);
    bench_checkpoint(bench, 1, 1, 2, 40);
    bench_settle(bench);
    assert_true(bench->points[0].point.n == 20);
    assert_int_equal(bench->points[0].point.rows_missing, 20);
}

static void rows_without_outputs_are_refused_where_they_had_some(void **state)
{
    struct bench *bench = *state;
    struct parcel *bare = parcel_new(PARCEL_F32, "head", P, C, 20, 2);

    bench_rows(bench, 1, 1, 0, 20);
    bare->batch.outputs_from_head = true;
    bench_send(bench, 1, bare, 2, 20);
    assert_nack(bench, NACK_ESHAPE);
    assert_non_null(strstr(bench->nack.why.text, "come with rows"));
}

/* A slice has a number like any batch, and no rows. */
static void a_head_is_no_row_that_could_be_missing(void **state)
{
    static const double values[P * (P + 1) / 2] = {1, 0, 0, 0, 1, 0, 0, 1, 0, 1};
    struct bench *bench = *state;
    struct parcel *rows = parcel_new(PARCEL_F32, "wide", P, C, 20, 2);
    struct parcel *head = parcel_new(PARCEL_F32, "wide", P, C, 0, 3);
    struct checkpoint_layer layer = {.name = "wide", .seq = 2, .rows = 20};
    struct event event = {.type = EV_CHECKPOINT,
                          .checkpoint = {.seq = 1, .step = 1, .layers = &layer, .n_layers = 1}};

    rows->batch.outputs_from_head = head->batch.outputs_from_head = true;
    head->batch.kind = BATCH_HEAD;
    head->batch.head = (struct head_slice){0, P, DTYPE_F64, DTYPE_F64, values};
    bench_send(bench, 1, rows, 1, 0);
    bench_send(bench, 1, head, 2, 20);
    bench_step(bench, &event, 1);
    bench_settle(bench);
    assert_int_equal(bench->n_nacks, 0);
    assert_int_equal(bench->points[0].point.rows_missing, 0);
    assert_int_equal(bench->points[0].point.flags & (FLAG_FROM_HEAD | FLAG_NO_HEAD),
                     FLAG_FROM_HEAD);
    assert_false(isnan(bench->points[0].point.value[METRIC_D_LR]));
}

static void non_finite_batch_counts_as_missing(void **state)
{
    struct bench *bench = *state;

    bench_rows(bench, 1, 1, 0, 20);
    bench_send(bench, 1, parcel_new(PARCEL_NAN, "head", P, C, 20, 2), 2, 20);
    bench_checkpoint(bench, 1, 1, 2, 40);
    bench_settle(bench);
    assert_nack(bench, NACK_ENUMERIC);
    assert_int_equal(bench->nack.batch, 2);
    assert_non_null(strstr(bench->nack.why.text, "row 19, column 3"));
    assert_true(bench->points[0].point.n == 20);
    assert_int_equal(bench->points[0].point.rows_missing, 20);
    assert_d_lr(bench, d_lr_of(1, 1, 20, NULL));
}

static void numbers_that_jump_absurdly_are_refused(void **state)
{
    struct bench *bench = *state;

    bench_rows(bench, 1, 1, 0, 20);
    bench_rows(bench, 1, UINT64_C(1) << 60, 20, 20);
    assert_nack(bench, NACK_EPROTO);
    assert_int_equal(bench->n_released, 1);
}

static void moments_and_rows_give_one_point(void **state)
{
    struct bench *bench = *state;

    bench_rows(bench, 1, 1, 0, 20);
    bench_send(bench, 1, parcel_new(PARCEL_MOMENTS, "head", P, C, 20, 2), 2, 20);
    bench_send(bench, 1, parcel_new(PARCEL_F64, "head", P, C, 20, 3), 3, 40);
    bench_checkpoint(bench, 1, 1, 3, 60);
    bench_settle(bench);
    assert_true(bench->points[0].point.n == 60);
    assert_d_lr(bench, d_lr_of(1, 3, 20, NULL));
}

/* ---- windows ------------------------------------------------------------------------------- */

static void cumulative_window_keeps_all_rows(void **state)
{
    struct bench *bench = *state;

    bench_open_window(bench, 1, "run", (struct window){.kind = WINDOW_CUMULATIVE});
    bench_settle(bench);
    bench_rows(bench, 1, 1, 0, 20);
    bench_checkpoint(bench, 1, 1, 1, 20);
    bench_rows(bench, 1, 2, 20, 20);
    bench_checkpoint(bench, 1, 2, 3, 45);
    bench_settle(bench);
    assert_true(bench->points[0].point.n == 40);
    assert_int_equal(bench->points[0].point.rows_missing, 5);
    assert_d_lr(bench, d_lr_of(1, 2, 20, NULL));
}

static void exponential_window_forgets_by_half_lives(void **state)
{
    struct bench *bench = *state;
    double w[40], sum = 0, sum_sq = 0;

    bench_open_window(bench, 1, "run",
                      (struct window){.kind = WINDOW_EXPONENTIAL, .half_life_rows = 10});
    bench_settle(bench);
    bench_rows(bench, 1, 1, 0, 20);
    bench_checkpoint(bench, 1, 1, 1, 20);
    bench_rows(bench, 1, 2, 20, 20);
    bench_checkpoint(bench, 1, 2, 2, 40);
    bench_settle(bench);
    for (size_t i = 0; i < 40; i++) {
        w[i] = exp2(-(39 - (double)i) / 10);
        sum += w[i];
        sum_sq += w[i] * w[i];
    }
    assert_true(fabs(bench->points[0].point.n - sum * sum / sum_sq) < 1e-9);
    assert_int_equal(bench->points[0].point.rows_missing, 0);
    assert_d_lr(bench, d_lr_of(1, 2, 20, w));
}

static void long_window_broken_by_a_crash_is_partial(void **state)
{
    struct window windows[] = {{.kind = WINDOW_CUMULATIVE},
                               {.kind = WINDOW_EXPONENTIAL, .half_life_rows = 10}};
    struct bench *bench = *state;
    char run[8];

    for (size_t i = 0; i < 2; i++) {
        sprintf(run, "run-%zu", i);
        bench_open_window(bench, 1, run, windows[i]);
        bench_settle(bench);
        bench_rows(bench, 1, 1, 0, 20);
        bench_checkpoint(bench, 1, 1, 1, 20);
        bench_settle(bench);
        bench_crash(bench);
        bench_open_window(bench, 1, run, windows[i]);
        bench_settle(bench);
        assert_int_equal(bench->welcome.last_seq, 1);
        bench_rows(bench, 1, 2, 20, 20);
        bench_checkpoint(bench, 1, 2, 2, 40);
        bench_settle(bench);
        assert_int_equal(bench->points[0].point.rows_missing, 20);
        assert_true(bench->points[0].point.flags & FLAG_PARTIAL);
        bench_crash(bench);
    }
}

static void rows_lost_in_a_crash_are_missing(void **state)
{
    struct bench *bench = *state;

    bench_rows(bench, 1, 1, 0, 20);
    bench_checkpoint(bench, 1, 1, 1, 20);
    bench_settle(bench);
    bench_rows(bench, 1, 2, 20, 20);
    bench_crash(bench);
    bench_rows(bench, 2, 3, 40, 20);
    assert_nack(bench, NACK_ENOTOPEN);
    bench_open(bench, 2, "run", "writer", 1);
    bench_settle(bench);
    assert_int_equal(bench->welcome.attempt, 1);
    assert_int_equal(bench->welcome.last_seq, 1);
    bench_rows(bench, 2, 4, 60, 20);
    bench_checkpoint(bench, 2, 2, 4, 80);
    bench_settle(bench);
    assert_true(bench->points[0].point.n == 20);
    assert_int_equal(bench->points[0].point.rows_missing, 40);
}

/* ---- who may write ------------------------------------------------------------------------- */

static void a_second_attempt_fences_the_first(void **state)
{
    struct bench *bench = *state;

    bench_rows(bench, 1, 1, 0, 20);
    bench_open(bench, 2, "run", "other", 0);
    bench_settle(bench);
    assert_nack(bench, NACK_EFENCED);
    assert_true(bench->nack.fatal);
    assert_int_equal(bench->nack_peer, 1);
    assert_int_equal(bench->welcome.attempt, 2);
    assert_int_equal(bench->n_released, 1);
    bench_checkpoint(bench, 1, 1, 1, 20);
    assert_int_equal(bench->nack.code, NACK_ENOTOPEN);
    bench_open(bench, 3, "run", "writer", 1);
    bench_settle(bench);
    assert_int_equal(bench->nack.code, NACK_EFENCED);
    assert_int_equal(bench->nack_peer, 3);
}

static void fenced_batch_stays_while_a_job_reads_it(void **state)
{
    struct bench *bench = *state;

    bench_rows(bench, 1, 1, 0, 3000);
    assert_false(list_empty(&bench->jobs));
    bench_open(bench, 2, "run", "other", 0);
    bench_commit(bench);
    assert_int_equal(bench->nack.code, NACK_EFENCED);
    assert_int_equal(bench->n_released, 0);
    bench_work(bench);
    assert_int_equal(bench->n_released, 1);
    assert_int_equal(monitor_stats(bench->monitor).buffered_bytes, 0);
}

static void the_same_writer_reconnects_and_keeps_its_window(void **state)
{
    struct bench *bench = *state;

    bench_rows(bench, 1, 1, 0, 20);
    bench_open(bench, 2, "run", "writer", 1);
    assert_int_equal(bench->n_welcomes, 2);
    bench_rows(bench, 2, 2, 20, 20);
    bench_checkpoint(bench, 2, 1, 2, 40);
    bench_settle(bench);
    assert_true(bench->points[0].point.n == 40);
    assert_int_equal(bench->points[0].point.rows_missing, 0);
    bench_rows(bench, 1, 3, 40, 20);
    assert_nack(bench, NACK_ENOTOPEN);
}

static void another_writer_is_told_who_holds_the_attempt(void **state)
{
    struct bench *bench = *state;

    bench_open(bench, 2, "run", "other", 1);
    bench_settle(bench);
    assert_nack(bench, NACK_EHELD);
    assert_true(bench->nack.fatal);
    assert_non_null(strstr(bench->nack.why.text, "writer writer"));
    bench_rows(bench, 1, 1, 0, 20);
    assert_int_equal(bench->n_nacks, 1);
}

static void two_writers_at_once_get_an_attempt_each(void **state)
{
    struct bench *bench = *state;

    bench_open(bench, 1, "run", "a", 0);
    bench_open(bench, 2, "run", "b", 0);
    bench_open(bench, 2, "run", "b", 0); /* again, before it was answered */
    bench_settle(bench);
    assert_int_equal(bench->n_welcomes, 2);
    assert_int_equal(bench->welcome.attempt, 2);
    assert_nack(bench, NACK_EFENCED);
    assert_int_equal(bench->nack_peer, 1);
}

static void writer_that_asks_twice_for_its_attempt_is_not_fenced(void **state)
{
    struct bench *bench = *state;

    bench_crash(bench);
    bench_open(bench, 2, "run", "writer", 1);
    bench_open(bench, 3, "run", "writer", 1);
    bench_settle(bench);
    assert_int_equal(bench->n_nacks, 0);
    assert_int_equal(bench->n_welcomes, 1);
    bench_log(bench, 3, 1);
    bench_settle(bench);
    assert_int_equal(bench->n_acks, 1);
}

static void control_of_a_stranger_is_not_open(void **state)
{
    struct bench *bench = *state;

    bench_checkpoint(bench, 9, 1, 1, 20);
    assert_nack(bench, NACK_ENOTOPEN);
    bench_log(bench, 9, 1);
    bench_close(bench, 9, 1);
    assert_int_equal(bench->n_nacks, 3);
}

/* ---- the end of a run ---------------------------------------------------------------------- */

static void close_twice_is_close_once(void **state)
{
    struct bench *bench = *state;

    bench_close(bench, 1, 1);
    bench_close(bench, 1, 1);
    bench_settle(bench);
    assert_int_equal(bench->n_acks, 1);
    assert_int_equal(monitor_stats(bench->monitor).runs_open, 0);
    bench_open(bench, 2, "run", "writer", 1);
    bench_settle(bench);
    bench_close(bench, 2, 1);
    bench_settle(bench);
    assert_int_equal(bench->n_acks, 2);
    assert_int_equal(disk_attempt(&bench->disk, "run", 1)->n_items, 1);
    assert_int_equal(disk_attempt(&bench->disk, "run", 1)->state, DISK_FINISHED);
}

static void trainer_that_comes_back_after_close_keeps_its_last_point(void **state)
{
    struct bench *bench = *state;

    bench_rows(bench, 1, 1, 0, 20);
    bench_checkpoint(bench, 1, 1, 1, 20);
    bench_close(bench, 1, 2);
    bench_open(bench, 2, "run", "writer", 1);
    bench_checkpoint(bench, 2, 1, 1, 20);
    bench_close(bench, 2, 2);
    bench_settle(bench);
    assert_int_equal(bench->n_acks, 2);
    assert_true(bench->points[0].measured);
    assert_true(bench->points[0].point.n == 20);
}

static void a_lost_trainer_is_marked_lost_after_30_ticks(void **state)
{
    struct bench *bench = *state;
    struct event alive = {.type = EV_ALIVE};

    bench_tick(bench, MONITOR_LOST_TICKS - 1);
    bench_step(bench, &alive, 1);
    bench_tick(bench, MONITOR_LOST_TICKS - 1);
    assert_null(bench_waiting(bench));
    bench_tick(bench, 1);
    assert_int_equal(bench_waiting(bench)->kind, RECORD_LOST);
    bench_settle(bench);
    assert_int_equal(disk_attempt(&bench->disk, "run", 1)->state, DISK_LOST);
    assert_true(monitor_is_settled(bench->monitor));
    bench_log(bench, 1, 1);
    assert_nack(bench, NACK_ENOTOPEN);
}

static void lost_trainer_that_comes_back_in_time_keeps_its_window(void **state)
{
    struct bench *bench = *state;

    bench_rows(bench, 1, 1, 0, 20);
    bench_checkpoint(bench, 1, 1, 1, 20); /* its job does not come home, so the loss has to wait */
    bench_tick(bench, MONITOR_LOST_TICKS);
    bench_open(bench, 2, "run", "writer", 1);
    assert_int_equal(bench->n_welcomes, 2);
    bench_settle(bench);
    assert_int_equal(bench->n_acks, 1);
    assert_int_equal(disk_attempt(&bench->disk, "run", 1)->state, DISK_OPEN);
    bench_log(bench, 2, 2);
    bench_settle(bench);
    assert_int_equal(bench->n_acks, 2);
}

/* The run that is about to go would end under its trainer when the spectrum is stored. */
static void trainer_whose_loss_is_on_disk_opens_the_run_while_a_spectrum_is_stored(void **state)
{
    struct bench *bench = *state;

    tell_first(bench);
    bench_tick(bench, MONITOR_LOST_TICKS);
    assert_int_equal(bench_waiting(bench)->kind, RECORD_LOST);
    bench_work(bench);
    bench_commit(bench);
    assert_int_equal(disk_attempt(&bench->disk, "run", 1)->state, DISK_LOST);
    assert_int_equal(bench_waiting(bench)->kind, RECORD_SPECTRUM);
    bench_forget(bench);
    bench_open(bench, 2, "run", "writer", 1);
    assert_int_equal(bench->n_welcomes, 0);
    bench_settle(bench);
    assert_int_equal(bench->n_welcomes, 1);
    assert_int_equal(disk_attempt(&bench->disk, "run", 1)->state, DISK_OPEN);
    assert_true(bench->completed.value[METRIC_EFFECTIVE_RANK] > 1);
    bench_log(bench, 2, 2);
    bench_settle(bench);
    assert_int_equal(bench->n_acks, 1);
    assert_int_equal(bench->n_nacks, 0);
}

static void peer_that_is_gone_has_to_open_again(void **state)
{
    struct bench *bench = *state;
    struct event gone = {.type = EV_GONE};

    bench_rows(bench, 1, 1, 0, 20);
    bench_step(bench, &gone, 1);
    assert_nack(bench, NACK_ENOTOPEN);
    bench->n_nacks = 0;
    bench_log(bench, 1, 1);
    assert_nack(bench, NACK_ENOTOPEN);
    bench_open(bench, 1, "run", "writer", 1);
    bench_checkpoint(bench, 1, 1, 1, 20);
    bench_settle(bench);
    assert_true(bench->points[0].point.n == 20);
}

static void draining_takes_no_run_and_finishes_what_is_promised(void **state)
{
    struct bench *bench = *state;
    struct event drain = {.type = EV_DRAIN};

    bench_rows(bench, 1, 1, 0, 20);
    bench_checkpoint(bench, 1, 1, 1, 20);
    bench_step(bench, &drain, 0);
    assert_false(monitor_is_settled(bench->monitor));
    bench_open(bench, 2, "new", "other", 0);
    assert_nack(bench, NACK_EBUSY);
    bench_settle(bench);
    assert_int_equal(bench->n_acks, 1);
    assert_true(monitor_is_settled(bench->monitor));
}

/* ---- the disk ------------------------------------------------------------------------------ */

static void a_full_disk_delays_acks_and_loses_nothing(void **state)
{
    struct bench *bench = *state;

    bench_rows(bench, 1, 1, 0, 20);
    bench_checkpoint(bench, 1, 1, 1, 20);
    bench_log(bench, 1, 2);
    bench_work(bench);
    bench_fail_disk(bench);
    assert_null(bench_waiting(bench));
    bench_log(bench, 1, 3);
    assert_null(bench_waiting(bench)); /* not before the next tick */
    bench_tick(bench, 1);
    bench_fail_disk(bench);
    assert_int_equal(bench->n_acks, 0);
    assert_false(bench->fatal);
    bench_tick(bench, 1);
    bench_settle(bench);
    assert_int_equal(bench->n_acks, 3);
    for (uint64_t seq = 1; seq <= 3; seq++)
        assert_int_equal(bench->acks[seq - 1], seq);
    assert_true(bench->points[0].point.n == 20);
}

static void a_broken_disk_is_fatal_and_acknowledges_nothing(void **state)
{
    struct bench *bench = *state;

    bench_log(bench, 1, 1);
    disk_fail(&bench->disk, -5, "input/output error");
    bench_commit(bench);
    assert_true(bench->fatal);
    assert_int_equal(bench->n_acks, 0);
}

static void message_after_a_refused_one_waits_for_it(void **state)
{
    struct bench *bench = *state;
    uint64_t seq;

    for (seq = 1; seq <= RUN_UNSTORED_MAX; seq++)
        bench_log(bench, 1, seq);
    assert_int_equal(bench->n_nacks, 0);
    bench_log(bench, 1, seq);
    assert_nack(bench, NACK_EBUSY);
    assert_int_equal(bench->nack.seq, seq);
    assert_false(bench->nack.fatal);
    bench_settle(bench);
    bench_tick(bench, 1);
    bench_settle(bench);
    assert_int_equal(bench->n_acks, RUN_UNSTORED_MAX);
    bench_log(bench, 1, seq + 1); /* there is room, but what is on disk must be a prefix */
    assert_int_equal(bench->n_nacks, 2);
    bench_log(bench, 1, seq);
    bench_log(bench, 1, seq + 1);
    bench_settle(bench);
    assert_int_equal(bench->n_acks, RUN_UNSTORED_MAX + 2);
    assert_non_null(disk_item(&bench->disk, "run", 1, seq));
}

/* An ack would say that it is on disk, where the store takes what comes behind for a repetition. */
static void message_out_of_turn_is_refused(void **state)
{
    struct bench *bench = *state;

    bench_log(bench, 1, 3);
    for (uint64_t seq = 2; seq > 0; seq--) {
        bench_forget(bench);
        bench_log(bench, 1, seq);
        assert_nack(bench, NACK_EPROTO);
        assert_int_equal(bench->nack.seq, seq);
        assert_false(bench->nack.fatal);
    }
    bench_forget(bench);
    bench_log(bench, 1, 3); /* is in the journal */
    bench_settle(bench);
    assert_int_equal(bench->n_acks, 1);
    bench_log(bench, 1, 4);
    bench_settle(bench);
    assert_int_equal(bench->n_acks, 2);
    assert_int_equal(bench->n_nacks, 0);
}

static void batch_after_a_refused_checkpoint_stays_out_of_its_window(void **state)
{
    struct bench *bench = *state;

    bench_rows(bench, 1, 1, 0, 20);
    for (uint64_t seq = 1; seq <= RUN_UNSTORED_MAX; seq++)
        bench_log(bench, 1, seq);
    bench_checkpoint(bench, 1, RUN_UNSTORED_MAX + 1, 1, 20);
    assert_nack(bench, NACK_EBUSY);
    bench_rows(bench, 1, 2, 20, 20);
    assert_int_equal(bench->n_nacks, 2);
    bench_settle(bench);
    bench_checkpoint(bench, 1, RUN_UNSTORED_MAX + 1, 1, 20);
    bench_rows(bench, 1, 3, 40, 20);
    bench_settle(bench);
    assert_true(bench->points[0].point.n == 20);
    bench_checkpoint(bench, 1, RUN_UNSTORED_MAX + 2, 3, 60);
    bench_settle(bench);
    assert_true(bench->points[0].point.n == 20);
    assert_int_equal(bench->points[0].point.rows_missing, 20);
}

/* ---- credit -------------------------------------------------------------------------------- */

/* A window is one of so many shares of what is left. */
#define CREDIT_SHARES 16

/* A batch that claims a size, as large frames would have. */
static void send_sized(struct bench *bench, peer_id peer, const char *layer, uint64_t seq,
                       size_t size)
{
    struct parcel *parcel = parcel_new(PARCEL_F32, layer, P, C, 20, seq);

    parcel->batch.size_bytes = size;
    bench_send(bench, peer, parcel, seq, 20 * (seq - 1));
}

static void credit_comes_back_when_rows_are_folded(void **state)
{
    struct bench *b = *state;
    uint64_t window = b->granted;

    send_sized(b, 1, "head", 1, window);
    assert_int_equal(b->granted, window);
    assert_int_equal(b->n_released, 0);
    bench_work(b);
    assert_int_equal(b->n_released, 1);
    assert_int_equal(b->granted, 2 * window);
}

static void batch_beyond_the_credit_is_refused(void **state)
{
    struct bench *bench = *state;

    send_sized(bench, 1, "head", 1, bench->granted + 1);
    assert_nack(bench, NACK_ECREDIT);
    assert_int_equal(bench->n_released, 1);
    send_sized(bench, 1, "head", 2, bench->granted);
    assert_int_equal(bench->n_nacks, 1);
}

static void window_full_of_many_layers_is_folded_at_once(void **state)
{
    struct bench *b = *state;
    uint64_t window = b->granted;
    char name[16];

    for (size_t i = 0; i < 8; i++) {
        sprintf(name, "layer-%zu", i);
        send_sized(b, 1, name, 1, window / 8);
    }
    bench_work(b);
    assert_true(b->granted >= window + window / 2);
}

static void small_change_is_paid_at_the_tick(void **state)
{
    struct bench *b = *state;
    uint64_t window = b->granted;

    send_sized(b, 1, "head", 1, 1000);
    bench_tick(b, 1);
    bench_settle(b);
    bench_tick(b, 1);
    assert_int_equal(b->granted, window + 1000);
}

static void reconnection_does_not_double_the_credit(void **state)
{
    struct bench *b = *state;
    uint64_t window = b->granted;

    send_sized(b, 1, "head", 1, window / 4);
    bench_open(b, 2, "run", "writer", 1);
    assert_int_equal(b->granted, window - window / 4);
    bench_tick(b, 1);
    bench_settle(b);
    assert_int_equal(b->granted, window);
}

/* Opens as many runs as the disk has room for; returns what the last one was granted. */
static uint64_t open_runs(struct bench *bench)
{
    char run[16];

    for (peer_id peer = 1; peer <= DISK_RUNS; peer++) {
        sprintf(run, "run-%u", (unsigned)peer);
        bench_open(bench, peer, run, "writer", 0);
        bench_settle(bench);
        assert_true(bench->granted >= MONITOR_CREDIT_MIN);
    }
    return bench->granted;
}

static void set_budget(struct bench *bench, uint64_t bytes)
{
    bench->config.budget_bytes = bytes;
    bench_crash(bench);
}

static void more_runs_than_the_budget_has_windows_for_are_open(void **state)
{
    struct bench *bench = *state;

    set_budget(bench, 2 * MONITOR_CREDIT_MIN);
    open_runs(bench);
    for (peer_id peer = 1; peer <= DISK_RUNS; peer++)
        send_sized(bench, peer, "head", 1, 1 << 20);
    bench_settle(bench);
    assert_int_equal(bench->n_nacks, 0);
}

static void rows_are_held_up_to_the_budget_and_refused_beyond(void **state)
{
    struct bench *bench = *state;

    set_budget(bench, 2 * MONITOR_CREDIT_MIN);
    open_runs(bench);
    send_sized(bench, 1, "head", 1, MONITOR_CREDIT_MIN);
    send_sized(bench, 2, "head", 1, MONITOR_CREDIT_MIN);
    assert_int_equal(bench->n_nacks, 0);
    send_sized(bench, 3, "head", 1, MONITOR_CREDIT_MIN);
    assert_nack(bench, NACK_ECREDIT);
    assert_non_null(strstr(bench->nack.why.text, "16.0 of the 16.0 MiB for rows of all runs"));
    assert_int_equal(monitor_stats(bench->monitor).buffered_bytes, 2 * MONITOR_CREDIT_MIN);
    bench_settle(bench);
    send_sized(bench, 3, "head", 2, MONITOR_CREDIT_MIN); /* its credit came back */
    assert_int_equal(bench->n_nacks, 1);
}

static void who_sends_nothing_claims_nothing(void **state)
{
    struct bench *bench = *state;
    const uint64_t first = UINT64_C(32) << 20;

    set_budget(bench, CREDIT_SHARES * first);
    assert_true(open_runs(bench) < first);
    for (int i = 0; i < 10; i++) {
        bench_tick(bench, 1);
        send_sized(bench, 1, "head", (uint64_t)i + 1, 1000);
    }
    bench_open(bench, DISK_RUNS + 1, "run-2", "another writer", 0);
    bench_settle(bench);
    assert_int_equal(bench->granted, (CREDIT_SHARES * first - first) / CREDIT_SHARES);
}

static void a_window_grows_when_others_send_nothing(void **state)
{
    struct bench *bench = *state;
    const uint64_t first = UINT64_C(32) << 20;

    set_budget(bench, CREDIT_SHARES * first);
    assert_true(open_runs(bench) < first);
    for (int i = 0; i < 11; i++)
        bench_tick(bench, 1);
    assert_int_equal(bench->granted, first);
}

static void a_window_shrinks_while_memory_fills_and_grows_again(void **state)
{
    struct bench *bench = *state;
    const uint64_t window = UINT64_C(16) << 20, others = 7 * (UINT64_C(4) << 20);

    set_budget(bench, CREDIT_SHARES * window);
    open_runs(bench);
    for (peer_id peer = 2; peer <= DISK_RUNS; peer++)
        send_sized(bench, peer, "head", 1, 4 << 20); /* waits for a block */
    send_sized(bench, 1, "head", 1, window);
    bench_work(bench);
    assert_int_equal(bench->granted, window + (CREDIT_SHARES * window - others) / CREDIT_SHARES);
    bench_tick(bench, 1);
    bench_settle(bench);
    bench_forget(bench);
    bench_tick(bench, 1);
    send_sized(bench, 1, "head", 2, window);
    assert_int_equal(bench->n_nacks, 0);
}

static void layer_beyond_the_memory_budget_is_refused(void **state)
{
    struct bench *bench = *state;

    bench_send(bench, 1, parcel_new(PARCEL_F32, "wide", 20000, 1, 1, 1), 1, 0);
    assert_nack(bench, NACK_EBUSY);
    assert_string_equal(bench->nack.layer, "wide");
    bench_rows(bench, 1, 1, 0, 20);
    assert_int_equal(bench->n_nacks, 1);
}

/* ---- a probe ------------------------------------------------------------------------------- */

#define PROBE_ROWS 20

/* ||A'B||_F^2 of the centred features of two batches. */
static long double cross_squares(const double *a, const double *b)
{
    long double sum = 0;

    for (size_t j = 0; j < P; j++) {
        for (size_t k = 0; k < P; k++) {
            long double dot = 0, sum_a = 0, sum_b = 0;

            for (size_t i = 0; i < PROBE_ROWS; i++) {
                dot += (long double)a[i * P + j] * b[i * P + k];
                sum_a += a[i * P + j];
                sum_b += b[i * P + k];
            }
            dot -= sum_a * sum_b / PROBE_ROWS;
            sum += dot * dot;
        }
    }
    return sum;
}

static double s_init_of(uint64_t first, uint64_t now)
{
    double a[PROBE_ROWS * P], b[PROBE_ROWS * P], y[PROBE_ROWS * C];

    parcel_values(first, PROBE_ROWS, P, C, a, y);
    parcel_values(now, PROBE_ROWS, P, C, b, y);
    return (double)(cross_squares(a, b) / sqrtl(cross_squares(a, a) * cross_squares(b, b)));
}

/* Sends batch `seq` of n rows, of which the last before took `before`, and checkpoint `seq`. */
static const struct layer_point *probe_window(struct bench *bench, peer_id peer, uint64_t seq,
                                              uint64_t before, size_t n)
{
    bench_rows(bench, peer, seq, before, n);
    bench_checkpoint(bench, peer, seq, seq, before + n);
    bench_settle(bench);
    assert_int_equal(bench->n_points, 1);
    return &bench->points[0];
}

static void assert_s_init(const struct layer_point *p, double expected)
{
    double got = p->point.value[METRIC_S_INIT];

    assert_int_equal(p->point.flags & FLAG_PROBE_DIFFERS, 0);
    assert_int_equal(p->probe_problem, PROBE_NONE);
    assert_true(fabs(got - expected) < 1e-12);
}

static void assert_problem(const struct layer_point *point, enum probe_problem problem)
{
    assert_true(isnan(point->point.value[METRIC_S_INIT]));
    assert_true(isnan(point->point.value[METRIC_S_INIT_UNCENTRED]));
    assert_int_equal(point->point.flags & FLAG_PROBE_DIFFERS, FLAG_PROBE_DIFFERS);
    assert_string_equal(probe_problem_text(point->probe_problem), probe_problem_text(problem));
}

static void features_are_compared_with_the_first_window_across_crashes_and_attempts(void **state)
{
    struct bench *bench = *state;
    const struct layer_point *point;

    bench_open_probe(bench, 1, "run", "writer");
    bench_settle(bench);
    point = probe_window(bench, 1, 1, 0, PROBE_ROWS);
    assert_s_init(point, 1);
    assert_true(fabs(point->point.value[METRIC_S_INIT_UNCENTRED] - 1) < 1e-12);
    assert_s_init(probe_window(bench, 1, 2, PROBE_ROWS, PROBE_ROWS), s_init_of(1, 2));
    bench_crash(bench);
    bench_open_probe(bench, 2, "run", "writer");
    bench_settle(bench);
    assert_s_init(probe_window(bench, 2, 3, 2 * PROBE_ROWS, PROBE_ROWS), s_init_of(1, 3));
    bench_open_probe(bench, 3, "run", "another");
    bench_settle(bench);
    assert_int_equal(bench->welcome.attempt, 2);
    bench_rows(bench, 3, 1, 0, 3); /* the first window of this attempt has other rows */
    bench_checkpoint(bench, 3, 1, 1, 3);
    bench_settle(bench);
    assert_problem(&bench->points[0], PROBE_N_ROWS);
    assert_s_init(probe_window(bench, 3, 2, 3, PROBE_ROWS), s_init_of(1, 2));
}

static void a_window_that_differs_is_flagged_with_its_reason(void **state)
{
    struct bench *bench = *state;

    bench_open_probe(bench, 1, "run", "writer");
    bench_settle(bench);
    probe_window(bench, 1, 1, 0, PROBE_ROWS);
    assert_problem(probe_window(bench, 1, 2, 20, 10), PROBE_N_ROWS);
    assert_problem(probe_window(bench, 1, 3, 30, 10), PROBE_N_ROWS);
    assert_s_init(probe_window(bench, 1, 4, 40, PROBE_ROWS), s_init_of(1, 4));
    bench_rows(bench, 1, 5, 60, PROBE_ROWS);
    bench_checkpoint(bench, 1, 5, 6, 90); /* as many rows as at first, but not all */
    bench_settle(bench);
    assert_problem(&bench->points[0], PROBE_MISSING);
}

static void a_window_that_is_not_whole_is_not_the_first(void **state)
{
    struct bench *bench = *state;

    bench_open_probe(bench, 1, "run", "writer");
    bench_settle(bench);
    bench_rows(bench, 1, 2, 10, PROBE_ROWS);
    bench_checkpoint(bench, 1, 1, 2, 30);
    bench_settle(bench);
    assert_problem(&bench->points[0], PROBE_MISSING);
    bench_crash(bench);
    bench_open_probe(bench, 2, "run", "writer");
    bench_settle(bench);
    bench_rows(bench, 2, 3, 30, PROBE_ROWS);
    bench_checkpoint(bench, 2, 2, 3, 50);
    bench_settle(bench);
    assert_s_init(&bench->points[0], 1);
}

static void runs_without_a_probe_have_no_s_init_and_no_flag(void **state)
{
    struct bench *bench = *state;
    const struct layer_point *point = probe_window(bench, 1, 1, 0, PROBE_ROWS);

    assert_true(isnan(point->point.value[METRIC_S_INIT]));
    assert_int_equal(point->point.flags & FLAG_PROBE_DIFFERS, 0);
    bench_crash(bench);
    bench_open_probe(bench, 2, "run", "writer");
    bench_settle(bench);
    point = probe_window(bench, 2, 2, PROBE_ROWS, PROBE_ROWS);
    assert_s_init(point, 1);
}

static void probes_count_in_the_memory_budget(void **state)
{
    struct bench *bench = *state;
    double layer =
        layer_size_bytes(&(struct batch){.p = P, .c = C}, bench->config.n_workers, false);

    bench->config.state_bytes = layer + (double)probe_size_bytes(reservoir_rows_max(P, C)) - 1;
    bench_crash(bench);
    bench_open_probe(bench, 1, "run", "writer");
    bench_settle(bench);
    bench_rows(bench, 1, 1, 0, PROBE_ROWS);
    assert_nack(bench, NACK_EBUSY);
    bench->config.state_bytes += 1;
    bench_crash(bench);
    bench_open_probe(bench, 2, "run", "writer");
    bench_settle(bench);
    probe_window(bench, 2, 1, 0, PROBE_ROWS);

    bench->config.state_bytes = (double)probe_size_bytes(PROBE_ROWS) - 1;
    bench_crash(bench);
    bench_open_probe(bench, 3, "run", "writer");
    bench_settle(bench);
    assert_nack(bench, NACK_EBUSY);
    assert_true(bench->nack.fatal);
    bench->config.state_bytes = (double)probe_size_bytes(PROBE_ROWS) + layer;
    bench_crash(bench);
    bench_open_probe(bench, 4, "run", "writer");
    bench_settle(bench);
    assert_s_init(probe_window(bench, 4, 2, PROBE_ROWS, PROBE_ROWS), s_init_of(1, 2));
}

/* ---- no memory ----------------------------------------------------------------------------- */

#define N_CONTROL 4

static void say_everything(struct bench *bench, peer_id peer, bool with_rows)
{
    bench_open(bench, peer, "run", "writer", 0);
    bench_settle(bench);
    if (with_rows) {
        bench_rows(bench, peer, 1, 0, 20);
        bench_send(bench, peer, parcel_new(PARCEL_MOMENTS, "head", P, C, 20, 2), 2, 20);
    }
    bench_checkpoint(bench, peer, 1, 2, 40);
    bench_log(bench, peer, 2);
    bench_settle(bench);
    if (with_rows)
        bench_rows(bench, peer, 3, 40, 20);
    bench_checkpoint(bench, peer, 3, 3, 60);
    bench_close(bench, peer, N_CONTROL);
    bench_settle(bench);
    bench_tick(bench, 1);
    bench_settle(bench);
}

static void assert_all_on_disk(const struct bench *bench)
{
    const struct disk_attempt *attempt = disk_attempt(&bench->disk, "run", 1);
    uint64_t offered[] = {0, 40, 0, 20};

    assert_non_null(attempt);
    assert_int_equal(attempt->n_items, N_CONTROL);
    for (uint64_t seq = 1; seq <= N_CONTROL; seq++)
        assert_int_equal(attempt->items[seq - 1].seq, seq);
    for (uint64_t seq = 1; seq <= 3; seq += 2) {
        const struct layer_point *point = attempt->items[seq - 1].points;

        if (point->measured)
            assert_true(point->point.n + (double)point->point.rows_missing >= (double)offered[seq]);
    }
}

/* Every acknowledgement that came out was true. */
static void assert_acks_on_disk(const struct bench *bench)
{
    for (size_t i = 0; i < bench->n_acks; i++)
        assert_non_null(disk_item(&bench->disk, "run", 1, bench->acks[i]));
}

static void no_allocation_that_fails_breaks_a_promise(void **state)
{
    bool injected = true;

    (void)state;
    for (long n = 1; injected; n++) {
        struct bench bench;

        bench_init(&bench);
        bench.faulty = true;
        fault_arm(n);
        fault_pause();
        say_everything(&bench, 1, true);
        injected = fault_disarm();
        assert_acks_on_disk(&bench);
        if (bench.fatal)
            bench_crash(&bench);
        bench.faulty = false;
        say_everything(&bench, 2, false);
        assert_all_on_disk(&bench);
        assert_false(bench.fatal);
        bench_release(&bench);
        assert_int_equal(parcel_live(), 0);
        assert_true(n < 1000);
    }
}

static void measuring_without_memory_is_tried_again(void **state)
{
    struct bench *bench = *state;
    struct job *job;
    struct event event = {.type = EV_JOB_DONE};

    bench_rows(bench, 1, 1, 0, 20);
    bench_tick(bench, 1);
    bench_work(bench);
    bench_checkpoint(bench, 1, 1, 1, 20);
    job = bench_take_job(bench);
    assert_int_equal(job->kind, JOB_MEASURE);
    fault_arm(1);
    job_work(job, 0);
    assert_true(fault_disarm());
    event.job = job;
    bench_step(bench, &event, 0);
    bench_settle(bench);
    assert_int_equal(bench->n_acks, 0);
    bench_tick(bench, 1);
    bench_settle(bench);
    assert_int_equal(bench->n_acks, 1);
    assert_true(bench->points[0].measured);
    assert_true(bench->points[0].point.n == 20);
}

static void moments_that_found_no_memory_are_missing(void **state)
{
    struct bench *bench = *state;
    struct job *job;
    struct event event = {.type = EV_JOB_DONE};

    bench_rows(bench, 1, 1, 0, 20);
    bench_tick(bench, 1);
    bench_work(bench);
    bench_send(bench, 1, parcel_new(PARCEL_MOMENTS, "head", P, C, 20, 2), 2, 20);
    job = bench_take_job(bench);
    assert_int_equal(job->kind, JOB_ABSORB);
    fault_arm(1);
    job_work(job, 0);
    assert_true(fault_disarm());
    event.job = job;
    bench_step(bench, &event, 0);
    bench_checkpoint(bench, 1, 1, 2, 40);
    bench_settle(bench);
    assert_true(bench->points[0].point.n == 20);
    assert_int_equal(bench->points[0].point.rows_missing, 20);
}

static void job_that_cannot_start_gives_its_rows_back_and_answers_nothing(void **state)
{
    struct bench *bench = *state;
    struct actions released;
    struct batch *batch;
    struct job *job;
    int n = 0;

    actions_init(&released);
    bench_rows(bench, 1, 1, 0, 20);
    bench_rows(bench, 1, 2, 20, 20);
    bench_checkpoint(bench, 1, 1, 2, 40);
    job = bench_take_job(bench);
    monitor_drop_job(bench->monitor, job, &released);
    while ((batch = actions_next_released(&released))) {
        parcel_free((struct parcel *)batch);
        n++;
    }
    assert_int_equal(n, 2);
    assert_int_equal(monitor_stats(bench->monitor).buffered_bytes, 0);
    assert_true(monitor_is_quiet(bench->monitor));
    bench_settle(bench);
    assert_int_equal(bench->n_acks, 0);
}

#define TEST(name)           cmocka_unit_test_setup_teardown(name, setup, teardown)
#define TEST_OPEN(name)      cmocka_unit_test_setup_teardown(name, setup_open, teardown)
#define TEST_FOLLOWING(name) cmocka_unit_test_setup_teardown(name, setup_following, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_OPEN(checkpoint_measures_exactly_the_batches_before_it),
        TEST_OPEN(ack_waits_for_the_disk),
        TEST_OPEN(what_the_trainer_reports_goes_into_the_points_of_its_checkpoint_alone),
        TEST_OPEN(spectrum_is_made_when_a_checkpoint_asks),
        TEST_FOLLOWING(a_point_does_not_wait_for_a_large_spectrum),
        TEST_FOLLOWING(a_spectrum_that_was_lost_is_said_to_be_missing),
        TEST_FOLLOWING(a_measure_that_is_watched_and_needs_the_spectrum_is_waited_for),
        TEST_FOLLOWING(a_run_that_is_superseded_forgets_its_spectrum),
        TEST(spectrum_is_made_at_every_nth_checkpoint_and_one_sent_twice_counts_once),
        TEST(features_are_compared_with_the_first_window_across_crashes_and_attempts),
        TEST(a_window_that_differs_is_flagged_with_its_reason),
        TEST(a_window_that_is_not_whole_is_not_the_first),
        TEST_OPEN(runs_without_a_probe_have_no_s_init_and_no_flag),
        TEST(probes_count_in_the_memory_budget),
        TEST_OPEN(log_behind_a_checkpoint_waits_for_its_measurement),
        TEST_OPEN(checkpoint_sent_again_shows_the_same_point),
        TEST_OPEN(checkpoint_sent_again_too_early_is_acknowledged_once),
        TEST_OPEN(layer_without_rows_gives_no_point),
        TEST_OPEN(rows_that_were_thinned_out_are_told_and_are_not_missing),
        TEST_OPEN(rows_thinned_out_are_counted_over_a_restart_and_an_empty_window),
        TEST_OPEN(rows_of_an_empty_window_are_missing_from_the_next_point),
        TEST_OPEN(layer_that_was_only_named_takes_its_shape_from_a_batch),
        TEST_OPEN(totals_that_go_back_are_refused),
        TEST_OPEN(totals_that_jump_absurdly_are_refused),
        TEST_OPEN(dropped_batch_is_counted_as_missing),
        TEST_OPEN(batch_sent_twice_enters_once),
        TEST_OPEN(late_batch_after_its_checkpoint_changes_nothing),
        TEST_OPEN(empty_batch_changes_nothing),
        TEST_OPEN(wrong_shape_is_refused_by_name),
        TEST_OPEN(rows_without_outputs_are_refused_where_they_had_some),
        TEST_OPEN(a_head_is_no_row_that_could_be_missing),
        TEST_OPEN(non_finite_batch_counts_as_missing),
        TEST_OPEN(numbers_that_jump_absurdly_are_refused),
        TEST_OPEN(moments_and_rows_give_one_point),
        TEST(a_point_completes_transitions_of_all_that_is_watched),
        TEST(a_new_attempt_goes_on_with_the_series),
        TEST(an_implied_step_hides_nothing_from_the_watches),
        TEST_OPEN(an_implied_step_does_not_take_the_last_step_back),
        TEST_OPEN(constants_are_acknowledged_once_they_are_on_disk),
        TEST_OPEN(what_the_disk_refuses_for_good_is_not_tried_again),
        TEST_OPEN(constants_that_the_store_refuses_cost_themselves),
        TEST_OPEN(large_messages_wait_for_the_disk_in_bounded_memory),
        TEST(a_run_that_watches_nothing_completes_nothing),
        TEST(cumulative_window_keeps_all_rows),
        TEST(exponential_window_forgets_by_half_lives),
        TEST(long_window_broken_by_a_crash_is_partial),
        TEST_OPEN(rows_lost_in_a_crash_are_missing),
        TEST_OPEN(a_second_attempt_fences_the_first),
        TEST_OPEN(fenced_batch_stays_while_a_job_reads_it),
        TEST_OPEN(the_same_writer_reconnects_and_keeps_its_window),
        TEST_OPEN(another_writer_is_told_who_holds_the_attempt),
        TEST(two_writers_at_once_get_an_attempt_each),
        TEST_OPEN(writer_that_asks_twice_for_its_attempt_is_not_fenced),
        TEST(control_of_a_stranger_is_not_open),
        TEST_OPEN(close_twice_is_close_once),
        TEST_OPEN(trainer_that_comes_back_after_close_keeps_its_last_point),
        TEST_OPEN(a_lost_trainer_is_marked_lost_after_30_ticks),
        TEST_OPEN(lost_trainer_that_comes_back_in_time_keeps_its_window),
        TEST_FOLLOWING(trainer_whose_loss_is_on_disk_opens_the_run_while_a_spectrum_is_stored),
        TEST_OPEN(peer_that_is_gone_has_to_open_again),
        TEST_OPEN(draining_takes_no_run_and_finishes_what_is_promised),
        TEST_OPEN(a_full_disk_delays_acks_and_loses_nothing),
        TEST_OPEN(a_broken_disk_is_fatal_and_acknowledges_nothing),
        TEST_OPEN(message_after_a_refused_one_waits_for_it),
        TEST_OPEN(message_out_of_turn_is_refused),
        TEST_OPEN(batch_after_a_refused_checkpoint_stays_out_of_its_window),
        TEST_OPEN(credit_comes_back_when_rows_are_folded),
        TEST_OPEN(batch_beyond_the_credit_is_refused),
        TEST_OPEN(window_full_of_many_layers_is_folded_at_once),
        TEST_OPEN(small_change_is_paid_at_the_tick),
        TEST_OPEN(reconnection_does_not_double_the_credit),
        TEST(more_runs_than_the_budget_has_windows_for_are_open),
        TEST(rows_are_held_up_to_the_budget_and_refused_beyond),
        TEST(who_sends_nothing_claims_nothing),
        TEST(a_window_grows_when_others_send_nothing),
        TEST(a_window_shrinks_while_memory_fills_and_grows_again),
        TEST_OPEN(layer_beyond_the_memory_budget_is_refused),
        cmocka_unit_test(no_allocation_that_fails_breaks_a_promise),
        TEST_OPEN(measuring_without_memory_is_tried_again),
        TEST_OPEN(moments_that_found_no_memory_are_missing),
        TEST_OPEN(job_that_cannot_start_gives_its_rows_back_and_answers_nothing),
    };

    linalg_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
