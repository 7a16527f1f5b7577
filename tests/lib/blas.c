#include "tests/lib/blas.h"

#include <dlfcn.h>
#include <stddef.h>

bool blas_is_open(void)
{
    return dlsym(RTLD_DEFAULT, "openblas_get_config") != NULL;
}
