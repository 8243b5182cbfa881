/* One start of a fit: from a partition to a fixed point of the assignment rule. */
#ifndef CKERNEL_START_H
#define CKERNEL_START_H

#include "estimate.h"
#include "kernel.h"
#include "rng.h"
#include "statistics.h"
#include "team.h"
#include "tile_kernels.h"

/* An emptied cluster is re-seeded at most this often per start. */
#define MAX_RESEEDS 10
/* Passes that a re-seeded cluster is given to show that it helps. */
#define TRIAL_PASSES 10
/* The moments are summed anew once so many points moved for each point there is, so that rounding does
 * not drift: each move rounds once. */
#define MOVES_PER_POINT 4

/* What one start after the other works in, allocated once. Starts that run at the same time have one each,
 * and share what is only read: tiles, boxes, total. */
struct workspace {
    struct tiles tiles;
    int n_clusters, max_iter, segments;
    enum covariance covariance;
    enum assignment assignment;
    const struct tile_kernels *kernels;
    struct team *team;

    label_t *labels;            /* (n) the partition */
    float *nearest;             /* (n) of seeding; once it is done, its bytes hold the next two */
    label_t *kept;              /* (n) the best one so far (mahalanobis), or the one to fall back on */
    label_t *suspect;           /* (n) one that may return (mahalanobis) */
    double *tile_sums;          /* (n_tiles) of seeding */
    struct moments moments;
    struct moments kept_moments;
    double *sums;               /* (segments, K, row) */
    const double *total;        /* (spread) total scatter, tied */
    struct estimate estimate;
    double *rule;               /* (K, rule_size) */

    /* Boxes around the tiles, so that a cluster that can win nowhere in a tile is left out there. */
    int boxed;                  /* whether there are any */
    size_t stride;              /* n_tiles + TILE */
    const double *middle, *half; /* (d, stride) */
    double *few_rules;          /* (segments, K, rule_size) those of a tile's candidates */
    label_t *uniform;           /* (n_tiles) the label of all points of a tile, or MIXED */
    int passes_unboxed;         /* to be made before boxes are tried again, after they did not pay */
    double *scratch;            /* (d) */
    char *tried;                /* (K) clusters that could not be split for an empty one */
    uint64_t *hashes;           /* (max_iter) of the partitions seen, mahalanobis */
    double *trace;              /* (max_iter + 1) CL after each estimate, in the frame */
};

struct start {
    int n_iter;                 /* assignment passes */
    int converged;              /* the last pass changed no label */
    int n_trace;
    double seconds;             /* that the iterations took, seeding not counted: for benchmarks */
    double log_likelihood;      /* CL of the partition under its estimate, in the frame */
};

enum status workspace_new(struct workspace *workspace /* INOUT: tiles .. team, boxed, boxes and total given */, size_t n, int d);
void workspace_free(struct workspace *workspace);

/* Draw a partition into workspace->labels. */
void start_partition(struct workspace *workspace, struct rng *rng /* INOUT */);

/* Iterate workspace->labels to the end. */
struct start start_run(struct workspace *workspace /* INOUT */);

/* The estimate of workspace->labels with all its digits, from a second pass over the points; its CL. */
double estimate_exactly(struct workspace *workspace /* INOUT */);

/* Seconds of each of `passes` assignment passes under the model of the partition at hand, for benchmarks. */
void start_time_passes(struct workspace *workspace /* INOUT */, int passes, double *seconds /* OUT (passes) */);

#endif
