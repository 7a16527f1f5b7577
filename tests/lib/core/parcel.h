/* Batches for tests of the core, with values that a seed gives again at any time, so that a test
 * can say what should have been measured without having kept the rows. A parcel owns its frames;
 * parcel_live counts those not freed yet. Aborts when memory is short; one thread. */
#pragma once

#include "daemon/core/moments/batch.h"

enum parcel_kind {
    PARCEL_F32,
    PARCEL_F64,
    PARCEL_MOMENTS,
    PARCEL_NAN, /* f32 rows, the last one with a NaN */
    PARCEL_KINDS,
};

struct parcel {
    struct batch batch; /* first: the batch is the parcel */
    enum parcel_kind kind;
    uint64_t seed;
    void *owner; /* the test's own */
    double *frames;
};

/* n rows of p features and C outputs; size_bytes is what the frames take. The caller fills in seq,
 * rows_before and step (free with parcel_free). */
struct parcel *parcel_new(enum parcel_kind, const char *layer, uint32_t p, uint32_t c, size_t n,
                          uint64_t seed);
void parcel_free(struct parcel *);
size_t parcel_live(void);

/* The rows of such a parcel; every value is exact in single precision. */
void parcel_values(uint64_t seed, size_t n, uint32_t p, uint32_t c, double *x, double *y);
