/* Makes the n-th allocation of the code under test fail, by the linker's --wrap of malloc,
 * calloc, realloc and strdup: what is linked statically sees it, shared libraries do not. Counts
 * for the whole process; arm it while one thread runs. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* The n-th allocation from now on fails, n >= 1; those before and after it succeed. */
void fault_arm(long n);
/* Bytes that were asked for since fault_arm, up to fault_disarm. */
size_t fault_bytes(void);
/* No more failures. Returns whether one was injected since fault_arm. */
bool fault_disarm(void);

/* Counts a call of another kind as an allocation: whether it is the one that fails. */
bool fault_strikes(void);

/* While paused nothing fails and nothing counts: for what a test allocates itself. */
void fault_pause(void);
void fault_resume(void);
