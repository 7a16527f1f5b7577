#include "tests/lib/cmocka.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/core/matrix/linalg.h"
#include "daemon/core/moments/fold_line.h"
#include "daemon/core/monitor/layer.h"
#include "tests/lib/core/parcel.h"

#define P 3
#define C 1

/* A layer with memory, and the list that takes what it is done with. */
struct fixture {
    struct layer *layer;
    struct list finished;
    struct layer_done done;
};

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);

    list_init(&fixture->finished);
    fixture->layer = layer_new(NULL, "head", P, C, (struct window){.kind = WINDOW_CHECKPOINT},
                               (struct projector){.kind = PROJECTOR_SPAN}, &(struct watch_list){0});
    *state = fixture;
    return fixture->layer &&
                   layer_allocate(fixture->layer, &(struct batch){.p = P, .c = C}, 2, 0) == 0
               ? 0
               : -1;
}

static size_t free_finished(struct fixture *fixture)
{
    size_t n = 0;

    for (struct list *at; (at = list_first(&fixture->finished)); n++) {
        list_remove(at);
        parcel_free((struct parcel *)LIST_ENTRY(at, struct batch, queued.link));
    }
    return n;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;

    layer_clear_queue(fixture->layer, &fixture->finished);
    free_finished(fixture);
    layer_free(fixture->layer);
    free(fixture);
    assert_int_equal(parcel_live(), 0);
    return 0;
}

/* With the number that follows. */
static void offer(struct fixture *fixture, struct batch *batch)
{
    batch->seq = fixture->layer->sources[0].last_seq + 1;
    batch->rows_before = fixture->layer->rows_offered;
    assert_int_equal(layer_offer(fixture->layer, 0, batch, NULL), LAYER_QUEUES);
}

static void push(struct fixture *fixture, enum parcel_kind kind, size_t n)
{
    offer(fixture, &parcel_new(kind, "head", P, C, n, n)->batch);
}

static void push_mark(struct fixture *fixture, struct mark *mark, struct point *point)
{
    *point = (struct point){0};
    static struct spectrum *none;

    *mark = (struct mark){.point = point, .spectrum = &none};
    layer_push_mark(fixture->layer, mark);
}

/* Runs the job to its end; returns how many batches came back. */
static size_t run(struct fixture *fixture, struct job *job)
{
    do {
        for (size_t i = 0; i < job->n_shares; i++)
            job_work(job, i);
        layer_job_done(fixture->layer, &fixture->finished, &fixture->done);
    } while (fixture->done.next);
    return free_finished(fixture);
}

static void few_rows_wait_for_a_block(void **state)
{
    struct fixture *fixture = *state;

    push(fixture, PARCEL_F32, 10);
    assert_null(layer_start(fixture->layer));
    fixture->layer->flush = true;
    assert_non_null(layer_start(fixture->layer));
    assert_int_equal(run(fixture, &fixture->layer->job), 1);
    assert_int_equal(fixture->layer->moments.n_rows, 10);
}

static void full_block_does_not_wait(void **state)
{
    struct fixture *fixture = *state;
    size_t capacity = fold_line_block(fixture->layer->fold);

    push(fixture, PARCEL_F32, capacity - 1);
    assert_null(layer_start(fixture->layer));
    push(fixture, PARCEL_F32, 1);
    assert_non_null(layer_start(fixture->layer));
    assert_int_equal(run(fixture, &fixture->layer->job), 2);
    assert_int_equal(fixture->layer->held_bytes, 0);
}

static void whole_blocks_go_and_the_rest_waits(void **state)
{
    struct fixture *fixture = *state;
    size_t block = fold_line_block(fixture->layer->fold);

    push(fixture, PARCEL_F32, 2 * block);
    push(fixture, PARCEL_F32, block - 1);
    assert_int_equal(run(fixture, layer_start(fixture->layer)), 1);
    assert_int_equal(fixture->layer->moments.n_rows, 2 * block);
    assert_int_equal(fixture->layer->queued_rows, block - 1);
    assert_null(layer_start(fixture->layer));
}

