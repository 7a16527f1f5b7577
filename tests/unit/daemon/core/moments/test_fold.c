#include <limits.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/core/matrix/linalg.h"
#include "daemon/core/moments/fold.h"
#include "tests/lib/cmocka.h"
#include "tests/lib/core/sample.h"
#include "tests/lib/fault.h"

static void make(struct sample *s, uint64_t seed, size_t n, size_t p, double mean, enum dtype d)
{
    struct random r;

    random_seed(&r, seed);
    sample_init(s, n, p, 3);
    sample_fill(s, &r, mean, 1);
    sample_encode(s, d, d);
}

static void new_moments(struct moments *m, const struct sample *s)
{
    assert_int_equal(moments_init(m, s->p, s->c, 0), 0);
}

/* ---- workers ------------------------------------------------------------------------------- */

struct worker {
    pthread_t thread;
    struct fold *fold;
    size_t index;
};

static void *on_thread(void *argument)
{
    struct worker *w = argument;

    fold_work(w->fold, w->index);
    return NULL;
}

/* All phases by `n` threads side by side. */
static void run_on_threads(struct fold *f, size_t n)
{
    struct worker workers[8];

    while (fold_next_phase(f)) {
        for (size_t i = 0; i < n; i++) {
            workers[i] = (struct worker){.fold = f, .index = i};
            assert_int_equal(pthread_create(&workers[i].thread, NULL, on_thread, &workers[i]), 0);
        }
        for (size_t i = 0; i < n; i++)
            pthread_join(workers[i].thread, NULL);
    }
}

static void fold_on_threads(const struct sample *s, struct moments *m, size_t n_workers)
{
    struct fold *f = fold_new(s->p, s->c, n_workers);
    struct rows batches[4];

    assert_non_null(f);
    for (size_t block = 0; block < 2; block++) {
        fold_begin(f, m, 50);
        for (size_t i = 0; i < 4; i++) {
            batches[i] = sample_rows(s, (4 * block + i) * 20, 20);
            fold_add(f, &batches[i], 0, 20);
        }
        run_on_threads(f, n_workers);
    }
    fold_free(f);
}

/* Which worker takes a task changes nothing in it, so the result is the same bit by bit. */
static void several_workers_give_what_one_gives_bit_by_bit(void **state)
{
    static const enum dtype formats[] = {DTYPE_F32, DTYPE_F64};

    (void)state;
    for (int k = 0; k < 2; k++) {
        struct sample s;
        struct moments one, many;

        make(&s, 1, 160, 1100, 2, formats[k]);
        new_moments(&one, &s);
        new_moments(&many, &s);
        fold_on_threads(&s, &one, 1);
        fold_on_threads(&s, &many, 4);
        assert_true(moments_identical(&one, &many));
        assert_int_equal(many.n_rows, 160);
        moments_release(&one);
        moments_release(&many);
        sample_release(&s);
    }
}

/* What several workers leave when a batch is refused is what one leaves, and says the same. */
static void several_workers_refuse_what_one_refuses(void **state)
{
    const float bad = NAN;
    struct sample s, good;
    struct moments m, expected;
    struct fold *f;
    struct rows batches[3];

    (void)state;
    make(&s, 2, 60, 600, 0, DTYPE_F32);
    make(&good, 2, 60, 600, 0, DTYPE_F32);
    memcpy(s.features + 4 * (25 * s.p + 7), &bad, 4);
    new_moments(&m, &s);
    new_moments(&expected, &s);
    f = fold_new(s.p, s.c, 3);
    assert_non_null(f);
    fold_begin(f, &m, 0);
    for (size_t i = 0; i < 3; i++) {
        batches[i] = sample_rows(&s, 20 * i, 20);
        fold_add(f, &batches[i], 0, 20);
    }
    run_on_threads(f, 3);
    fold_begin(f, &expected, 0);
    for (size_t i = 0; i < 3; i += 2) {
        struct rows *batch = &batches[i];

        assert_false(batch->refused);
        *batch = sample_rows(&good, 20 * i, 20);
        fold_add(f, batch, 0, 20);
    }
    fold_run(f);
    assert_true(batches[1].refused);
    assert_string_equal(batches[1].why.text, "features are not finite at row 5, column 7");
    assert_true(moments_identical(&m, &expected));
    fold_free(f);
    moments_release(&m);
    moments_release(&expected);
    sample_release(&s);
    sample_release(&good);
}

