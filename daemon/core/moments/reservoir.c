#include "daemon/core/moments/reservoir.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* As much as the block of a fold takes. */
#define RESERVOIR_BYTES (32u << 20)
/* A probe may have this many rows; the jackknife needs half of them. */
#define RESERVOIR_MAX_ROWS 1024
/* 8 rows a group, for the widest layers. */
#define RESERVOIR_MIN_ROWS 256
/* Rows older than 5 half-lives make 3 % of the weight. */
#define HALF_LIVES 5
/* With runs of 8 rows this is a window of 2^40, which no trainer fills. */
#define STRIDE_MAX (UINT64_C(1) << 32)

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
    return sizeof(double) * (double)(reservoir_rows_max(p, w) + RESERVOIR_LONGEST) *
           ((double)p + (double)w + 1);
}

/* Runs further back would hold rows without weight: the least stride with which they reach over the
 * half-lives, and then the shortest runs. */
static void limit_reach(struct reservoir *reservoir)
{
    double reach = HALF_LIVES * reservoir->half_life_rows / RESERVOIR_RUNS, rows;

    while (reservoir->stride_max < STRIDE_MAX &&
           (double)(reservoir->run_rows * reservoir->stride_max) < reach)
        reservoir->stride_max *= 2;
    rows = ceil(reach / (double)reservoir->stride_max);
    if (rows < 2)
        reservoir->run_rows = 2;
    else if (rows < (double)reservoir->run_rows)
        reservoir->run_rows = (size_t)rows;
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
    reservoir->stride_max = half_life_rows > 0 ? 1 : STRIDE_MAX;
    if (half_life_rows > 0)
        limit_reach(reservoir);
    rows = reservoir_capacity(reservoir) + RESERVOIR_LONGEST;
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
    reservoir->stride = 1;
    reservoir->n_seen = 0;
    reservoir->broken = false;
    reservoir->n_longest = 0;
    for (size_t i = 0; i < RESERVOIR_RUNS; i++)
        reservoir->slot[i] = i;
}

