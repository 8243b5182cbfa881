#include "estimate.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "factor.h"

static const double LOG_2_PI = 1.8378770664093454836;

enum status estimate_new(struct estimate *estimate, int d, int n_clusters, enum covariance covariance)
{
    const size_t K = (size_t)n_clusters, spreads = is_tied(covariance) ? 1 : K;
    const size_t size = spread_size(shape_of(covariance), d);
    const size_t scratch = shape_of(covariance) == FULL ? spectrum_scratch(d) + PACKED(d) : size;
    *estimate = (struct estimate){.d = d, .n_clusters = n_clusters, .covariance = covariance};
    double *all = calloc(K + K * (size_t)d + 3 * spreads * size + spreads + size + scratch, sizeof(double));
    estimate->counts = all;
    estimate->floored = calloc(spreads, sizeof(int));
    if (!all || !estimate->floored)
        return OUT_OF_MEMORY;
    estimate->centers = all + K;
    estimate->scatter = estimate->centers + K * (size_t)d;
    estimate->spread = estimate->scatter + spreads * size;
    estimate->precision = estimate->spread + spreads * size;
    estimate->log_det = estimate->precision + spreads * size;
    estimate->reference = estimate->log_det + spreads;
    estimate->scratch = estimate->reference + size;
    return OK;
}

void estimate_free(struct estimate *estimate)
{
    free(estimate->counts);
    free(estimate->floored);
}

void estimate_centers(const struct moments *moments, struct estimate *estimate)
{
    const int d = estimate->d;
    for (int k = 0; k < estimate->n_clusters; k++) {
        const double members = moments_count(moments, k), scale = members > 0 ? 1 / members : 0;
        estimate->counts[k] = members;
        for (int j = 0; j < d; j++)
            estimate->centers[(size_t)k * d + j] = moments_sum(moments, k, j) * scale;
    }
}

/* Lower the reference to the pooled covariance of this partition, where that is lower. */
static void lower_reference(struct estimate *estimate, size_t n)
{
    const int d = estimate->d;
    const enum shape shape = shape_of(estimate->covariance);
    const size_t size = spread_size(shape, d);
    double *pooled = estimate->scratch, *scratch = estimate->scratch + size;
    memset(pooled, 0, size * sizeof(double));
    for (int k = 0; k < estimate->n_clusters; k++)
        for (size_t j = 0; j < size; j++)
            pooled[j] += estimate->scatter[(size_t)k * size + j];
    /* Of the frame's dimension d, `spher` shares one variance. */
    const double scale = 1 / ((double)n * (shape == SPHER ? d : 1));
    for (size_t j = 0; j < size; j++)
        pooled[j] *= scale;
    double *reference = estimate->reference;
    /* In the frame the total covariance is I, which bounds the pooled one. */
    if (shape == FULL) {
        bound_spectrum(d, NULL, POOLED_FLOOR, 1, pooled, scratch);
        if (estimate->has_reference)
            bound_spectrum(d, reference, 0, 1, pooled, scratch);
        cholesky(d, 1e-15, pooled);
        memcpy(reference, pooled, size * sizeof(double));
    } else {
        for (size_t j = 0; j < size; j++) {
            const double least = fmax(pooled[j], POOLED_FLOOR);
            reference[j] = estimate->has_reference ? fmin(reference[j], least) : least;
        }
    }
    estimate->has_reference = 1;
}

/* A = L^-1 and log |Sigma| of one covariance. Returns whether it is certainly above the floor:
 * |A|_F^2 = tr Sigma^-1 bounds 1 / lambda_min, and the reference is at most I. */
static int factor_full(int d, double floor, const double *spread, double *precision, double *log_det,
                       double *factor)
{
    memcpy(factor, spread, PACKED(d) * sizeof(double));
    const int replaced = cholesky(d, 1e-15, factor);
    invert_lower(d, factor, precision);
    *log_det = log_determinant(d, factor);
    double trace = 0;
    for (size_t j = 0; j < PACKED(d); j++)
        trace += precision[j] * precision[j];
    return !replaced && trace * floor <= 1;
}

