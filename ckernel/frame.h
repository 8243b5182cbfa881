/* The frame of a fit: coordinates in which the data have mean zero and unit total variance.
 *
 * Every model is equivariant under the transformations that keep its shape of covariance (one scale
 * for spher, one per column for diag, any linear map for full), so a fit may be made in the frame
 * y = L^-1 (x - m), where T = L L' is the total covariance, or its diagonal, or its mean variance.
 * There sums of squares are safe from cancellation, every total variance is 1, so a floor is a plain
 * number, and seeding does not depend on the units of the columns.
 */
#ifndef CKERNEL_FRAME_H
#define CKERNEL_FRAME_H

#include "kernel.h"
#include "team.h"
#include "tile_kernels.h"

struct frame {
    enum shape shape;
    int d;
    double *mean;     /* (d) m */
    double *factor;   /* spread_size: L, or its diagonal, or its one value */
    double *inverse;  /* the same of L^-1 */
    double log_scale; /* log |L| */
    int flat_column;  /* 1 + the first column without spread of its own (constant, or a combination of
                       * the columns before it), which the shape needs; 0 when there is none */
};

/* Row and column of the first value that is not a number between -limit and limit: row * d + column, or -1. */
int64_t first_beyond(const double *data /* IN (n, d) */, size_t n, int d, double limit);

/* Copy one tile of rows, less a center, column by column. */
void load_tile(const double *data /* IN (n, d) */, const uint32_t *rows /* IN (n) their order, or NULL */,
               size_t n, int d, size_t tile_index, const double *center /* IN (d) */,
               double *tile /* OUT (d, TILE) */);

/* Choose the frame of the data and write the points' coordinates in it. */
enum status frame_new(const double *data /* IN (n, d), finite */, enum shape shape, struct team *team,
                      const struct tile_kernels *kernels, struct frame *frame /* OUT */,
                      struct tiles *tiles /* INOUT: n, d, n_tiles given, values filled */);
/* Write the points' coordinates again, in another order. */
void frame_reorder(const struct frame *frame, const double *data /* IN (n, d) */,
                   const uint32_t *rows /* IN (n) */, struct team *team, const struct tile_kernels *kernels,
                   struct tiles *tiles /* INOUT */);
void frame_free(struct frame *frame);

/* Back to the coordinates of the data. */
void frame_point(const struct frame *frame, const double *point /* IN (d) */, double *x /* OUT (d) */);
void frame_spread(const struct frame *frame, const double *spread /* IN spread_size */,
                  double *scratch /* (d, d) */, double *covariance /* OUT 1, d or packed */);

#endif
