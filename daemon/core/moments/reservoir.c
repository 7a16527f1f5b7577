#include "daemon/core/moments/reservoir.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

/* As much as the block of a fold takes. */
#define RESERVOIR_BYTES (32u << 20)
/* A probe may have this many rows; the jackknife needs half of them. */
#define RESERVOIR_MAX_ROWS 1024
/* 8 rows a group, for the widest layers. */
#define RESERVOIR_MIN_ROWS 256
/* Rows older than 5 half-lives make 3 % of the weight. */
#define HALF_LIVES 5

static size_t run_rows_for(size_t p, size_t w)
{
    size_t rows = RESERVOIR_BYTES / (sizeof(double) * (p + w));

    if (rows < RESERVOIR_MIN_ROWS)
        rows = RESERVOIR_MIN_ROWS;
    if (rows > RESERVOIR_MAX_ROWS)
        rows = RESERVOIR_MAX_ROWS;
    return rows / RESERVOIR_RUNS;
}

size_t reservoir_rows_max(size_t p, size_t w)
{
    return RESERVOIR_RUNS * run_rows_for(p, w);
}

double reservoir_size_bytes(size_t p, size_t w)
{
    return sizeof(double) * RESERVOIR_RUNS * (double)run_rows_for(p, w) *
           ((double)p + (double)w + 1);
}

/* Runs further back would hold rows without weight. */
static void shorten_runs(struct reservoir *reservoir)
{
    double reach = ceil(HALF_LIVES * reservoir->half_life_rows / RESERVOIR_RUNS);

    if (reach < 2)
        reservoir->run_rows = 2;
    else if (reach < (double)reservoir->run_rows)
        reservoir->run_rows = (size_t)reach;
}

struct reservoir *reservoir_new(size_t p, size_t w, double half_life_rows)
{
    struct reservoir *reservoir = calloc(1, sizeof *reservoir);
    size_t rows;

    assert(p > 0 && half_life_rows >= 0);
    if (!reservoir)
        return NULL;
    reservoir->p = p;
    reservoir->w = w;
    reservoir->half_life_rows = half_life_rows;
    reservoir->run_rows = run_rows_for(p, w);
    if (half_life_rows > 0)
        shorten_runs(reservoir);
    rows = reservoir_capacity(reservoir);
    reservoir->x = malloc(rows * p * sizeof(double));
    reservoir->y = malloc(rows * w * sizeof(double));
    reservoir->weight = malloc(rows * sizeof(double));
    if (!reservoir->x || !reservoir->y || !reservoir->weight) {
        reservoir_free(reservoir);
        return NULL;
    }
    reservoir_reset(reservoir);
    return reservoir;
}

void reservoir_free(struct reservoir *reservoir)
{
    if (!reservoir)
        return;
    free(reservoir->x);
    free(reservoir->y);
    free(reservoir->weight);
    free(reservoir);
}

size_t reservoir_capacity(const struct reservoir *reservoir)
{
    return RESERVOIR_RUNS * reservoir->run_rows;
}

void reservoir_reset(struct reservoir *reservoir)
{
    double reach = HALF_LIVES * reservoir->half_life_rows / (double)reservoir_capacity(reservoir);

    reservoir->stride = reach > 1 ? (uint64_t)ceil(reach) : 1;
    reservoir->n_seen = 0;
    reservoir->broken = false;
    for (size_t i = 0; i < RESERVOIR_RUNS; i++)
        reservoir->slot[i] = i;
}

/* Drops every second run. The other runs keep their slots, and the free slots come after them. */
static void thin(struct reservoir *reservoir)
{
    size_t slot[RESERVOIR_RUNS];

    for (size_t i = 0; i < RESERVOIR_RUNS / 2; i++) {
        slot[i] = reservoir->slot[2 * i];
        slot[RESERVOIR_RUNS / 2 + i] = reservoir->slot[2 * i + 1];
    }
    for (size_t i = 0; i < RESERVOIR_RUNS; i++)
        reservoir->slot[i] = slot[i];
    reservoir->stride *= 2;
}

void reservoir_make_room(struct reservoir *reservoir, size_t n)
{
    uint64_t last_run = (reservoir->n_seen + n - 1) / reservoir->run_rows;

    assert(n > 0);
    while (reservoir->half_life_rows == 0 && last_run / reservoir->stride >= RESERVOIR_RUNS)
        thin(reservoir);
}

size_t reservoir_place(const struct reservoir *reservoir, size_t i)
{
    uint64_t row = reservoir->n_seen + i, run = row / reservoir->run_rows;

    if (run % reservoir->stride != 0)
        return RESERVOIR_NONE;
    return reservoir->slot[run / reservoir->stride % RESERVOIR_RUNS] * reservoir->run_rows +
           row % reservoir->run_rows;
}

void reservoir_commit(struct reservoir *reservoir, size_t n)
{
    reservoir->n_seen += n;
}

bool reservoir_has_all(const struct reservoir *reservoir)
{
    return !reservoir->broken && reservoir->stride == 1 &&
           reservoir->n_seen <= reservoir_capacity(reservoir);
}

/* Groups when all rows are here: few rows, too, make many groups of two or more. The number is
 * even, because groups are paired. */
static size_t cut_rows(const struct reservoir *reservoir, struct reservoir_group *groups)
{
    uint64_t n = reservoir->n_seen,
             n_groups = n / 4 * 2 < RESERVOIR_RUNS ? n / 4 * 2 : RESERVOIR_RUNS;

    for (size_t g = 0; g < n_groups; g++) {
        size_t at = g * n / n_groups;

        groups[g] =
            (struct reservoir_group){.at = at, .n = (g + 1) * n / n_groups - at, .age = n - 1 - at};
    }
    return n_groups;
}

/* Groups of a sample: its runs. A run that is not full is left out, because its few rows would
 * count as much as a whole group. The number is even, because groups are paired. */
static size_t collect_runs(const struct reservoir *reservoir, struct reservoir_group *groups)
{
    uint64_t n_full = reservoir->n_seen / reservoir->run_rows,
             n_runs = (n_full + reservoir->stride - 1) / reservoir->stride;
    uint64_t newest = (reservoir->n_seen - 1) / reservoir->run_rows / reservoir->stride;
    size_t n_groups = 0;

    for (uint64_t i = newest < RESERVOIR_RUNS ? 0 : newest - RESERVOIR_RUNS + 1; i < n_runs; i++) {
        uint64_t age = reservoir->n_seen - 1 - i * reservoir->stride * reservoir->run_rows;

        if (reservoir->half_life_rows > 0 &&
            (double)age > 2 * HALF_LIVES * reservoir->half_life_rows)
            continue; /* a weight of 1e-3 and less shows rounding alone */
        groups[n_groups++] = (struct reservoir_group){.at = reservoir->slot[i % RESERVOIR_RUNS] *
                                                            reservoir->run_rows,
                                                      .n = reservoir->run_rows,
                                                      .age = age};
    }
    return n_groups / 2 * 2;
}

size_t reservoir_groups(const struct reservoir *reservoir,
                        struct reservoir_group groups[RESERVOIR_RUNS])
{
    if (reservoir->broken || reservoir->n_seen == 0)
        return 0;
    return reservoir_has_all(reservoir) ? cut_rows(reservoir, groups)
                                        : collect_runs(reservoir, groups);
}

double reservoir_weight(const struct reservoir *reservoir, const struct reservoir_group *g,
                        size_t i)
{
    double weight = reservoir->weight[g->at + i];

    return reservoir->half_life_rows > 0
               ? weight * exp2(-(double)(g->age - i) / reservoir->half_life_rows)
               : weight;
}
