/* A layer's work for the pool, and what a worker does with it: fold rows, absorb moments or a slice
 * of the head, measure a point. The layer owns the job and fills it on the loop; while the job is
 * out, the workers own everything that it points to. It says nothing of runs or credit. Tested by
 * test_layer.c. */
#pragma once

#include "daemon/core/measure/measure.h"
#include "daemon/core/moments/batch.h"

struct layer;

enum job_kind {
    JOB_FOLD,    /* blocks of rows into moments */
    JOB_ABSORB,  /* merge ready-made moments, or take a slice of the head */
    JOB_MEASURE, /* moments to point */
};

/* Work for the pool: run job_work(job, share) for as many shares as threads are free, one at least
 * and n_shares at most, side by side; then give the job back with EV_JOB_DONE. One share alone does
 * everything. Owned by the layer. */
struct job {
    struct list link; /* the pool's own */
    struct layer *layer;
    enum job_kind kind;
    size_t n_shares;
    struct fold_line *fold;
    struct moments *moments;
    double half_life_rows; /* ABSORB: 0: nothing is forgotten */
    struct batch *batch;   /* ABSORB */
    struct head *head;     /* ABSORB */
    bool has_rows;         /* MEASURE: else nothing is touched, and memory may be made meanwhile */
    struct measure_plan plan;   /* MEASURE */
    struct shared_parts shared; /* MEASURE: with the second share */
    struct point *point;        /* MEASURE */
    struct spectrum **spectrum; /* MEASURE: receives it, or NULL */
    struct probe *probe;        /* MEASURE: receives a copy of the layer's, when it is new */
    int rc;                     /* ABSORB, MEASURE: 0 or -ENOMEM */
    size_t shares_left;         /* the pool's own */
};

/* Whether it may take seconds: others must not wait behind it. */
bool job_is_long(const struct job *);
/* Processor time that one share cannot need, in seconds. */
double job_cpu_s_max(const struct job *);

/* On a worker: does the share's part of the job. */
void job_work(struct job *, size_t share);
