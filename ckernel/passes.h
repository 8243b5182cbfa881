/* Passes over the points: assign all of them, and keep the statistics in step. */
#ifndef CKERNEL_PASSES_H
#define CKERNEL_PASSES_H

#include "start.h"

/* The label of a tile whose points have several. */
#define MIXED ((label_t)0xffff)

/* Give each point to its cheapest cluster under workspace->rule; labels and moments follow. Returns how
 * many points moved; `hash` follows the partition under `mahalanobis`. */
size_t assign_pass(struct workspace *workspace /* INOUT */, uint64_t *hash /* INOUT (1) */);

/* To be called when labels were written by anything but assign_pass. */
void forget_uniform(struct workspace *workspace /* INOUT */);

/* The moments of the partition at hand, summed anew. */
void sum_moments(struct workspace *workspace /* INOUT */);

/* The point that its cluster explains worst, among the clusters that were not tried; n if all were. */
size_t worst_explained(const struct workspace *workspace);

#endif
