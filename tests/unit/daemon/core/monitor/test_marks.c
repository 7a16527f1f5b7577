#include "tests/lib/cmocka.h"

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

/* Peers 1, 2, 3 speak for ranks 0, 1, 2. */
static void join(struct bench *bench, size_t n, uint32_t world)
{
    for (size_t i = 0; i < n; i++) {
        char writer[16];

        sprintf(writer, "writer-%zu", i);
        bench_open_member(bench, i + 1, writer, "launch", (uint32_t)i, world);
    }
    bench_settle(bench);
}

static int setup(void **state)
{
    struct bench *bench = malloc(sizeof *bench);

    bench_init(bench);
    *state = bench;
    return 0;
}

static int setup_two(void **state)
{
    setup(state);
    join(*state, 2, 2);
    bench_forget(*state);
    return 0;
}

static int teardown(void **state)
{
    struct bench *bench = *state;

    assert_false(bench->fatal);
    bench_release(bench);
    free(bench);
    assert_int_equal(parcel_live(), 0);
    return 0;
}

/* The k-th batch of a peer, of 20 rows that no other batch has. */
static void rows(struct bench *bench, peer_id peer, uint64_t k)
{
    bench_send(bench, peer, parcel_new(PARCEL_F32, "head", P, C, 20, 100 * peer + k), k,
               20 * (k - 1));
}

/* After k batches. */
static void mark(struct bench *bench, peer_id peer, uint64_t seq, int64_t step, uint64_t k)
{
    bench_mark(bench, peer, seq, step, k, 20 * k);
}

static double d_lr_of(const uint64_t *seeds, size_t n)
{
    double *x = malloc(n * 20 * (P + C) * sizeof *x), *y = x + n * 20 * P;
    struct reference reference;

    for (size_t i = 0; i < n; i++)
        parcel_values(seeds[i], 20, P, C, x + i * 20 * P, y + i * 20 * C);
    reference_measure(20 * n, P, x, C, y, NULL, 1e-10, &reference);
    free(x);
    return (double)reference.d_lr;
}

static const struct point *point(const struct bench *bench)
{
    assert_int_equal(bench->n_points, 1);
    return &bench->points[0].point;
}

static void assert_nack(const struct bench *bench, enum nack_code code, peer_id peer)
{
    assert_int_equal(bench->n_nacks, 1);
    assert_string_equal(nack_code_name(bench->nack.code), nack_code_name(code));
    assert_int_equal(bench->nack_peer, peer);
}

/* ---- joining ------------------------------------------------------------------------------- */

static void all_ranks_of_a_launch_have_one_attempt(void **state)
{
    struct bench *bench = *state;

    join(bench, 3, 3);
    assert_int_equal(bench->n_welcomes, 3);
    assert_int_equal(bench->disk.runs[0].n_attempts, 1);
    assert_int_equal(bench->welcome.world, 3);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(bench->disk.runs[0].attempts[0].members[i].state, DISK_OPEN);
}

static void another_world_is_refused_for_good(void **state)
{
    struct bench *bench = *state;

    bench_open_member(bench, 3, "w", "launch", 1, 5);
    assert_nack(bench, NACK_EPROTO, 3);
    assert_true(bench->nack.fatal);
    bench_forget(bench);
    bench_crash(bench);
    bench_open_member(bench, 4, "w", "launch", 1, 5); /* the store knows as well */
    bench_settle(bench);
    assert_nack(bench, NACK_EPROTO, 4);
    assert_true(bench->nack.fatal);
}

static void a_member_that_opens_twice_is_welcomed_twice(void **state)
{
    struct bench *bench = *state;

    bench_open_member(bench, 1, "writer-0", "launch", 0, 2);
    bench_open_member(bench, 5, "writer-0", "launch", 0, 2); /* on a new connection */
    assert_int_equal(bench->n_welcomes, 2);
    assert_int_equal(bench->n_nacks, 0);
    rows(bench, 1, 1);
    assert_nack(bench, NACK_ENOTOPEN, 1);
}

