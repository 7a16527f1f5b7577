/* What a checkpoint keeps of a layer's features, so that they can be compared later with those of
 * any other layer, checkpoint or run that saw the same rows. Owns the kernel of at most
 * REPRESENTATION_ROWS rows of a probe's window; pure; any thread, one at a time. The window's
 * kernel comes from probe.h; the store keeps the result, and history.h compares.
 *
 *     K = ZZ' of the n rows, about their own mean       linear CKA of two layers (Kornblith et al.
 *     2019, 1905.00414):  <K, L> / (||K|| ||L||), or de-biased by HSIC_1 as in probe.h
 *
 * Of a window of N rows these are the rows floor(i N / n): the same for every layer and run. Both
 * forms are free of scale, so K is over its largest diagonal element, in single precision: both are
 * within 1e-6 of those of the rows in double (test_representation.c), far below their own standard
 * error at 256 rows, sqrt(2) / n = 5.5e-3. 256 rows take 131,584 bytes.
 *
 * Cosines of 16 bits beside the rows' lengths were tried, in half the bytes: one row 300 times as
 * long moves the mean, all cosines near 1, and the de-biased form was off by 4e-5. */
#pragma once

#include <stddef.h>

#include "daemon/core/measure/probe.h"

#define REPRESENTATION_ROWS 256
/* Below it there is no de-biased form. */
#define REPRESENTATION_ROWS_MIN 4

struct representation {
    size_t n_rows; /* N, of the window; 0: there is nothing here */
    size_t n;      /* rows kept */
    float *kernel; /* upper triangle, row by row: representation_n_values(n) */
};

enum cka_form {
    CKA_DEBIASED,
    CKA_PLAIN,
    CKA_FORMS,
};

/* Rows kept of a window of n_rows, and the elements of a triangle of n. */
size_t representation_rows(size_t n_rows);
size_t representation_n_values(size_t n);

/* From the kernel of a whole window. A window of fewer than REPRESENTATION_ROWS_MIN rows leaves
 * nothing. Returns 0 or -ENOMEM; release is harmless then. */
int representation_init(struct representation *, const struct probe *);
/* Memory for a window of n_rows, zeroed. Returns 0 or -ENOMEM. */
int representation_alloc(struct representation *, size_t n_rows);
/* NULL is fine. */
void representation_release(struct representation *);

/* Fills representation_n_values(n) numbers, a vector of length 1, such that the CKA of two layers
 * is the product of theirs. All NaN where the rows do not vary; for the de-biased form also where
 * all are equally far from each other. */
void representation_expand(const struct representation *, enum cka_form, double *out);
