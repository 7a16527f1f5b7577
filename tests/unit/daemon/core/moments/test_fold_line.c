/* Several workers in a line of blocks give bit by bit what one thread gives that folds one block
 * after the other. */
#include <limits.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/core/matrix/linalg.h"
#include "daemon/core/moments/fold_line.h"
#include "tests/lib/cmocka.h"
#include "tests/lib/core/sample.h"
#include "tests/lib/fault.h"

#define MAX_WORKERS 4
#define BATCH_ROWS  300
#define MAX_BATCHES 64

/* ---- one layer, twice ------------------------------------------------------------------------ */

struct shape {
    size_t n, p;
    enum dtype features;
    double half_life_rows;
    bool keeps_rows;
};

struct fixture {
    struct sample s;
    struct moments expected, m;
    struct rows batches[MAX_BATCHES];
    size_t n_batches;
    double half_life_rows;
};

static void new_moments(struct moments *m, const struct shape *shape)
{
    assert_int_equal(moments_init(m, shape->p, 3, 0), 0);
    m->may_wait = true;
    if (!shape->keeps_rows)
        return;
    m->reservoir = reservoir_new(shape->p, 3, shape->half_life_rows);
    assert_non_null(m->reservoir);
}

static void free_moments(struct moments *m)
{
    reservoir_free(m->reservoir);
    moments_release(m);
}

static void cut(struct fixture *f)
{
    f->n_batches = 0;
    for (size_t at = 0; at < f->s.n; at += BATCH_ROWS) {
        size_t left = f->s.n - at;

        f->batches[f->n_batches++] = sample_rows(&f->s, at, left < BATCH_ROWS ? left : BATCH_ROWS);
    }
}

static void init(struct fixture *f, const struct shape *shape)
{
    struct random r;

    random_seed(&r, 7);
    sample_init(&f->s, shape->n, shape->p, 3);
    sample_fill(&f->s, &r, 2, 1);
    sample_encode(&f->s, shape->features, DTYPE_F32);
    f->half_life_rows = shape->half_life_rows;
    new_moments(&f->expected, shape);
    new_moments(&f->m, shape);
    cut(f);
}

static void release(struct fixture *f)
{
    free_moments(&f->expected);
    free_moments(&f->m);
    sample_release(&f->s);
}

/* ---- the two ways ---------------------------------------------------------------------------- */

static void fold_one_by_one(struct fixture *f)
{
    struct fold *fold = fold_new(f->s.p, 3, 1);
    size_t block = fold_capacity(fold) / (f->s.features_dtype == DTYPE_F64 ? 2 : 1);
    size_t i = 0, row = 0;

    while (i < f->n_batches) {
        fold_begin(fold, &f->expected, f->half_life_rows);
        while (i < f->n_batches && fold_n_rows(fold) < block) {
            size_t left = block - fold_n_rows(fold), n = f->batches[i].n - row;

            n = n < left ? n : left;
            if (!f->batches[i].refused)
                fold_add(fold, &f->batches[i], row, n);
            row = row + n < f->batches[i].n ? row + n : 0;
            i += row == 0;
        }
        fold_run(fold);
    }
    fold_free(fold);
}

struct worker {
    pthread_t thread;
    struct fold_line *line;
    size_t number;
};

static void *on_thread(void *argument)
{
    struct worker *w = argument;

    fold_line_work(w->line, w->number);
    return NULL;
}

static void work(struct fold_line *line, size_t n_workers)
{
    struct worker workers[MAX_WORKERS];

    for (size_t i = 0; i < n_workers; i++) {
        workers[i] = (struct worker){.line = line, .number = i};
        assert_int_equal(pthread_create(&workers[i].thread, NULL, on_thread, &workers[i]), 0);
    }
    for (size_t i = 0; i < n_workers; i++)
        pthread_join(workers[i].thread, NULL);
}

/* In as many lines as there have to be. `made_for`: workers that the line has memory for. */
static void fold_in_line(struct fixture *f, size_t made_for, size_t n_workers)
{
    struct fold_line *line = fold_line_new(f->s.p, 3, made_for);
    size_t i = 0, row = 0;

    assert_non_null(line);
    while (i < f->n_batches) {
        fold_line_begin(line, &f->m, f->half_life_rows);
        while (i < f->n_batches && fold_line_accepts(line, &f->batches[i])) {
            size_t left = fold_line_capacity(line) - fold_line_n_rows(line);
            size_t n = f->batches[i].n - row;

            n = n < left ? n : left;
            fold_line_add(line, &f->batches[i], row, n);
            row = row + n < f->batches[i].n ? row + n : 0;
            i += row == 0;
        }
        work(line, n_workers);
    }
    fold_line_free(line);
}

/* ---- what holds ------------------------------------------------------------------------------ */

static void workers_in_a_line_give_what_one_fold_gives_bit_by_bit(void **state)
{
    static const struct shape shapes[] = {
        {.n = 5000, .p = 20, .features = DTYPE_F32},
        {.n = 9500, .p = 2, .features = DTYPE_F32, .half_life_rows = 700},
        {.n = 2200, .p = 520, .features = DTYPE_F32},
        {.n = 1200, .p = 1030, .features = DTYPE_BF16, .keeps_rows = true},
        {.n = 2300, .p = 10, .features = DTYPE_F64, .half_life_rows = 90, .keeps_rows = true},
    };

    (void)state;
    for (size_t k = 0; k < sizeof shapes / sizeof shapes[0]; k++) {
        for (size_t n_workers = 1; n_workers <= MAX_WORKERS; n_workers += 3) {
            struct fixture f;

            init(&f, &shapes[k]);
            fold_one_by_one(&f);
            fold_in_line(&f, MAX_WORKERS, n_workers);
            assert_int_equal(f.m.n_rows, shapes[k].n);
            assert_true(moments_identical(&f.m, &f.expected));
            release(&f);
        }
    }
}

