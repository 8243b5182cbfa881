/* Labels of points under a stored model: what `assign` answers and how every fit ends. */
#ifndef CKERNEL_LABELLING_H
#define CKERNEL_LABELLING_H

#include "kernel.h"
#include "team.h"
#include "tile_kernels.h"

/* A model in the coordinates of the data. */
struct model {
    int d, n_clusters;
    enum covariance covariance;
    enum assignment assignment;
    double *weights;     /* (K) */
    double *centers;     /* (K, d) */
    double *parameters;  /* (K or 1, spread): 1, d, or packed */
};

size_t model_spreads(const struct model *model);
enum status model_new(struct model *model /* INOUT: d, n_clusters, covariance, assignment given */);
void model_free(struct model *model);

/* Label each point, factoring the model's covariances anew, so that the labels are a function of the
 * stored numbers alone. Returns the sum of the squared distances to the chosen centers and, by
 * log_det, the log-determinants that go with them. */
enum status label_points(const double *data /* IN (n, d) */, size_t n, const struct model *model,
                         struct team *team, const struct tile_kernels *kernels,
                         label_t *labels /* OUT (n) */, size_t *counts /* OUT (K) */,
                         double *log_det /* OUT (K or 1) */, double *sum_squares /* OUT (1) */,
                         double *squares /* OUT (n) or NULL: squared distance of each point */);

#endif
