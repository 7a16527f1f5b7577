/* Wide outputs: those that a head makes of the features, and those that came as columns, against a
 * reference that sees the rows; and what a projector keeps of them. The small form has the shape of
 * a language model's head, 4096 features and 50,257 outputs, at a 64th of its size. */
#include "tests/lib/cmocka.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/core/matrix/linalg.h"
#include "daemon/core/measure/measure.h"
#include "daemon/core/moments/head.h"
#include "tests/lib/core/reference.h"
#include "tests/lib/core/sample.h"
#include "tests/lib/fault.h"
#include "tests/lib/random.h"

#define P 64
#define C 785
#define N 150
/* Sums of n p products and more, in double: 2^-53 sqrt(n C) of the largest, and the outputs' kept
 * eigenvalues lie above 1e-4 of it, which the projector divides by. */
#define TOLERANCE 1e-9

struct wide {
    size_t n, p, c;
    double *x, *y, *w; /* n x p, n x c = x w' + bias, c x p */
    double *triangle;  /* p x p: R'R = w'w */
    struct moments direct, bare;
    struct head *head;
};

/* Cholesky of W'W, in long double and without a library: R with R'R = W'W. */
static void make_triangle(struct wide *s)
{
    long double *g = must_alloc(s->p * s->p * sizeof *g);

    for (size_t i = 0; i < s->p; i++) {
        for (size_t j = i; j < s->p; j++) {
            g[i * s->p + j] = 0;
            for (size_t k = 0; k < s->c; k++)
                g[i * s->p + j] += (long double)s->w[k * s->p + i] * s->w[k * s->p + j];
        }
    }
    for (size_t i = 0; i < s->p; i++) {
        for (size_t j = i; j < s->p; j++) {
            for (size_t k = 0; k < i; k++)
                g[i * s->p + j] -= g[k * s->p + i] * g[k * s->p + j];
            g[i * s->p + j] = j == i ? sqrtl(g[i * s->p + i]) : g[i * s->p + j] / g[i * s->p + i];
            s->triangle[i * s->p + j] = (double)g[i * s->p + j];
        }
    }
    free(g);
}

static void fill(struct wide *s, uint64_t seed)
{
    struct random r;

    random_seed(&r, seed);
    for (size_t i = 0; i < s->c * s->p; i++)
        s->w[i] = random_gaussian(&r) / sqrt((double)s->p);
    for (size_t i = 0; i < s->n; i++) {
        for (size_t j = 0; j < s->p; j++) /* variances fall as 1/j: neither lazy nor rich */
            s->x[i * s->p + j] = 3 + random_gaussian(&r) / sqrt(1 + (double)j);
        for (size_t k = 0; k < s->c; k++) {
            s->y[i * s->c + k] = (double)k;
            for (size_t j = 0; j < s->p; j++)
                s->y[i * s->c + k] += s->x[i * s->p + j] * s->w[k * s->p + j];
        }
    }
}

static void fold_all(struct moments *m, struct rows *rows)
{
    struct fold *f = fold_new(m->p, m->w, 2);

    assert_non_null(f);
    for (size_t at = 0; at < rows->n;) {
        size_t left = rows->n - at, n = left < fold_capacity(f) ? left : fold_capacity(f);

        fold_begin(f, m, 0);
        fold_add(f, rows, at, n);
        fold_run(f);
        at += n;
    }
    assert_false(rows->refused);
    fold_free(f);
}

/* `labels` of k classes, or NULL. */
static void wide_init(struct wide *s, size_t n, size_t p, size_t c, const int32_t *labels, size_t k)
{
    struct rows rows = {.n = n,
                        .features_dtype = DTYPE_F64,
                        .targets = labels,
                        .targets_dtype = labels ? DTYPE_I32 : DTYPE_NONE};

    *s = (struct wide){.n = n, .p = p, .c = c};
    s->x = must_alloc(n * p * sizeof(double));
    s->y = must_alloc(n * c * sizeof(double));
    s->w = must_alloc(c * p * sizeof(double));
    s->triangle = calloc(p * p, sizeof(double));
    fill(s, 17 * n + p);
    make_triangle(s);
    s->head = head_new(p, c);
    assert_true(s->head && s->triangle);
    assert_int_equal(moments_init(&s->direct, p, c, 0), 0);
    assert_int_equal(moments_init(&s->bare, p, 0, 0), 0);
    s->direct.reservoir = reservoir_new(p, c, 0);
    s->bare.reservoir = reservoir_new(p, 0, 0);
    if (labels) {
        s->direct.classes = classes_new(p, k, k, reservoir_rows_max(p, c));
        s->bare.classes = classes_new(p, k, k, reservoir_rows_max(p, 0));
    }
    rows.features = s->x;
    fold_all(&s->bare, &rows);
    rows.checked = false;
    rows.outputs = s->y;
    rows.outputs_dtype = DTYPE_F64;
    fold_all(&s->direct, &rows);
}

