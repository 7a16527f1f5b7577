/* Rows for tests of the core: made as doubles, rounded to a format as a trainer would send them,
 * and folded in batches. The frames start at an odd address, as they may on the wire. Owns its
 * memory; aborts when memory is short; one thread at a time, folding from several only reads it. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "daemon/core/moments/fold.h"
#include "daemon/core/moments/moments.h"
#include "proto/base/dtype.h"
#include "proto/base/point.h"
#include "tests/lib/core/reference.h"
#include "tests/lib/random.h"

struct sample {
    size_t n, p, c;
    double *x; /* n x p; after sample_encode what the frames hold, exactly */
    double *y; /* n x c */
    enum dtype features_dtype, outputs_dtype;
    char *features, *outputs; /* the frames, unaligned */
    char *memory;
};

/* Zero rows (release with sample_release). */
void sample_init(struct sample *, size_t n, size_t p, size_t c);
void sample_release(struct sample *);

/* Features with standard deviation 1 (the last ones 0.1) about `mean`; outputs a linear function of
 * them plus noise of standard deviation `noise`, so that D_LR is neither 0 nor 1. */
void sample_fill(struct sample *, struct random *, double mean, double noise);

/* Independent Gaussian features: `n_large` of variance 1, the others of variance `rest`. The
 * outputs are a mix of the first c of them. */
void sample_fill_population(struct sample *, struct random *, size_t n_large, double rest);

/* x = x R, R a random rotation of the features. */
void sample_rotate(struct sample *, struct random *);
/* y = y A + b with a random well-conditioned A. */
void sample_mix_outputs(struct sample *, struct random *);

/* Rounds x and y to the formats and writes the frames. */
void sample_encode(struct sample *, enum dtype features, enum dtype outputs);

/* A batch of rows from..from+n-1. */
struct rows sample_rows(const struct sample *, size_t from, size_t n);

/* Folds rows from..to-1 as batches of `batch` rows, each in blocks of its own. */
void sample_fold(const struct sample *, struct moments *, size_t from, size_t to, size_t batch,
                 double half_life_rows);

/* The point of the sample, folded in batches of `batch` rows. */
struct point sample_point(const struct sample *, size_t batch);
/* The point that the moments give. */
struct point sample_measure(const struct sample *, const struct moments *);
/* The reference of the sample as it was encoded. */
struct reference sample_reference(const struct sample *, const double *weights);
/* The same for a window that keeps all of its rows. */
struct reference sample_reference_kept(const struct sample *, const double *weights);

/* Whether all that may be read of two moments is the same, bit by bit. */
bool moments_identical(const struct moments *, const struct moments *);

/* One value as the format stores it, to the nearest; returns what it reads back as. */
double encode_value(enum dtype, double value, void *to);

/* malloc that aborts. */
void *must_alloc(size_t size);
