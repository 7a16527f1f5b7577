#include "tests/bench/bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static double clock_s(clockid_t clock)
{
    struct timespec t;

    clock_gettime(clock, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

double bench_wall_s(void)
{
    return clock_s(CLOCK_MONOTONIC);
}

double bench_thread_s(void)
{
    return clock_s(CLOCK_THREAD_CPUTIME_ID);
}

void *bench_alloc(size_t size_bytes)
{
    void *memory = malloc(size_bytes);

    if (!memory)
        abort();
    return memory;
}

void bench_take_turns(struct bench_turns *turns, double seconds, bench_turn *ours, bench_turn *peer,
                      void *arg)
{
    double began = bench_wall_s();

    turns->n = 0;
    do {
        turns->ours[turns->n] = ours(arg);
        turns->peers[turns->n++] = peer ? peer(arg) : 0;
    } while (turns->n < BENCH_TURNS_MAX && (turns->n < 3 || bench_wall_s() - began < seconds));
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

double bench_quantile(double *values, size_t n, double share)
{
    qsort(values, n, sizeof *values, compare);
    return values[(size_t)(share * (double)(n - 1) + 0.5)];
}

bool bench_wants_json(int argc, char **argv)
{
    return argc > 1 && strcmp(argv[1], "--json") == 0;
}

static void print_shape(bool json, const struct bench_shape *shape)
{
    const char *names[] = {"p", "c", "n"};
    size_t values[] = {shape->p, shape->c, shape->n};

    for (size_t i = 0; i < 3; i++) {
        if (values[i] > 0)
            printf(json ? ", \"%s\": %zu" : " %s=%zu", names[i], values[i]);
    }
}

void bench_print(bool json, const struct bench_figure *f)
{
    printf(json ? "{\"work\": \"%s\"" : "%-30s", f->work);
    print_shape(json, &f->shape);
    printf(json ? ", \"value\": %.5g, \"unit\": \"%s\"" : " %.4g %s", f->value, f->unit);
    if (f->peer > 0)
        printf(json ? ", \"peer\": %.5g, \"ratio\": %.5g" : ", peer %.4g, ratio %.3g", f->peer,
               f->ratio);
    printf(json ? ", \"low\": %.5g, \"high\": %.5g}\n" : " (%.3g to %.3g)\n", f->low, f->high);
    fflush(stdout);
}

void bench_print_turns(bool json, const char *work, struct bench_shape shape, const char *unit,
                       double per_s, const struct bench_turns *turns)
{
    double sorted[BENCH_TURNS_MAX];
    struct bench_figure f = {.work = work, .shape = shape, .unit = unit};
    size_t n = turns->n;

    memcpy(sorted, turns->peers, n * sizeof *sorted);
    f.peer = per_s * bench_quantile(sorted, n, 0.5);
    memcpy(sorted, turns->ours, n * sizeof *sorted);
    f.value = per_s * bench_quantile(sorted, n, 0.5);
    for (size_t i = 0; i < n; i++)
        sorted[i] = f.peer > 0 ? turns->peers[i] / turns->ours[i] : per_s * turns->ours[i];
    f.ratio = bench_quantile(sorted, n, 0.5);
    f.low = bench_quantile(sorted, n, 0.25);
    f.high = bench_quantile(sorted, n, 0.75);
    bench_print(json, &f);
}