/* ---- what is refused ----------------------------------------------------------------------- */

struct bad_place {
    bool in_outputs;
    size_t row, column;
    const char *why;
};

static void poison(struct sample *s, const struct bad_place *bad, double value)
{
    char *frame = bad->in_outputs ? s->outputs : s->features;
    enum dtype d = bad->in_outputs ? s->outputs_dtype : s->features_dtype;
    size_t at = bad->row * (bad->in_outputs ? s->c : s->p) + bad->column;
    uint16_t half = d == DTYPE_F16 ? 0x7C00 : 0xFF80; /* Inf, -Inf in bf16 */
    float single = (float)value;

    if (d == DTYPE_F64)
        memcpy(frame + 8 * at, &value, 8);
    else if (d == DTYPE_F32)
        memcpy(frame + 4 * at, &single, 4);
    else
        memcpy(frame + 2 * at, &half, 2);
}

static void one_value_that_is_not_finite_refuses_the_batch_whole(void **state)
{
    static const struct bad_place places[] = {
        {false, 0, 0, "features are not finite at row 0, column 0"},
        {false, 17, 4, "features are not finite at row 17, column 4"},
        {false, 39, 8, "features are not finite at row 39, column 8"},
        {true, 0, 2, "outputs are not finite at row 0, column 2"},
        {true, 39, 1, "outputs are not finite at row 39, column 1"},
    };

    (void)state;
    for (enum dtype d = DTYPE_F32; d <= DTYPE_BF16; d++) {
        for (size_t k = 0; k < sizeof places / sizeof places[0]; k++) {
            struct sample s, first;
            struct moments m, before;
            struct rows batch;
            struct fold *f = fold_new(9, 3, 1);

            assert_non_null(f);
            make(&s, 4, 40, 9, 1, d);
            make(&first, 5, 40, 9, 1, d);
            new_moments(&m, &s);
            new_moments(&before, &s);
            sample_fold(&first, &m, 0, 40, 40, 100);
            sample_fold(&first, &before, 0, 40, 40, 100);
            poison(&s, &places[k], k % 2 ? (double)INFINITY : (double)NAN);
            batch = sample_rows(&s, 0, 40);
            fold_begin(f, &m, 100);
            fold_add(f, &batch, 0, 40);
            fold_run(f);
            assert_true(batch.checked && batch.refused);
            assert_string_equal(batch.why.text, places[k].why);
            assert_true(moments_identical(&m, &before));
            assert_false(fold_next_phase(f));
            fold_free(f);
            moments_release(&m);
            moments_release(&before);
            sample_release(&s);
            sample_release(&first);
        }
    }
}

/* The bad value lies in the half that the second block would take. */
static void a_batch_over_two_blocks_is_checked_before_its_first_row_enters(void **state)
{
    static const struct bad_place bad = {false, 30, 2, NULL};
    struct sample s;
    struct moments m;
    struct rows batch;
    struct fold *f = fold_new(9, 3, 1);

    (void)state;
    assert_non_null(f);
    make(&s, 6, 40, 9, 1, DTYPE_F32);
    poison(&s, &bad, (double)NAN);
    new_moments(&m, &s);
    batch = sample_rows(&s, 0, 40);
    for (size_t from = 0; from < 40; from += 20) {
        fold_begin(f, &m, 0);
        fold_add(f, &batch, from, 20);
        fold_run(f);
        assert_true(batch.refused);
        assert_true(m.n_rows == 0 && m.weight == 0);
    }
    fold_free(f);
    moments_release(&m);
    sample_release(&s);
}

