#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/core/matrix/linalg.h"
#include "tests/lib/blas.h"
#include "tests/lib/cmocka.h"
#include "tests/lib/random.h"

/* Shapes of the tests: n rows, leading dimensions wider than the matrices. */
enum {
    N = 37,
    P = 5,
    Q = 7,
    LD = 11,
};

/* Small integers: every product and sum is exact in single precision as well, so results are
 * compared with ==. */
struct fixture {
    double a[N * LD], b[N * LD], c[LD * LD];
    float a32[N * LD], b32[N * LD], c32[LD * LD];
};

static void fill(struct fixture *f)
{
    struct random r;

    random_seed(&r, 1);
    for (int i = 0; i < N * LD; i++) {
        f->a32[i] = (float)(f->a[i] = (double)random_below(&r, 19) - 9);
        f->b32[i] = (float)(f->b[i] = (double)random_below(&r, 19) - 9);
    }
    for (int i = 0; i < LD * LD; i++)
        f->c32[i] = (float)(f->c[i] = 1000 + i);
}

/* (x'y)_ij with the rows LD apart. */
static double cross_at(const double *x, int i, const double *y, int j)
{
    double sum = 0;

    for (int k = 0; k < N; k++)
        sum += x[k * LD + i] * y[k * LD + j];
    return sum;
}

static void cross_is_the_product_and_leaves_the_padding(void **state)
{
    static struct fixture f;

    (void)state;
    fill(&f);
    linalg_cross_f64(N, P, Q, f.a, LD, f.b, LD, 2, f.c, LD);
    linalg_cross_f32(N, P, Q, f.a32, LD, f.b32, LD, f.c32, LD);
    for (int i = 0; i < LD; i++) {
        for (int j = 0; j < LD; j++) {
            double before = 1000 + i * LD + j,
                   product = i < P && j < Q ? cross_at(f.a, i, f.b, j) : 0;
            bool inside = i < P && j < Q;

            assert_true(f.c[i * LD + j] == (inside ? 2 * before + product : before));
            assert_true(f.c32[i * LD + j] == (inside ? product : before));
        }
    }
}

static void gram_writes_the_upper_triangle_only(void **state)
{
    static struct fixture f;

    (void)state;
    fill(&f);
    linalg_gram_f64(N, P, f.a, LD, 3, f.c, LD);
    linalg_gram_f32(N, P, f.a32, LD, f.c32, LD);
    for (int i = 0; i < LD; i++) {
        for (int j = 0; j < LD; j++) {
            double before = 1000 + i * LD + j, product = cross_at(f.a, i, f.a, j);
            bool inside = i < P && j < P && j >= i;

            assert_true(f.c[i * LD + j] == (inside ? 3 * before + product : before));
            assert_true(f.c32[i * LD + j] == (inside ? product : before));
        }
    }
}

static void product_is_the_product(void **state)
{
    static struct fixture f;

    (void)state;
    fill(&f);
    linalg_product_f64(LD, P, Q, f.a, LD, f.b, LD, f.c, LD);
    for (int i = 0; i < LD; i++) {
        for (int j = 0; j < Q; j++) {
            double sum = 0;

            for (int k = 0; k < P; k++)
                sum += f.a[i * LD + k] * f.b[k * LD + j];
            assert_true(f.c[i * LD + j] == sum);
        }
    }
}

static void matvec_adds_to_the_vector_either_way(void **state)
{
    static struct fixture f;
    double x[N], y[N], forward[N], back[P] = {0};

    (void)state;
    fill(&f);
    for (int i = 0; i < N; i++) {
        x[i] = i % 5 - 2;
        forward[i] = y[i] = 100;
    }
    linalg_matvec_f64(false, N, P, f.a, LD, x, forward);
    linalg_matvec_f64(true, N, P, f.a, LD, x, back);
    for (int i = 0; i < N; i++) {
        for (int j = 0; j < P; j++)
            y[i] += f.a[i * LD + j] * x[j];
        assert_true(forward[i] == y[i]);
    }
    for (int j = 0; j < P; j++) {
        double sum = 0;

        for (int i = 0; i < N; i++)
            sum += f.a[i * LD + j] * x[i];
        assert_true(back[j] == sum);
    }
}

