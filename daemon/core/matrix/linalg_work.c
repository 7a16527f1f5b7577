#include "daemon/core/matrix/linalg_work.h"

#include <stdlib.h>

static void ask(struct linalg_work *k)
{
    k->reals = &k->n_reals_needed;
    k->integers = &k->n_integers_needed;
    k->n_reals = k->n_integers = -1;
    k->n_integers_needed = 1; /* some routines take none, and say nothing */
}

static bool allocate(struct linalg_work *k)
{
    k->n_reals = (lapack_int)k->n_reals_needed;
    k->n_integers = k->n_integers_needed;
    k->reals = malloc(((size_t)k->n_reals + LINALG_OVERREAD) * sizeof *k->reals);
    k->integers = malloc((size_t)k->n_integers * sizeof *k->integers);
    return k->reals && k->integers;
}

static void release(struct linalg_work *k)
{
    free(k->reals);
    free(k->integers);
    k->reals = NULL;
    k->integers = NULL;
}

bool linalg_work_next(struct linalg_work *k)
{
    switch (k->stage) {
    case WORK_UNASKED:
        ask(k);
        k->stage = WORK_ASKED;
        return true;
    case WORK_ASKED:
        k->stage = WORK_DONE;
        if (k->info != 0)
            return false;
        if (allocate(k))
            return true;
        k->info = LAPACK_WORK_MEMORY_ERROR;
        break;
    case WORK_DONE:
        break;
    }
    release(k);
    return false;
}