static void wide_release(struct wide *s)
{
    reservoir_free(s->direct.reservoir);
    reservoir_free(s->bare.reservoir);
    classes_free(s->direct.classes);
    classes_free(s->bare.classes);
    moments_release(&s->direct);
    moments_release(&s->bare);
    head_free(s->head);
    free(s->x);
    free(s->y);
    free(s->w);
    free(s->triangle);
}

/* Rows first..first+n-1 of the triangle, packed; returns the values (free with free). */
static double *pack(const struct wide *s, size_t first, size_t n)
{
    double *out = must_alloc(s->p * s->p * sizeof *out), *to = out;

    for (size_t i = first; i < first + n; i++) {
        memcpy(to, s->triangle + i * s->p + i, (s->p - i) * sizeof *to);
        to += s->p - i;
    }
    return out;
}

static int take(struct wide *s, size_t first, size_t n, struct err *why)
{
    double *values = pack(s, first, n);
    int rc = head_take(s->head, &(struct head_slice){first, n, DTYPE_F64, DTYPE_F64, values}, why);

    free(values);
    return rc;
}

static void take_whole(struct wide *s)
{
    struct err why;

    assert_int_equal(take(s, 0, s->p, &why), 0);
    assert_true(head_is_complete(s->head));
}

static struct point measure(struct moments *m, const struct head *head, const struct projector *q,
                            struct spectrum **spectrum)
{
    struct measure_plan plan = {.precision = {DTYPE_F64, DTYPE_F64, DTYPE_I32},
                                .projector = *q,
                                .head = head,
                                .spectrum = {.wanted = spectrum != NULL}};
    struct spectrum *none;
    struct point out;

    memset(&out, 0, sizeof out);
    if (measure_needs_xx(m, &plan))
        assert_int_equal(moments_make_xx(m), 0);
    assert_int_equal(measure_point(m, &plan, &out, spectrum ? spectrum : &none), 0);
    return out;
}

static const struct {
    struct projector core;
    struct reference_part reference;
} parts[] = {
    {{.kind = PROJECTOR_SPAN}, {.kind = REFERENCE_SPAN}},
    {{.kind = PROJECTOR_TOP, .energy = 0.99}, {.kind = REFERENCE_TOP, .energy = 0.99L}},
    {{.kind = PROJECTOR_TOP, .energy = 0.5}, {.kind = REFERENCE_TOP, .energy = 0.5L}},
    {{.kind = PROJECTOR_TOP, .energy = 0.99, .k = 7}, {.kind = REFERENCE_TOP, .k = 7}},
    {{.kind = PROJECTOR_TOP, .energy = 0.99, .k = 1000}, {.kind = REFERENCE_TOP, .k = 1000}},
    {{.kind = PROJECTOR_RIDGE, .lambda = 0.01}, {.kind = REFERENCE_RIDGE, .lambda = 0.01L}},
    {{.kind = PROJECTOR_RIDGE, .lambda = 2}, {.kind = REFERENCE_RIDGE, .lambda = 2}},
};
#define N_PARTS (sizeof parts / sizeof parts[0])

static void assert_is_reference(const struct point *got, const struct reference_projection *want)
{
    assert_int_equal(got->rank, lroundl(want->trace));
    assert_true(fabs(got->value[METRIC_D_LR] - (double)want->d_lr) <= TOLERANCE);
    assert_true(fabs(got->value[METRIC_U] - (double)want->u) <= TOLERANCE);
    assert_true(fabs(got->value[METRIC_CKA_LINEAR] - (double)want->cka) <= TOLERANCE);
}

static void compare_shape(size_t n, size_t p, size_t c)
{
    struct wide s;

    wide_init(&s, n, p, c, NULL, 0);
    take_whole(&s);
    for (size_t i = 0; i < N_PARTS; i++) {
        struct reference_projection want;
        struct point direct = measure(&s.direct, NULL, &parts[i].core, NULL);
        struct point head = measure(&s.bare, s.head, &parts[i].core, NULL);

        reference_project(n, p, s.x, c, s.y, &parts[i].reference, &want);
        assert_is_reference(&direct, &want);
        assert_is_reference(&head, &want);
        assert_int_equal(head.c, c);
        assert_int_equal(head.flags & ~FLAG_ROW_FORM,
                         (direct.flags & ~FLAG_ROW_FORM) | FLAG_FROM_HEAD);
    }
    wide_release(&s);
}