static void batch_longer_than_a_job_comes_back_after_its_last_row(void **state)
{
    struct fixture *fixture = *state;
    size_t capacity = fold_line_capacity(fixture->layer->fold);

    push(fixture, PARCEL_F32, 2 * capacity + 1);
    assert_int_equal(run(fixture, layer_start(fixture->layer)), 0);
    assert_int_equal(run(fixture, layer_start(fixture->layer)), 0);
    assert_null(layer_start(fixture->layer)); /* one row is left */
    fixture->layer->flush = true;
    assert_int_equal(run(fixture, layer_start(fixture->layer)), 1);
    assert_int_equal(fixture->layer->moments.n_rows, 2 * capacity + 1);
    assert_int_equal(fixture->layer->window_rows, 2 * capacity + 1);
    assert_int_equal(fixture->layer->queued_rows, 0);
}

static void batch_longer_than_a_job_is_refused_whole(void **state)
{
    struct fixture *fixture = *state;

    push(fixture, PARCEL_NAN, 2 * fold_line_capacity(fixture->layer->fold));
    assert_int_equal(run(fixture, layer_start(fixture->layer)), 1);
    assert_int_equal(fixture->layer->moments.n_rows, 0);
    assert_int_equal(fixture->layer->queued_rows, 0);
    assert_int_equal(fixture->layer->held_bytes, 0);
    assert_null(layer_start(fixture->layer));
}

static void mark_waits_for_what_is_before_it(void **state)
{
    struct fixture *fixture = *state;
    struct point point;
    struct mark mark;

    push(fixture, PARCEL_F32, 10);
    push_mark(fixture, &mark, &point);
    push(fixture, PARCEL_F32, 5);
    assert_int_equal(layer_start(fixture->layer)->kind, JOB_FOLD);
    assert_null(layer_start(fixture->layer)); /* busy */
    assert_int_equal(run(fixture, &fixture->layer->job), 1);
    assert_int_equal(layer_start(fixture->layer)->kind, JOB_MEASURE);
    run(fixture, &fixture->layer->job);
    assert_ptr_equal(fixture->done.mark, &mark);
    assert_true(mark.measured);
    assert_true(point.n == 10);
    assert_int_equal(fixture->layer->moments.n_rows, 0);
}

static void mark_without_rows_is_not_measured(void **state)
{
    struct fixture *fixture = *state;
    struct point point;
    struct mark mark;

    push_mark(fixture, &mark, &point);
    run(fixture, layer_start(fixture->layer));
    assert_ptr_equal(fixture->done.mark, &mark);
    assert_false(mark.measured);
}

static enum layer_answer offer_as(struct fixture *fixture, uint64_t seq, uint64_t rows_before,
                                  struct err *why)
{
    struct parcel *parcel = parcel_new(PARCEL_F32, "head", P, C, 10, 1);
    enum layer_answer answer;

    parcel->batch.seq = seq;
    parcel->batch.rows_before = rows_before;
    answer = layer_offer(fixture->layer, 0, &parcel->batch, why);
    if (answer != LAYER_QUEUES)
        parcel_free(parcel);
    return answer;
}

static void batch_that_was_here_or_whose_checkpoint_was_is_passed_over(void **state)
{
    struct fixture *fixture = *state;
    static struct point point;
    static struct mark mark; /* stays in the queue until the teardown */

    assert_int_equal(offer_as(fixture, 2, 10, NULL), LAYER_QUEUES);
    assert_int_equal(offer_as(fixture, 2, 10, NULL), LAYER_PASSES_OVER);
    assert_int_equal(offer_as(fixture, 1, 0, NULL), LAYER_PASSES_OVER);
    mark = (struct mark){.point = &point};
    layer_note_totals(fixture->layer, 0, 5, 40);
    layer_push_mark(fixture->layer, &mark);
    assert_int_equal(offer_as(fixture, 5, 40, NULL), LAYER_PASSES_OVER);
    assert_int_equal(fixture->layer->queued_rows, 10);
}

static void numbers_that_jump_are_refused_and_change_nothing(void **state)
{
    struct fixture *fixture = *state;
    struct err why = {0};

    assert_int_equal(offer_as(fixture, 1, 100, NULL), LAYER_QUEUES);
    assert_int_equal(offer_as(fixture, 2, 109, &why), LAYER_REFUSES); /* rows are lost backwards */
    assert_non_null(strstr(why.text, "do not follow"));
    assert_int_equal(offer_as(fixture, UINT64_C(1) << 50, 110, &why), LAYER_REFUSES);
    assert_int_equal(offer_as(fixture, 2, UINT64_C(1) << 50, &why), LAYER_REFUSES);
    assert_int_equal(fixture->layer->sources[0].last_seq, 1);
    assert_int_equal(fixture->layer->rows_offered, 110);
}

