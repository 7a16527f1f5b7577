/* How much a layer's features have changed since the beginning, by the same probe rows sent in the
 * same order in every window: S_init = CKA(T_0, T_t). Owns the first window's n x n kernel, which
 * is all that is needed of its rows, whatever their width; pure, any thread, one at a time. When a
 * probe is the first, and how it outlives the daemon, is its users' business.
 *
 *     K = XX' of the n x p rows      S_init = <K_0, K_t> / (||K_0|| ||K_t||)
 *
 * with the rows about their mean, and as they came for the uncentred variant. 1: nothing changed
 * but rotation and scale. With x = z + m the uncentred kernel is that of z, z'm along both sides,
 * and |m|^2: kept apart, so that a large mean costs the centred one no digits. Rows count alike. */
#pragma once

#include "daemon/core/moments/reservoir.h"

/* All there is of a probe is `values`: n x n of ZZ' (both triangles), n of z'm, and |m|^2. */
struct probe {
    size_t n;
    double *values;
};

struct likeness {
    double centred;   /* NaN: the features of one of the two do not vary */
    double uncentred; /* NaN: those of one are all 0 */
};

/* How many values n rows have, and their bytes: 8 MiB for the 1024 that are kept at most. */
size_t probe_n_values(size_t n);
size_t probe_size_bytes(size_t n);

/* Takes the kernel of all rows that are kept; they must all be there, one at least. Returns 0 or
 * -ENOMEM; release is harmless then. */
int probe_init(struct probe *, const struct reservoir *);
void probe_release(struct probe *);

/* A second one with the same values. Returns 0 or -ENOMEM, `to` then without rows. */
int probe_copy(struct probe *to, const struct probe *from);

/* Both have the same number of rows. */
struct likeness probe_compare(const struct probe *first, const struct probe *now);

/* Why a window cannot be compared with the first, nor be it: NAME, and the sentence for people. */
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

/* What speaks against these rows; `first` without rows: against their being the first. */
enum probe_problem probe_check(const struct probe *first, const struct reservoir *);
