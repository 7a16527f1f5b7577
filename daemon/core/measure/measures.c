#include "daemon/core/measure/measures.h"

#include <math.h>

/* ---- richness: the formula is in estimate.c, that of the errors in jackknife.h ---- */

double measure_d_lr(const struct evidence *evidence)
{
    return evidence->estimate.plain;
}

double measure_d_debiased(const struct evidence *evidence)
{
    return evidence->estimate.debiased;
}

/* A value that is not defined has no error either: the jackknife may know one all the same. */
static double error_of(double value, double error)
{
    return isnan(value) ? (double)NAN : error;
}

double measure_d_lr_se(const struct evidence *evidence)
{
    return error_of(evidence->estimate.plain, evidence->errors.plain);
}

double measure_d_debiased_se(const struct evidence *evidence)
{
    return error_of(evidence->estimate.debiased, evidence->errors.debiased);
}

double measure_u_debiased(const struct evidence *evidence)
{
    return evidence->estimate.u;
}

double measure_u_debiased_se(const struct evidence *evidence)
{
    return error_of(evidence->estimate.u, evidence->errors.u);
}

double measure_pr_debiased(const struct evidence *evidence)
{
    return evidence->estimate.pr;
}

double measure_pr_debiased_se(const struct evidence *evidence)
{
    return error_of(evidence->estimate.pr, evidence->errors.pr);
}

/* D_LR of features without structure, S = 1, whatever linear head reads them (D): a projector onto
 * r of p equal directions has tr(T P) = tr P, ||T||_F = sqrt(p),
 *
 *     d_white = 1 - tr P / (||P||_F sqrt(p)) = 1 - sqrt(r / p)
 *
 * It is the value of the population, whatever n is. Outputs that are no function of p directions
 * may have more than p: 0. Features that do not vary are not counted. */
double measure_d_white(const struct evidence *evidence)
{
    double share = evidence->trace / sqrt(evidence->norm_sq * evidence->n_varying);

    return share > 1 ? 0 : 1 - share;
}

/* The share of the features' variance that the outputs use: ||Q'X||_F^2 / ||X||_F^2. */
double measure_u(const struct evidence *evidence)
{
    return estimate_share(evidence->sums.q / evidence->sums.t);
}

/* The participation ratio of the features' eigenvalues: (tr S)^2 / tr S^2 with S = X'X. */
double measure_pr(const struct evidence *evidence)
{
    return evidence->sums.t * evidence->sums.t / evidence->sums.f;
}

/* ---- single features: the formulas are in units.h ---- */

double measure_dead_features(const struct evidence *evidence)
{
    return evidence->units.dead;
}

double measure_dormant_features(const struct evidence *evidence)
{
    return evidence->units.dormant;
}

double measure_cloned_features(const struct evidence *evidence)
{
    return evidence->units.cloned;
}

double measure_feature_norm(const struct evidence *evidence)
{
    return evidence->units.norm;
}

/* ---- neural collapse: the formulas are in collapse.h ---- */

double measure_nc1(const struct evidence *evidence)
{
    return evidence->collapse->nc1;
}

double measure_nc1_quotient(const struct evidence *evidence)
{
    return evidence->collapse->nc1_quotient;
}

double measure_nc2_norm_cv(const struct evidence *evidence)
{
    return evidence->collapse->nc2_norm_cv;
}

double measure_nc2_angle(const struct evidence *evidence)
{
    return evidence->collapse->nc2_angle;
}

double measure_etf_error(const struct evidence *evidence)
{
    return evidence->collapse->etf_error;
}

double measure_cdnv(const struct evidence *evidence)
{
    return evidence->collapse->cdnv;
}

/* ---- the task: the formulas are in targets.h ---- */

double measure_d_target(const struct evidence *evidence)
{
    return evidence->targets.d_target;
}

double measure_target_alignment(const struct evidence *evidence)
{
    return evidence->targets.target_alignment;
}

double measure_head_error(const struct evidence *evidence)
{
    return evidence->targets.head_error;
}

/* ---- the best readout: the formulas are in readout.h ---- */

double measure_probe_r2(const struct evidence *evidence)
{
    return evidence->readout.r2;
}

double measure_probe_loo_error(const struct evidence *evidence)
{
    return evidence->readout.loo_error;
}

double measure_probe_accuracy(const struct evidence *evidence)
{
    return evidence->readout.accuracy;
}

double measure_head_excess(const struct evidence *evidence)
{
    return evidence->readout.head_excess;
}

double measure_nc3(const struct evidence *evidence)
{
    return evidence->readout.nc3;
}

/* ---- likeness to the first window: the formula is in probe.h ---- */

double measure_s_init(const struct evidence *evidence)
{
    return evidence->likeness.centred;
}

double measure_s_init_uncentred(const struct evidence *evidence)
{
    return evidence->likeness.uncentred;
}

double measure_s_init_debiased(const struct evidence *evidence)
{
    return evidence->likeness.debiased;
}

/* ---- two views of the same rows: the formula is in views.h ---- */

double measure_cca_mean(const struct evidence *evidence)
{
    return evidence->views.cca_mean;
}

double measure_modality_gap(const struct evidence *evidence)
{
    return views_gap(evidence->moments, evidence->sums.t);
}

double measure_lidar(const struct evidence *evidence)
{
    return evidence->collapse->lidar;
}