static void every_projector_is_the_reference_from_head_and_from_columns(void **state)
{
    (void)state;
    compare_shape(N, P, C);
    compare_shape(40, P, C); /* fewer rows than features */
    compare_shape(120, 20, 20);
}

/* The tile order is 512: two tiles a side. */
static void a_head_of_several_tiles_is_the_reference(void **state)
{
    (void)state;
    compare_shape(60, 530, 600);
}

static void the_span_of_a_head_has_error_bars_like_columns(void **state)
{
    static const enum metric metrics[] = {METRIC_D_LR, METRIC_D_DEBIASED, METRIC_D_LR_SE,
                                          METRIC_D_DEBIASED_SE};
    struct wide s;
    struct point direct, head;

    (void)state;
    wide_init(&s, 400, 30, 40, NULL, 0);
    take_whole(&s);
    direct = measure(&s.direct, NULL, &parts[0].core, NULL);
    head = measure(&s.bare, s.head, &parts[0].core, NULL);
    for (size_t i = 0; i < sizeof metrics / sizeof metrics[0]; i++) /* errors: in single */
        assert_true(fabs(direct.value[metrics[i]] - head.value[metrics[i]]) <=
                    (i < 2 ? TOLERANCE : 1e-6));
    wide_release(&s);
}

static void a_part_of_the_outputs_has_neither_correction_nor_errors(void **state)
{
    struct wide s;

    (void)state;
    wide_init(&s, N, P, C, NULL, 0);
    take_whole(&s);
    for (size_t i = 0; i < N_PARTS; i++) {
        struct point got = measure(&s.direct, NULL, &parts[i].core, NULL);
        bool whole = got.rank == P && parts[i].core.kind != PROJECTOR_RIDGE;

        assert_int_equal(isnan(got.value[METRIC_D_DEBIASED]), !whole);
        assert_int_equal(isnan(got.value[METRIC_D_LR_SE]), !whole);
        assert_int_equal(!(got.flags & FLAG_TOP_OUTPUTS), parts[i].core.kind != PROJECTOR_TOP);
        assert_int_equal(!(got.flags & FLAG_RIDGE), parts[i].core.kind != PROJECTOR_RIDGE);
    }
    wide_release(&s);
}

static void targets_and_spectra_are_the_same_from_a_head(void **state)
{
    struct wide s;
    struct spectrum *direct, *head;
    int32_t labels[N];
    struct point a, b;

    (void)state;
    for (int i = 0; i < N; i++)
        labels[i] = i * i % 5;
    wide_init(&s, N, P, C, labels, 5);
    take_whole(&s);
    a = measure(&s.direct, NULL, &parts[1].core, &direct);
    b = measure(&s.bare, s.head, &parts[1].core, &head);
    assert_true(direct && head && direct->u && head->q);
    assert_true(fabs(a.value[METRIC_NC1] / b.value[METRIC_NC1] - 1) <= 1e-8);
    assert_int_equal(direct->rank, head->rank);
    assert_int_equal(direct->rank_targets, head->rank_targets);
    for (size_t i = 0; i < direct->n_values; i++) {
        assert_true(fabs(direct->u[i] - head->u[i]) <= 1e-8);
        assert_true(fabs(direct->q[i] - head->q[i]) <= 1e-8);
    }
    spectrum_free(direct);
    spectrum_free(head);
    wide_release(&s);
}

static void slices_make_the_same_head(void **state)
{
    struct wide s;
    struct err why;
    double *whole;

    (void)state;
    wide_init(&s, 10, P, P, NULL, 0);
    take_whole(&s);
    whole = must_alloc(P * P * sizeof *whole);
    memcpy(whole, s.head->r, P * P * sizeof *whole);
    assert_int_equal(take(&s, 0, 1, &why), 0);
    assert_false(head_is_complete(s.head));
    assert_int_equal(take(&s, 1, 40, &why), 0);
    assert_int_equal(take(&s, 41, P - 41, &why), 0);
    assert_true(head_is_complete(s.head));
    assert_memory_equal(s.head->r, whole, P * P * sizeof *whole);
    free(whole);
    wide_release(&s);
}

