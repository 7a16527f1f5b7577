/* The sums by class: who has which slot, what memory they take and when they are given up, and that
 * they are the sums over the rows however these were split, weighted and forgotten. */
#include "tests/lib/cmocka.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/core/matrix/linalg.h"
#include "daemon/core/moments/classes.h"
#include "daemon/core/moments/fold.h"
#include "tests/lib/core/sample.h"
#include "tests/lib/fault.h"
#include "tests/lib/random.h"

static void classes_get_slots_in_the_order_in_which_they_occur(void **state)
{
    struct classes *classes = classes_new(1, 1u << 24, 5000, 0);
    uint32_t *label = must_alloc(5000 * sizeof *label);
    struct random rng;

    (void)state;
    random_seed(&rng, 1);
    for (size_t i = 0; i < 20000; i++) {
        size_t of = i < 5000 ? i : random_below(&rng, 5000);

        if (i < 5000) /* neighbours, and labels whose low bits are the same */
            label[i] = i < 2500 ? (uint32_t)i : (uint32_t)(i << 11);
        assert_int_equal(classes_slot(classes, label[of]), of);
        assert_int_equal(classes->sums[of].label, label[of]);
    }
    assert_int_equal(classes->n, 5000);
    free(label);
    classes_free(classes);
}

static void memory_is_taken_as_classes_occur_and_used_again(void **state)
{
    struct classes *classes = classes_new(1000, 50257, 50257, 0);
    size_t one;

    (void)state;
    fault_arm(0);
    classes_slot(classes, 50000);
    one = fault_bytes();
    assert_true(one <= 256 * 1000 * sizeof(double));
    classes_reset(classes);
    assert_int_equal(classes->n, 0);
    for (uint32_t label = 0; label < 256; label++)
        classes_slot(classes, label);
    assert_int_equal(fault_bytes(), one);
    fault_disarm();
    classes_free(classes);
}

static void too_many_classes_lose_the_sums_until_the_window_is_over(void **state)
{
    struct classes *classes = classes_new(3, 100, 10, 0);

    (void)state;
    for (uint32_t label = 0; label < 10; label++)
        assert_int_equal(classes_slot(classes, label * 7), label);
    assert_false(classes->is_lost);
    assert_int_equal(classes_slot(classes, 99), CLASSES_NONE);
    assert_true(classes->is_lost);
    assert_int_equal(classes_slot(classes, 7), CLASSES_NONE);
    classes_reset(classes);
    assert_false(classes->is_lost);
    assert_int_equal(classes_slot(classes, 99), 0);
    classes_free(classes);
}

static void a_lack_of_memory_loses_the_sums_and_nothing_else(void **state)
{
    struct classes *classes = classes_new(3, 600, 600, 0);

    (void)state;
    for (uint32_t label = 0; label < 256; label++)
        classes_slot(classes, label);
    fault_arm(1);
    assert_int_equal(classes_slot(classes, 256), CLASSES_NONE);
    assert_true(fault_disarm());
    assert_true(classes->is_lost);
    classes_free(classes);
}

static void each_failing_allocation_makes_no_classes(void **state)
{
    struct classes *classes = NULL;
    long n = 0;

    (void)state;
    for (; !classes; n++) {
        fault_arm(n + 1);
        classes = classes_new(3, 600, 600, 8);
        assert_true(fault_disarm() == !classes);
    }
    assert_int_equal(n, 6);
    classes_free(classes);
}

static void as_many_classes_as_fit_take_no_more_bytes(void **state)
{
    static const size_t widths[] = {1, 32, 4096};

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        for (double bytes = 1e4; bytes < 1e11; bytes *= 3) {
            size_t n = classes_that_fit(widths[i], 1u << 24, bytes);

            assert_true(n == 1 || classes_size_bytes(widths[i], n, 0) <= bytes);
            assert_int_equal(classes_that_fit(widths[i], 1, bytes), 1);
        }
    }
    /* As INGEST.md has it, for classes in whole chunks: 8 p + 56 bytes each. */
    assert_true(classes_size_bytes(4096, 50257, 0) <= 50432.0 * (8 * 4096 + 56));
}

