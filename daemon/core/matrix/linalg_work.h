/* The work arrays of one LAPACK routine, with room for what kernels read behind an operand. Owns
 * them; the caller's thread. The calls themselves are in linalg.c:
 *
 *     struct linalg_work k = {0};
 *
 *     while (linalg_work_next(&k))
 *         k.info = LAPACKE_routine_work(..., k.reals, k.n_reals, k.integers, k.n_integers);
 *
 * The first call asks how much the routine needs, the second one works. Tested by test_linalg.c and
 * test_linalg_guard.c. */
#pragma once

#include <lapacke.h>
#include <stdbool.h>

/* So many numbers dsymv reads behind its y at most with old sets of kernels (OpenBLAS 0.3.21,
 * Prescott's and ten more, which take y in groups of four; measured with guard pages). The values
 * have no effect, but the memory has to be ours. */
#define LINALG_OVERREAD ((size_t)4)

struct linalg_work {
    lapack_int info; /* the routine's, or LAPACK_WORK_MEMORY_ERROR */
    double *reals;
    lapack_int n_reals, *integers, n_integers;
    double n_reals_needed;
    lapack_int n_integers_needed;
    enum { WORK_UNASKED, WORK_ASKED, WORK_DONE } stage;
};

/* Whether the routine is to be called (again); frees everything when not. */
bool linalg_work_next(struct linalg_work *);