static void symmetric_matvec_reads_the_upper_triangle_only(void **state)
{
    static struct fixture f;
    double x[P] = {1, -2, 3, 5, -7}, y[P] = {10, 10, 10, 10, 10};

    (void)state;
    fill(&f);
    for (int i = 0; i < P; i++) {
        for (int j = 0; j < i; j++)
            f.a[i * LD + j] = (double)NAN;
    }
    linalg_symmetric_matvec_f64(P, f.a, LD, x, y);
    for (int i = 0; i < P; i++) {
        double sum = 10;

        for (int j = 0; j < P; j++)
            sum += x[j] * (j >= i ? f.a[i * LD + j] : f.a[j * LD + i]);
        assert_true(y[i] == sum);
    }
}

static void dot_and_sum_of_squares(void **state)
{
    static struct fixture f;
    double dot = 0, squares = 0;

    (void)state;
    fill(&f);
    for (int i = 0; i < N; i++) {
        dot += f.a[i] * f.b[i];
        squares += f.a[i] * f.a[i];
    }
    assert_true(linalg_dot(N, f.a, f.b) == dot);
    assert_true(linalg_sum_squares(N, f.a) == squares);
    assert_true(linalg_dot(0, f.a, f.b) == 0);
}

/* LAPACK's bound: |A v - w v| and |v_i'v_j - delta_ij| are a modest multiple of n eps |A|. */
static void eigenvectors_are_rows_and_values_ascend(void **state)
{
    enum { ORDER = 23 };
    static double a[ORDER * ORDER], v[ORDER * ORDER], w[ORDER];
    struct random r;

    (void)state;
    random_seed(&r, 2);
    for (int i = 0; i < ORDER; i++) {
        for (int j = i; j < ORDER; j++)
            a[i * ORDER + j] = a[j * ORDER + i] = random_gaussian(&r);
    }
    memcpy(v, a, sizeof a);
    for (int i = 0; i < ORDER; i++) {
        for (int j = 0; j < i; j++)
            v[i * ORDER + j] = (double)NAN; /* not read */
    }
    assert_int_equal(linalg_eigh(ORDER, v, w), 0);
    for (int k = 0; k < ORDER; k++) {
        assert_true(k == 0 || w[k] >= w[k - 1]);
        for (int i = 0; i < ORDER; i++) {
            double product = linalg_dot(ORDER, a + i * ORDER, v + k * ORDER);
            double dot = linalg_dot(ORDER, v + i * ORDER, v + k * ORDER);

            assert_true(fabs(product - w[k] * v[k * ORDER + i]) < 1e-13);
            assert_true(fabs(dot - (i == k)) < 1e-13);
        }
    }
}

static void eigenvalues_of_a_single_number(void **state)
{
    double a = -3, w;

    (void)state;
    assert_int_equal(linalg_eigh(1, &a, &w), 0);
    assert_true(w == -3 && fabs(a) == 1);
}

/* dsyevr once returned 0 on a matrix that held Inf. */
static void eigenvalues_of_a_matrix_that_is_not_finite_are_refused(void **state)
{
    static const double bad[] = {(double)NAN, (double)INFINITY, -(double)INFINITY};

    (void)state;
    for (int k = 0; k < 3; k++) {
        double a[9] = {1, 0, 0, 0, 1, 0, 0, 0, 1}, w[3];

        a[k == 0 ? 8 : k] = bad[k];
        assert_int_equal(linalg_eigh(3, a, w), -EDOM);
    }
}

static void the_blas_is_named(void **state)
{
    (void)state;
    assert_non_null(strstr(linalg_description(), "OpenBLAS"));
}

static void triangles_multiply_from_either_side_and_read_no_value_below(void **state)
{
    static struct fixture f, g;
    double r[P * P];

    (void)state;
    fill(&f);
    for (int i = 0; i < P * P; i++)
        r[i] = i % P >= i / P ? (double)(i % 7 - 3) : (double)NAN;
    g = f;
    linalg_times_triangle_transposed(N, P, r, f.a, LD); /* A R' */
    linalg_triangle_times(P, Q, r, f.b, LD);            /* R B */
    for (int i = 0; i < N * LD; i++) {
        int row = i / LD, col = i % LD;
        double right = 0, left = 0;

        for (int k = 0; k < P; k++) {
            right += col < P && k >= col ? g.a[row * LD + k] * r[col * P + k] : 0;
            left += row < P && k >= row ? r[row * P + k] * g.b[k * LD + col] : 0;
        }
        assert_true(f.a[i] == (col < P ? right : g.a[i]));
        assert_true(f.b[i] == (row < P && col < Q ? left : g.b[i]));
    }
    linalg_triangle_times(P, 0, r, f.b, LD); /* no columns: no harm */
    linalg_times_triangle_transposed(0, P, r, f.a, LD);
}

