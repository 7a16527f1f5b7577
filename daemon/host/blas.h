/* Which kernels OpenBLAS runs, who chose them, and a second start with better ones where it does
 * not know the processor (0.3.21 runs those of 2004 on what came after 2022). The environment
 * alone says who chose: no state. Main's thread, before any other exists; the texts are static or
 * the environment's. */
#pragma once

/* Starts this program again in the same process, with the same arguments and OPENBLAS_CORETYPE set,
 * where that gives better kernels, and says so in the log. Returns where it does not, or where it
 * cannot: the kernels that are there do the same work, only slower. Never overrides the user's
 * OPENBLAS_CORETYPE, and so never acts twice. */
void blas_start_again(char **argv);

/* The core type that blas_start_again would set, or NULL. */
const char *blas_better(void);

/* "openblas", "richd" (blas_start_again) or "environment" (the user's OPENBLAS_CORETYPE). */
const char *blas_chosen_by(void);