static void a_connection_cannot_change_its_rank(void **state)
{
    struct bench *bench = *state;

    bench_open_member(bench, 1, "writer-0", "launch", 1, 2);
    assert_nack(bench, NACK_EPROTO, 1);
    bench_forget(bench);
    bench_open_member(bench, 1, "writer-0", "other", 0, 2);
    assert_nack(bench, NACK_EPROTO, 1);
    bench_forget(bench);
    bench_open(bench, 1, "run", "writer-0", 0);
    assert_nack(bench, NACK_EPROTO, 1);
}

/* The run that opens is not on disk yet, so all can come before it is. */
static void more_members_than_there_can_be_are_refused(void **state)
{
    struct bench *bench = *state;

    bench->config.budget_bytes = UINT64_C(1) << 40;
    bench_crash(bench);
    for (uint32_t rank = 0; rank <= RUN_MEMBERS_MAX; rank++) {
        assert_int_equal(bench->n_nacks, 0);
        bench_open_member(bench, rank + 1, "w", "launch", rank, 65536);
    }
    assert_nack(bench, NACK_EBUSY, RUN_MEMBERS_MAX + 1);
    assert_true(bench->nack.fatal);
    bench_tick(bench, 1);
    bench_fail_disk(bench); /* which has no room for so many */
}

static void more_ranks_than_the_budget_has_windows_for_may_join(void **state)
{
    struct bench *bench = *state;

    for (uint32_t rank = 0; rank < DISK_MEMBERS; rank++) { /* 64 MiB are 8 times the least */
        char writer[16];

        sprintf(writer, "w%u", rank);
        bench_open_member(bench, rank + 1, writer, "launch", rank, 9);
    }
    bench_settle(bench);
    assert_int_equal(bench->n_welcomes, DISK_MEMBERS);
    bench_open_member(bench, 20, "w8", "launch", 8, 9);
    assert_int_equal(bench->n_nacks, 0);
}

static void a_new_launch_fences_all_members_of_the_old_one(void **state)
{
    struct bench *bench = *state;

    bench_open_member(bench, 7, "new", "launch-2", 0, 1);
    bench_settle(bench);
    assert_int_equal(bench->n_nacks, 2);
    assert_int_equal(bench->nack.code, NACK_EFENCED);
    assert_int_equal(bench->welcome.attempt, 2);
    bench_forget(bench);
    bench_open_member(bench, 8, "late", "launch", 1, 2);
    bench_settle(bench);
    assert_nack(bench, NACK_EFENCED, 8);
}

static void a_rank_that_restarts_while_the_run_is_opened_begins_with_nothing(void **state)
{
    struct bench *bench = *state;

    bench_log(bench, 1, 1);
    bench_settle(bench);
    bench_crash(bench);
    bench_open_member(bench, 11, "writer-0", "launch", 0, 2);
    bench_open_member(bench, 12, "again", "launch", 0, 2);
    bench_settle(bench);
    assert_int_equal(bench->n_welcomes, 1);
    assert_int_equal(bench->welcome.last_seq, 0);
    assert_string_equal(bench->disk.runs[0].attempts[0].members[0].writer, "again");
    bench_log(bench, 12, 1);
    bench_settle(bench);
    assert_int_equal(bench->n_acks, 1);
}

/* ---- marks --------------------------------------------------------------------------------- */

static void a_point_is_of_the_rows_of_all(void **state)
{
    struct bench *bench = *state;
    const uint64_t seeds[] = {101, 201, 202};

    rows(bench, 1, 1);
    rows(bench, 2, 1);
    mark(bench, 1, 1, 10, 1);
    bench_settle(bench);
    assert_int_equal(bench->n_acks, 0);
    rows(bench, 2, 2);
    mark(bench, 2, 1, 10, 2);
    bench_settle(bench);
    assert_int_equal(bench->n_acks, 2);
    assert_int_equal(bench->ack_peers[0] + bench->ack_peers[1], 3);
    assert_true(point(bench)->n == 60);
    assert_int_equal(point(bench)->ranks_missing, 0);
    assert_int_equal(point(bench)->flags & FLAG_PARTIAL, 0);
    assert_true(fabs(point(bench)->value[METRIC_D_LR] - d_lr_of(seeds, 3)) < 1e-6);
}

