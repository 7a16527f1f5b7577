/* Sums by class of the rows of one window, beside its moments. Owns its memory; moments.h borrows
 * it, fold.h fills it: workers may write different columns of the sums at the same time, the rest
 * belongs to one thread at a time. It knows labels and sums, and no measure.
 *
 * Labels are not columns of Y. Products with one-hot columns are sums over the rows of a class, so
 * a row costs p additions and not p K multiplications. Of each class that occurred, with weights w,
 * z = x - shift and s = |z|^2 as in moments.h:
 *
 *     rows      how many rows entered, however old; none that weighs nothing
 *     weight    sum w       squares  sum w s       z  sum w z, p values       own  sum w y_c
 *
 * The shift does not move, so sums of blocks add up, and sum z / weight - (m - shift) = mu_c - m.
 * Classes get slots 0..n-1 in the order in which they come; a hash table finds the slot of a label.
 * A class takes memory when it first occurs, and a new window uses that memory again.
 *
 * Rows that are forgotten by a half-life do not change the sums of all classes: the sums are in
 * units of `scale`, which shrinks instead. Before it leaves the range of double the sums are
 * multiplied by it, once in CLASSES_HALVINGS half-lives.
 *
 * With room for fewer classes than occur, or without memory, the sums are given up (`is_lost`)
 * until the window is over. Tested by test_classes.c. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* No slot: the row weighs nothing, or the sums are lost. */
#define CLASSES_NONE UINT32_MAX
/* 2^-64 of the weight is below the last digit of any sum that is read. */
#define CLASSES_HALVINGS 64

struct class_sums {
    uint32_t label;
    uint32_t entry; /* in the hash table */
    uint64_t rows;
    double weight;
    double squares;
    double own; /* sum w y_c of the class's own output; 0 when it has none */
};

struct classes {
    size_t p;
    size_t k;                /* labels are 0..k-1 */
    size_t n_max;            /* classes there is room for, at most k */
    size_t n;                /* classes that occurred in the window */
    bool is_lost;            /* there were more; nothing below may be read */
    double scale;            /* of weight, squares, own and z */
    struct class_sums *sums; /* n_max */
    double **chunks;         /* z of CLASSES_CHUNK slots each, NULL before they occur */
    uint32_t *table;         /* n_entries: slot + 1; 0: empty */
    size_t n_entries;        /* a power of two, at least 2 n_max */
    uint32_t *kept;          /* labels of the reservoir's rows, by place */
};

/* Bytes of n_max classes of p features with the labels of n_kept rows, in double so that no size
 * overflows; and how many of k classes have room in so many bytes, at least 1. */
double classes_size_bytes(size_t p, size_t n_max, size_t n_kept);
size_t classes_that_fit(size_t p, size_t k, double bytes);

/* No class has occurred. Returns it (free with classes_free), or NULL. */
struct classes *classes_new(size_t p, size_t k, size_t n_max, size_t n_kept);
void classes_free(struct classes *);

/* A new window begins. */
void classes_reset(struct classes *);

/* Rows that are there count `decay` times as much as before, 0 <= decay <= 1. */
void classes_forget(struct classes *, double decay);

/* The slot of a label, which has occurred now; CLASSES_NONE when the sums are lost. */
uint32_t classes_slot(struct classes *, uint32_t label);

/* z of a slot, in units of scale. */
double *classes_z(const struct classes *, size_t slot);