/* A refused batch between two others leaves no gap in the age of rows either. */
static void a_refused_batch_is_as_if_it_had_not_come(void **state)
{
    static const struct bad_place bad = {true, 25, 0, NULL};
    struct sample s;
    struct moments m, expected;
    struct rows batches[3], again[3];
    struct fold *f = fold_new(9, 3, 1);

    (void)state;
    assert_non_null(f);
    make(&s, 7, 60, 9, 1, DTYPE_F32);
    poison(&s, &bad, (double)NAN);
    new_moments(&m, &s);
    new_moments(&expected, &s);
    for (size_t i = 0; i < 3; i++)
        again[i] = batches[i] = sample_rows(&s, 20 * i, 20);
    fold_begin(f, &m, 30);
    for (size_t i = 0; i < 3; i++)
        fold_add(f, &batches[i], 0, 20);
    fold_run(f);
    fold_begin(f, &expected, 30);
    fold_add(f, &again[0], 0, 20);
    fold_add(f, &again[2], 0, 20);
    fold_run(f);
    assert_true(batches[1].refused && !batches[0].refused && !batches[2].refused);
    assert_true(moments_identical(&m, &expected));
    fold_free(f);
    moments_release(&m);
    moments_release(&expected);
    sample_release(&s);
}

static void a_block_of_no_rows_changes_nothing(void **state)
{
    struct sample s;
    struct moments m, before;
    struct fold *f = fold_new(9, 3, 1);

    (void)state;
    assert_non_null(f);
    make(&s, 8, 30, 9, 1, DTYPE_F32);
    new_moments(&m, &s);
    new_moments(&before, &s);
    sample_fold(&s, &m, 0, 30, 30, 0);
    sample_fold(&s, &before, 0, 30, 30, 0);
    fold_begin(f, &m, 10);
    fold_run(f);
    assert_true(moments_identical(&m, &before));
    fold_free(f);
    moments_release(&m);
    moments_release(&before);
    sample_release(&s);
}

/* ---- what enters --------------------------------------------------------------------------- */

static void batches_of_different_formats_share_a_block_except_f64(void **state)
{
    static const enum dtype formats[] = {DTYPE_F32, DTYPE_F16, DTYPE_BF16};
    struct sample parts[3], wide, all;
    struct moments m;
    struct rows batches[3], other;
    struct fold *f = fold_new(9, 3, 1);
    struct point got;

    (void)state;
    assert_non_null(f);
    sample_init(&all, 90, 9, 3);
    make(&wide, 9, 30, 9, 1, DTYPE_F64);
    new_moments(&m, &all);
    fold_begin(f, &m, 0);
    for (size_t i = 0; i < 3; i++) {
        make(&parts[i], 10 + i, 30, 9, 1, formats[i]);
        memcpy(all.x + 30 * 9 * i, parts[i].x, 30 * 9 * sizeof(double));
        memcpy(all.y + 30 * 3 * i, parts[i].y, 30 * 3 * sizeof(double));
        batches[i] = sample_rows(&parts[i], 0, 30);
        assert_true(fold_accepts(f, &batches[i]));
        fold_add(f, &batches[i], 0, 30);
    }
    other = sample_rows(&wide, 0, 30);
    assert_false(fold_accepts(f, &other));
    fold_run(f);
    all.features_dtype = all.outputs_dtype = DTYPE_F32;
    got = sample_measure(&all, &m);
    assert_true(fabsl(sample_reference(&all, NULL).d_lr - got.value[METRIC_D_LR]) <= 1e-6);
    fold_begin(f, &m, 0);
    assert_true(fold_accepts(f, &other));
    fold_add(f, &other, 0, 30);
    assert_false(fold_accepts(f, &batches[0]));
    for (size_t i = 0; i < 3; i++)
        sample_release(&parts[i]);
    fold_free(f);
    moments_release(&m);
    sample_release(&all);
    sample_release(&wide);
}

static void a_full_block_accepts_nothing(void **state)
{
    struct sample s;
    struct moments m;
    struct rows batch;
    struct fold *f = fold_new(9, 3, 1);
    size_t most;

    (void)state;
    assert_non_null(f);
    most = fold_capacity(f);
    make(&s, 13, most + 1, 9, 0, DTYPE_F32);
    new_moments(&m, &s);
    batch = sample_rows(&s, 0, most + 1);
    fold_begin(f, &m, 0);
    fold_add(f, &batch, 0, most - 1);
    assert_true(fold_accepts(f, &batch));
    fold_begin(f, &m, 0);
    fold_add(f, &batch, 1, most);
    assert_false(fold_accepts(f, &batch));
    fold_run(f);
    assert_int_equal(m.n_rows, most);
    fold_free(f);
    moments_release(&m);
    sample_release(&s);
}

