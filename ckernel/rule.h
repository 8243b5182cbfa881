/* The assignment rule: the coefficients of each cluster's cost f_k(x), for the tile kernels. */
#ifndef CKERNEL_RULE_H
#define CKERNEL_RULE_H

#include "kernel.h"
#include "tile_kernels.h"

/* What the cost of a cluster is made of, in any coordinates. */
struct metric {
    int d, n_clusters;
    enum covariance covariance;
    enum assignment assignment;
    const double *weights;    /* (K) proportional to pi_k: counts will do; 0 for an empty cluster */
    double total_weight;      /* what they add up to */
    const double *centers;    /* (K, d) */
    const double *precision;  /* (K or 1, spread) A with A Sigma A' = I */
    const double *log_det;    /* (K or 1) */
};

/* c_k: log |Sigma_k| - 2 log pi_k under `likelihood` and 0 under `mahalanobis`; infinite for an empty
 * cluster, so that no point falls to it. log |Sigma| is left out where it is the same for all. */
double rule_constant(const struct metric *metric, int k);

/* In a fit only the argmin over k matters, so a tied model needs no metric per point:
 * d^2(x, mu) = x' S^-1 x - 2 mu' S^-1 x + mu' S^-1 mu, the first term is the same for all clusters, and
 * the cost is LINEAR. */
enum form fit_form(enum covariance covariance);
void rule_for_fit(const struct metric *metric, double *scratch /* (d) */,
                  double *rule /* OUT (K, rule_size) */);

/* Where the distance itself is wanted: for a tied model in whitened coordinates y = A x, with centers
 * given in them too, it is ROUND with s = 1; otherwise as in a fit. */
enum form distance_form(enum covariance covariance);
void rule_for_distance(const struct metric *metric, double *scratch /* (d) */,
                       double *rule /* OUT (K, rule_size) */);

#endif