/* B R^-1 R = B, and what stands below the diagonal is not read. */
static void the_inverse_of_a_triangle_undoes_it(void **state)
{
    static struct fixture f, g;
    double r[P * P], inverse[P * P];

    (void)state;
    fill(&f);
    for (int i = 0; i < P * P; i++)
        r[i] = i % P == i / P ? 1 + i % 3 : i % P > i / P ? .1 * (i % 7 - 3) : (double)NAN;
    g = f;
    linalg_triangle_inverse(P, r, inverse);
    linalg_times_triangle(N, P, inverse, f.a, LD);
    linalg_times_triangle(N, P, r, f.a, LD);
    linalg_times_triangle(0, P, r, f.a, LD); /* no rows: no harm */
    for (int i = 0; i < N * LD; i++)
        assert_true(fabs(f.a[i] - g.a[i]) <= 1e-12);
}

/* A v = w v for the leading ones, orthonormal, and all values as the full decomposition has them.
 */
static void a_tridiagonal_form_gives_all_values_and_the_leading_vectors(void **state)
{
    enum { ORDER = 60, LEADING = 9 };
    static double a[ORDER * ORDER], work[ORDER * ORDER], v[LEADING * ORDER];
    double w[ORDER], all[ORDER];
    struct linalg_tridiagonal t;
    struct random r;

    (void)state;
    random_seed(&r, 3);
    for (int i = 0; i < ORDER; i++) {
        for (int j = i; j < ORDER; j++)
            a[i * ORDER + j] = a[j * ORDER + i] = random_gaussian(&r);
    }
    memcpy(work, a, sizeof a);
    assert_int_equal(linalg_eigh(ORDER, work, all), 0);
    memcpy(work, a, sizeof a);
    assert_int_equal(linalg_tridiagonal_init(&t, ORDER, work, w), 0);
    assert_int_equal(linalg_tridiagonal_leading(&t, LEADING, v), 0);
    linalg_tridiagonal_release(&t);
    for (int i = 0; i < ORDER; i++)
        assert_true(fabs(w[i] - all[i]) <= 1e-12);
    for (int k = 0; k < LEADING; k++) {
        for (int l = 0; l < LEADING; l++)
            assert_true(fabs(linalg_dot(ORDER, v + k * ORDER, v + l * ORDER) - (k == l)) <= 1e-12);
        for (int i = 0; i < ORDER; i++)
            assert_true(fabs(linalg_dot(ORDER, a + i * ORDER, v + k * ORDER) -
                             w[ORDER - LEADING + k] * v[k * ORDER + i]) <= 1e-12);
    }
}

/* (b'v)^2 = ((Q'b)'z)^2, of all vectors and of the leading ones. */
static void a_turned_vector_has_the_products_of_one_with_all_eigenvectors(void **state)
{
    enum { ORDER = 70, LEADING = 8, SIDES = 3 };
    static double a[ORDER * ORDER], v[ORDER * ORDER], z[ORDER * ORDER];
    double all[ORDER], w[ORDER], b[SIDES * ORDER], turned[SIDES * ORDER];
    struct linalg_tridiagonal t;
    struct random r;

    (void)state;
    random_seed(&r, 4);
    random_fill_gaussian(&r, ORDER * ORDER, a);
    random_fill_gaussian(&r, SIDES * ORDER, b);
    memcpy(v, a, sizeof a);
    memcpy(turned, b, sizeof b);
    assert_int_equal(linalg_eigh(ORDER, v, all), 0);
    assert_int_equal(linalg_tridiagonal_init(&t, ORDER, a, NULL), 0);
    assert_int_equal(linalg_tridiagonal_turn(&t, SIDES, turned), 0);
    for (int leading = 0; leading < 2; leading++) {
        size_t k = leading ? LEADING : ORDER;

        assert_int_equal(linalg_tridiagonal_own(&t, k, w, z), 0);
        for (size_t i = 0; i < k; i++) {
            size_t at = ORDER - k + i;

            assert_true(fabs(w[i] - all[at]) <= 1e-12);
            for (size_t side = 0; side < SIDES; side++) {
                double x = linalg_dot(ORDER, b + side * ORDER, v + at * ORDER);
                double y = linalg_dot(ORDER, turned + side * ORDER, z + i * ORDER);

                assert_true(fabs(fabs(x) - fabs(y)) <= 1e-11);
            }
        }
    }
    linalg_tridiagonal_release(&t);
}