/* As many batches of one row as a block holds. */
static void a_block_of_single_rows_is_a_block_of_one_batch(void **state)
{
    struct sample s;
    struct moments m, expected;
    struct rows *batches;
    struct fold *f = fold_new(9, 3, 1);
    size_t most;

    (void)state;
    assert_non_null(f);
    most = fold_capacity(f);
    batches = must_alloc(most * sizeof *batches);
    make(&s, 14, most, 9, 0, DTYPE_F32);
    new_moments(&m, &s);
    new_moments(&expected, &s);
    fold_begin(f, &m, 0);
    for (size_t i = 0; i < most; i++) {
        batches[i] = sample_rows(&s, i, 1);
        fold_add(f, &batches[i], 0, 1);
    }
    fold_run(f);
    sample_fold(&s, &expected, 0, most, most, 0);
    assert_true(moments_identical(&m, &expected));
    free(batches);
    fold_free(f);
    moments_release(&m);
    moments_release(&expected);
    sample_release(&s);
}

/* Samples lie at odd addresses; the same bytes at even ones give the same bits. */
static void the_address_of_a_frame_does_not_matter(void **state)
{
    (void)state;
    for (enum dtype d = DTYPE_F32; d <= DTYPE_BF16; d++) {
        struct sample s;
        struct moments odd, even;
        struct fold *f = fold_new(9, 3, 1);
        size_t size = dtype_size(d);
        char *features = must_alloc(50 * 9 * size), *outputs = must_alloc(50 * 3 * size);
        struct rows batch;

        assert_non_null(f);
        make(&s, 15, 50, 9, 1, d);
        assert_int_equal((uintptr_t)s.features % 2, 1);
        new_moments(&odd, &s);
        new_moments(&even, &s);
        sample_fold(&s, &odd, 0, 50, 50, 0);
        memcpy(features, s.features, 50 * 9 * size);
        memcpy(outputs, s.outputs, 50 * 3 * size);
        batch = sample_rows(&s, 0, 50);
        batch.features = features;
        batch.outputs = outputs;
        fold_begin(f, &even, 0);
        fold_add(f, &batch, 0, 50);
        fold_run(f);
        assert_true(moments_identical(&odd, &even));
        free(features);
        free(outputs);
        fold_free(f);
        moments_release(&odd);
        moments_release(&even);
        sample_release(&s);
    }
}

/* However rows are split, centred and weighted, a constant column leaves exact zeros. */
static void a_constant_feature_has_variance_zero_exactly(void **state)
{
    static const size_t batches[] = {1, 7, 100};
    static const double half_lives[] = {0, 13};

    (void)state;
    for (enum dtype d = DTYPE_F32; d <= DTYPE_BF16; d++) {
        for (int k = 0; k < 6; k++) {
            struct sample s;
            struct moments m;
            struct tile tile;

            make(&s, 16, 100, 9, 0, d);
            for (size_t i = 0; i < s.n; i++)
                s.x[i * 9 + 3] = 123.456;
            sample_encode(&s, d, d);
            new_moments(&m, &s);
            sample_fold(&s, &m, 0, 100, batches[k % 3], half_lives[k / 3]);
            tile = tiles_at(&m.xx, 0);
            for (size_t j = 0; j < 9; j++)
                assert_true(tile.values[j < 3 ? j * 9 + 3 : 3 * 9 + j] == 0);
            for (size_t j = 0; j < 3; j++)
                assert_true(m.xy[3 * 3 + j] == 0);
            assert_true(m.mean_x[3] == s.x[3]);
            moments_release(&m);
            sample_release(&s);
        }
    }
}

/* ---- forgetting ---------------------------------------------------------------------------- */

static double *weights_of(size_t n, double half_life_rows)
{
    double *w = must_alloc(n * sizeof *w);

    for (size_t i = 0; i < n; i++)
        w[i] = exp2(-(double)(n - 1 - i) / half_life_rows);
    return w;
}

/* Rows that weigh w count in the sums with w, whatever the batches; the tolerances are those of
 * D_LR. With half of the weight on the newest row 3 rows are left, fewer than the rank needs. The
 * features move by 3 spreads meanwhile, so that the means matter. */
