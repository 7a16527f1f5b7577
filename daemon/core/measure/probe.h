/* How much the features of a layer have changed since the beginning: S_init = CKA(T_0, T_t), from
 * the same probe rows, sent in the same order in every window. Owns the n x n kernel of the first
 * window; nothing else of its rows is needed, whatever their width. Pure; any thread, one at a
 * time. layer.h decides which window is the first, and the store keeps its probe.
 *
 *     K = XX' of the n x p rows      S_init = <K_0, K_t> / (||K_0|| ||K_t||)
 *
 * The rows are about their mean, or as they came for the uncentred variant. 1: nothing changed but
 * rotation and scale. With x = z + m an element of the uncentred kernel is z_i'z_j + z_i'm + z_j'm
 * + |m|^2. These parts are stored apart, so a large mean costs the centred kernel no digits. All
 * rows count the same.
 *
 * Both forms grow with p / n: for unrelated rows in which p directions vary alike, S_init is about
 * p / (n + p), because the diagonals of two kernels are always alike. The de-biased form leaves
 * them out. With the unbiased HSIC_1 (Song et al. 2012, JMLR 13; Nguyen et al. 2010.15327)
 *
 *     S_debiased = HSIC_1(K_0, K_t) / sqrt( HSIC_1(K_0, K_0) HSIC_1(K_t, K_t) )
 *     n (n - 3) HSIC_1(K, L) = sum over i != j of u_ij v_ij
 *     u_ij = k_ij + (k_ii + k_jj) / (n - 2) - tr K / ((n - 1)(n - 2)),  v_ij the same of L
 *
 * for a centred K, whose rows sum to 0: u is K without its diagonal, with the sums of its rows and
 * columns made 0 (Szekely and Rizzo 2014, U-centring). As a cosine it lies in [-1, 1]: 1 for a
 * rotation or a scale, 0 on average for unrelated rows, whatever n and p. Needs n > 3. */
#pragma once

#include "daemon/core/moments/reservoir.h"

/* `values` is everything: n x n of ZZ' (both triangles), n of z'm, and |m|^2. */
struct probe {
    size_t n;
    double *values;
};

struct likeness {
    double centred;   /* NaN: the features of one of the two do not vary */
    double uncentred; /* NaN: those of one are all 0 */
    double debiased;  /* NaN: n < 4, or all rows of one are equally far from each other */
};

/* How many values n rows have, and their bytes: 8 MiB for 1024 rows, the most of a reservoir. */
size_t probe_n_values(size_t n);
size_t probe_size_bytes(size_t n);

/* The kernel of the rows in the reservoir, which has all rows of the window, at least one. Returns
 * 0 or -ENOMEM; release is harmless then. */
int probe_init(struct probe *, const struct reservoir *);
void probe_release(struct probe *);

/* Makes a copy. Returns 0; or -ENOMEM, and `to` has no rows. */
int probe_copy(struct probe *to, const struct probe *from);

/* Compares two probes of the same number of rows, at least one. */
struct likeness probe_compare(const struct probe *first, const struct probe *now);

/* Why a window cannot be compared with the first, nor be the first: NAME, and the sentence. */
#define PROBE_PROBLEMS(X)                                                                          \
    X(NONE, "it can be compared")                                                                  \
    X(MISSING, "rows are missing")                                                                 \
    X(REDUCED, "the window holds reduced moments")                                                 \
    X(TOO_MANY, "there are more rows than are kept")                                               \
    X(WEIGHTS, "the rows have unequal weights")                                                    \
    X(N_ROWS, "the number of rows is not that of the first window")

enum probe_problem {
#define X(NAME, sentence) PROBE_##NAME,
    PROBE_PROBLEMS(X)
#undef X
};

const char *probe_problem_text(enum probe_problem);

/* The problem of these rows, or PROBE_NONE. When `first` has no rows, they are to be the first. */
enum probe_problem probe_check(const struct probe *first, const struct reservoir *);