/* A bit of the splitmix64 generator's mixing function (Steele, Lea and Flood 2014). */
static uint64_t mix(uint64_t stride, uint64_t block)
{
    uint64_t z = (block + 1) * UINT64_C(0x9e3779b97f4a7c15) + stride * UINT64_C(0xd1b54a32d192ed03);

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

/* Which half of a block of `stride` runs has the run that stays: 0 or 1. */
static uint64_t half_that_stays(uint64_t stride, uint64_t block)
{
    return mix(stride, block) >> 63;
}

/* The run that stays of a block of s runs. */
static uint64_t run_that_stays(const struct reservoir *reservoir, uint64_t block)
{
    for (uint64_t stride = reservoir->stride; stride > 1; stride /= 2)
        block = 2 * block + half_that_stays(stride, block);
    return block;
}

/* Whether run_that_stays of its block is this one, from the run upwards: most runs are out after a
 * step or two. */
static bool stays(const struct reservoir *reservoir, uint64_t run)
{
    for (uint64_t stride = 2; stride <= reservoir->stride; stride *= 2, run /= 2) {
        if (half_that_stays(stride, run / 2) != run % 2)
            return false;
    }
    return true;
}

/* Drops one run of each two. The other runs keep their slots, and the free slots come after them.
 */
static void thin(struct reservoir *reservoir)
{
    size_t slot[RESERVOIR_RUNS];

    reservoir->stride *= 2;
    for (size_t i = 0; i < RESERVOIR_RUNS / 2; i++) {
        uint64_t half = half_that_stays(reservoir->stride, i);

        slot[i] = reservoir->slot[2 * i + half];
        slot[RESERVOIR_RUNS / 2 + i] = reservoir->slot[2 * i + 1 - half];
    }
    for (size_t i = 0; i < RESERVOIR_RUNS; i++)
        reservoir->slot[i] = slot[i];
}

void reservoir_make_room(struct reservoir *reservoir, size_t n)
{
    uint64_t last_run = (reservoir->n_seen + n - 1) / reservoir->run_rows;

    assert(n > 0);
    while (reservoir->stride < reservoir->stride_max &&
           last_run / reservoir->stride >= RESERVOIR_RUNS)
        thin(reservoir);
}

size_t reservoir_place(const struct reservoir *reservoir, size_t i)
{
    uint64_t row = reservoir->n_seen + i, run = row / reservoir->run_rows;

    if (!stays(reservoir, run))
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

/* The rows of one group, which starts `n_before` rows after the first one of `rows`. */
static struct reservoir_group part_of(const struct reservoir_group *rows, size_t n_before, size_t n)
{
    return (struct reservoir_group){.at = rows->at + n_before, .n = n, .age = rows->age - n_before};
}

/* Groups when all rows are here: few rows, too, make many groups of two or more. */
static size_t cut_rows(const struct reservoir *reservoir, struct reservoir_group *groups)
{
    struct reservoir_group all = {.at = 0, .age = reservoir->n_seen - 1};
    uint64_t n = reservoir->n_seen,
             n_groups = n / 4 * 2 < RESERVOIR_GROUPS ? n / 4 * 2 : RESERVOIR_GROUPS;

    for (size_t g = 0; g < n_groups; g++) {
        size_t at = g * n / n_groups;

        groups[g] = part_of(&all, at, (g + 1) * n / n_groups - at);
    }
    return n_groups;
}

/* The runs that are here, oldest first. A run that is not full is left out, because its few rows
 * would count as much as a whole group. */
static size_t collect_runs(const struct reservoir *reservoir, struct reservoir_group *runs)
{
    uint64_t newest = (reservoir->n_seen - 1) / reservoir->run_rows / reservoir->stride;
    size_t n_runs = 0;

    for (uint64_t i = newest < RESERVOIR_RUNS ? 0 : newest - RESERVOIR_RUNS + 1; i <= newest; i++) {
        uint64_t first = run_that_stays(reservoir, i) * reservoir->run_rows,
                 age = reservoir->n_seen - 1 - first;

        if (first + reservoir->run_rows > reservoir->n_seen ||
            (reservoir->half_life_rows > 0 &&
             (double)age > 2 * HALF_LIVES * reservoir->half_life_rows))
            continue; /* a weight of 1e-3 and less shows rounding alone */
        runs[n_runs++] = (struct reservoir_group){.at = reservoir->slot[i % RESERVOIR_RUNS] *
                                                        reservoir->run_rows,
                                                  .n = reservoir->run_rows,
                                                  .age = age};
    }
    return n_runs;
}

size_t reservoir_runs(const struct reservoir *reservoir,
                      struct reservoir_group runs[RESERVOIR_RUNS])
{
    if (reservoir->broken || reservoir->n_seen == 0)
        return 0;
    if (!reservoir_has_all(reservoir))
        return collect_runs(reservoir, runs);
    runs[0] =
        (struct reservoir_group){.at = 0, .n = reservoir->n_seen, .age = reservoir->n_seen - 1};
    return 1;
}

/* Groups of a sample. Runs without a gap are neighbours of each other; else up to 16 of them are
 * cut in two. Which ones, chance says too: every second run could have the same half of a batch. */
static size_t group_runs(const struct reservoir *reservoir, struct reservoir_group *groups)
{
    struct reservoir_group runs[RESERVOIR_RUNS];
    size_t n_runs = collect_runs(reservoir, runs), half = reservoir->run_rows / 2,
           n_cut = n_runs < RESERVOIR_GROUPS / 2 ? n_runs : RESERVOIR_GROUPS / 2;

    if (reservoir->stride == 1) {
        memcpy(groups, runs, n_runs * sizeof *runs);
        return n_runs / 2 * 2;
    }
    for (size_t i = 0; i < n_cut; i++) {
        size_t from = i * n_runs / n_cut, n = (i + 1) * n_runs / n_cut - from;
        const struct reservoir_group *run = &runs[from + mix(2 * reservoir->stride, i) % n];

        groups[2 * i] = part_of(run, 0, half);
        groups[2 * i + 1] = part_of(run, half, run->n - half);
    }
    return 2 * n_cut;
}

size_t reservoir_groups(const struct reservoir *reservoir, size_t n_rows,
                        struct reservoir_group groups[RESERVOIR_GROUPS])
{
    size_t n_groups;

    assert(n_rows > 0);
    if (reservoir->broken || reservoir->n_seen == 0)
        return 0;
    n_groups =
        reservoir_has_all(reservoir) ? cut_rows(reservoir, groups) : group_runs(reservoir, groups);
    for (size_t g = 0; g < n_groups; g++) { /* those nearest to the other group of the pair */
        if (groups[g].n > n_rows)
            groups[g] = part_of(&groups[g], g % 2 == 0 ? groups[g].n - n_rows : 0, n_rows);
    }
    return n_groups;
}

double reservoir_weight(const struct reservoir *reservoir, const struct reservoir_group *g,
                        size_t i)
{
    double weight = reservoir->weight[g->at + i];

    return reservoir->half_life_rows > 0
               ? weight * exp2(-(double)(g->age - i) / reservoir->half_life_rows)
               : weight;
}