static void a_head_with_a_gap_is_refused_and_forgotten(void **state)
{
    struct wide s;
    struct err why;

    (void)state;
    wide_init(&s, 10, P, P, NULL, 0);
    assert_int_equal(take(&s, 0, 10, &why), 0);
    assert_int_equal(take(&s, 11, 20, &why), -EINVAL);
    assert_non_null(strstr(why.text, "row 11, expected 10"));
    assert_int_equal(take(&s, 10, P - 10, &why), -EINVAL);
    assert_false(head_is_complete(s.head));
    s.triangle[3 * P + 5] = (double)INFINITY;
    assert_int_equal(take(&s, 0, P, &why), -EINVAL);
    assert_non_null(strstr(why.text, "row 3, column 5"));
    assert_false(head_is_complete(s.head));
    wide_release(&s);
}

static void without_its_head_a_layer_has_features_alone(void **state)
{
    struct wide s;
    struct point got;

    (void)state;
    wide_init(&s, N, P, C, NULL, 0);
    got = measure(&s.bare, s.head, &parts[1].core, NULL);
    assert_int_equal(got.flags, FLAG_FROM_HEAD | FLAG_NO_HEAD);
    assert_int_equal(got.rank, 0);
    assert_int_equal(got.c, C);
    assert_true(isnan(got.value[METRIC_D_LR]) && isnan(got.value[METRIC_U]) &&
                isnan(got.value[METRIC_CKA_LINEAR]) && isnan(got.value[METRIC_D_LR_SE]));
    assert_true(got.value[METRIC_PR] > 1);
    wide_release(&s);
}

static void running_out_of_memory_is_reported_at_every_step(void **state)
{
    struct measure_plan plan = {.precision = {DTYPE_F64, DTYPE_F64}, .projector = parts[1].core};
    struct wide s;
    struct spectrum *none;
    struct point out;
    long i = 1;

    (void)state;
    wide_init(&s, N, P, C, NULL, 0);
    take_whole(&s);
    assert_int_equal(moments_make_xx(&s.bare), 0);
    plan.head = s.head;
    for (;; i++) {
        int rc;

        fault_arm(i);
        rc = measure_point(&s.bare, &plan, &out, &none);
        if (!fault_disarm())
            break;
        assert_int_equal(rc, -ENOMEM);
    }
    assert_true(i > 5);
    wide_release(&s);
}

/* Weights whose last column is a sum of others, as the format keeps it: of one direction less, but
 * for the rounding. What the features' mean makes of it is a constant. */
static void rounded_weights_have_the_rank_that_they_were_made_with(void **state)
{
    static const enum dtype formats[] = {DTYPE_F16, DTYPE_BF16};
    enum { RANK = 9 };

    (void)state;
    for (size_t i = 0; i < 4; i++) {
        struct measure_plan plan = {.precision = {DTYPE_F64, formats[i / 2], DTYPE_NONE},
                                    .projector = parts[0].core};
        struct wide s;
        struct spectrum *none;
        struct point out;
        char code[8];

        wide_init(&s, 400, RANK + 1, 64, NULL, 0);
        for (size_t k = 0; k < s.c; k++) {
            double *w = s.w + k * s.p;

            w[RANK] = w[0] + w[1] - w[2];
            for (size_t j = 0; j < s.p; j++)
                w[j] = encode_value(formats[i / 2], w[j], code);
        }
        make_triangle(&s);
        take_whole(&s);
        for (size_t j = 0; j < s.p && i % 2; j++)
            s.bare.mean_x[j] += 1000;
        assert_int_equal(moments_make_xx(&s.bare), 0);
        plan.head = s.head;
        assert_int_equal(measure_point(&s.bare, &plan, &out, &none), 0);
        assert_int_equal(out.rank, RANK);
        plan.precision.outputs = DTYPE_F64;
        assert_int_equal(measure_point(&s.bare, &plan, &out, &none), 0);
        assert_int_equal(out.rank, RANK + 1);
        wide_release(&s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_projector_is_the_reference_from_head_and_from_columns),
        cmocka_unit_test(a_head_of_several_tiles_is_the_reference),
        cmocka_unit_test(the_span_of_a_head_has_error_bars_like_columns),
        cmocka_unit_test(a_part_of_the_outputs_has_neither_correction_nor_errors),
        cmocka_unit_test(targets_and_spectra_are_the_same_from_a_head),
        cmocka_unit_test(slices_make_the_same_head),
        cmocka_unit_test(a_head_with_a_gap_is_refused_and_forgotten),
        cmocka_unit_test(without_its_head_a_layer_has_features_alone),
        cmocka_unit_test(rounded_weights_have_the_rank_that_they_were_made_with),
        cmocka_unit_test(running_out_of_memory_is_reported_at_every_step),
    };

    linalg_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
