#include "daemon/core/measure/floor.h"

#include <math.h>

double floor_eigenvalue(enum dtype features, size_t p, double trace)
{
    return (features == DTYPE_F64 ? 1e-14 : 2.5e-7) * trace / sqrt((double)p);
}

double floor_trace(enum dtype features, double trace)
{
    return (features == DTYPE_F64 ? 4e-15 : 1e-7) * trace;
}
