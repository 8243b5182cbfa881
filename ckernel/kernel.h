/* The compute core of K-means with Mahalanobis distance: the types that its files share.
 *
 * Words of the formulas: n points in d columns, K clusters, labels z, n_k members, weights
 * pi_k = n_k / n, centers mu_k, covariances Sigma_k, scatters W_k, CL the classification
 * log-likelihood. A symmetric or lower triangular (d, d) matrix is "packed" when only the rows of
 * its lower triangle are stored one after the other: entry (r, c), c <= r, lies at
 * PACKED(r) + c, and the whole takes PACKED(d) doubles.
 */
#ifndef CKERNEL_KERNEL_H
#define CKERNEL_KERNEL_H

#include <stddef.h>
#include <stdint.h>

#define PACKED(r) ((size_t)(r) * ((size_t)(r) + 1) / 2)

/* For functions that only need the compiler's own vectors: one copy per instruction set, chosen when the
 * library is loaded. Not where a product may be contracted with a sum, so that all copies round alike. */
#if defined(__x86_64__) && defined(__GLIBC__) && defined(__GNUC__) && !defined(__clang__)
#define CLONES __attribute__((target_clones("default", "arch=x86-64-v3", "arch=x86-64-v4")))
#else
#define CLONES
#endif

/* Sizes rounded up to whole vectors of eight doubles: of a row, and of the rows of a lower triangle, row r
 * with its r + 1 entries beginning at ROW8(r). */
#define PAD8(n) (((size_t)(n) + 7) / 8 * 8)
#define ROW8(r) (((size_t)(r) / 8 + 1) * (4 * ((size_t)(r) / 8) + (size_t)(r) % 8) * 8)

/* Points of a tile: the unit that is stored column by column, so that a vector register holds one
 * column of several points. A multiple of every register width times every unrolling. */
#define TILE 64
#define ALIGNMENT 64

/* Labels inside the kernel. Two bytes, because labels are a visible share of the memory at d = 1. */
typedef uint16_t label_t;
#define MAX_CLUSTERS 65535

enum shape { SPHER = 0, DIAG = 1, FULL = 2 };
enum covariance {
    SPHER_TIED = 0, SPHER_UNTIED = 1, DIAG_TIED = 2, DIAG_UNTIED = 3, FULL_TIED = 4, FULL_UNTIED = 5
};
static inline enum shape shape_of(enum covariance covariance) { return (enum shape)(covariance / 2); }
static inline int is_tied(enum covariance covariance) { return covariance % 2 == 0; }
/* Doubles in the (co)variance or scatter of one cluster: 1, d or d (d + 1) / 2. */
static inline size_t spread_size(enum shape shape, int d)
{
    return shape == SPHER ? 1 : shape == DIAG ? (size_t)d : PACKED(d);
}

enum assignment { LIKELIHOOD = 0, MAHALANOBIS = 1 };

enum status { OK = 0, OUT_OF_MEMORY = -1, NO_THREADS = -2 };

/* Points in tiles: column j of point i is values[((i / TILE) d + j) TILE + i % TILE]; the places after
 * the last point hold zeros. */
struct tiles {
    size_t n;
    int d;
    size_t n_tiles;
    double *values;
};

#endif