static void what_is_behind_a_mark_waits_for_the_next_window(void **state)
{
    struct bench *bench = *state;
    const uint64_t first[] = {101, 201}, second[] = {102, 202};

    rows(bench, 1, 1);
    mark(bench, 1, 1, 10, 1);
    rows(bench, 1, 2);
    bench_log(bench, 1, 2);
    mark(bench, 1, 3, 20, 2);
    bench_tick(bench, 3);
    bench_settle(bench);
    assert_int_equal(bench->n_acks, 0);
    rows(bench, 2, 1);
    mark(bench, 2, 1, 10, 1);
    bench_settle(bench);
    assert_int_equal(bench->n_acks, 3); /* and the log */
    assert_true(fabs(point(bench)->value[METRIC_D_LR] - d_lr_of(first, 2)) < 1e-6);
    rows(bench, 2, 2);
    mark(bench, 2, 2, 20, 2);
    bench_settle(bench);
    assert_true(fabs(point(bench)->value[METRIC_D_LR] - d_lr_of(second, 2)) < 1e-6);
    assert_true(point(bench)->n == 40);
}

static void one_that_is_late_is_waited_for_once(void **state)
{
    struct bench *bench = *state;

    rows(bench, 1, 1);
    mark(bench, 1, 1, 10, 1);
    bench_tick(bench, 10);
    bench_settle(bench);
    assert_int_equal(bench->n_acks, 0);
    bench_tick(bench, 1);
    bench_settle(bench);
    assert_int_equal(bench->n_acks, 1);
    assert_int_equal(point(bench)->ranks_missing, 1);
    assert_int_equal(point(bench)->flags & FLAG_PARTIAL, FLAG_PARTIAL);
    rows(bench, 1, 2);
    mark(bench, 1, 2, 20, 2); /* nobody is waited for */
    bench_settle(bench);
    assert_int_equal(bench->n_acks, 2);

    rows(bench, 2, 1); /* it comes late */
    mark(bench, 2, 1, 20, 1);
    bench_settle(bench);
    assert_int_equal(bench->n_acks, 3);
    assert_int_equal(bench->ack_peers[2], 2);
    assert_int_equal(point(bench)->step, 20);
    assert_true(point(bench)->n == 20);
    mark(bench, 1, 3, 30, 2);
    bench_settle(bench);
    assert_int_equal(bench->n_acks, 3); /* and is waited for again */
    mark(bench, 2, 2, 30, 1);
    bench_settle(bench);
    assert_true(point(bench)->n == 20); /* its rows are in */
    assert_int_equal(point(bench)->ranks_missing, 0);
}

static void ranks_that_never_came_are_waited_for_once(void **state)
{
    struct bench *bench = *state;

    join(bench, 2, 4);
    rows(bench, 1, 1);
    mark(bench, 1, 1, 10, 1);
    mark(bench, 2, 1, 10, 0);
    bench_tick(bench, 10);
    bench_settle(bench);
    assert_int_equal(bench->n_acks, 0);
    bench_tick(bench, 1);
    bench_settle(bench);
    assert_int_equal(point(bench)->ranks_missing, 2);
    rows(bench, 1, 2);
    mark(bench, 1, 2, 20, 2);
    mark(bench, 2, 2, 20, 0);
    bench_settle(bench);
    assert_int_equal(bench->n_acks, 4);
}

static void one_that_is_lost_is_not_waited_for(void **state)
{
    struct bench *bench = *state;
    struct event alive = {.type = EV_ALIVE};

    for (size_t i = 0; i < MONITOR_LOST_TICKS; i++) {
        bench_step(bench, &alive, 1);
        bench_tick(bench, 1);
    }
    bench_settle(bench);
    assert_int_equal(bench->disk.runs[0].attempts[0].members[1].state, DISK_LOST);
    rows(bench, 1, 1);
    mark(bench, 1, 1, 10, 1);
    bench_settle(bench);
    assert_int_equal(point(bench)->ranks_missing, 1);
    bench_forget(bench);
    bench_open_member(bench, 9, "writer-1", "launch", 1, 2); /* it was only away */
    bench_settle(bench);
    assert_int_equal(bench->n_welcomes, 1);
    assert_int_equal(bench->disk.runs[0].attempts[0].members[1].state, DISK_OPEN);
}