/* The same for variances. */
static int factor_axes(enum shape shape, int d, double floor, const double *spread, double *precision,
                       double *log_det)
{
    int above = 1;
    double product = 1, sum = 0;
    for (int j = 0; j < (shape == DIAG ? d : 1); j++) {
        above &= spread[j] >= floor;
        precision[j] = 1 / sqrt(spread[j]);
        product *= spread[j];
        if (!(product > 1e-200 && product < 1e200)) {  /* one logarithm for many factors */
            sum += log(product);
            product = 1;
        }
    }
    *log_det = (sum + log(product)) * (shape == SPHER ? d : 1);
    return above;
}

static int raise_axes(size_t size, double floor, const double *reference, double *spread)
{
    int raised = 0;
    for (size_t j = 0; j < size; j++) {
        const double least = floor * (reference ? reference[j] : 1);
        if (!(spread[j] >= least)) {
            spread[j] = least;
            raised++;
        }
    }
    return raised;
}

double estimate_spread(struct estimate *estimate, size_t n, int exact)
{
    const int d = estimate->d, tied = is_tied(estimate->covariance);
    const enum shape shape = shape_of(estimate->covariance);
    const size_t size = spread_size(shape, d);
    const int spreads = tied ? 1 : estimate->n_clusters;
    const double floor = tied ? POOLED_FLOOR : FLOOR;
    double *factor = estimate->scratch;
    int low = 0;

    for (int k = 0; k < spreads; k++) {
        const double members = tied ? (double)n : estimate->counts[k];
        double *spread = estimate->spread + (size_t)k * size;
        estimate->floored[k] = 0;
        if (!(members > 0)) {
            memset(spread, 0, size * sizeof(double));
            continue;
        }
        const double scale = 1 / (members * (shape == SPHER ? d : 1));
        for (size_t j = 0; j < size; j++)
            spread[j] = estimate->scatter[(size_t)k * size + j] * scale;
        double *precision = estimate->precision + (size_t)k * size;
        const int above = shape == FULL
            ? factor_full(d, floor, spread, precision, &estimate->log_det[k], factor)
            : factor_axes(shape, d, floor, spread, precision, &estimate->log_det[k]);
        estimate->floored[k] = !above;
        low |= !above;
    }
    if (low && !exact)
        return NAN;
    if (low) {
        if (!tied)
            lower_reference(estimate, n);
        for (int k = 0; k < spreads; k++) {
            if (!estimate->floored[k])
                continue;
            double *spread = estimate->spread + (size_t)k * size;
            double *precision = estimate->precision + (size_t)k * size;
            if (shape == FULL) {
                estimate->floored[k] = bound_spectrum(d, tied ? NULL : estimate->reference, floor, HUGE_VAL,
                                                      spread, factor + PACKED(d));
                factor_full(d, floor, spread, precision, &estimate->log_det[k], factor);
            } else {
                estimate->floored[k] = raise_axes(size, floor, tied ? NULL : estimate->reference, spread);
                factor_axes(shape, d, floor, spread, precision, &estimate->log_det[k]);
            }
            if (shape == SPHER && estimate->floored[k])
                estimate->floored[k] = d;
        }
    } else if (!tied) {
        estimate->has_reference = 0;
    }

    /* CL = sum_k n_k log pi_k - 1/2 [n d log 2 pi + sum_k n_k log |Sigma_k| + sum_k tr(Sigma_k^-1 W_k)];
     * the last term is n_k d wherever the floor did not act. */
    double likelihood = -0.5 * (double)n * d * LOG_2_PI;
    for (int k = 0; k < estimate->n_clusters; k++) {
        const double members = estimate->counts[k];
        if (members > 0)
            likelihood += members * (log(members / (double)n) - 0.5 * estimate->log_det[tied ? 0 : k]);
    }
    for (int k = 0; k < spreads; k++) {
        const double members = tied ? (double)n : estimate->counts[k];
        if (!(members > 0))
            continue;
        double squares = members * d;
        if (estimate->floored[k]) {
            const double *scatter = estimate->scatter + (size_t)k * size;
            const double *precision = estimate->precision + (size_t)k * size;
            if (shape == FULL) {
                squares = congruence_trace(d, precision, scatter);
            } else {
                squares = 0;
                for (size_t j = 0; j < size; j++)
                    squares += scatter[j] * precision[j] * precision[j];
            }
        }
        likelihood -= 0.5 * squares;
    }
    return likelihood;
}