/* ---- the sums of rows ---------------------------------------------------------------------- */

#define N 3000
#define P 5
#define K 700

struct data {
    float x[N * P];
    double weights[N];
    int64_t labels[N];
};

static struct data *draw(uint64_t seed)
{
    struct data *d = must_alloc(sizeof *d);
    struct random rng;

    random_seed(&rng, seed);
    for (size_t i = 0; i < N; i++) {
        d->labels[i] = (int64_t)(random_below(&rng, 40) * random_below(&rng, K / 40));
        d->weights[i] = i % 9 ? random_uniform(&rng) : 0;
        for (size_t j = 0; j < P; j++)
            d->x[i * P + j] = (float)(100 + random_gaussian(&rng) + (double)(d->labels[i] % 3));
    }
    return d;
}

static void fold_all(struct moments *m, const struct data *d, size_t batch, double half_life_rows)
{
    struct fold *f = fold_new(P, 0, 1);
    struct rows rows = {.n = N,
                        .features = d->x,
                        .targets = d->labels,
                        .weights = d->weights,
                        .features_dtype = DTYPE_F32,
                        .targets_dtype = DTYPE_I64,
                        .weights_dtype = DTYPE_F64};

    for (size_t at = 0; at < N; at += batch) {
        fold_begin(f, m, half_life_rows);
        fold_add(f, &rows, at, N - at < batch ? N - at : batch);
        fold_run(f);
    }
    fold_free(f);
}

/* What the rows of one label sum to, seen one by one. */
struct sums {
    long double weight, x[P], squares;
    uint64_t rows;
};

static struct sums sum_label(const struct data *d, int64_t label, double half_life_rows)
{
    struct sums out = {0};

    for (size_t i = 0; i < N; i++) {
        long double w = d->weights[i];

        if (d->labels[i] != label || d->weights[i] == 0)
            continue;
        if (half_life_rows > 0)
            w *= exp2l(-(long double)(N - 1 - i) / half_life_rows);
        out.rows += 1;
        out.weight += w;
        for (size_t j = 0; j < P; j++)
            out.x[j] += w * d->x[i * P + j];
    }
    return out;
}

static void assert_relative(double value, long double expected, double tolerance)
{
    if (!(fabsl(value - expected) <= tolerance * fabsl(expected)))
        fail_msg("%.17g, expected %.17Lg", value, expected);
}

static void check(const struct data *d, size_t batch, double half_life_rows)
{
    struct classes *classes = classes_new(P, K, K, 0);
    struct moments m;
    double mean[P];

    assert_int_equal(moments_init(&m, P, 0, 0), 0);
    m.classes = classes;
    fold_all(&m, d, batch, half_life_rows);
    for (size_t slot = 0; slot < classes->n; slot++) {
        struct sums want = sum_label(d, classes->sums[slot].label, half_life_rows);

        assert_int_equal(classes->sums[slot].rows, want.rows);
        if (want.weight < 1e-12L)
            continue; /* forgotten */
        assert_relative(moments_class_share(&m, slot) * m.weight, want.weight, 1e-13);
        moments_class_mean(&m, slot, mean);
        for (size_t j = 0; j < P; j++)
            assert_relative(mean[j] + m.mean_x[j], want.x[j] / want.weight, 1e-13);
    }
    classes_free(classes);
    moments_release(&m);
}

/* f32 rows are added in double. The mean is 100 times the spread, and costs no digits. */
static void class_sums_are_those_of_the_rows_in_any_batches(void **state)
{
    struct data *d = draw(7);

    (void)state;
    check(d, 1, 0);
    check(d, 100, 0);
    check(d, 999, 0);
    free(d);
}

/* Over 3 to 3,000 half-lives: the scale is renewed up to 46 times, and a block of 900 rows with a
 * half-life of one forgets what was before it. */