static void a_restart_of_one_rank_begins_its_numbers_again(void **state)
{
    struct bench *bench = *state;

    rows(bench, 1, 1);
    rows(bench, 2, 1);
    mark(bench, 2, 1, 10, 1); /* waits, and is forgotten with its process */
    rows(bench, 2, 2);
    bench_open_member(bench, 9, "again", "launch", 1, 2);
    assert_nack(bench, NACK_EFENCED, 2);
    bench_settle(bench);
    assert_int_equal(bench->welcome.last_seq, 0);
    mark(bench, 1, 1, 10, 1);
    bench_settle(bench);
    assert_int_equal(bench->n_acks, 0);
    rows(bench, 9, 1);
    mark(bench, 9, 1, 10, 1);
    bench_settle(bench);
    assert_int_equal(bench->n_acks, 2);
    assert_true(point(bench)->n == 60);
    assert_int_equal(point(bench)->rows_missing, 0);
}

/* The writer comes back to attempt 1, as only one who was welcomed can. */
static void come_back(struct bench *bench, peer_id peer, const char *writer, uint32_t rank)
{
    struct record *record = record_new(RECORD_OPEN, "run");
    struct event event = {.type = EV_OPEN,
                          .open = {.record = record, .projector.kind = PROJECTOR_SPAN}};

    record->open.writer = strdup(writer);
    record->open.launch = strdup("launch");
    record->open.rank = rank;
    record->open.world = 2;
    record->open.attempt = 1;
    bench_step(bench, &event, peer);
}

/* Its connection broke before it heard that its rank was started again. */
static void the_old_process_of_a_rank_cannot_take_it_back(void **state)
{
    struct bench *bench = *state;

    bench_open_member(bench, 9, "again", "launch", 1, 2);
    bench_settle(bench);
    bench_forget(bench);
    come_back(bench, 10, "writer-1", 1);
    assert_nack(bench, NACK_EFENCED, 10);
    bench_log(bench, 9, 1);
    bench_settle(bench);
    assert_int_equal(bench->n_acks, 1);
}

/* Rank 1 was started again, and the daemon after that. */
static void restart_of_rank_and_daemon(struct bench *bench)
{
    bench_open_member(bench, 9, "again", "launch", 1, 2);
    bench_settle(bench);
    bench_crash(bench);
    bench_forget(bench);
}

static void assert_again_has_its_rank(struct bench *bench, peer_id peer)
{
    bench_forget(bench);
    come_back(bench, peer, "again", 1);
    bench_settle(bench);
    assert_int_equal(bench->n_welcomes, 1);
    assert_int_equal(bench->n_nacks, 0);
    bench_log(bench, peer, 1);
    bench_settle(bench);
    assert_int_equal(bench->n_acks, 1);
    assert_string_equal(bench->disk.runs[0].attempts[0].members[1].writer, "again");
}

static void nor_where_it_is_the_first_after_a_restart(void **state)
{
    struct bench *bench = *state;

    restart_of_rank_and_daemon(bench);
    come_back(bench, 11, "writer-1", 1);
    bench_settle(bench);
    assert_nack(bench, NACK_EFENCED, 11);
    assert_again_has_its_rank(bench, 12);
}

static void nor_where_it_comes_before_its_successor(void **state)
{
    struct bench *bench = *state;

    restart_of_rank_and_daemon(bench);
    come_back(bench, 10, "writer-0", 0);
    bench_settle(bench);
    bench_forget(bench);
    come_back(bench, 11, "writer-1", 1);
    bench_settle(bench);
    assert_nack(bench, NACK_EFENCED, 11);
    assert_again_has_its_rank(bench, 12);
}

static void nor_while_the_run_is_opened_after_a_restart(void **state)
{
    struct bench *bench = *state;

    restart_of_rank_and_daemon(bench);
    come_back(bench, 10, "writer-0", 0);
    come_back(bench, 11, "writer-1", 1);
    bench_settle(bench);
    assert_int_equal(bench->n_welcomes, 1);
    assert_nack(bench, NACK_EFENCED, 11);
    assert_again_has_its_rank(bench, 12);
}

