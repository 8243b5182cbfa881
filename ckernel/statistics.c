#include "statistics.h"

#include <string.h>

enum sums sums_of(enum covariance covariance)
{
    if (is_tied(covariance))
        return SUMS;
    return shape_of(covariance) == SPHER ? SQUARE : shape_of(covariance) == DIAG ? SQUARES : OUTER;
}

size_t sums_row(enum sums sums, int d)
{
    switch (sums) {
    case SUMS: return PAD8(d + 1);
    case SQUARE: return PAD8(d + 2);
    case SQUARES: return 2 * PAD8(d + 1);
    default: return ROW8(d + 1);
    }
}

/* A pass that sums the moments of every cluster, or of all points together, about centers or not. */
struct summing {
    const struct tiles *tiles;
    const label_t *labels;
    const struct tile_kernels *kernels;
    const double *centers;  /* (K, d) or NULL */
    enum sums sums;
    size_t row;
    int rows;               /* K, or 1 for all points together */
    int segments;
    double *table;          /* (segments, rows, row) */
};

/* Whole tiles of one label are summed at once up to this d; in more columns they are rare. */
enum { MAX_WHOLE_D = MAX_BOX_D };

/* Sum a full tile whose points all have one label. Returns whether it was such a tile. */
static int sum_whole_tile(const struct summing *summing, const double *tile, const label_t *labels,
                          double *rows)
{
    const int d = summing->tiles->d;
    int differs = 0;
    for (int i = 0; i < TILE; i++)
        differs |= labels[i] ^ labels[0];
    if (differs)
        return 0;
    const double *center = summing->centers ? summing->centers + (size_t)labels[0] * d : NULL;
    _Alignas(ALIGNMENT) double centered[(MAX_WHOLE_D + 1) * TILE];
    for (int i = 0; i < TILE; i++)
        centered[i] = 1;
    for (int j = 0; j < d; j++)
        for (int i = 0; i < TILE; i++)
            centered[(j + 1) * TILE + i] = tile[j * TILE + i] - (center ? center[j] : 0);
    summing->kernels->add_tile(centered, d, summing->sums,
                               rows + (summing->rows > 1 ? labels[0] * summing->row : 0));
    return 1;
}

static void sum_segment(void *context, int segment)
{
    const struct summing *summing = context;
    const struct tiles *tiles = summing->tiles;
    const int d = tiles->d;
    const size_t size = (size_t)summing->rows * summing->row;
    double *rows = summing->table + (size_t)segment * size;
    memset(rows, 0, size * sizeof(double));
    const struct range range = segment_range(tiles->n_tiles, summing->segments, segment);
    for (size_t t = range.begin; t < range.end; t++) {
        const double *tile = tiles->values + t * (size_t)d * TILE;
        const label_t *labels = summing->labels + t * TILE;
        const int points = tiles->n - t * TILE < TILE ? (int)(tiles->n - t * TILE) : TILE;
        if (d <= MAX_WHOLE_D && points == TILE && sum_whole_tile(summing, tile, labels, rows))
            continue;
        struct move moves[TILE];
        for (int i = 0; i < points; i++)
            moves[i] = (struct move){i, -1, summing->rows > 1 ? labels[i] : 0, labels[i]};
        summing->kernels->move_points(tile, d, summing->sums, summing->centers, moves, points, rows,
                                      summing->row);
    }
}

/* Sum, and leave the sums over the segments in the first of them. */
static void sum_points(const struct summing *summing, struct team *team)
{
    const size_t size = (size_t)summing->rows * summing->row;
    team_run(team, sum_segment, (void *)summing, summing->segments);
    for (int s = 1; s < summing->segments; s++)
        for (size_t j = 0; j < size; j++)
            summing->table[j] += summing->table[(size_t)s * size + j];
}

void moments_of(const struct tiles *tiles, const label_t *labels, struct team *team,
                const struct tile_kernels *kernels, int segments, double *table, struct moments *moments)
{
    const struct summing summing = {tiles, labels, kernels, NULL, moments->sums, moments->row,
                                    moments->n_clusters, segments, table};
    sum_points(&summing, team);
    memcpy(moments->rows, table, (size_t)moments->n_clusters * moments->row * sizeof(double));
}

void total_scatter(const struct tiles *tiles, enum shape shape, const struct tile_kernels *kernels,
                   double *total)
{
    const int d = tiles->d;
    double squares[d];
    memset(total, 0, spread_size(shape, d) * sizeof(double));
    memset(squares, 0, sizeof squares);
    for (size_t t = 0; t < tiles->n_tiles; t++)
        kernels->squares(tiles->values + t * (size_t)d * TILE, d, shape == FULL,
                         shape == SPHER ? squares : total);
    if (shape == SPHER)
        for (int j = 0; j < d; j++)
            total[0] += squares[j];
}

/* The squares in a row of moments, as a spread. */
static void read_squares(enum shape shape, int d, const double *row, double *spread)
{
    if (shape == SPHER)
        spread[0] = row[1 + d];
    else if (shape == DIAG)
        memcpy(spread, row + PAD8(d + 1) + 1, (size_t)d * sizeof(double));
    else
        for (int r = 0; r < d; r++)
            memcpy(spread + PACKED(r), row + ROW8(r + 1) + 1, (size_t)(r + 1) * sizeof(double));
}

void scatter_from_moments(const struct moments *moments, enum covariance covariance, const double *total,
                          double *scatter)
{
    const int d = moments->d, tied = is_tied(covariance);
    const enum shape shape = shape_of(covariance);
    const size_t size = spread_size(shape, d);
    if (tied)
        memcpy(scatter, total, size * sizeof(double));
    for (int k = 0; k < moments->n_clusters; k++) {
        double *own = tied ? scatter : scatter + (size_t)k * size;
        if (!tied)
            read_squares(shape, d, moments->rows + (size_t)k * moments->row, own);
        if (!(moments_count(moments, k) > 0))
            continue;
        /* Less n_k mu_k mu_k'. */
        const double scale = 1 / moments_count(moments, k);
        for (int r = 0; r < d; r++) {
            const double by = moments_sum(moments, k, r) * scale;
            if (shape == SPHER)
                own[0] -= by * moments_sum(moments, k, r);
            else if (shape == DIAG)
                own[r] -= by * moments_sum(moments, k, r);
            else
                for (int c = 0; c <= r; c++)
                    own[PACKED(r) + c] -= by * moments_sum(moments, k, c);
        }
    }
}

static enum sums scatter_sums(enum covariance covariance)
{
    return sums_of((enum covariance)(covariance | 1));
}

size_t scatter_table(enum covariance covariance, int n_clusters, int d)
{
    return (is_tied(covariance) ? 1 : (size_t)n_clusters) * sums_row(scatter_sums(covariance), d);
}

void scatter_about(const struct tiles *tiles, const label_t *labels, enum covariance covariance,
                   int n_clusters, const double *centers, struct team *team,
                   const struct tile_kernels *kernels, int segments, double *table, double *scatter)
{
    const int d = tiles->d, rows = is_tied(covariance) ? 1 : n_clusters;
    const enum shape shape = shape_of(covariance);
    const size_t row = sums_row(scatter_sums(covariance), d);
    const struct summing summing = {tiles, labels, kernels, centers, scatter_sums(covariance), row, rows,
                                    segments, table};
    sum_points(&summing, team);
    for (int k = 0; k < rows; k++)
        read_squares(shape, d, table + (size_t)k * row, scatter + (size_t)k * spread_size(shape, d));
}
