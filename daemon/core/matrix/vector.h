/* Loops over rows are compiled several times, each for more of what processors can do, and the
 * loader takes the best that this one can (an "ifunc"). Such a function computes the same formula
 * everywhere; sums may be grouped and multiply-adds fused in another way, so results of two kinds
 * of processors differ by rounding. Within one process they are the same bit by bit. What is exact
 * in the formula without regard to order (a difference of equal numbers, a product with 0 or with a
 * power of two) is exact in each. */
#pragma once

/* Sanitizers instrument the chooser as well, which runs before they have begun; other processors
 * have one kind of vectors. */
#if defined(__x86_64__) && defined(__linux__) && defined(__OPTIMIZE__) &&                          \
    !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define VECTOR_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define VECTOR_CLONES
#endif
