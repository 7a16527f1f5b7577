/* The last layer of the network, for a layer whose outputs are not sent: F = Phi W' + b for C
 * outputs of p features. It is the triangle R of a QR decomposition of W. Owns R; one thread at a
 * time. layer.h decides when slices come, and that each checkpoint needs a head of its own.
 *
 *     R'R = W'W,  p x p, upper triangular; C < p: the rows below the C-th are 0
 *     Y = X W' and Y~ = X R' have the same kernel YY' = Y~Y~'
 *
 * Everything that richd reads off the outputs depends on this kernel alone: ranks, projectors, CKA.
 * So p columns stand for C, whatever C is, and no logits are sent:
 *
 *     X'Y~ = S R',  Y~'Y~ = R S R',  Y~'T = R X'T        S = X'X, T the targets
 *
 * Each takes p^3 operations, once a checkpoint. The bias moves means alone. Tested by test_head.c.
 */
#pragma once

#include "daemon/core/moments/moments.h"
#include "proto/base/dtype.h"
#include "proto/base/err.h"

struct head {
    size_t p;
    size_t c;      /* outputs it stands for */
    size_t n_rows; /* of the triangle, from the first on, that are there */
    double *r;     /* p x p, row-major, upper triangle; below it 0 */
};

/* Rows first..first+n-1 of the triangle, each from the diagonal on, without gaps. Borrows. */
struct head_slice {
    size_t first, n;
    enum dtype dtype;   /* DTYPE_F32 or DTYPE_F64 */
    enum dtype weights; /* of the weights that it was made of: what they hide of their rank */
    const void *values;
};

/* Bytes of a head for p features and k targets, with the matrices that one measurement makes; in
 * double so that no size overflows. */
double head_size_bytes(size_t p, size_t k);

/* Returns a head without rows (free with head_free), or NULL. */
struct head *head_new(size_t p, size_t c);
void head_free(struct head *);

/* Forgets the rows. */
void head_reset(struct head *);
bool head_is_complete(const struct head *);

/* Takes the next slice; a slice from row 0 on begins a new head. Returns 0; or -EINVAL with the
 * reason when a slice before it is missing or a value is not finite, and the head has no rows. */
int head_take(struct head *, const struct head_slice *, struct err *);

/* The moments of the same rows with Y~ for outputs, also in their reservoir (free with
 * head_release_outputs); they borrow everything else. The given moments have no outputs, and their
 * X'X is made. Returns 0 or -ENOMEM. */
int head_outputs(const struct head *, const struct moments *, struct moments *out);
void head_release_outputs(struct moments *);