/* The k largest vectors of T: T z = w z, and they are orthonormal. */
static void check_own(double *parts, size_t n, size_t k)
{
    enum { MOST = 80 };
    struct linalg_tridiagonal t = {.n = n, .parts = parts};
    static double w[MOST], z[MOST * MOST];
    const double *beside = parts + n;

    assert_true(k <= n && n <= MOST);
    assert_int_equal(linalg_tridiagonal_own(&t, k, w, z), 0);
    for (size_t i = 0; i < k; i++) {
        const double *v = z + i * n;

        assert_true(i == 0 || w[i] >= w[i - 1]);
        for (size_t j = 0; j < n; j++) {
            double product = parts[j] * v[j] + (j > 0 ? beside[j - 1] * v[j - 1] : 0) +
                             (j + 1 < n ? beside[j] * v[j + 1] : 0);

            assert_true(fabs(product - w[i] * v[j]) <= 1e-11);
        }
        for (size_t j = 0; j <= i; j++)
            assert_true(fabs(linalg_dot(n, v, z + j * n) - (i == j)) <= 1e-8);
    }
}

/* Features that are one-hot, or white, have many equal eigenvalues. LAPACK's fastest way then fails
 * (Wilkinson's matrices, glued), or gives a vector twice (blocks that hardly touch). */
static void leading_vectors_of_equal_eigenvalues_are_orthonormal(void **state)
{
    struct random r;

    (void)state;
    random_seed(&r, 3);
    for (size_t n = 8; n <= 80; n += 4) {
        double glued[160] = {0}, blocks[160] = {0};

        for (size_t i = 0; i < n; i++) {
            glued[i] = fabs((double)(i % 21) - 10);
            glued[n + i] = i % 21 == 20 ? 1e-14 : 1;
            blocks[i] = i < n / 2 ? 1 : 1e-12;
            blocks[n + i] = 1e-15 * random_uniform(&r);
        }
        for (size_t k = 1; k < n; k += 3) {
            check_own(glued, n, k);
            check_own(blocks, n, k);
        }
    }
}

static void tridiagonal_forms_of_one_number_and_of_none_finite(void **state)
{
    double one = 7, w, v, bad[4] = {1, (double)INFINITY, 0, 1}, w2[2];
    struct linalg_tridiagonal t;

    (void)state;
    assert_int_equal(linalg_tridiagonal_init(&t, 1, &one, &w), 0);
    assert_int_equal(linalg_tridiagonal_leading(&t, 1, &v), 0);
    assert_true(w == 7 && fabs(v) == 1);
    linalg_tridiagonal_release(&t);
    assert_int_equal(linalg_tridiagonal_init(&t, 2, bad, w2), -EDOM);
    linalg_tridiagonal_release(&t);
}

static void buffers_of_two_threads_are_two(void **state)
{
    void *first = linalg_take_buffer(), *second = linalg_take_buffer();

    (void)state;
    assert_int_equal(first != NULL, blas_is_open());
    assert_int_equal(first != second, blas_is_open());
    linalg_give_buffer(first);
    linalg_give_buffer(second);
    linalg_give_buffer(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cross_is_the_product_and_leaves_the_padding),
        cmocka_unit_test(gram_writes_the_upper_triangle_only),
        cmocka_unit_test(product_is_the_product),
        cmocka_unit_test(matvec_adds_to_the_vector_either_way),
        cmocka_unit_test(symmetric_matvec_reads_the_upper_triangle_only),
        cmocka_unit_test(dot_and_sum_of_squares),
        cmocka_unit_test(eigenvectors_are_rows_and_values_ascend),
        cmocka_unit_test(eigenvalues_of_a_single_number),
        cmocka_unit_test(triangles_multiply_from_either_side_and_read_no_value_below),
        cmocka_unit_test(the_inverse_of_a_triangle_undoes_it),
        cmocka_unit_test(a_tridiagonal_form_gives_all_values_and_the_leading_vectors),
        cmocka_unit_test(a_turned_vector_has_the_products_of_one_with_all_eigenvectors),
        cmocka_unit_test(leading_vectors_of_equal_eigenvalues_are_orthonormal),
        cmocka_unit_test(tridiagonal_forms_of_one_number_and_of_none_finite),
        cmocka_unit_test(eigenvalues_of_a_matrix_that_is_not_finite_are_refused),
        cmocka_unit_test(the_blas_is_named),
        cmocka_unit_test(buffers_of_two_threads_are_two),
    };

    linalg_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
