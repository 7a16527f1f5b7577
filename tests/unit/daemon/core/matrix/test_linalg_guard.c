/* Every call of linalg.h on memory between guard pages, under each of OpenBLAS's sets of kernels
 * that this processor can run: for each this program starts itself with OPENBLAS_CORETYPE, since
 * OpenBLAS chooses while it is loaded. Work arrays are guarded, too, by --wrap of malloc. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/core/matrix/coretype.h"
#include "daemon/core/matrix/linalg.h"
#include "tests/lib/cmocka.h"
#include "tests/lib/guard.h"

/* Every size up to here, then every STRIDE-th: kernels work in blocks of up to 48 rows, LAPACK in
 * blocks of 32 and 64. */
#define EVERY_SIZE 70
#define LAST_SIZE  300
#define STRIDE     37

/* ---- malloc and free of the code under test ---- */

void *__real_malloc(size_t size);
void __real_free(void *memory);
void *__wrap_malloc(size_t size);
void __wrap_free(void *memory);

static bool guarded;

void *__wrap_malloc(size_t size)
{
    return guarded ? guard_alloc(size) : __real_malloc(size);
}

void __wrap_free(void *memory)
{
    if (!guard_free(memory))
        __real_free(memory);
}

/* ---- operands ---- */

/* `rows` x `cols`, `gap` numbers between rows and none behind the last one. */
static double *matrix(size_t rows, size_t cols, size_t gap)
{
    size_t n = (rows - 1) * (cols + gap) + cols;
    double *a = guard_alloc(n * sizeof *a);

    for (size_t i = 0; i < n; i++)
        a[i] = (double)(i * 7 % 11) - 5;
    return a;
}

static double *vector(size_t n)
{
    return matrix(1, n, 0);
}

static float *matrix_f32(size_t rows, size_t cols, size_t gap)
{
    float *a = guard_alloc(((rows - 1) * (cols + gap) + cols) * sizeof *a);

    for (size_t i = 0; i < (rows - 1) * (cols + gap) + cols; i++)
        a[i] = (float)(i * 7 % 11) - 5;
    return a;
}

/* Positive definite, and no eigenvalue twice. */
static double *definite(size_t n)
{
    double *a = matrix(n, n, 0);

    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < n; j++)
            a[i * n + j] = i == j ? (double)(2 * n + i) : 1 / (1 + (double)(i + j));
    }
    return a;
}

/* ---- the calls: n is the size under test, q another one ---- */

static void cross_f32(size_t n, size_t q, size_t gap)
{
    linalg_cross_f32(n, n, q, matrix_f32(n, n, gap), n + gap, matrix_f32(n, q, gap), q + gap,
                     matrix_f32(n, q, gap), q + gap);
}

static void gram_f32(size_t n, size_t q, size_t gap)
{
    linalg_gram_f32(q, n, matrix_f32(q, n, gap), n + gap, matrix_f32(n, n, gap), n + gap);
}

static void cross_f64(size_t n, size_t q, size_t gap)
{
    linalg_cross_f64(n, n, q, matrix(n, n, gap), n + gap, matrix(n, q, gap), q + gap, 1,
                     matrix(n, q, gap), q + gap);
}

static void gram_f64(size_t n, size_t q, size_t gap)
{
    linalg_gram_f64(q, n, matrix(q, n, gap), n + gap, 1, matrix(n, n, gap), n + gap);
}

static void product_f64(size_t n, size_t q, size_t gap)
{
    linalg_product_f64(n, n, q, matrix(n, n, gap), n + gap, matrix(n, q, gap), q + gap,
                       matrix(n, q, gap), q + gap);
}

static void product_transposed_f64(size_t n, size_t q, size_t gap)
{
    linalg_product_transposed_f64(n, q, n, matrix(n, q, gap), q + gap, matrix(n, q, gap), q + gap,
                                  matrix(n, n, gap), n + gap);
}

static void add_product_f64(size_t n, size_t q, size_t gap)
{
    linalg_add_product_f64(n, q, n, matrix(n, q, gap), q + gap, matrix(q, n, gap), n + gap,
                           matrix(n, n, gap), n + gap);
}

static void add_symmetric_product_f64(size_t n, size_t q, size_t gap)
{
    linalg_add_symmetric_product_f64(n, q, matrix(n, n, gap), n + gap, matrix(n, q, gap), q + gap,
                                     matrix(n, q, gap), q + gap);
}

static void matvec_f64(size_t n, size_t q, size_t gap)
{
    linalg_matvec_f64(false, n, q, matrix(n, q, gap), q + gap, vector(q), vector(n));
    linalg_matvec_f64(true, n, q, matrix(n, q, gap), q + gap, vector(n), vector(q));
}

static void symmetric_matvec_f64(size_t n, size_t q, size_t gap)
{
    (void)q;
    linalg_symmetric_matvec_f64(n, matrix(n, n, gap), n + gap, vector(n), vector(n));
}

static void dot(size_t n, size_t q, size_t gap)
{
    (void)q;
    linalg_dot(n, vector(n), vector(n));
    linalg_sum_squares(n, vector(n));
    linalg_dot_strided(n, matrix(n, 1, gap), 1 + gap, matrix(n, 1, 2), 3);
}

static void eigh(size_t n, size_t q, size_t gap)
{
    (void)q, (void)gap;
    assert_int_equal(linalg_eigh(n, definite(n), vector(n)), 0);
}

