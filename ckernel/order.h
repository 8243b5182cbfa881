/* An order of the points in which neighbours in memory are neighbours in space. */
#ifndef CKERNEL_ORDER_H
#define CKERNEL_ORDER_H

#include "kernel.h"

/* The order of the points' cells along a Morton curve: rows[i] is the row that comes i-th. Within a cell
 * the rows keep their order. */
enum status spatial_order(const struct tiles *tiles, uint32_t *rows /* OUT (n) */);

/* The boxes around the tiles: half-widths and middles, (d, n_tiles + TILE), the last TILE for reading past
 * the end. */
void tile_boxes(const struct tiles *tiles, double *middle /* OUT */, double *half /* OUT */);

#endif
