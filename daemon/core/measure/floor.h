/* What the rounding of X'X leaves unknown: below these floors an eigenvalue, or a difference of
 * traces, is not a value. Pure functions, any thread. Who leaves something out for it sets
 * FLAG_BELOW_FLOOR. Tested by test_units.c.
 *
 * Single-precision rows are multiplied in single (fold.h), and an element of X'X has a relative
 * error of up to 7.4e-8. Such errors are as good as independent, so they are a random symmetric
 * matrix, whose eigenvalues go with sqrt(p) times an element's size, tr S / p at rank one (Wigner).
 *
 *     floor of an eigenvalue    2.5e-7 tr S / sqrt(p)     f64: 1e-14 tr S / sqrt(p)
 *     floor of a trace          1e-7 tr S                 f64: 4e-15 tr S
 *
 * Measured: features of rank 2, 9 and 10 in 16 to 700 dimensions, with means of 0 and 100 times the
 * spread, n = 116 to 14,100. The largest eigenvalue beyond the rank is 0.35 to 1.8e-7 tr S /
 * sqrt(p) for f32, and up to 1.5e-15 for f64. tr S_W of collapsed classes, the difference of tr S
 * and the class means' variance, with n = 200 to 20,000, p = 16 to 1,024, 10 and 100 classes, means
 * of 0 and 100: off by up to 9e-8 tr S for f32 and 3e-15 for f64, the more the fewer rows and
 * features; half of the cases are below 5e-9 and 4e-16. */
#pragma once

#include <stddef.h>

#include "proto/base/dtype.h"

/* `features`: the coarsest format in which the rows came; `trace` is tr S, of p centred features
 * that vary. The result has the unit of the trace. */
double floor_eigenvalue(enum dtype features, size_t p, double trace);
double floor_trace(enum dtype features, double trace);