static void check_forgetting(enum dtype d, double half_life_rows, double tolerance)
{
    static const size_t batches[] = {1, 9, 100, 600};
    double *w = weights_of(600, half_life_rows), largest = 0;
    struct sample s;
    struct reference ref;

    make(&s, 17, 600, 8, 2, d);
    for (size_t i = 0; i < s.n * s.p; i++)
        s.x[i] += 0.005 * (double)(i / s.p);
    sample_encode(&s, d, d);
    ref = sample_reference(&s, w);
    for (size_t b = 0; b < 4; b++) {
        struct moments m;
        struct point got;

        new_moments(&m, &s);
        sample_fold(&s, &m, 0, s.n, batches[b], half_life_rows);
        got = sample_measure(&s, &m);
        assert_int_equal(m.n_rows, 600);
        assert_true(fabs(got.n - ref.n) <= 1e-12 * ref.n);
        assert_true(fabsl(got.value[METRIC_D_LR] - ref.d_lr) <= tolerance);
        assert_true(fabsl(got.value[METRIC_U] - ref.u) <= tolerance);
        assert_int_equal(got.rank, ref.rank);
        if (ref.n > (double)ref.rank + 1)
            assert_true(fabsl(got.value[METRIC_D_DEBIASED] - ref.d_debiased) <= 20 * tolerance);
        else
            assert_true(isnan(got.value[METRIC_D_DEBIASED]) && got.flags & FLAG_DEGENERATE);
        largest = fmax(largest, (double)fabsl(got.value[METRIC_D_LR] - ref.d_lr));
        moments_release(&m);
    }
    printf("half-life %g rows, %s: largest |dD_LR| = %.1e, tolerance %.0e\n", half_life_rows,
           d == DTYPE_F64 ? "f64" : "f32", largest, tolerance);
    sample_release(&s);
    free(w);
}

static void forgetting_does_not_depend_on_the_batches(void **state)
{
    static const double half_lives[] = {1, 10, 100, 1e6};

    (void)state;
    for (int k = 0; k < 4; k++) {
        check_forgetting(DTYPE_F32, half_lives[k], 1e-6);
        check_forgetting(DTYPE_F64, half_lives[k], 1e-11);
    }
}

/* A padded sequence, or rows without a label, may fill blocks. They make older rows older, whether
 * they share a block with others or not. */
static void rows_without_weight_age_the_others_in_any_batches(void **state)
{
    enum { ROWS = 600 };
    static const size_t batches[] = {1, 9, 100, ROWS};
    double sent[ROWS], *w = weights_of(ROWS, 80);
    struct reference ref;
    struct sample s;

    (void)state;
    make(&s, 19, ROWS, 8, 2, DTYPE_F32);
    for (size_t i = 0; i < ROWS; i++) {
        sent[i] = i < 20 || (i >= 200 && i < 320) || i % 3 == 0 ? 0 : 1;
        w[i] *= sent[i];
    }
    ref = sample_reference(&s, w);
    for (size_t b = 0; b < 4; b++) {
        struct fold *fold = fold_new(s.p, s.c, 1);
        struct moments m;
        struct point got;

        assert_non_null(fold);
        new_moments(&m, &s);
        for (size_t at = 0; at < ROWS; at += batches[b]) {
            struct rows rows = sample_rows(&s, at, ROWS - at < batches[b] ? ROWS - at : batches[b]);

            rows.weights = sent + at;
            rows.weights_dtype = DTYPE_F64;
            fold_begin(fold, &m, 80);
            fold_add(fold, &rows, 0, rows.n);
            fold_run(fold);
        }
        got = sample_measure(&s, &m);
        assert_int_equal(m.n_rows, ROWS);
        assert_true(fabs(got.n - ref.n) <= 1e-12 * ref.n);
        assert_true(fabsl(got.value[METRIC_D_LR] - ref.d_lr) <= 1e-6);
        moments_release(&m);
        fold_free(fold);
    }
    sample_release(&s);
    free(w);
}