static void formats_that_do_not_mix_go_block_by_block(void **state)
{
    struct fixture *fixture = *state;

    push(fixture, PARCEL_F32, 4);
    push(fixture, PARCEL_F64, 5);
    push(fixture, PARCEL_MOMENTS, 6);
    fixture->layer->flush = true;
    assert_int_equal(run(fixture, layer_start(fixture->layer)), 1);
    assert_int_equal(run(fixture, layer_start(fixture->layer)), 1);
    assert_int_equal(layer_start(fixture->layer)->kind, JOB_ABSORB);
    assert_int_equal(run(fixture, &fixture->layer->job), 1);
    assert_int_equal(fixture->layer->moments.n_rows, 15);
}

static void cleared_queue_keeps_what_a_job_reads(void **state)
{
    struct fixture *fixture = *state;
    size_t capacity = fold_line_block(fixture->layer->fold);
    struct job *job;

    push(fixture, PARCEL_F32, capacity + 1);
    push(fixture, PARCEL_F32, 7);
    job = layer_start(fixture->layer);
    assert_non_null(job);
    assert_int_equal(layer_clear_queue(fixture->layer, &fixture->finished),
                     7 * (P + C) * sizeof(float));
    assert_int_equal(free_finished(fixture), 1);
    assert_int_equal(run(fixture, job), 1);
    assert_int_equal(fixture->layer->held_bytes, 0);
}

#define LONG_P 256

static int setup_long(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);

    list_init(&fixture->finished);
    fixture->layer = layer_new(NULL, "head", LONG_P, C, (struct window){.kind = WINDOW_CHECKPOINT},
                               (struct projector){.kind = PROJECTOR_SPAN}, &(struct watch_list){0});
    *state = fixture;
    return layer_allocate(fixture->layer, &(struct batch){.p = LONG_P, .c = C}, 2, 0);
}

