/* A load in several processes, where one has too few descriptors for all trainers: each has a share
 * of them, and what came of each lies in memory that all see. Owns that memory. One thread a
 * process; the first process reports. */
#pragma once

#include <stdatomic.h>
#include <stddef.h>

#include "tests/load/trainer.h"

#define SHARES_MAX 16

struct shares {
    size_t n, waits_max;
    atomic_size_t n_opened;            /* trainers of all, so far */
    atomic_size_t n_open, n_peak_open; /* now, and most of them */
    struct trainer_tally tallies[SHARES_MAX];
};

/* For n processes, and at most so many waits of all of them. Returns it, or NULL without memory;
 * lives as long as the processes. */
struct shares *shares_new(size_t n, size_t waits_max);

/* Begins the other processes. Returns which one this is, 0 for the first, or -errno. */
int shares_begin(struct shares *);
/* A process that has opened `opened` trainers more, and has `now` open where it had `before`. */
void shares_note_open(struct shares *, size_t opened, size_t before, size_t now);
/* In the first process: waits for the others, and adds what came of them to its own. */
void shares_join(struct shares *);