/* 2^-600: the past is worth nothing, and the newest row alone has no spread left to measure. */
static void a_half_life_of_one_row_is_still_finite(void **state)
{
    struct sample s;
    struct moments m;
    struct point got;

    (void)state;
    make(&s, 18, 2000, 4, 1, DTYPE_F32);
    new_moments(&m, &s);
    for (int k = 0; k < 3; k++) {
        sample_fold(&s, &m, 0, s.n, k == 0 ? 2000 : 1500, 1);
        got = sample_measure(&s, &m);
        assert_true(fabs(got.n - 3) < 1e-9); /* (sum 2^-i)^2 / sum 4^-i */
        assert_true(isfinite(got.value[METRIC_D_LR]));
        assert_true(isfinite(got.value[METRIC_PR]));
    }
    moments_release(&m);
    sample_release(&s);
}

/* ---- memory -------------------------------------------------------------------------------- */

static void every_allocation_of_new_may_fail(void **state)
{
    struct fold *f;
    long n = 0;

    (void)state;
    do {
        fault_arm(++n);
        f = fold_new(600, 3, 3);
        assert_int_equal(f == NULL, fault_disarm());
        fold_free(f);
    } while (!f);
    assert_true(n > 15);
}

/* Folding is the hot path: nothing is allocated in it. */
static void folding_allocates_nothing(void **state)
{
    struct sample s;
    struct moments m;
    struct rows batch;
    struct fold *f = fold_new(600, 3, 1);

    (void)state;
    assert_non_null(f);
    make(&s, 19, 50, 600, 1, DTYPE_F32);
    new_moments(&m, &s);
    batch = sample_rows(&s, 0, 50);
    fault_arm(1);
    fold_begin(f, &m, 10);
    fold_add(f, &batch, 0, 50);
    fold_run(f);
    assert_false(fault_disarm());
    assert_int_equal(m.n_rows, 50);
    fold_free(f);
    moments_release(&m);
    sample_release(&s);
}

static void size_in_bytes_is_what_is_allocated(void **state)
{
    static const size_t shapes[][3] = {{1, 1, 1}, {100, 10, 2}, {600, 3, 4}, {4096, 1000, 8}};

    (void)state;
    for (size_t k = 0; k < 4; k++) {
        size_t p = shapes[k][0], c = shapes[k][1], n_workers = shapes[k][2];
        double stated = fold_size_bytes(p, c, n_workers);
        struct fold *f;

        fault_arm(LONG_MAX);
        f = fold_new(p, c, n_workers);
        fault_disarm();
        assert_non_null(f);
        assert_true(fabs((double)fault_bytes() - stated) <= 0.01 * stated + 4096);
        fold_free(f);
    }
}

static void capacity_shrinks_with_width_between_its_bounds(void **state)
{
    static const struct {
        size_t p, c, rows;
    } table[] = {{1, 1, 1024}, {1024, 10, 1024}, {4096, 10, 1019}, {65536, 10, 64}};

    (void)state;
    for (size_t k = 0; k < 4; k++) {
        struct fold *f = fold_new(table[k].p, table[k].c, 1);

        assert_non_null(f);
        assert_int_equal(fold_capacity(f), table[k].rows);
        fold_free(f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(several_workers_give_what_one_gives_bit_by_bit),
        cmocka_unit_test(several_workers_refuse_what_one_refuses),
        cmocka_unit_test(one_value_that_is_not_finite_refuses_the_batch_whole),
        cmocka_unit_test(a_batch_over_two_blocks_is_checked_before_its_first_row_enters),
        cmocka_unit_test(a_refused_batch_is_as_if_it_had_not_come),
        cmocka_unit_test(a_block_of_no_rows_changes_nothing),
        cmocka_unit_test(batches_of_different_formats_share_a_block_except_f64),
        cmocka_unit_test(a_full_block_accepts_nothing),
        cmocka_unit_test(a_block_of_single_rows_is_a_block_of_one_batch),
        cmocka_unit_test(the_address_of_a_frame_does_not_matter),
        cmocka_unit_test(a_constant_feature_has_variance_zero_exactly),
        cmocka_unit_test(forgetting_does_not_depend_on_the_batches),
        cmocka_unit_test(rows_without_weight_age_the_others_in_any_batches),
        cmocka_unit_test(a_half_life_of_one_row_is_still_finite),
        cmocka_unit_test(every_allocation_of_new_may_fail),
        cmocka_unit_test(folding_allocates_nothing),
        cmocka_unit_test(size_in_bytes_is_what_is_allocated),
        cmocka_unit_test(capacity_shrinks_with_width_between_its_bounds),
    };

    linalg_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
