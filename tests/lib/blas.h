/* Which OpenBLAS a test is linked with. */
#pragma once

#include <stdbool.h>

/* Whether it shows what is no interface of it (its buffers, its tables of kernels). Debian's does.
 * scipy's, which the wheel is linked with, puts a prefix before each name and hides the rest. */
bool blas_is_open(void);
