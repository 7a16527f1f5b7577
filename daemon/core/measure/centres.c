#include "daemon/core/measure/centres.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/core/matrix/linalg.h"

static void find_classes(struct centres *centres, const struct moments *m)
{
    for (size_t i = 0; i < m->classes->n; i++) {
        if (!moments_class_occurred(m, i))
            continue;
        centres->slot[centres->n] = (uint32_t)i;
        centres->share[centres->n++] = moments_class_share(m, i);
    }
}

static void find_middle(struct centres *centres, double *mean)
{
    for (size_t c = 0; c < centres->n; c++) {
        moments_class_mean(centres->m, centres->slot[c], mean);
        centres->spread[c] = linalg_sum_squares(centres->p, mean);
        for (size_t i = 0; i < centres->p; i++)
            centres->middle[i] += mean[i] / (double)centres->n;
    }
}

int centres_init(struct centres *centres, const struct moments *m)
{
    size_t n = m->classes->n;
    double *mean = malloc(m->p * sizeof *mean);

    *centres = (struct centres){.m = m, .p = m->p};
    centres->slot = calloc(n ? n : 1, sizeof *centres->slot);
    centres->share = calloc(3 * n + m->p, sizeof *centres->share);
    if (!centres->slot || !centres->share || !mean) {
        free(mean);
        centres_release(centres);
        return -ENOMEM;
    }
    centres->spread = centres->share + n;
    centres->square = centres->spread + n;
    centres->middle = centres->square + n;
    find_classes(centres, m);
    find_middle(centres, mean);
    for (size_t c = 0; c < centres->n; c++) {
        centres_read(centres, c, mean);
        centres->square[c] = linalg_sum_squares(m->p, mean);
    }
    free(mean);
    return 0;
}

void centres_release(struct centres *centres)
{
    free(centres->slot);
    free(centres->share);
    memset(centres, 0, sizeof *centres);
}

void centres_read(const struct centres *centres, size_t c, double *out)
{
    moments_class_mean(centres->m, centres->slot[c], out);
    for (size_t i = 0; i < centres->p; i++)
        out[i] -= centres->middle[i];
}

/* With z = x - shift: E |x - mu_c|^2 = E |z|^2 - |E z|^2. */
double centres_variance(const struct centres *centres, size_t c)
{
    const struct class_sums *sums = &centres->m->classes->sums[centres->slot[c]];
    double square =
        linalg_sum_squares(centres->p, classes_z(centres->m->classes, centres->slot[c]));

    return fmax(sums->squares / sums->weight - square / (sums->weight * sums->weight), 0);
}