static void tridiagonal_own(size_t n, size_t q, size_t gap)
{
    size_t k = q < n ? q : n;
    struct linalg_tridiagonal t;

    (void)gap;
    assert_int_equal(linalg_tridiagonal_init(&t, n, definite(n), NULL), 0);
    assert_int_equal(linalg_tridiagonal_own(&t, k, vector(k), matrix(k, n, 0)), 0);
    assert_int_equal(linalg_tridiagonal_own(&t, n, vector(n), matrix(n, n, 0)), 0);
    assert_int_equal(linalg_tridiagonal_turn(&t, q, matrix(q, n, 0)), 0);
    linalg_tridiagonal_release(&t);
}

static void tridiagonal(size_t n, size_t q, size_t gap)
{
    size_t k = q < n ? q : n;
    struct linalg_tridiagonal t;

    (void)gap;
    assert_int_equal(linalg_tridiagonal_init(&t, n, definite(n), vector(n)), 0);
    assert_int_equal(linalg_tridiagonal_leading(&t, k, matrix(k, n, 0)), 0);
    linalg_tridiagonal_release(&t);
}

static void triangles(size_t n, size_t q, size_t gap)
{
    linalg_times_triangle_transposed(q, n, matrix(n, n, 0), matrix(q, n, gap), n + gap);
    linalg_times_triangle(q, n, matrix(n, n, 0), matrix(q, n, gap), n + gap);
    linalg_triangle_times(n, q, matrix(n, n, 0), matrix(n, q, gap), q + gap);
}

static void cholesky(size_t n, size_t q, size_t gap)
{
    double *a = definite(n), *b = matrix(q, n, 0);

    (void)gap;
    assert_int_equal(linalg_cholesky(n, a), 0);
    linalg_triangle_solve(true, n, a, q, b);
    linalg_triangle_solve(false, n, a, q, b);
    linalg_triangle_inverse(n, a, matrix(n, n, 0));
}

#define CALL(name)                                                                                 \
    {                                                                                              \
#name, name                                                                                \
    }
static const struct {
    const char *name;
    void (*call)(size_t n, size_t q, size_t gap);
} calls[] = {
    CALL(cross_f32),
    CALL(gram_f32),
    CALL(cross_f64),
    CALL(gram_f64),
    CALL(product_f64),
    CALL(product_transposed_f64),
    CALL(add_product_f64),
    CALL(add_symmetric_product_f64),
    CALL(matvec_f64),
    CALL(symmetric_matvec_f64),
    CALL(dot),
    CALL(eigh),
    CALL(tridiagonal_own),
    CALL(tridiagonal),
    CALL(triangles),
    CALL(cholesky),
};

/* ---- one set of kernels, in a process of its own ---- */

static const char *now_calling; /* for the signal's handler */
static size_t now_size;

/* snprintf is not for handlers, but the process ends here, and nothing of it is stopped in malloc.
 */
static void on_signal(int number, siginfo_t *info, void *context)
{
    char where[64], text[160];
    int length;

    (void)context;
    guard_describe(info->si_addr, where, sizeof where);
    length = snprintf(text, sizeof text, "%s: %s in linalg_%s, n = %zu, %s\n", linalg_kernels(),
                      number == SIGILL ? "unknown instruction" : "touches what is not its own",
                      now_calling, now_size, where);
    (void)!write(STDERR_FILENO, text, (size_t)length);
    _exit(1);
}

/* Where an operand starts goes with n, when it ends at its guard page; so does the gap. */
static void run_size(size_t n)
{
    now_size = n;
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        now_calling = calls[i].name;
        calls[i].call(n, n / 2 + 1, n / 2 % 2);
        guard_free_all();
    }
}

static int run_calls(void)
{
    struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO};

    sigaction(SIGSEGV, &action, NULL);
    sigaction(SIGBUS, &action, NULL);
    sigaction(SIGILL, &action, NULL);
    guarded = true;
    for (int behind = 0; behind < 2; behind++) {
        guard_behind(behind);
        for (size_t n = 1; n <= LAST_SIZE; n += n < EVERY_SIZE ? 1 : STRIDE)
            run_size(n);
    }
    return 0;
}

/* ---- all sets ---- */

/* The exit code of a child that has other kernels than it was asked to run. */
#define RUNS_OTHERS 77

/* The exit code of a child that got OPENBLAS_CORETYPE, or -1 where it ended by a signal. */
static int run_with(const char *type)
{
    pid_t pid = fork();
    int status;

    assert_true(pid >= 0);
    if (pid == 0) {
        setenv("OPENBLAS_CORETYPE", type, 1);
        execl("/proc/self/exe", "test_linalg_guard", type, (char *)NULL);
        _exit(127);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void no_kernel_reads_outside(void **state)
{
    struct processor processor = processor_read();
    size_t n_failed = 0, n_run = 0;

    (void)state;
    for (const struct coretype *c = coretypes; c->name; c++) {
        int code = c->needs & ~processor.features ? RUNS_OTHERS : run_with(c->name);

        print_message("%s: %s\n", c->name, code == RUNS_OTHERS ? "not here" : "run");
        n_run += code != RUNS_OTHERS;
        n_failed += code != RUNS_OTHERS && code != 0;
    }
    assert_int_equal(n_failed, 0);
    assert_true(n_run > 0);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(no_kernel_reads_outside)};

    linalg_init();
    if (argc == 2 && strcasecmp(argv[1], linalg_kernels()) == 0)
        return run_calls();
    return argc == 1 ? cmocka_run_group_tests(tests, NULL, NULL) : RUNS_OTHERS;
}
