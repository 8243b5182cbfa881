/* k-means++ (Arthur & Vassilvitskii 2007): where a start begins. */
#ifndef CKERNEL_SEEDING_H
#define CKERNEL_SEEDING_H

#include "kernel.h"
#include "rng.h"
#include "team.h"
#include "tile_kernels.h"

/* Choose K points, each with probability proportional to its squared distance from those before it, and
 * give every point to the nearest. In one pass over the tiles per center: distance, minimum, label and
 * the sums to draw the next one from. Distances are those of the frame: Euclidean for spher, between
 * standardised columns for diag, Mahalanobis under the total covariance for full. */
void seed_partition(const struct tiles *tiles, int n_clusters, struct rng *rng /* INOUT */, struct team *team,
                    const struct tile_kernels *kernels, int segments,
                    float *nearest /* (n) scratch: squared distance to the nearest center */,
                    double *tile_sums /* (n_tiles) scratch */, label_t *labels /* OUT (n) */);

#endif
