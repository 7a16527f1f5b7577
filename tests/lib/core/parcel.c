#include "tests/lib/core/parcel.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/random.h"

static size_t n_live;

size_t parcel_live(void)
{
    return n_live;
}

static void *must(void *memory)
{
    if (!memory)
        abort();
    return memory;
}

/* Features about 3; the outputs follow them in part. */
void parcel_values(uint64_t seed, size_t n, uint32_t p, uint32_t c, double *x, double *y)
{
    struct random r;

    random_seed(&r, seed);
    for (size_t i = 0; i < n * p; i++)
        x[i] = (float)(3 + random_uniform(&r));
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < c; j++)
            y[i * c + j] = (float)(x[i * p + j % p] + random_uniform(&r));
    }
}

static void narrow(size_t n, const double *from, float *to)
{
    for (size_t i = 0; i < n; i++)
        to[i] = (float)from[i];
}

static void fill_rows(struct parcel *parcel, size_t n, const double *x, const double *y)
{
    size_t p = parcel->batch.p, c = parcel->batch.c;
    bool wide = parcel->kind == PARCEL_F64;
    struct rows *rows = &parcel->batch.rows;
    float *single = (float *)(parcel->frames = must(malloc((n * (p + c) + 1) * sizeof(double))));

    rows->n = n;
    rows->features_dtype = rows->outputs_dtype = wide ? DTYPE_F64 : DTYPE_F32;
    if (wide) {
        memcpy(parcel->frames, x, n * p * sizeof *x);
        memcpy(parcel->frames + n * p, y, n * c * sizeof *y);
        rows->outputs = parcel->frames + n * p;
    } else {
        narrow(n * p, x, single);
        narrow(n * c, y, single + n * p);
        rows->outputs = single + n * p;
    }
    rows->features = parcel->frames;
    if (parcel->kind == PARCEL_NAN && n > 0)
        single[n * p - 1] = NAN;
}

static void column_means(size_t n, size_t p, const double *x, double *mean)
{
    for (size_t j = 0; j < p; j++) {
        for (size_t i = 0; i < n; i++)
            mean[j] += x[i * p + j] / (double)n;
    }
}

static void add_row(size_t p, size_t c, const double *dx, const double *dy, double *xx, double *xy,
                    double *yy, double *sum_sx)
{
    double s = 0;

    for (size_t i = 0; i < p; i++)
        s += dx[i] * dx[i];
    for (size_t i = 0; i < p; i++) {
        for (size_t j = 0; j < p; j++)
            xx[i * p + j] += dx[i] * dx[j];
        for (size_t j = 0; j < c; j++)
            xy[i * c + j] += dx[i] * dy[j];
        sum_sx[i] += s * dx[i];
    }
    for (size_t i = 0; i < c; i++) {
        for (size_t j = 0; j < c; j++)
            yy[i * c + j] += dy[i] * dy[j];
    }
}

static void fill_view(struct parcel *parcel, size_t n, double *x, double *y)
{
    size_t p = parcel->batch.p, c = parcel->batch.c;
    double *m = parcel->frames = must(calloc(2 * p + c + p * p + p * c + c * c, sizeof *m));
    double *k = m + p, *xx = k + c, *xy = xx + p * p, *yy = xy + p * c, *sum_sx = yy + c * c;
    double sum_s2 = 0;

    column_means(n, p, x, m);
    column_means(n, c, y, k);
    for (size_t i = 0; i < n; i++) {
        double s = 0;

        for (size_t j = 0; j < p; j++)
            x[i * p + j] -= m[j];
        for (size_t j = 0; j < c; j++)
            y[i * c + j] -= k[j];
        for (size_t j = 0; j < p; j++)
            s += x[i * p + j] * x[i * p + j];
        sum_s2 += s * s;
        add_row(p, c, x + i * p, y + i * c, xx, xy, yy, sum_sx);
    }
    parcel->batch.kind = BATCH_MOMENTS;
    parcel->batch.view = (struct moments_view){.n_rows = n,
                                               .mean_x = m,
                                               .mean_y = k,
                                               .xx = xx,
                                               .xx_dtype = DTYPE_F64,
                                               .features_dtype = DTYPE_F64,
                                               .xy = xy,
                                               .yy = yy,
                                               .sum_s2 = sum_s2,
                                               .sum_sx = sum_sx};
}

struct parcel *parcel_new(enum parcel_kind kind, const char *layer, uint32_t p, uint32_t c,
                          size_t n, uint64_t seed)
{
    struct parcel *parcel = must(calloc(1, sizeof *parcel));
    double *x = must(malloc((n * (p + c) + 1) * sizeof *x)), *y = x + n * p;

    list_init(&parcel->batch.queued.link);
    parcel->kind = kind;
    parcel->seed = seed;
    parcel->batch.p = p;
    parcel->batch.c = c;
    parcel->batch.size_bytes = n * (p + c) * sizeof(float);
    parcel->batch.outputs_dtype = DTYPE_F32;
    snprintf(parcel->batch.layer, sizeof parcel->batch.layer, "%s", layer);
    parcel_values(seed, n, p, c, x, y);
    if (kind == PARCEL_MOMENTS)
        fill_view(parcel, n, x, y);
    else
        fill_rows(parcel, n, x, y);
    free(x);
    n_live++;
    return parcel;
}

void parcel_free(struct parcel *parcel)
{
    free(parcel->frames);
    free(parcel);
    n_live--;
}
