/* Sufficient statistics of a partition: counts, sums and scatters. */
#ifndef CKERNEL_STATISTICS_H
#define CKERNEL_STATISTICS_H

#include "kernel.h"
#include "team.h"

/* Per cluster one row of doubles: n_k; sum of x (d); sum of squares (second: of |x|^2, of each x_j^2, or
 * of x x' packed; nothing for a tied model, whose pooled scatter follows from the total one). One row,
 * because a point that changes its cluster touches all of it. */
struct moments {
    int d, n_clusters;
    enum covariance covariance;
    size_t second;  /* doubles of the sums of squares */
    size_t row;     /* 1 + d + second */
    double *rows;   /* (K, row) */
};

static inline size_t moments_row(enum covariance covariance, int d)
{
    return 1 + (size_t)d + (is_tied(covariance) ? 0 : spread_size(shape_of(covariance), d));
}

/* Add sign times the point in place i of a tile to one row. */
void moments_add(const struct moments *layout, double *row /* INOUT (row) */,
                 const double *tile /* IN (d, TILE) */, int i, double sign);

/* The moments of a whole partition. `sums` holds one table of rows per segment. */
void moments_of(const struct tiles *tiles, const label_t *labels /* IN (n) */, struct team *team, int segments,
                double *sums /* (segments, K, row) */, struct moments *moments /* OUT */);

/* Sum of squares of all points, as a spread: with it the pooled scatter of a tied model is
 * W = total - sum_k n_k mu_k mu_k'. */
void total_scatter(const struct tiles *tiles, enum shape shape, double *total /* OUT spread_size */);

/* W_k of each cluster, or W when tied, from the moments. Safe in the frame, where the data are centred. */
void scatter_from_moments(const struct moments *moments, const double *total /* IN spread_size, tied */,
                          double *scatter /* OUT (K or 1, spread_size) */);

/* The same in a second pass over the points, accurate to the last bits. */
void scatter_about(const struct tiles *tiles, const label_t *labels /* IN (n) */, enum covariance covariance,
                   int n_clusters, const double *centers /* IN (K, d) */, double *point /* (d) scratch */,
                   double *scatter /* OUT (K or 1, spread_size) */);

#endif
