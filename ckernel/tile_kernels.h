/* What is done to a tile of points, once per instruction set.
 *
 * `tile` is always one tile of TILE points in d columns, column j at tile + j TILE, aligned. The rule
 * that gives a point to a cluster is a row of coefficients per cluster, `rule` (K, rule_size), which
 * rule.c writes; for each point the cluster with the smallest cost f_k(x) is kept, the first on ties.
 */
#ifndef CKERNEL_TILE_KERNELS_H
#define CKERNEL_TILE_KERNELS_H

#include "kernel.h"

/* The forms of the cost, by what differs between the clusters. */
enum form {
    LINEAR,     /* f = c + w' x                       one metric for all clusters: x' S^-1 x cancels */
    ROUND,      /* f = c + s |x - mu|^2               spherical */
    AXES,       /* f = c + sum_j (a_j x_j + b_j)^2    diagonal */
    TRIANGULAR  /* f = c + |A x + b|^2                full, A lower triangular */
};

/* Rows of A that are computed together when a point's columns do not fit the registers. */
#define ROW_GROUP 4
/* Up to this d the whole point is held in registers and the rows of A are stored one after the other. */
#define SMALL_D 6

/* Doubles per cluster, and where in a cluster's coefficients row r, column j of A and entry r of b lie. */
static inline size_t rule_size(enum form form, int d)
{
    switch (form) {
    case LINEAR: return 1 + (size_t)d;
    case ROUND: return 2 + (size_t)d;
    case AXES: return 1 + 2 * (size_t)d;
    default: return 1 + (size_t)d + PACKED(d);
    }
}

/* What is summed over the points of a cluster; statistics.h says it in full. */
enum sums { SUMS, SQUARE, SQUARES, OUTER };

/* A point of a tile that leaves one row of sums for another; from < 0: that only comes. */
struct move { int place, from, to, center; };

/* Boxes are drawn around tiles up to this d; in more columns no tile is small. */
#define MAX_BOX_D 12

/* The rule again, with what it was made of. */
struct box_rule {
    enum form form;
    enum shape shape;
    int d, n_clusters;        /* at most 64 clusters */
    const double *rule;       /* (K, rule_size) */
    const double *precision;  /* (K, spread) A, unless LINEAR */
    const double *centers;    /* (K, d) mu, unless LINEAR */
};

struct tile_kernels {
    const char *name;

    /* The cheapest cluster of each point. */
    void (*assign[4])(const double *tile /* IN (d, TILE) */, int d, int n_clusters,
                      const double *rule /* IN (K, rule_size) */, double *cost /* OUT (TILE), aligned */,
                      int32_t *label /* OUT (TILE) */);

    /* |x - center|^2 of each point. */
    void (*distances)(const double *tile /* IN (d, TILE) */, int d, const double *center /* IN (d) */,
                      double *squared /* OUT (TILE), aligned */);

    /* The clusters that may win somewhere in each of TILE boxes, as the bits of a mask. */
    void (*candidates)(const struct box_rule *rule, const double *middle /* IN (d, stride) */,
                       const double *half /* IN (d, stride) */, size_t stride, uint64_t *mask /* OUT (TILE) */);

    /* Nothing of use: `rounds` rounds of independent FMAs, as many per round as it returns, so that a
     * benchmark can say what share of the processor's best rate the other kernels reach. */
    size_t (*exercise)(size_t rounds, double *sink /* OUT (1) */);

    /* Take points of a tile, less a center (if any), from one row of sums to another. */
    void (*move_points)(const double *tile /* IN (d, TILE) */, int d, enum sums sums,
                        const double *centers /* IN (K, d) or NULL */,
                        const struct move *moves /* IN (count) */, int count,
                        double *rows /* INOUT (K, row), aligned */, size_t row);

    /* Add all points of a tile, its first column being ones, to a row of sums. */
    void (*add_tile)(const double *tile /* IN (d + 1, TILE) */, int d, enum sums sums,
                     double *row /* INOUT sums_row */);

    /* Add the squares of a tile's columns, or all products of two of them, to sums. */
    void (*squares)(const double *tile /* IN (d, TILE) */, int d, int products,
                    double *sums /* INOUT (d), or packed */);

    /* x = M x for a lower triangular M. */
    void (*transform)(double *tile /* INOUT (d, TILE) */, int d, const double *matrix /* IN packed */);
};

/* The instruction sets, best last. */
enum { BASELINE = 0, AVX2 = 1, AVX512 = 2, BEST = -1 };

/* The kernels of one set; the best that this processor has for BEST, NULL for one that it lacks. */
const struct tile_kernels *tile_kernels(int instruction_set);

#endif