/* Which of them is the older one only the store knows. */
static void two_that_were_welcomed_wait_for_the_store(void **state)
{
    struct bench *bench = *state;

    restart_of_rank_and_daemon(bench);
    come_back(bench, 11, "writer-1", 1);
    come_back(bench, 12, "again", 1);
    assert_nack(bench, NACK_EBUSY, 12);
    assert_true(bench->nack.fatal);
    bench_forget(bench);
    bench_settle(bench);
    assert_nack(bench, NACK_EFENCED, 11);
    assert_again_has_its_rank(bench, 13);
}

/* Or the daemon, killed before that, would take it for the older one. */
static void who_takes_a_rank_over_is_welcomed_when_that_is_on_disk(void **state)
{
    struct bench *bench = *state;

    bench_open_member(bench, 9, "again", "launch", 1, 2);
    assert_int_equal(bench->n_welcomes, 0);
    bench_open_member(bench, 10, "again", "launch", 1, 2); /* it asks once more */
    assert_int_equal(bench->n_welcomes, 0);
    bench_settle(bench);
    assert_int_equal(bench->n_welcomes, 1);
    assert_string_equal(bench->disk.runs[0].attempts[0].members[1].writer, "again");
    bench_open_member(bench, 11, "again", "launch", 1, 2);
    assert_int_equal(bench->n_welcomes, 2);
}

/* The old writer's mark is measured when the new one has come: it is not the new one's. */
static void numbers_of_an_older_writer_are_not_acknowledged_to_the_new_one(void **state)
{
    struct bench *bench = *state;

    rows(bench, 1, 1);
    mark(bench, 1, 1, 10, 1);
    mark(bench, 2, 1, 10, 0);
    bench_work(bench);
    bench_open_member(bench, 9, "again", "launch", 1, 2);
    bench_settle(bench);
    assert_int_equal(bench->n_acks, 1);
    assert_int_equal(bench->ack_peers[0], 1);
    bench_log(bench, 9, 1);
    bench_settle(bench);
    assert_int_equal(bench->n_acks, 2);
    assert_int_equal(disk_item_of(&bench->disk, "run", 1, 1, 1)->kind, RECORD_CHECKPOINT);
    assert_int_equal(bench->disk.runs[0].attempts[0].members[1].last_seq, 1);
}

static void steps_that_ranks_disagree_on_are_measured_lowest_first(void **state)
{
    struct bench *bench = *state;

    rows(bench, 1, 1);
    rows(bench, 2, 1);
    mark(bench, 1, 1, 10, 1);
    mark(bench, 2, 1, 11, 1);
    bench_settle(bench);
    assert_int_equal(bench->n_acks, 1);
    assert_int_equal(point(bench)->step, 10);
    assert_int_equal(point(bench)->ranks_missing, 1);
    bench_forget(bench);
    rows(bench, 1, 2);
    mark(bench, 1, 2, 11, 2);
    bench_settle(bench);
    assert_int_equal(bench->n_acks, 2);
    assert_int_equal(point(bench)->step, 11);
    assert_int_equal(point(bench)->ranks_missing, 0);
}

static void a_job_that_goes_back_measures_earlier_steps_again(void **state)
{
    struct bench *bench = *state;

    for (uint64_t i = 0; i < 2; i++) {
        rows(bench, 1, i + 1);
        rows(bench, 2, i + 1);
        mark(bench, 1, i + 1, i == 0 ? 20 : 5, i + 1);
        mark(bench, 2, i + 1, i == 0 ? 20 : 5, i + 1);
        bench_settle(bench);
        assert_int_equal(bench->n_acks, 2 * (i + 1));
        assert_true(point(bench)->n == 40);
    }
    assert_int_equal(point(bench)->step, 5);
}

static void a_second_mark_of_a_step_leaves_its_point_whole(void **state)
{
    struct bench *bench = *state;

    rows(bench, 1, 1);
    rows(bench, 2, 1);
    mark(bench, 1, 1, 10, 1);
    mark(bench, 2, 1, 10, 1);
    bench_settle(bench);
    rows(bench, 1, 2);
    mark(bench, 1, 2, 10, 2);
    bench_settle(bench);
    assert_int_equal(bench->n_acks, 3);
    assert_true(point(bench)->n == 40);
    assert_int_equal(point(bench)->ranks_missing, 0);
}

