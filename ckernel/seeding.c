#include "seeding.h"

struct seeding {
    const struct tiles *tiles;
    const struct tile_kernels *kernels;
    int segments;
    int k;                  /* the center that joins */
    const double *center;   /* (d) */
    float *nearest;
    double *tile_sums;
    label_t *labels;
};

CLONES static void join_center(void *context, int segment)
{
    const struct seeding *seeding = context;
    const struct tiles *tiles = seeding->tiles;
    const int k = seeding->k;
    _Alignas(ALIGNMENT) double squared[TILE];
    const struct range range = segment_range(tiles->n_tiles, seeding->segments, segment);
    for (size_t t = range.begin; t < range.end; t++) {
        seeding->kernels->distances(tiles->values + t * (size_t)tiles->d * TILE, tiles->d, seeding->center,
                                    squared);
        float *nearest = seeding->nearest + t * TILE;
        label_t *labels = seeding->labels + t * TILE;
        const int points = tiles->n - t * TILE < TILE ? (int)(tiles->n - t * TILE) : TILE;
        double sum = 0;
        for (int i = 0; i < points; i++) {
            const float distance = (float)squared[i];
            const int nearer = k == 0 || distance < nearest[i];
            nearest[i] = nearer ? distance : nearest[i];
            labels[i] = nearer ? (label_t)k : labels[i];
            sum += nearest[i];
        }
        seeding->tile_sums[t] = sum;
    }
}

/* A point with probability proportional to its squared distance; any point when all are zero. */
static size_t draw(const struct seeding *seeding, struct rng *rng)
{
    const struct tiles *tiles = seeding->tiles;
    double total = 0;
    for (size_t t = 0; t < tiles->n_tiles; t++)
        total += seeding->tile_sums[t];
    const double uniform = rng_uniform(rng);
    if (!(total > 0))
        return (size_t)(uniform * (double)tiles->n);
    double left = uniform * total;
    size_t t = 0, last = 0;
    while (t + 1 < tiles->n_tiles && left >= seeding->tile_sums[t])
        left -= seeding->tile_sums[t++];
    /* Rounding may carry the walk past the last tile that has any distance left. */
    while (t > 0 && !(seeding->tile_sums[t] > 0))
        t--;
    for (size_t i = t * TILE; i < tiles->n && i < (t + 1) * TILE; i++) {
        if (!(seeding->nearest[i] > 0))
            continue;
        last = i;
        left -= seeding->nearest[i];
        if (left < 0)
            break;
    }
    return last;
}

void seed_partition(const struct tiles *tiles, int n_clusters, struct rng *rng, struct team *team,
                    const struct tile_kernels *kernels, int segments, float *nearest, double *tile_sums,
                    label_t *labels)
{
    double center[tiles->d];
    struct seeding seeding = {.tiles = tiles, .kernels = kernels, .segments = segments, .center = center,
                              .nearest = nearest, .tile_sums = tile_sums, .labels = labels};
    for (int k = 0; k < n_clusters; k++) {
        const size_t i = k == 0 ? rng_below(rng, tiles->n) : draw(&seeding, rng);
        for (int j = 0; j < tiles->d; j++)
            center[j] = tiles->values[((i / TILE) * (size_t)tiles->d + j) * TILE + i % TILE];
        seeding.k = k;
        team_run(team, join_center, &seeding, segments);
    }
}
