/* Records as the core would make them, in a few words, and a queue to lend them to a store. For
 * tests of what lies above the core; single-threaded; a lack of memory ends the program. */
#pragma once

#include <stddef.h>

#include "daemon/core/monitor/record.h"

struct store;

/* OPEN of `run` by `writer`: attempt 0 for a new one. D_LR is watched. */
struct record *record_open(const char *run, const char *writer, uint32_t attempt,
                           enum resume resume);

/* CHECKPOINT, LOG, CLOSE and the others, of the run and attempt that `opened` was answered with. */
struct record *record_of(const struct record *opened, enum record_kind kind, uint64_t seq,
                         int64_t step);

/* Adds a measured point of 128 features and 10 outputs, d_lr given, the other measures derived. */
struct layer_point *record_add_point(struct record *, const char *layer, double d_lr);

/* Has the point complete a fall of the metric from 0.5 to 0.1 over the given steps. */
void record_add_finding(struct record *, struct layer_point *, enum metric, int64_t start,
                        int64_t end);

/* Gives the point a decomposition of four values, with u and q. */
void record_add_spectrum(struct layer_point *);

/* Adds a scalar. */
void record_add_scalar(struct record *, const char *name, double value);

/* Applies one record and returns its rc, or what store_apply() failed with. Takes nothing. */
int apply(struct store *, struct record *);

/* Applies `n` records in one transaction. */
int apply_many(struct store *, struct record **, size_t n);

/* A fresh directory under /tmp (free with scratch_free, which removes it and its files). */
char *scratch_new(void);
void scratch_free(char *directory);
/* directory/name, in a buffer that the next call overwrites. */
const char *scratch_path(const char *directory, const char *name);