static void a_point_that_is_long_has_a_second_share(void **state)
{
    struct fixture *fixture = *state;
    struct mark mark;
    struct point alone, shared;
    struct job *job;

    for (size_t i = 0; i < 2; i++) {
        offer(fixture, &parcel_new(PARCEL_F32, "head", LONG_P, C, 3 * LONG_P, 1)->batch);
        push_mark(fixture, &mark, i == 0 ? &alone : &shared);
        run(fixture, layer_start(fixture->layer)); /* the rows */
        job = layer_start(fixture->layer);         /* the mark */
        assert_int_equal(job->kind, JOB_MEASURE);
        assert_int_equal(job->n_shares, 2);
        job->n_shares = i + 1;
        run(fixture, job);
    }
    assert_memory_equal(shared.value, alone.value, sizeof alone.value);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

/* ---- outputs from a head -------------------------------------------------------------------- */

#define WIDE_C 50257
/* Of W: the outputs are as if they were these combinations of the features. */
static const double triangle[] = {1, 0.5, -1, 2, 0.25, 0.125};

static struct batch *bare_rows(size_t n)
{
    struct batch *batch = &parcel_new(PARCEL_F64, "head", P, C, n, n)->batch;

    batch->c = WIDE_C;
    batch->outputs_from_head = true;
    batch->outputs_dtype = batch->rows.outputs_dtype = DTYPE_NONE;
    batch->rows.outputs = NULL;
    return batch;
}

static struct batch *slice(size_t first, size_t n)
{
    static const size_t at[] = {0, 3, 5};
    struct batch *batch = bare_rows(0);

    batch->kind = BATCH_HEAD;
    batch->head = (struct head_slice){first, n, DTYPE_F64, DTYPE_BF16, triangle + at[first]};
    return batch;
}

static int setup_wide(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    struct batch like = {.p = P, .c = WIDE_C, .outputs_from_head = true};

    list_init(&fixture->finished);
    fixture->layer =
        layer_new(NULL, "head", P, WIDE_C, (struct window){.kind = WINDOW_CHECKPOINT},
                  (struct projector){.kind = PROJECTOR_AUTO, .energy = 1}, &(struct watch_list){0});
    *state = fixture;
    return fixture->layer && layer_allocate(fixture->layer, &like, 2, 0) == 0 ? 0 : -1;
}

static void run_all(struct fixture *fixture)
{
    for (struct job *job; (job = layer_start(fixture->layer));)
        run(fixture, job);
}

static void a_head_counts_for_the_checkpoint_behind_it_and_no_other(void **state)
{
    struct fixture *fixture = *state;
    struct mark marks[2];
    struct point points[2];

    offer(fixture, bare_rows(40));
    offer(fixture, slice(0, 2));
    offer(fixture, slice(2, 1));
    push_mark(fixture, &marks[0], &points[0]);
    offer(fixture, bare_rows(20));
    push_mark(fixture, &marks[1], &points[1]);
    run_all(fixture);
    assert_true(marks[0].measured && marks[1].measured);
    assert_int_equal(points[0].c, WIDE_C);
    assert_int_equal(points[0].rank, P);
    assert_true(points[0].n == 40);
    assert_int_equal(points[0].flags & (FLAG_FROM_HEAD | FLAG_NO_HEAD | FLAG_TOP_OUTPUTS),
                     FLAG_FROM_HEAD | FLAG_TOP_OUTPUTS);
    assert_int_equal(points[1].flags & (FLAG_FROM_HEAD | FLAG_NO_HEAD),
                     FLAG_FROM_HEAD | FLAG_NO_HEAD);
    assert_true(points[1].n == 20);
    assert_int_equal(fixture->layer->held_bytes, 0);
}

static void a_slice_out_of_turn_is_refused_and_leaves_no_head(void **state)
{
    struct fixture *fixture = *state;
    struct mark mark;
    struct point point;
    struct batch *refused;

    offer(fixture, bare_rows(40));
    offer(fixture, slice(0, 1));
    push_mark(fixture, &mark, &point);
    run(fixture, layer_start(fixture->layer)); /* the rows */
    run(fixture, layer_start(fixture->layer)); /* the first slice */
    assert_int_equal(fixture->layer->precision.outputs, DTYPE_BF16);
    assert_int_equal(fixture->layer->head->n_rows, 1);
    run(fixture, layer_start(fixture->layer)); /* the mark */
    assert_int_equal(fixture->layer->head->n_rows, 0);
    assert_true(point.flags & FLAG_NO_HEAD);
    refused = slice(1, 2);
    offer(fixture, refused);
    job_work(layer_start(fixture->layer), 0);
    layer_job_done(fixture->layer, &fixture->finished, &fixture->done);
    assert_ptr_equal(list_first(&fixture->finished), &refused->queued.link);
    assert_true(refused->refused);
    assert_non_null(strstr(refused->why.text, "row 1, expected 0"));
}

static void a_layer_takes_its_outputs_from_one_place(void **state)
{
    struct fixture *fixture = *state;
    struct batch with = {.p = P, .c = WIDE_C};
    struct err why;

    assert_int_equal(layer_check(fixture->layer, &with, &why), -EINVAL);
    assert_non_null(strstr(why.text, "made by its head"));
    with.outputs_from_head = true;
    assert_int_equal(layer_check(fixture->layer, &with, &why), 0);
}

static void a_head_is_charged_by_the_features_alone(void **state)
{
    struct batch like = {.p = P, .c = WIDE_C, .outputs_from_head = true};
    double wide = layer_size_bytes(&like, 2, false);

    (void)state;
    like.c = 1;
    assert_true(layer_size_bytes(&like, 2, false) == wide);
    like.c = WIDE_C;
    like.outputs_from_head = false; /* C columns: Y'Y alone is 20 GB */
    assert_true(layer_size_bytes(&like, 2, false) > 8.0 * WIDE_C * WIDE_C);
}

/* ---- labels -------------------------------------------------------------------------------- */

#define VOCABULARY 50257

static const struct batch labelled = {.p = P, .c = C, .k = VOCABULARY, .targets_dtype = DTYPE_I32};

static int setup_labelled(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);

    list_init(&fixture->finished);
    fixture->layer = layer_new(NULL, "head", P, C, (struct window){.kind = WINDOW_CHECKPOINT},
                               (struct projector){.kind = PROJECTOR_SPAN}, &(struct watch_list){0});
    *state = fixture;
    return fixture->layer && layer_allocate(fixture->layer, &labelled, 2, 5) == 0 ? 0 : -1;
}

