#include "daemon/core/monitor/job.h"

#include <assert.h>

#include "daemon/core/matrix/convert.h"
#include "daemon/core/moments/fold_line.h"
#include "daemon/core/monitor/layer.h"

/* A spectrum takes .2 to .7 s at this p, and grows as p^3. */
#define SHORT_SPECTRUM_P 1024
/* The most that a job costs is the spectrum of its p features: p^3 by this rate, measured with the
 * oldest kernels (46 s at p = 4096, 227 s at 8192). Sixteen times that is no job of ours, on no
 * machine; nor are minutes for one that is small. */
#define P_CUBED_PER_S 1.5e9
#define CPU_MARGIN    16
#define CPU_S_MIN     120

static bool check_values(struct batch *batch, const char *what, enum dtype dtype,
                         const void *values, size_t n, size_t n_columns)
{
    size_t bad = convert_find_nonfinite(dtype, values, n);

    if (bad == n)
        return true;
    assert(n_columns > 0); /* a value that is bad stands in a column */
    err_set(&batch->why, -1, "%s is not finite at row %zu, column %zu", what, bad / n_columns,
            bad % n_columns);
    return false;
}

static bool check_view(struct batch *batch)
{
    const struct moments_view *view = &batch->view;
    size_t p = batch->p, c = batch->outputs_from_head ? 0 : batch->c, triangle = p * (p + 1) / 2;
    size_t n_xx = view->xx_is_packed ? triangle : p * p;

    return check_values(batch, "the mean of the features", DTYPE_F64, view->mean_x, p, p) &&
           check_values(batch, "the mean of the outputs", DTYPE_F64, view->mean_y, c, c) &&
           check_values(batch, "X'X", view->xx_dtype, view->xx, n_xx,
                        view->xx_is_packed ? triangle : p) &&
           check_values(batch, "X'Y", DTYPE_F64, view->xy, p * c, c) &&
           check_values(batch, "Y'Y", DTYPE_F64, view->yy, c * c, c) &&
           check_values(batch, "sum s^2", DTYPE_F64, &view->sum_s2, 1, 1) &&
           check_values(batch, "sum s (x - m)", DTYPE_F64, view->sum_sx, p, p);
}

static int absorb(struct job *job)
{
    struct batch *batch = job->batch;

    assert(batch->kind != BATCH_ROWS);
    if (batch->kind == BATCH_HEAD) {
        batch->refused = head_take(job->head, &batch->head, &batch->why) < 0;
        return 0;
    }
    batch->refused = !check_view(batch);
    return batch->refused ? 0 : moments_absorb(job->moments, &batch->view, job->half_life_rows);
}

/* A probe that is new goes to the store, too; without memory for that it is made another time. */
static int copy_probe(struct job *job)
{
    int rc = probe_copy(job->probe, job->plan.probe);

    if (rc < 0) {
        probe_release(job->plan.probe);
        representation_release(job->plan.representation);
        spectrum_free(*job->spectrum);
        *job->spectrum = NULL;
    }
    return rc;
}

static int measure(struct job *job)
{
    bool is_first = job->plan.probe && job->plan.probe->n == 0;
    int rc = measure_needs_xx(job->moments, &job->plan) ? moments_make_xx(job->moments) : 0;

    if (rc == 0)
        rc = measure_point(job->moments, &job->plan, job->point, job->spectrum);
    return rc == 0 && is_first && job->plan.probe->n > 0 ? copy_probe(job) : rc;
}

bool job_is_long(const struct job *job)
{
    return job->kind == JOB_MEASURE && job->plan.spectrum.wanted &&
           job->layer->p > SHORT_SPECTRUM_P;
}

double job_cpu_s_max(const struct job *job)
{
    double p = job->layer->p;

    return CPU_S_MIN + CPU_MARGIN * p * p * p / P_CUBED_PER_S;
}

void job_work(struct job *job, size_t share)
{
    assert(share < job->n_shares);
    switch (job->kind) {
    case JOB_FOLD:
        fold_line_work(job->fold, share);
        break;
    case JOB_ABSORB:
        job->rc = absorb(job);
        break;
    case JOB_MEASURE:
        if (job->has_rows && share > 0)
            measure_second_part(job->moments, &job->plan);
        else if (job->has_rows)
            job->rc = measure(job);
        break;
    }
}
