/* From the statistics of a partition to the model that maximises its likelihood. */
#ifndef CKERNEL_ESTIMATE_H
#define CKERNEL_ESTIMATE_H

#include "kernel.h"
#include "statistics.h"

/* The eigenvalues of a cluster's covariance are at least FLOOR times those of the pooled covariance, and
 * the pooled ones at least POOLED_FLOOR times those of the total covariance. */
#define FLOOR 1e-6
#define POOLED_FLOOR 1e-8

/* A model in the frame's coordinates, with what the rule needs of it. "Spread" is 1, d or d (d + 1) / 2
 * doubles by shape; a tied model has one, else there is one per cluster. */
struct estimate {
    int d, n_clusters;
    enum covariance covariance;
    double *counts;      /* (K) n_k */
    double *centers;     /* (K, d) mu_k */
    double *scatter;     /* (K or 1, spread) W_k */
    double *spread;      /* (K or 1, spread) Sigma_k */
    double *precision;   /* (K or 1, spread) A with A Sigma_k A' = I: L^-1, or 1 / sigma */
    double *log_det;     /* (K or 1) log |Sigma_k| */
    int *floored;        /* (K or 1) directions in which the floor acted */

    /* The pooled covariance that floors are relative to. It is taken from the partition at which the
     * floor first acts, and follows the pooled covariance down, never up. So the set of covariances that
     * one estimate is chosen from contains that of the estimate before it, and CL cannot decrease:
     * truncating at a fixed floor is the maximum-likelihood covariance under that constraint. */
    double *reference;   /* (spread) its Cholesky factor when full, else itself */
    int has_reference;
    double *scratch;
};

enum status estimate_new(struct estimate *estimate /* OUT */, int d, int n_clusters, enum covariance covariance);
void estimate_free(struct estimate *estimate);

/* Counts and centers from the moments. An empty cluster keeps a center of zeros. */
void estimate_centers(const struct moments *moments, struct estimate *estimate /* INOUT */);

/* Everything else from counts, centers and scatter. Returns CL of the partition under the estimate, in
 * the frame; or NaN, with the estimate unfinished, when the floor may have to act and the scatter is not
 * `exact`: what is left of a scatter close to the floor, taken from moments, is rounding. */
double estimate_spread(struct estimate *estimate /* INOUT */, size_t n, int exact);

#endif