/* Rows of classes 0, 1000... of so many. */
static struct batch *labelled_rows(size_t n, size_t n_classes)
{
    static int32_t labels[100];
    struct batch *batch = &parcel_new(PARCEL_F32, "head", P, C, n, n)->batch;

    assert_true(n <= 100);
    for (size_t i = 0; i < n; i++)
        labels[i] = (int32_t)(i % n_classes * 1000);
    batch->k = VOCABULARY;
    batch->targets_dtype = DTYPE_I32;
    batch->rows.targets = labels;
    batch->rows.targets_dtype = DTYPE_I32;
    return batch;
}

static struct point measure_labelled(struct fixture *fixture, size_t n_classes)
{
    struct mark mark;
    struct point point;

    offer(fixture, labelled_rows(100, n_classes));
    push_mark(fixture, &mark, &point);
    run_all(fixture);
    assert_true(mark.measured);
    return point;
}

static void classes_beyond_the_room_cost_one_window_its_labels(void **state)
{
    struct fixture *fixture = *state;
    struct point point = measure_labelled(fixture, 5);

    assert_int_equal(point.classes_seen, 5);
    assert_int_equal(point.class_rows_min, 20);
    assert_int_equal(point.flags & (FLAG_CLASSES_LOST | FLAG_CLASSES_MISSING),
                     FLAG_CLASSES_MISSING);
    point = measure_labelled(fixture, 6);
    assert_int_equal(point.classes_seen, 0);
    assert_true(point.flags & FLAG_CLASSES_LOST && point.n == 100);
    assert_int_equal(measure_labelled(fixture, 4).classes_seen, 4);
}

static void labels_are_charged_by_their_classes_and_take_a_part_of_the_room(void **state)
{
    struct batch like = labelled;
    double plain, all;

    (void)state;
    like.p = 4096;
    like.c = 1;
    all = layer_classes_bytes(&like, VOCABULARY);
    assert_true(all < 50432.0 * (8 * 4096 + 56) + 1e4);
    assert_int_equal(layer_n_classes(&like, 4.1 * all), VOCABULARY);
    assert_true(layer_n_classes(&like, 2 * all) < VOCABULARY * 0.51);
    assert_true(layer_n_classes(&like, -1e9) == 1);
    plain = layer_size_bytes(&like, 2, false);
    like.k = 10;
    assert_true(layer_size_bytes(&like, 2, false) == plain);
    like.targets_dtype = DTYPE_F32;
    assert_true(layer_size_bytes(&like, 2, false) > plain);
    assert_int_equal(layer_n_classes(&like, 1e9), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(few_rows_wait_for_a_block),
        TEST(full_block_does_not_wait),
        TEST(whole_blocks_go_and_the_rest_waits),
        TEST(batch_longer_than_a_job_comes_back_after_its_last_row),
        TEST(batch_longer_than_a_job_is_refused_whole),
        TEST(mark_waits_for_what_is_before_it),
        TEST(mark_without_rows_is_not_measured),
        cmocka_unit_test_setup_teardown(a_point_that_is_long_has_a_second_share, setup_long,
                                        teardown),
        TEST(batch_that_was_here_or_whose_checkpoint_was_is_passed_over),
        TEST(numbers_that_jump_are_refused_and_change_nothing),
        TEST(formats_that_do_not_mix_go_block_by_block),
        TEST(cleared_queue_keeps_what_a_job_reads),
        cmocka_unit_test_setup_teardown(a_head_counts_for_the_checkpoint_behind_it_and_no_other,
                                        setup_wide, teardown),
        cmocka_unit_test_setup_teardown(a_slice_out_of_turn_is_refused_and_leaves_no_head,
                                        setup_wide, teardown),
        cmocka_unit_test_setup_teardown(a_layer_takes_its_outputs_from_one_place, setup_wide,
                                        teardown),
        cmocka_unit_test(a_head_is_charged_by_the_features_alone),
        cmocka_unit_test_setup_teardown(classes_beyond_the_room_cost_one_window_its_labels,
                                        setup_labelled, teardown),
        cmocka_unit_test(labels_are_charged_by_their_classes_and_take_a_part_of_the_room),
    };

    linalg_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
