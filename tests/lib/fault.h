/* Makes the n-th allocation of the code under test fail, by the linker's --wrap of malloc and
 * calloc: what is linked statically sees it, shared libraries do not. Counts for the whole process;
 * arm it while one thread runs. */
#pragma once

#include <stdbool.h>

/* The n-th allocation from now on fails, n >= 1; those before and after it succeed. */
void fault_arm(long n);
/* No more failures. Returns whether one was injected since fault_arm. */
bool fault_disarm(void);