static void totals_that_cannot_be_true_are_refused_in_their_turn(void **state)
{
    struct bench *bench = *state;

    rows(bench, 1, 1);
    mark(bench, 1, 1, 10, 1);
    mark(bench, 1, 2, 20, 0); /* fewer than before: found when it is its turn */
    bench_log(bench, 1, 3);
    assert_int_equal(bench->n_nacks, 0);
    mark(bench, 2, 1, 10, 0);
    bench_settle(bench);
    assert_nack(bench, NACK_EPROTO, 1);
    assert_int_equal(bench->nack.seq, 2);
    assert_int_equal(bench->n_acks, 3); /* of both marks and the log */
}

/* The refusal was lost with the connection: the trainer sends the mark once more. */
static void a_refused_mark_is_refused_again(void **state)
{
    struct bench *bench = *state;

    rows(bench, 1, 1);
    mark(bench, 1, 1, 10, 1);
    mark(bench, 1, 2, 20, 0);
    mark(bench, 2, 1, 10, 0);
    assert_nack(bench, NACK_EPROTO, 1);
    bench_forget(bench);
    mark(bench, 1, 2, 20, 0);
    assert_nack(bench, NACK_EPROTO, 1);
    assert_int_equal(bench->nack.seq, 2);
    bench_settle(bench);
    bench_forget(bench);
    mark(bench, 1, 1, 10, 1); /* of one that is in the journal or on disk the ack comes */
    bench_settle(bench);
    assert_int_equal(bench->n_nacks, 0);
    assert_int_equal(bench->n_acks, 1);
}

/* The last rows are still folded when the next job comes with the same key. */
static void a_launch_that_all_have_closed_is_over_while_jobs_are_out(void **state)
{
    struct bench *bench = *state;

    rows(bench, 1, 1);
    bench_tick(bench, 1);
    bench_close(bench, 1, 1);
    bench_commit(bench);
    bench_close(bench, 2, 1);
    bench_commit(bench);
    bench_forget(bench);
    bench_open_member(bench, 1, "writer-0", "launch", 0, 2); /* the ack was lost: it is known */
    assert_int_equal(bench->welcome.attempt, 1);
    bench_open_member(bench, 9, "new", "launch", 0, 2);
    bench_settle(bench);
    assert_int_equal(bench->welcome.attempt, 2);
    assert_int_equal(bench->disk.runs[0].attempts[0].state, DISK_FINISHED);
}

static void one_rank_that_says_much_keeps_no_other_from_marking(void **state)
{
    struct bench *bench = *state;

    rows(bench, 1, 1);
    mark(bench, 1, 1, 10, 1);
    for (uint64_t seq = 2; seq <= RUN_UNSTORED_MAX; seq++)
        bench_log(bench, 1, seq);
    assert_int_equal(bench->n_nacks, 0);
    bench_log(bench, 1, RUN_UNSTORED_MAX + 1);
    assert_nack(bench, NACK_EBUSY, 1);
    bench_forget(bench);
    mark(bench, 2, 1, 10, 0);
    bench_settle(bench);
    assert_int_equal(bench->n_nacks, 0);
    assert_int_equal(bench->n_acks, RUN_UNSTORED_MAX + 1);
}

/* A thousand layers, with names as long as they may be. */
static void mark_many_layers(struct bench *bench, peer_id peer, uint64_t seq)
{
    static char names[1000][LAYER_NAME_MAX + 1];
    static struct checkpoint_layer layers[1000];
    struct event event = {.type = EV_CHECKPOINT,
                          .checkpoint = {.seq = seq, .step = (int64_t)seq, .layers = layers}};

    for (size_t i = 0; i < 1000; i++) {
        memset(names[i], 'x', LAYER_NAME_MAX);
        sprintf(names[i], "%zu", i);
        names[i][strlen(names[i])] = 'x';
        layers[i].name = names[i];
    }
    event.checkpoint.n_layers = 1000;
    bench_step(bench, &event, peer);
}

