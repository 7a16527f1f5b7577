#include "tests/lib/core/series.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

/* Points before the first, so that it is like all others. */
#define BURN_IN 1000

const char *series_noise_name(enum series_noise noise)
{
    static const char *const names[SERIES_NOISES] = {"white", "AR(.9)", "1/f", "walk"};

    return names[noise];
}

static void make_pink(struct random *random, size_t n, double *out)
{
    size_t n_all = n + BURN_IN;
    double *e = malloc(n_all * sizeof *e), *h = malloc(n_all * sizeof *h);

    assert(e && h);
    random_fill_gaussian(random, n_all, e);
    h[0] = 1;
    for (size_t k = 1; k < n_all; k++)
        h[k] = h[k - 1] * ((double)k - 0.5) / (double)k;
    for (size_t i = 0; i < n; i++) {
        out[i] = 0;
        for (size_t k = 0; k <= i + BURN_IN; k++)
            out[i] += h[k] * e[i + BURN_IN - k];
    }
    free(e);
    free(h);
}

void series_noise(struct random *random, enum series_noise noise, size_t n, double *out)
{
    double kept = noise == SERIES_AR ? 0.9 : noise == SERIES_WALK ? 1 : 0;
    double x = noise == SERIES_AR ? random_gaussian(random) / sqrt(1 - 0.81) : 0;

    if (noise == SERIES_PINK) {
        make_pink(random, n, out);
        return;
    }
    for (size_t i = 0; i < n; i++)
        out[i] = x = kept * x + random_gaussian(random);
}

double series_passage(double at, double middle, double length)
{
    if (length <= 0)
        return at >= middle;
    return 1 / (1 + exp(-(at - middle) * 2 * log(9) / length));
}

struct series_news series_feed(size_t n, const double *values, const double *se)
{
    struct transition_detector *detector = malloc(sizeof *detector);
    struct series_news news = {0};
    struct transition told;

    assert(detector);
    transition_init(detector);
    for (size_t i = 0; i < n; i++) {
        struct transition_point point = {(int64_t)i, values[i], se ? se[i] : (double)NAN};

        switch (transition_feed(detector, &point, &told)) {
        case TRANSITION_NONE:
            break;
        case TRANSITION_FOUND:
            if (news.n_found++ == 0) {
                news.found = told;
                news.found_at = i + 1;
            }
            break;
        case TRANSITION_RETURNED:
            if (news.n_returned++ == 0) {
                news.returned = told;
                news.returned_at = i + 1;
            }
            break;
        }
    }
    free(detector);
    return news;
}
