/* The space of the outputs, its rank and the variation of the features inside it, against the
 * reference that sees the rows. */
#include "tests/lib/cmocka.h"

#include <errno.h>
#include <math.h>

#include "daemon/core/estimate/span.h"
#include "tests/lib/core/sample.h"
#include "tests/lib/fault.h"

static void make(struct sample *s, struct moments *m)
{
    struct random r;

    random_seed(&r, 21);
    sample_init(s, 300, 14, 5);
    sample_fill(s, &r, 1, 2);
    for (size_t i = 0; i < s->n; i++) /* the last output repeats the first: rank 4 */
        s->y[i * 5 + 4] = 2 * s->y[i * 5] + 1;
    sample_encode(s, DTYPE_F64, DTYPE_F64);
    assert_int_equal(moments_init(m, 14, 5, 0), 0);
    sample_fold(s, m, 0, s->n, 100, 0);
}

static void the_rank_and_the_variation_are_the_reference(void **state)
{
    struct sample s;
    struct moments m;
    struct span span;
    struct reference expected;
    double inside;

    (void)state;
    make(&s, &m);
    expected = sample_reference(&s, NULL);
    assert_int_equal(span_init(&span, &m, 0, 5, DTYPE_F64), 0);
    assert_int_equal(span.rank, expected.rank);
    assert_int_equal(span.rank, 4);
    assert_true(span.is_whole && span.trace == 4 && span.norm_sq == 4);
    assert_int_equal(span_variation(&span, &m, &inside), 0);
    assert_true(fabsl(inside / (tiles_trace(&m.xx) * expected.u) - 1) < 1e-11);
    span_release(&span);
    moments_release(&m);
    sample_release(&s);
}

/* Q'Q = B' Y'Y B is the unit matrix. */
static void the_basis_is_orthonormal(void **state)
{
    struct sample s;
    struct moments m;
    struct span span;

    (void)state;
    make(&s, &m);
    assert_int_equal(span_init(&span, &m, 0, 5, DTYPE_F64), 0);
    for (size_t i = 0; i < span.rank; i++) {
        for (size_t j = 0; j < span.rank; j++) {
            double sum = 0;

            for (size_t a = 0; a < 5; a++) {
                for (size_t b = 0; b < 5; b++)
                    sum += span.basis[a * span.rank + i] * m.yy[a < b ? a * 5 + b : b * 5 + a] *
                           span.basis[b * span.rank + j];
            }
            assert_true(fabs(sum - (i == j)) < 1e-11);
        }
    }
    span_release(&span);
    moments_release(&m);
    sample_release(&s);
}

static void a_projector_keeps_a_part_and_says_so(void **state)
{
    struct projector top = {.kind = PROJECTOR_TOP, .k = 2};
    struct projector ridge = {.kind = PROJECTOR_RIDGE, .lambda = 0.1};
    struct sample s;
    struct moments m;
    struct span span;

    (void)state;
    make(&s, &m);
    assert_int_equal(span_init_projected(&span, &m, 0, 5, DTYPE_F64, &top), 0);
    assert_true(span.rank == 2 && !span.is_whole && span.trace == 2);
    span_release(&span);
    assert_int_equal(span_init_projected(&span, &m, 0, 5, DTYPE_F64, &ridge), 0);
    assert_true(span.rank == 4 && !span.is_whole);
    assert_true(span.norm_sq < span.trace && span.trace < 4);
    span_release(&span);
    moments_release(&m);
    sample_release(&s);
}

static void every_allocation_may_fail(void **state)
{
    struct sample s;
    struct moments m;
    long n = 0;
    int rc;

    (void)state;
    make(&s, &m);
    do {
        struct span span;
        double inside;

        fault_arm(++n);
        rc = span_init(&span, &m, 0, 5, DTYPE_F64);
        if (rc == 0)
            rc = span_variation(&span, &m, &inside);
        assert_int_equal(rc, fault_disarm() ? -ENOMEM : 0);
        span_release(&span);
    } while (rc < 0);
    assert_true(n > 3);
    moments_release(&m);
    sample_release(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_rank_and_the_variation_are_the_reference),
        cmocka_unit_test(the_basis_is_orthonormal),
        cmocka_unit_test(a_projector_keeps_a_part_and_says_so),
        cmocka_unit_test(every_allocation_may_fail),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