/* 160 kB each in 64 MiB; points of as many layers would be 1.4 MB. */
static void marks_wait_in_few_bytes_which_are_bounded(void **state)
{
    struct bench *bench = *state;
    uint64_t seq = 0;

    while (bench->n_nacks == 0 && seq < RUN_UNSTORED_MAX)
        mark_many_layers(bench, 1, ++seq);
    assert_true(seq > 380 && seq < 440);
    assert_nack(bench, NACK_EBUSY, 1);
    bench_forget(bench);
    mark_many_layers(bench, 2, 1);
    assert_int_equal(bench->n_nacks, 0);
}

static void the_attempt_ends_with_its_last_member(void **state)
{
    struct bench *bench = *state;
    struct event failed = {.type = EV_CLOSE, .close = {.seq = 1, .failed = true}};

    bench_step(bench, &failed, 1);
    bench_settle(bench);
    assert_int_equal(bench->disk.runs[0].attempts[0].state, DISK_OPEN);
    assert_int_equal(monitor_stats(bench->monitor).runs_open, 1);
    bench_close(bench, 2, 1);
    bench_settle(bench);
    assert_int_equal(bench->disk.runs[0].attempts[0].state, DISK_FAILED);
    assert_int_equal(monitor_stats(bench->monitor).runs_open, 0);
    bench_forget(bench);
    bench_open_member(bench, 9, "writer-1", "launch", 1, 2); /* its ack was lost */
    bench_settle(bench);
    assert_int_equal(bench->welcome.last_seq, 1);
    bench_close(bench, 9, 1);
    bench_settle(bench);
    assert_int_equal(bench->n_acks, 1);
    assert_int_equal(bench->disk.runs[0].attempts[0].state, DISK_FAILED);
}

/* ---- restarts and memory ------------------------------------------------------------------- */

static void after_a_restart_each_goes_on_and_lost_rows_are_said(void **state)
{
    struct bench *bench = *state;

    rows(bench, 1, 1);
    rows(bench, 2, 1);
    mark(bench, 1, 1, 10, 1);
    mark(bench, 2, 1, 10, 1);
    bench_settle(bench);
    rows(bench, 1, 2);
    rows(bench, 2, 2);
    bench_crash(bench);
    bench_open_member(bench, 11, "writer-0", "launch", 0, 2);
    bench_open_member(bench, 12, "writer-1", "launch", 1, 2);
    bench_settle(bench);
    assert_int_equal(bench->welcome.last_seq, 1);
    mark(bench, 11, 1, 10, 1); /* its ack may have been lost */
    bench_settle(bench);
    assert_int_equal(bench->n_acks, 1);
    assert_true(point(bench)->n == 40);
    rows(bench, 11, 3);
    mark(bench, 11, 2, 20, 3);
    bench_settle(bench);
    assert_int_equal(bench->n_acks, 1); /* the other is waited for */
    rows(bench, 12, 3);
    mark(bench, 12, 2, 20, 3);
    bench_settle(bench);
    assert_true(point(bench)->n == 40);
    assert_int_equal(point(bench)->rows_missing, 40);
}

/* The rank that had marked the step has another process now, of which nothing is on disk. */
static void a_measured_step_is_known_after_restarts_of_all(void **state)
{
    struct bench *bench = *state;

    rows(bench, 1, 1);
    mark(bench, 1, 1, 10, 1);
    mark(bench, 2, 1, 10, 0);
    bench_settle(bench);
    bench_open_member(bench, 3, "again-0", "launch", 0, 2);
    bench_open_member(bench, 4, "again-1", "launch", 1, 2);
    bench_settle(bench);
    bench_crash(bench);
    bench_open_member(bench, 11, "again-0", "launch", 0, 2);
    bench_settle(bench);
    rows(bench, 11, 1);
    mark(bench, 11, 1, 10, 1);
    bench_settle(bench);
    assert_int_equal(bench->n_acks, 1);
    assert_int_equal(point(bench)->ranks_missing, 0); /* that of then */
}

static void draining_waits_for_no_rank(void **state)
{
    struct bench *bench = *state;
    struct event drain = {.type = EV_DRAIN};

    rows(bench, 1, 1);
    mark(bench, 1, 1, 10, 1);
    assert_false(monitor_is_settled(bench->monitor));
    bench_step(bench, &drain, 0);
    bench_settle(bench);
    assert_true(monitor_is_settled(bench->monitor));
    assert_int_equal(bench->n_acks, 1);
}