static void forgotten_rows_are_those_of_the_half_life(void **state)
{
    struct data *d = draw(8);

    (void)state;
    for (double half_life_rows = 1; half_life_rows <= 1000; half_life_rows *= 10) {
        check(d, 7, half_life_rows);
        check(d, 900, half_life_rows);
    }
    free(d);
}

static void a_new_window_has_no_class_of_the_old_one(void **state)
{
    struct data *d = draw(9);
    struct moments m;

    (void)state;
    assert_int_equal(moments_init(&m, P, 0, 0), 0);
    m.classes = classes_new(P, K, K, 0);
    fold_all(&m, d, 500, 0);
    assert_true(m.classes->n > 100);
    moments_reset(&m);
    assert_int_equal(m.classes->n, 0);
    classes_free(m.classes);
    moments_release(&m);
    free(d);
}

static void the_kept_rows_have_their_labels(void **state)
{
    struct data *d = draw(10);
    struct moments m;

    (void)state;
    assert_int_equal(moments_init(&m, P, 0, 0), 0);
    m.reservoir = reservoir_new(P, 0, 0);
    m.classes = classes_new(P, K, K, reservoir_capacity(m.reservoir));
    fold_all(&m, d, 90, 0);
    for (size_t place = 0; place < reservoir_capacity(m.reservoir) / 2; place++) {
        size_t i = 0;

        while (i < N && m.reservoir->x[place * P] != d->x[i * P])
            i++;
        assert_true(i < N);
        assert_int_equal(m.classes->kept[place], d->labels[i]);
    }
    classes_free(m.classes);
    reservoir_free(m.reservoir);
    moments_release(&m);
    free(d);
}

/* Its class has no sums, and the window's moments are those of the other rows. */
static void a_row_without_a_label_weighs_nothing(void **state)
{
    struct data *weighted = draw(11), *masked = draw(11);
    struct moments by_weight, by_label;

    (void)state;
    for (size_t i = 0; i < N; i++) {
        if (weighted->weights[i] == 0)
            masked->labels[i] = i % 2 ? -100 : -1;
        masked->weights[i] = weighted->weights[i] == 0 ? 1 : weighted->weights[i];
    }
    assert_int_equal(moments_init(&by_weight, P, 0, 0), 0);
    assert_int_equal(moments_init(&by_label, P, 0, 0), 0);
    by_weight.classes = classes_new(P, K, K, 0);
    by_label.classes = classes_new(P, K, K, 0);
    fold_all(&by_weight, weighted, 90, 0);
    fold_all(&by_label, masked, 90, 0);
    assert_true(by_label.weight == by_weight.weight);
    assert_memory_equal(by_label.mean_x, by_weight.mean_x, P * sizeof(double));
    assert_true(tiles_trace(&by_label.xx) == tiles_trace(&by_weight.xx));
    assert_int_equal(by_label.classes->n, by_weight.classes->n);
    for (size_t slot = 0; slot < by_label.classes->n; slot++)
        assert_true(moments_class_share(&by_label, slot) == moments_class_share(&by_weight, slot));
    classes_free(by_weight.classes);
    classes_free(by_label.classes);
    moments_release(&by_weight);
    moments_release(&by_label);
    free(weighted);
    free(masked);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(classes_get_slots_in_the_order_in_which_they_occur),
        cmocka_unit_test(memory_is_taken_as_classes_occur_and_used_again),
        cmocka_unit_test(too_many_classes_lose_the_sums_until_the_window_is_over),
        cmocka_unit_test(a_lack_of_memory_loses_the_sums_and_nothing_else),
        cmocka_unit_test(each_failing_allocation_makes_no_classes),
        cmocka_unit_test(as_many_classes_as_fit_take_no_more_bytes),
        cmocka_unit_test(class_sums_are_those_of_the_rows_in_any_batches),
        cmocka_unit_test(forgotten_rows_are_those_of_the_half_life),
        cmocka_unit_test(a_new_window_has_no_class_of_the_old_one),
        cmocka_unit_test(the_kept_rows_have_their_labels),
        cmocka_unit_test(a_row_without_a_label_weighs_nothing),
    };

    linalg_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
