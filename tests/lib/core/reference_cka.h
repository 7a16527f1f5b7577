/* Linear CKA of two sets of rows, n x p and n x q, as its papers write it, from n x n kernels in
 * long double: no code of daemon/core. Slow; aborts when memory is short; any thread. */
#pragma once

#include <stddef.h>

/* <K, L> / (||K|| ||L||) of the kernels about the rows' means (Kornblith et al. 2019). */
double reference_cka_plain(size_t n, size_t p, const double *x, size_t q, const double *y);

/* HSIC_1(K, L) / sqrt(HSIC_1(K, K) HSIC_1(L, L)), HSIC_1 as Song et al. (2012) have it, of kernels
 * without their diagonals:
 * [tr KL + 1'K1 1'L1 / ((n-1)(n-2)) - 2/(n-2) 1'KL1] / (n(n-3)). */
double reference_cka_debiased(size_t n, size_t p, const double *x, size_t q, const double *y);