static void drive(struct bench *bench)
{
    join(bench, 2, 2);
    for (uint64_t k = 1; k <= 2; k++) {
        rows(bench, 1, k);
        mark(bench, 1, 2 * k - 1, (int64_t)k, k);
        bench_log(bench, 1, 2 * k);
        rows(bench, 2, k);
        mark(bench, 2, k, (int64_t)k, k);
        bench_settle(bench);
    }
    bench_open_member(bench, 3, "again", "launch", 1, 2);
    bench_close(bench, 1, 5);
    bench_close(bench, 3, 1);
    for (size_t i = 0; i < 50; i++) {
        bench_tick(bench, 1);
        bench_settle(bench);
    }
}

static void assert_acks_on_disk(const struct bench *bench)
{
    for (size_t i = 0; i < bench->n_acks; i++)
        assert_non_null(
            disk_item_of(&bench->disk, "run", 1, bench->ack_peers[i] > 1, bench->acks[i]));
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
        drive(&bench);
        injected = fault_disarm();
        assert_acks_on_disk(&bench);
        bench_release(&bench);
        assert_int_equal(parcel_live(), 0);
        assert_true(n < 1000);
    }
}

#define TEST(name)     cmocka_unit_test_setup_teardown(name, setup, teardown)
#define TEST_TWO(name) cmocka_unit_test_setup_teardown(name, setup_two, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(all_ranks_of_a_launch_have_one_attempt),
        TEST_TWO(another_world_is_refused_for_good),
        TEST_TWO(a_member_that_opens_twice_is_welcomed_twice),
        TEST_TWO(a_connection_cannot_change_its_rank),
        TEST(more_members_than_there_can_be_are_refused),
        TEST(more_ranks_than_the_budget_has_windows_for_may_join),
        TEST_TWO(a_new_launch_fences_all_members_of_the_old_one),
        TEST_TWO(a_rank_that_restarts_while_the_run_is_opened_begins_with_nothing),
        TEST_TWO(a_point_is_of_the_rows_of_all),
        TEST_TWO(what_is_behind_a_mark_waits_for_the_next_window),
        TEST_TWO(one_that_is_late_is_waited_for_once),
        TEST(ranks_that_never_came_are_waited_for_once),
        TEST_TWO(one_that_is_lost_is_not_waited_for),
        TEST_TWO(a_restart_of_one_rank_begins_its_numbers_again),
        TEST_TWO(the_old_process_of_a_rank_cannot_take_it_back),
        TEST_TWO(nor_where_it_is_the_first_after_a_restart),
        TEST_TWO(nor_where_it_comes_before_its_successor),
        TEST_TWO(nor_while_the_run_is_opened_after_a_restart),
        TEST_TWO(two_that_were_welcomed_wait_for_the_store),
        TEST_TWO(who_takes_a_rank_over_is_welcomed_when_that_is_on_disk),
        TEST_TWO(numbers_of_an_older_writer_are_not_acknowledged_to_the_new_one),
        TEST_TWO(steps_that_ranks_disagree_on_are_measured_lowest_first),
        TEST_TWO(a_job_that_goes_back_measures_earlier_steps_again),
        TEST_TWO(a_second_mark_of_a_step_leaves_its_point_whole),
        TEST_TWO(totals_that_cannot_be_true_are_refused_in_their_turn),
        TEST_TWO(a_refused_mark_is_refused_again),
        TEST_TWO(a_launch_that_all_have_closed_is_over_while_jobs_are_out),
        TEST_TWO(one_rank_that_says_much_keeps_no_other_from_marking),
        TEST_TWO(marks_wait_in_few_bytes_which_are_bounded),
        TEST_TWO(the_attempt_ends_with_its_last_member),
        TEST_TWO(after_a_restart_each_goes_on_and_lost_rows_are_said),
        TEST_TWO(a_measured_step_is_known_after_restarts_of_all),
        TEST_TWO(draining_waits_for_no_rank),
        cmocka_unit_test(no_allocation_that_fails_breaks_a_promise),
    };

    linalg_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