static void a_line_for_one_worker_has_one_fold(void **state)
{
    static const struct shape shape = {.n = 3000, .p = 30, .features = DTYPE_F32};
    struct fixture f;

    (void)state;
    init(&f, &shape);
    fold_one_by_one(&f);
    fold_in_line(&f, 1, 1);
    assert_true(moments_identical(&f.m, &f.expected));
    release(&f);
}

/* Whole blocks without a row, and batches that reach into the next block. */
static void what_is_refused_is_refused_in_each_of_its_blocks(void **state)
{
    static const struct shape shape = {.n = 6000, .p = 12, .features = DTYPE_F32};
    static const size_t bad[] = {3, 4, 5, 6, 10, 19};
    const float nan = NAN;
    struct fixture f;

    (void)state;
    for (size_t n_workers = 1; n_workers <= 3; n_workers++) {
        init(&f, &shape);
        for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
            memcpy(f.s.features + 4 * ((bad[i] * BATCH_ROWS + 7) * f.s.p + 5), &nan, 4);
        fold_in_line(&f, 3, n_workers);
        for (size_t i = 0; i < f.n_batches; i++) {
            bool is_bad = false;

            for (size_t k = 0; k < sizeof bad / sizeof bad[0]; k++)
                is_bad |= bad[k] == i;
            assert_true(f.batches[i].checked);
            assert_int_equal(f.batches[i].refused, is_bad);
        }
        assert_string_equal(f.batches[3].why.text, "features are not finite at row 7, column 5");
        assert_int_equal(f.m.n_rows, shape.n - 6 * BATCH_ROWS);
        release(&f);
    }
}

static void a_worker_that_comes_late_finds_nothing(void **state)
{
    static const struct shape shape = {.n = 1500, .p = 20, .features = DTYPE_F32};
    struct fold_line *line = fold_line_new(shape.p, 3, 2);
    struct fixture f;

    (void)state;
    assert_non_null(line);
    init(&f, &shape);
    fold_line_begin(line, &f.m, 0);
    for (size_t i = 0; i < f.n_batches; i++)
        fold_line_add(line, &f.batches[i], 0, f.batches[i].n);
    fold_line_work(line, 1);
    assert_int_equal(f.m.n_rows, 1500);
    fold_line_work(line, 0);
    assert_int_equal(f.m.n_rows, 1500);
    fold_line_free(line);
    release(&f);
}

static void few_rows_are_one_worker_s_and_many_are_all_s(void **state)
{
    static const struct {
        size_t p, n, n_shares;
    } table[] = {{10, 1000, 1}, {256, 100, 1}, {256, 400, 2}, {2048, 1024, 4}};

    (void)state;
    for (size_t k = 0; k < 4; k++) {
        struct fold_line *line = fold_line_new(table[k].p, 3, 4);
        struct rows rows = {.n = table[k].n, .features_dtype = DTYPE_F32};
        struct moments m = {.p = table[k].p, .w = 3};

        assert_non_null(line);
        fold_line_begin(line, &m, 0);
        fold_line_add(line, &rows, 0, rows.n);
        assert_int_equal(fold_line_n_shares(line), table[k].n_shares);
        fold_line_free(line);
    }
}

/* ---- memory ---------------------------------------------------------------------------------- */

static void every_allocation_of_new_may_fail(void **state)
{
    struct fold_line *line;
    long n = 0;

    (void)state;
    do {
        fault_arm(++n);
        line = fold_line_new(600, 3, 3);
        assert_int_equal(line == NULL, fault_disarm());
        fold_line_free(line);
    } while (!line);
    assert_true(n > 30);
}

static void working_allocates_nothing(void **state)
{
    static const struct shape shape = {.n = 3000, .p = 20, .features = DTYPE_F32};
    struct fold_line *line = fold_line_new(shape.p, 3, 2);
    struct fixture f;

    (void)state;
    assert_non_null(line);
    init(&f, &shape);
    fault_arm(1);
    fold_line_begin(line, &f.m, 0);
    for (size_t i = 0; i < f.n_batches; i++)
        fold_line_add(line, &f.batches[i], 0, f.batches[i].n);
    fold_line_work(line, 0);
    assert_false(fault_disarm());
    fold_line_free(line);
    release(&f);
}

static void size_in_bytes_is_what_is_allocated(void **state)
{
    static const size_t shapes[][3] = {{1, 1, 1}, {100, 10, 2}, {600, 3, 4}, {4096, 1000, 8}};

    (void)state;
    for (size_t k = 0; k < 4; k++) {
        double stated = fold_line_size_bytes(shapes[k][0], shapes[k][1], shapes[k][2]);
        struct fold_line *line;

        fault_arm(LONG_MAX);
        line = fold_line_new(shapes[k][0], shapes[k][1], shapes[k][2]);
        fault_disarm();
        assert_non_null(line);
        assert_true(fabs((double)fault_bytes() - stated) <= 0.01 * stated + 4096);
        fold_line_free(line);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(workers_in_a_line_give_what_one_fold_gives_bit_by_bit),
        cmocka_unit_test(a_line_for_one_worker_has_one_fold),
        cmocka_unit_test(what_is_refused_is_refused_in_each_of_its_blocks),
        cmocka_unit_test(a_worker_that_comes_late_finds_nothing),
        cmocka_unit_test(few_rows_are_one_worker_s_and_many_are_all_s),
        cmocka_unit_test(every_allocation_of_new_may_fail),
        cmocka_unit_test(working_allocates_nothing),
        cmocka_unit_test(size_in_bytes_is_what_is_allocated),
    };

    linalg_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
