#include "daemon/core/moments/reservoir.h"

#include <math.h>
#include <stdlib.h>

/* As much as the fold's own block takes. */
#define KEEP_BYTES (32u << 20)
/* A probe of this many rows is kept whole; error bars need half of them. */
#define KEEP_MAX_ROWS 1024
/* 8 rows a group, for the widest layers. */
#define KEEP_MIN_ROWS 256
/* Rows older than 5 half-lives make 3 % of the weight. */
#define HALF_LIVES 5

static size_t run_rows_for(size_t p, size_t w)
{
    size_t rows = KEEP_BYTES / (sizeof(double) * (p + w));

    if (rows < KEEP_MIN_ROWS)
        rows = KEEP_MIN_ROWS;
    if (rows > KEEP_MAX_ROWS)
        rows = KEEP_MAX_ROWS;
    return rows / KEEP_RUNS;
}

size_t keep_rows_max(size_t p, size_t w)
{
    return KEEP_RUNS * run_rows_for(p, w);
}

double keep_size_bytes(size_t p, size_t w)
{
    return sizeof(double) * KEEP_RUNS * (double)run_rows_for(p, w) * ((double)p + (double)w + 1);
}

/* 32 runs need not reach further back than rows that still weigh something. */
static void shorten_runs(struct keep *k)
{
    double reach = ceil(HALF_LIVES * k->half_life_rows / KEEP_RUNS);

    if (reach < 2)
        k->run_rows = 2;
    else if (reach < (double)k->run_rows)
        k->run_rows = (size_t)reach;
}

struct keep *keep_new(size_t p, size_t w, double half_life_rows)
{
    struct keep *k = calloc(1, sizeof *k);
    size_t rows;

    if (!k)
        return NULL;
    k->p = p;
    k->w = w;
    k->half_life_rows = half_life_rows;
    k->run_rows = run_rows_for(p, w);
    if (half_life_rows > 0)
        shorten_runs(k);
    rows = keep_capacity(k);
    k->x = malloc(rows * p * sizeof(double));
    k->y = malloc(rows * w * sizeof(double));
    k->weight = malloc(rows * sizeof(double));
    if (!k->x || !k->y || !k->weight) {
        keep_free(k);
        return NULL;
    }
    keep_reset(k);
    return k;
}

void keep_free(struct keep *k)
{
    if (!k)
        return;
    free(k->x);
    free(k->y);
    free(k->weight);
    free(k);
}

size_t keep_capacity(const struct keep *k)
{
    return KEEP_RUNS * k->run_rows;
}

void keep_reset(struct keep *k)
{
    double reach = HALF_LIVES * k->half_life_rows / (double)keep_capacity(k);

    k->stride = reach > 1 ? (uint64_t)ceil(reach) : 1;
    k->n_seen = 0;
    k->broken = false;
    for (size_t i = 0; i < KEEP_RUNS; i++)
        k->slot[i] = i;
}

/* Every second run goes; those that stay keep their slots, and the free ones come after them. */
static void thin(struct keep *k)
{
    size_t slot[KEEP_RUNS];

    for (size_t i = 0; i < KEEP_RUNS / 2; i++) {
        slot[i] = k->slot[2 * i];
        slot[KEEP_RUNS / 2 + i] = k->slot[2 * i + 1];
    }
    for (size_t i = 0; i < KEEP_RUNS; i++)
        k->slot[i] = slot[i];
    k->stride *= 2;
}

void keep_make_room(struct keep *k, size_t n)
{
    uint64_t last_run = (k->n_seen + n - 1) / k->run_rows;

    while (k->half_life_rows == 0 && last_run / k->stride >= KEEP_RUNS)
        thin(k);
}

size_t keep_place(const struct keep *k, size_t i)
{
    uint64_t row = k->n_seen + i, run = row / k->run_rows;

    if (run % k->stride != 0)
        return KEEP_NONE;
    return k->slot[run / k->stride % KEEP_RUNS] * k->run_rows + row % k->run_rows;
}

void keep_commit(struct keep *k, size_t n)
{
    k->n_seen += n;
}

bool keep_has_all(const struct keep *k)
{
    return !k->broken && k->stride == 1 && k->n_seen <= keep_capacity(k);
}

/* All rows are here: they are cut anew, so that few rows, too, make many groups of two or more;
 * an even number, since groups are paired. */
static size_t cut_rows(const struct keep *k, struct keep_group *groups)
{
    uint64_t n = k->n_seen, n_groups = n / 4 * 2 < KEEP_RUNS ? n / 4 * 2 : KEEP_RUNS;

    for (size_t g = 0; g < n_groups; g++) {
        size_t at = g * n / n_groups;

        groups[g] =
            (struct keep_group){.at = at, .n = (g + 1) * n / n_groups - at, .age = n - 1 - at};
    }
    return n_groups;
}

/* A run that is not full yet waits: its few rows would count as much as a whole group. Groups
 * are paired, hence an even number. */
static size_t collect_runs(const struct keep *k, struct keep_group *groups)
{
    uint64_t n_full = k->n_seen / k->run_rows, n_runs = (n_full + k->stride - 1) / k->stride;
    uint64_t newest = (k->n_seen - 1) / k->run_rows / k->stride;
    size_t n_groups = 0;

    for (uint64_t i = newest < KEEP_RUNS ? 0 : newest - KEEP_RUNS + 1; i < n_runs; i++) {
        uint64_t age = k->n_seen - 1 - i * k->stride * k->run_rows;

        if (k->half_life_rows > 0 && (double)age > 2 * HALF_LIVES * k->half_life_rows)
            continue; /* what weighs 1e-3 and less tells of rounding */
        groups[n_groups++] = (struct keep_group){
            .at = k->slot[i % KEEP_RUNS] * k->run_rows, .n = k->run_rows, .age = age};
    }
    return n_groups / 2 * 2;
}

size_t keep_groups(const struct keep *k, struct keep_group groups[KEEP_RUNS])
{
    if (k->broken || k->n_seen == 0)
        return 0;
    return keep_has_all(k) ? cut_rows(k, groups) : collect_runs(k, groups);
}

double keep_weight(const struct keep *k, const struct keep_group *g, size_t i)
{
    double weight = k->weight[g->at + i];

    return k->half_life_rows > 0 ? weight * exp2(-(double)(g->age - i) / k->half_life_rows)
                                 : weight;
}
