/* Some rows of a window, beside its moments: all rows while they fit, then a spread sample. Owns
 * the copies; moments.h borrows it and fold.h fills it. Several workers may write its places, the
 * rest belongs to one thread at a time. Its readers are jackknife.h, which leaves some rows out,
 * kernel.h and probe.h, which need all.
 *
 * It holds runs of consecutive rows, because neighbours may depend on each other (tokens of one
 * sequence, steps that follow each other), and an estimate from whole runs sees that. The place of
 * a row depends on its number in the window alone, never on how batches were split:
 *
 *     capacity = 32 runs of L rows        row t is in run t / L
 *     it holds one run of each s          the stride s is 1 at first
 *     when the 33rd comes                 s doubles, and of each two runs one goes: 16..32 are
 * there
 *
 * Which of the two stays is a bit of a hash of s and their number: a knock-out, in which each run
 * of a block of s has the same chance. Runs at equal distances would all have the same place in a
 * batch, and what is alike there (rows sorted by class) would seem to be alike everywhere.
 *
 * When rows are forgotten by a half-life the stride doubles until the runs reach over 5 half-lives,
 * which their length is chosen for. From then on it holds one run of each s of the last 32 s runs.
 * Values are doubles, as read from the wire.
 *
 * Behind these places are those of the longest rows of the window, by w |x|^2 about the moments'
 * shift, wherever they came: a sample may miss the few rows that make up a sum
 * (reservoir_longest.c, kept.h). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RESERVOIR_RUNS 32
/* Groups of rows that the jackknife leaves out. */
#define RESERVOIR_GROUPS 32
/* The longest rows. 64 are as good as all rows: with a t distribution of 3 degrees of freedom, p =
 * 64, C = 10, the de-biased D_LR (.549) strays by .014 with either, at n = 4096 and at 8192; with a
 * sample of 1024 rows alone by .13 and .08 (100 draws). */
#define RESERVOIR_LONGEST 64
/* No place: the row is not taken. */
#define RESERVOIR_NONE SIZE_MAX

struct reservoir {
    size_t p, w;
    size_t run_rows; /* L */
    double half_life_rows;
    uint64_t stride, stride_max;
    uint64_t n_seen;             /* rows of the window */
    bool broken;                 /* rows entered the window that were never seen here */
    size_t slot[RESERVOIR_RUNS]; /* of the run of the i-th block of s, modulo 32 */
    double *x;                   /* capacity + RESERVOIR_LONGEST rows x p */
    double *y;                   /* the same x w; of the longest rows the outputs alone */
    double *weight;              /* the same: as sent */
    size_t n_longest;
    uint64_t longest_row[RESERVOIR_LONGEST]; /* its number in the window */
    double longest_key[RESERVOIR_LONGEST];   /* log2(w |x|^2), as if no row were forgotten later */
};

/* Neighbours that the jackknife leaves out together: rows at..at+n-1 of x, y and weight. */
struct reservoir_group {
    size_t at;
    size_t n;
    uint64_t age; /* rows of the window that are newer than the first one */
};

/* The most rows it holds for p features and w columns of Y: 256 to 1024. */
size_t reservoir_rows_max(size_t p, size_t w);

/* Bytes for p features and w columns of Y, in double so that no size overflows. */
double reservoir_size_bytes(size_t p, size_t w);

/* Half-life 0: nothing is forgotten. Returns it (free with reservoir_free), or NULL. */
struct reservoir *reservoir_new(size_t p, size_t w, double half_life_rows);
void reservoir_free(struct reservoir *);

size_t reservoir_capacity(const struct reservoir *);

/* A new window begins. */
void reservoir_reset(struct reservoir *);

/* Makes room for the next `n` rows: drops the runs that must go for them. */
void reservoir_make_room(struct reservoir *, size_t n);
/* The place of the i-th of those rows, or RESERVOIR_NONE. */
size_t reservoir_place(const struct reservoir *, size_t i);
/* These rows are written now. */
void reservoir_commit(struct reservoir *, size_t n);

/* Of the i-th of the next rows, with w |x|^2 > 0 as it counts when they are all in: the place that
 * it takes among the longest, or RESERVOIR_NONE. After make_room, before commit. */
size_t reservoir_offer(struct reservoir *, size_t i, size_t n, double square);

/* Whether every row of the window is here, in order, from place 0. */
bool reservoir_has_all(const struct reservoir *);

/* The whole runs that are here, oldest first; all rows as one run, when they are here. Returns how
 * many; 0 when the window holds rows that were never seen here. */
size_t reservoir_runs(const struct reservoir *, struct reservoir_group runs[RESERVOIR_RUNS]);
/* The i-th of the longest rows. */
struct reservoir_group reservoir_longest(const struct reservoir *, size_t i);

/* Up to RESERVOIR_GROUPS groups of nearly equal size and at most `n_rows` rows, oldest first.
 * Groups 2i and 2i + 1 are neighbours: no row lies between them. Returns how many, an even number;
 * 0 when the window holds rows that were never seen here. */
size_t reservoir_groups(const struct reservoir *, size_t n_rows,
                        struct reservoir_group groups[RESERVOIR_GROUPS]);

/* Weight of the i-th row of a group, as the moments count it now. */
double reservoir_weight(const struct reservoir *, const struct reservoir_group *, size_t i);
