/* What a layer's memory comes to beside the 4 p^2 bytes of X'X's triangle in double: what the
 * daemon counts for a layer before its first row, and what the process holds more when rows were
 * folded and measured. Beside its sums, which grow with p^2, a layer has two blocks of rows that
 * are being folded, and the rows that are kept (fold_line.h, reservoir.h), which are bounded: what
 * is counted beyond 1.1 times 4 p^2 bytes is at most 112 MiB at any p, for up to 100 outputs.
 *
 *     bench_memory [--json]
 */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "daemon/core/matrix/linalg.h"
#include "daemon/core/measure/measure.h"
#include "daemon/core/moments/fold_line.h"
#include "daemon/core/monitor/layer.h"
#include "daemon/host/blas.h"
#include "tests/bench/bench.h"

#define N_WORKERS 2
#define ROWS_MIN  2048

static double resident_bytes(void)
{
    unsigned long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");

    if (!file || fscanf(file, "%*u %lu", &pages) != 1)
        abort();
    fclose(file);
    return (double)pages * (double)sysconf(_SC_PAGESIZE);
}

static void fold_rows(struct layer *layer, size_t n, const float *x, const float *y)
{
    struct rows rows = {.n = n,
                        .features = x,
                        .outputs = y,
                        .features_dtype = DTYPE_F32,
                        .outputs_dtype = DTYPE_F32};

    for (size_t at = 0, size; at < n; at += size) {
        size = n - at < fold_line_capacity(layer->fold) ? n - at : fold_line_capacity(layer->fold);
        fold_line_begin(layer->fold, &layer->moments, 0);
        fold_line_add(layer->fold, &rows, at, size);
        fold_line_work(layer->fold, 0);
    }
}

static void fill(float *values, size_t n)
{
    unsigned state = 1;

    for (size_t i = 0; i < n; i++) {
        state = state * 1664525u + 1013904223u;
        values[i] = (float)(state >> 8) * 0x1p-24f;
    }
}

static void report(bool json, struct bench_shape shape, const char *work, double bytes)
{
    double triangle = 4 * (double)shape.p * (double)shape.p, ratio = triangle / bytes;
    struct bench_figure f = {work,  shape, "MiB", bytes / 0x1p20, triangle / 0x1p20,
                             ratio, ratio, ratio};

    bench_print(json, &f);
}

static void report_rest(bool json, struct bench_shape shape, double bytes)
{
    double rest = (bytes - 1.1 * 4 * (double)shape.p * (double)shape.p) / 0x1p20;
    struct bench_figure f = {"memory beyond 1.1 x 4 p^2", shape, "MiB", rest, 0, 0, rest, rest};

    bench_print(json, &f);
}

/* Bytes that the process holds more with a layer that was folded and measured. */
static double held_bytes(const struct batch *batch, const float *x, const float *y, size_t n)
{
    struct measure_plan plan = {.precision = {DTYPE_F32, DTYPE_F32},
                                .projector.kind = PROJECTOR_SPAN};
    struct watch_list watched = {0};
    double before = resident_bytes();
    struct spectrum *none;
    struct point point;
    struct layer *layer =
        layer_new(NULL, "head", 0, 0, (struct window){0}, (struct projector){0}, &watched);

    if (!layer || layer_allocate(layer, batch, N_WORKERS, 0) < 0)
        abort();
    fold_rows(layer, n, x, y);
    if (measure_point(&layer->moments, &plan, &point, &none) < 0)
        abort();
    malloc_trim(0);
    before = resident_bytes() - before;
    layer_free(layer);
    return before;
}

static void run(bool json, size_t p, size_t c)
{
    size_t n = (p > ROWS_MIN ? p : ROWS_MIN) + 64; /* X'X is made, and both blocks are filled */
    float *x = bench_alloc(n * p * sizeof *x), *y = bench_alloc(n * c * sizeof *y);
    struct batch batch = {.p = (uint32_t)p, .c = (uint32_t)c};
    struct bench_shape shape = {p, c, 0};
    double counted = layer_size_bytes(&batch, N_WORKERS, false), held;

    fill(x, n * p);
    fill(y, n * c);
    malloc_trim(0);
    held = held_bytes(&batch, x, y, n);
    report(json, shape, "memory counted for a layer", counted);
    report(json, shape, "memory held by a layer", held);
    report_rest(json, shape, counted);
    free(x);
    free(y);
}

int main(int argc, char **argv)
{
    static const size_t shapes[][2] = {{256, 10}, {1024, 100}, {2048, 100}, {4096, 100}};
    bool json = bench_wants_json(argc, argv);

    blas_start_again(argv);
    linalg_init();
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++)
        run(json, shapes[i][0], shapes[i][1]);
    return 0;
}
