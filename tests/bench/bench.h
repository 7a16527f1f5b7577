/* What benchmarks in C share: clocks, two sides that take turns, and figures as
 * tests/bench/table.py reads them. One thread. A figure is the median over turns; its spread are
 * the quartiles. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#define BENCH_TURNS_MAX 400

double bench_wall_s(void);
/* Of this thread: what other processes do is not in it. */
double bench_thread_s(void);

/* malloc that ends the program. */
void *bench_alloc(size_t size_bytes);

/* Seconds of both sides, turn by turn. */
struct bench_turns {
    size_t n;
    double ours[BENCH_TURNS_MAX];
    double peers[BENCH_TURNS_MAX];
};

/* Seconds that one turn took: the function measures itself, so that it may prepare first. */
typedef double bench_turn(void *arg);

/* Lets both sides take turns for `seconds`, and three times at least. `peer` NULL: there is none.
 */
void bench_take_turns(struct bench_turns *, double seconds, bench_turn *ours, bench_turn *peer,
                      void *arg);

/* What a figure is of. 0: left out. */
struct bench_shape {
    size_t p, c, n;
};

/* A line as tests/bench/figures.py explains it. */
struct bench_figure {
    const char *work;
    struct bench_shape shape;
    const char *unit;
    double value;
    double peer, ratio; /* 0: there is no peer */
    double low, high;   /* of the ratio; without a peer of the value */
};

/* `--json` is the first argument. */
bool bench_wants_json(int argc, char **argv);

/* Prints a line: of JSON, or for people. */
void bench_print(bool json, const struct bench_figure *);

/* Prints the median of ours, in `unit`, of which a second has `per_s` (1e3 of "ms"); the peer's, if
 * there is one; and the ratio of both with its quartiles: how many times as fast as the peer. */
void bench_print_turns(bool json, const char *work, struct bench_shape, const char *unit,
                       double per_s, const struct bench_turns *);

/* The value below which `share` of the values lie; sorts them. */
double bench_quantile(double *values, size_t n, double share);
