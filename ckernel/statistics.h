/* Sufficient statistics of a partition: counts, sums and scatters. */
#ifndef CKERNEL_STATISTICS_H
#define CKERNEL_STATISTICS_H

#include "kernel.h"
#include "team.h"
#include "tile_kernels.h"

/* Per cluster one row of doubles. Of its points, as y = (1, x_1 .. x_d), it holds
 *   SUMS     sum y
 *   SQUARE   sum (y, |x|^2)
 *   SQUARES  sum y, then sum of the squares of its entries
 *   OUTER    sum y y', lower triangle, row r at ROW8(r)
 * so that n_k, the sum of x and whatever squares the model needs lie together: a point that changes its
 * cluster touches all of it. A tied model needs no squares, for its pooled scatter follows from the total
 * one. Rows, and those of the triangle, are padded to whole vectors of eight. */
struct moments {
    int d, n_clusters;
    enum sums sums;
    size_t row;    /* doubles per cluster */
    double *rows;  /* (K, row), aligned */
};

enum sums sums_of(enum covariance covariance);
size_t sums_row(enum sums sums, int d);

/* n_k, and entry j of the sum of x. */
static inline double moments_count(const struct moments *moments, int k)
{
    return moments->rows[(size_t)k * moments->row];
}
static inline double moments_sum(const struct moments *moments, int k, int j)
{
    const double *row = moments->rows + (size_t)k * moments->row;
    return moments->sums == OUTER ? row[ROW8(j + 1)] : row[1 + j];
}

/* The moments of a whole partition, summed by segments in `table`, (segments, K, row). */
void moments_of(const struct tiles *tiles, const label_t *labels /* IN (n) */, struct team *team,
                const struct tile_kernels *kernels, int segments, double *table /* scratch, aligned */,
                struct moments *moments /* OUT */);

/* Sum of squares of all points, as a spread: with it the pooled scatter of a tied model is
 * W = total - sum_k n_k mu_k mu_k'. */
void total_scatter(const struct tiles *tiles, enum shape shape, const struct tile_kernels *kernels,
                   double *total /* OUT spread_size */);

/* W_k of each cluster, or W when tied, from the moments. Safe in the frame, where the data are centred. */
void scatter_from_moments(const struct moments *moments, enum covariance covariance,
                          const double *total /* IN spread_size, tied */,
                          double *scatter /* OUT (K or 1, spread_size) */);

/* The same in a second pass over the points, accurate to the last bits. */
void scatter_about(const struct tiles *tiles, const label_t *labels /* IN (n) */, enum covariance covariance,
                   int n_clusters, const double *centers /* IN (K, d) */, struct team *team,
                   const struct tile_kernels *kernels, int segments,
                   double *table /* scratch, (segments, scatter_table), aligned */,
                   double *scatter /* OUT (K or 1, spread_size) */);
size_t scatter_table(enum covariance covariance, int n_clusters, int d);

#endif
